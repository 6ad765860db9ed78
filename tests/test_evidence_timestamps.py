"""Trusted time: two authorities vouch, each is pinned, and a second verifier says the same."""

import datetime
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rfc3161_client")
if shutil.which("openssl") is None:
    pytest.skip("a local timestamp authority needs openssl", allow_module_level=True)

import contextlib

from cryptography.x509.oid import ExtendedKeyUsageOID
from probe_match.clients import _tsa
from probe_match.fingerprinting.errors import BadData, TargetError
from probe_match.fingerprinting.evidence import timestamps
from probe_match.fingerprinting.evidence.timestamps import Stamp

from benchmarks import local_tsa
from benchmarks.local_tsa import LocalTsa

DATA = b"a sealed line of a case book"
SECOND = datetime.timedelta(seconds=1)


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalTsa, LocalTsa]:
    folder = tmp_path_factory.mktemp("tsa")
    return local_tsa.make(folder / "north", "north"), local_tsa.make(folder / "south", "south")


@pytest.fixture(scope="module")
def url(authorities: tuple[LocalTsa, LocalTsa]) -> Iterator[str]:
    with local_tsa.serving(authorities[0]) as where:
        yield where


def test_an_authority_is_asked_over_http_and_believed(
    authorities: tuple[LocalTsa, LocalTsa], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token that came over loopback is of this data, this minute and this authority; no key went along."""
    monkeypatch.setenv("PROBE_MATCH_API_KEY", "secret")
    north, south = (one.trusted for one in authorities)
    token, stamp = _tsa.stamp(url, DATA, [south, north])
    now = datetime.datetime.now(datetime.timezone.utc)

    assert stamp == timestamps.verify(token, DATA, [north])
    assert (stamp.authority, stamp.policy, stamp.margin) == ("north", "1.3.6.1.4.1.99999.1", SECOND)
    assert abs(stamp.time - now) < 60 * SECOND


def test_openssl_verifies_the_same_token(authorities: tuple[LocalTsa, LocalTsa], url: str, tmp_path: Path) -> None:
    """`openssl ts -verify` accepts what we accept, and refuses it for other data and under another root."""
    token, _ = _tsa.stamp(url, DATA, [authorities[0].trusted])
    (tmp_path / "token.tsr").write_bytes(token)
    (tmp_path / "data").write_bytes(DATA)
    (tmp_path / "other").write_bytes(DATA + b"!")

    def openssl(data: str, tsa: LocalTsa) -> int:
        root = tsa.folder / "root.pem"
        command = ["openssl", "ts", "-verify", "-in", "token.tsr", "-data", data, "-CAfile", root]
        return subprocess.run(command, cwd=tmp_path, capture_output=True).returncode

    assert openssl("data", authorities[0]) == 0
    assert openssl("other", authorities[0]) != 0
    assert openssl("data", authorities[1]) != 0


def test_other_data_another_root_and_another_nonce_are_refused(authorities: tuple[LocalTsa, LocalTsa]) -> None:
    """A token counts for one thing, under its own root, and as the answer to one query."""
    north, south = authorities
    token = north.stamp(DATA)

    with pytest.raises(BadData, match="something else"):
        timestamps.verify(token, DATA + b"!", [north.trusted])
    with pytest.raises(BadData, match="no trusted authority"):
        timestamps.verify(token, DATA, [south.trusted])
    with pytest.raises(BadData, match="another nonce"):
        timestamps.verify(token, DATA, [north.trusted], nonce=7)


def test_a_certificate_for_something_else_tells_no_time(tmp_path: Path) -> None:
    """A signer that its root allows to sign code is no authority of time, though the chain is sound."""
    signer = local_tsa.make(tmp_path / "tsa", "tsa")
    other = local_tsa.make(tmp_path / "other", "tsa", usage=ExtendedKeyUsageOID.CODE_SIGNING)
    with pytest.raises(subprocess.CalledProcessError):
        other.stamp(DATA)
    confused = signer.trusted._replace(roots=other.trusted.roots)

    with pytest.raises(BadData, match="no trusted authority"):
        timestamps.verify(signer.stamp(DATA), DATA, [confused])


def test_no_bit_of_a_token_changes_what_it_says(authorities: tuple[LocalTsa, LocalTsa]) -> None:
    """Tokens have spare bits; whichever is flipped, the token is refused or says the same."""
    token = bytearray(authorities[0].stamp(DATA))
    trusted = [authorities[0].trusted]
    said = timestamps.verify(bytes(token), DATA, trusted)
    accepted = []
    for place in range(len(token)):
        token[place] ^= 1 << place % 8
        with contextlib.suppress(BadData):
            accepted.append(timestamps.verify(bytes(token), DATA, trusted))
        token[place] ^= 1 << place % 8

    assert all(stamp == said for stamp in accepted)
    assert len(accepted) < len(token) // 20


def test_two_different_authorities_must_vouch(authorities: tuple[LocalTsa, LocalTsa]) -> None:
    """One is not enough, nor one twice; of two the later time counts."""
    trusted = [one.trusted for one in authorities]
    north, again, south = (timestamps.verify(one.stamp(DATA), DATA, trusted) for one in (authorities[0], *authorities))

    assert timestamps.together([north, south], "it") == max(north.time, south.time) + SECOND
    with pytest.raises(BadData, match="needs 2"):
        timestamps.together([north], "it")
    with pytest.raises(BadData, match="one authority"):
        timestamps.together([north, again], "it")


def at(*seconds: float) -> list[Stamp]:
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    return [Stamp(str(i), start + s * SECOND, SECOND, str(i), i, "1.2") for i, s in enumerate(seconds)]


def test_the_claim_that_was_committed_to_first_is_the_earlier() -> None:
    """By the latest of its times; where their margins overlap, or one authority stands alone, nobody is."""
    assert timestamps.earlier(at(0, 1), at(60, 61)) == "first"
    assert timestamps.earlier(at(60, 61), at(0, 1)) == "second"
    assert timestamps.earlier(at(0, 60), at(30, 31)) == "second"
    assert timestamps.earlier(at(0, 1), at(2.5, 3)) == "ambiguous"
    assert timestamps.earlier(at(0, 1), at(60)) == timestamps.earlier(at(0), at(60, 61)) == "ambiguous"


def test_an_authority_without_a_root_is_refused(authorities: tuple[LocalTsa, LocalTsa], tmp_path: Path) -> None:
    """What is pinned is a self-signed root; its file names the authority."""
    (tmp_path / "no.pem").write_text("no certificate")

    assert timestamps.authority(authorities[0].folder / "root.pem") == authorities[0].trusted._replace(name="root")
    with pytest.raises(BadData, match="in PEM"):
        timestamps.authority(tmp_path / "no.pem")
    with pytest.raises(BadData, match="self-signed root"):
        timestamps.authority(authorities[0].folder / "signer.pem")


def test_an_authority_that_does_not_answer_is_one_clear_error(url: str) -> None:
    """A server that says something else, or nothing, gives no token."""
    with pytest.raises(BadData, match="no trusted authority"):
        _tsa.stamp(url, DATA, [])
    with pytest.raises(TargetError, match="running"):
        _tsa.stamp("http://127.0.0.1:9/tsr", DATA, [])
