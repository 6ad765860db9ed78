"""
Real gateways in front of a model: nginx with TLS, keys, a rate and a size limit; LiteLLM with its own idea of 429.

Run by `make test-servers`.
"""

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import peers
import pytest
from probe_match.clients import oip, openai
from probe_match.fingerprinting import collect
from probe_match.fingerprinting.chat.records import Question, Sampling
from probe_match.fingerprinting.errors import TargetError
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.records import InputSpec

DIGITS = InputSpec("image", (64,))
pytestmark = [pytest.mark.servers, pytest.mark.timeout(1200)]


class Gateway(NamedTuple):
    """Where it listens, its certificate, and what stands behind it."""

    url: str
    certificate: Path
    x: np.ndarray
    scores: np.ndarray


def nginx() -> str:
    """An nginx: the system's, or Debian's package unpacked under .cache, without installing it."""
    found = shutil.which("nginx")
    home = peers.ENVIRONMENTS / "nginx"
    if found is None and not (home / ".ready").exists():
        home.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", "nginx"], cwd=home, check=True, capture_output=True, timeout=120)
            (package,) = home.glob("nginx_*.deb")
            subprocess.run(["dpkg", "-x", package.name, "."], cwd=home, check=True, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            pytest.skip(f"NGINX NOT TESTED: neither installed nor to be had with apt-get download: {error}")
        (home / ".ready").touch()

    return found or str(home / "usr" / "sbin" / "nginx")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Nginx before a server of ours: TLS by an authority nobody knows, a key, five requests a second, 16 KiB each."""
    program = nginx()
    if shutil.which("openssl") is None:
        pytest.skip("NGINX NOT TESTED: no openssl to make its certificate")
    folder = tmp_path_factory.mktemp("nginx")
    source, x, _ = peers.model()
    certificate = folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key.pem"), "-out", str(certificate)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    (port,) = peers.free_ports(1)
    with serve({"digits": source.predict_proba}, (64,)) as upstream:
        settings = (peers.APPS / "nginx.conf").read_text()
        for name, value in (("FOLDER", folder), ("UPSTREAM", upstream.rpartition(":")[2]), ("PORT", port)):
            settings = settings.replace(name, str(value))
        (folder / "nginx.conf").write_text(settings)
        command = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "log2")]
        with peers.started(command, folder, peers.QUIET, lambda: listens(port)):
            yield Gateway(f"https://127.0.0.1:{port}", certificate, x, source.predict_proba(x))


def listens(port: int) -> bool:
    import socket

    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_a_gateway_with_limits_is_lived_with(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too large requests become smaller ones, too many wait, and every digit is answered as by the model itself."""
    monkeypatch.setenv("PROBE_MATCH_CA_BUNDLE", str(gateway.certificate))
    monkeypatch.setenv("PROBE_MATCH_API_KEY", "peer-key")
    client = oip.connect(f"{gateway.url}/v2/models/digits")
    asked = collect.ask(client, gateway.x[:400], DIGITS)

    assert asked.scores == pytest.approx(gateway.scores[:400], abs=1e-5)
    assert client.batch < 256
    client.close()


def test_a_gateway_that_wants_a_key_says_so(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which variable to set, and of a wrong key never the key."""
    monkeypatch.setenv("PROBE_MATCH_CA_BUNDLE", str(gateway.certificate))
    monkeypatch.delenv("PROBE_MATCH_API_KEY", raising=False)
    with pytest.raises(TargetError, match="wants a key; set PROBE_MATCH_API_KEY"):
        oip.connect(f"{gateway.url}/v2/models/digits")
    monkeypatch.setenv("PROBE_MATCH_API_KEY", "canary-key")
    with pytest.raises(TargetError, match="refuses the key in PROBE_MATCH_API_KEY") as caught:
        oip.connect(f"{gateway.url}/v2/models/digits")

    assert "canary" not in str(caught.value)


def test_an_unknown_authority_is_not_trusted(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its file the connection is refused here, and the line says what to set."""
    monkeypatch.delenv("PROBE_MATCH_CA_BUNDLE", raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(gateway.certificate))
    with pytest.raises(TargetError, match=r"TLS failed .* set PROBE_MATCH_CA_BUNDLE"):
        oip.connect(f"{gateway.url}/v2/models/digits")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """LiteLLM's address and key, with a model that always says the same, five times a minute."""
    home = peers.environment("litellm", ("litellm[proxy]==1.106.2",))
    folder, key = tmp_path_factory.mktemp("litellm"), f"sk-{secrets.token_hex(32)}"
    model = "{model: openai/mock, api_key: x, rpm: 5, mock_response: 'a mock'}"
    (folder / "config.yaml").write_text(
        f"model_list: [{{model_name: tiny, litellm_params: {model}}}]\n"
        'router_settings: {optional_pre_call_checks: ["enforce_model_rate_limits"]}\n'
        f"general_settings: {{master_key: {key}}}\nlitellm_settings: {{telemetry: false, num_retries: 0}}\n"
    )
    (port,) = peers.free_ports(1)
    command = [str(home / "litellm"), "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)]
    env = {**peers.QUIET, "PATH": f"{home}:/usr/bin:/bin", "HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    url = f"http://127.0.0.1:{port}"
    with peers.started(command, folder, env, lambda: peers.is_up(f"{url}/health/liveliness")):
        yield url, key


def test_a_gateways_own_rate_limit_is_waited_out(proxy: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """After five answers a minute's pause, said in a header of its own, and then the sixth."""
    url, key = proxy
    monkeypatch.setenv("PROBE_MATCH_API_KEY", key)
    client = openai.connect(f"{url}/v1#tiny", timeout=30, concurrency=1)
    answers = client.chat([Question(f"c{i}", "open", f"Say {i}.", sampling=Sampling(0.0, 5)) for i in range(6)])
    client.close()

    assert [answer.text for answer in answers if answer.status != "failed"][:5] == ["a mock"] * 5
    assert answers[5].status != "failed" or "429" in answers[5].error
