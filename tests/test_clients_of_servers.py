"""Clients of servers that speak JSON: what they send, what they read, what they learn from refusals."""

import datetime
import hashlib
import hmac
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dialects
import numpy as np
import pytest
from probe_match.clients import _template, gradio, hf, mlflow, rest, sagemaker, v1
from probe_match.fingerprinting import collect
from probe_match.fingerprinting.errors import BadData, InputRefused, TargetError, UsageError
from probe_match.fingerprinting.records import InputSpec
from probe_match.fingerprinting.targets import open_target

DIGITS = InputSpec("image", (64,))
X = np.random.default_rng(0).random((9, 64), np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=(64, 10))
SECRET = "sk-canary"


def model(rows: Any) -> np.ndarray:
    if isinstance(rows[0], str):
        rows = [np.full(64, len(text) % 7 / 7) for text in rows]
    odds = np.exp(np.asarray(rows, float) @ WEIGHTS)
    return odds / odds.sum(1, keepdims=True)


@pytest.fixture
def server() -> Iterator[dialects.Speaker]:
    with dialects.speaking(model) as speaker:
        yield speaker


@pytest.mark.parametrize("where", ["{}/v1/models/digits", "{}/v1/models/digits:predict", "{}", "{}/v1/models/digits/"])
def test_v1_finds_the_model_and_its_input(server: dialects.Speaker, where: str) -> None:
    """By its address with or without the verb, or as the only one; the signature tells the shape."""
    client = v1.connect(where.format(server.url))
    asked = collect.ask(client, X, DIGITS)

    assert client.target == f"v1:{server.url}/v1/models/digits"
    assert client.shape == (64,)
    assert asked.scores == pytest.approx(model(X), abs=1e-5)
    client.close()


def test_vertex_is_asked_with_a_bearer_token(server: dialects.Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same shapes under an endpoint's address, nothing asked beforehand, the key in its header."""
    monkeypatch.setenv("PROBE_MATCH_API_KEY", SECRET)
    client = v1.connect(f"{server.url}/v1/projects/p/endpoints/7")
    with pytest.raises(TargetError, match="nothing at /v1/projects/p/endpoints/7:predict"):
        client.ask(X[:1])

    assert [request[:2] for request in server.seen] == [("POST", "/v1/projects/p/endpoints/7:predict")]
    assert server.seen[0][3]["Authorization"] == f"Bearer {SECRET}"
    client.close()


def test_mlflow_learns_the_columns_a_model_misses() -> None:
    """A table with named columns is asked for only in a refusal; after it every request is one."""
    columns = [f"pixel {i}'s" for i in range(64)]
    with dialects.speaking(model, columns=columns) as server:
        client = mlflow.connect(server.url)
        first = collect.ask(client, X[:2], DIGITS)
        before = len(server.seen)
        collect.ask(client, X, DIGITS)

        assert first.scores == pytest.approx(model(X[:2]), abs=1e-5)
        assert len(server.seen) == before + 1
        assert json.loads(server.seen[-1][2])["dataframe_split"]["columns"] == columns
        client.close()


def test_a_text_classifier_is_read_by_label(server: dialects.Speaker) -> None:
    """Rows come sorted by score; requests hold as many texts as the server says."""
    texts = ["a", "abc", "abcdefghijk", "", "xy", "xyzzy"]
    client = hf.connect(server.url)
    spec = InputSpec("text")
    asked = collect.ask(client, texts, spec)

    assert client.batch == 4
    assert asked.scores == pytest.approx(model(texts), abs=1e-5)
    with pytest.raises(TargetError, match="takes texts"):
        client.ask(X)
    client.close()


def test_gradio_reads_the_last_event(server: dialects.Speaker) -> None:
    """A ticket, then events; an error event is this input's failure."""
    client = gradio.connect(server.url)
    asked = collect.ask(client, X[:3], DIGITS)

    assert client.target == f"gradio:{server.url}#/classify"
    assert asked.scores == pytest.approx(model(X[:3]), abs=1e-5)
    with pytest.raises(InputRefused, match="says that it failed: no"):
        client.ask(np.zeros((1, 5), np.float32))
    client.close()


def test_gradio_names_what_an_app_has(server: dialects.Speaker) -> None:
    """An endpoint that is not there is one line with those that are."""
    with pytest.raises(UsageError, match=r"the app has /classify \(json\)"):
        gradio.connect(f"{server.url}#/other")


@pytest.mark.parametrize("form", ["", "instances", "inputs"])
def test_sagemaker_signs_every_request(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature is the one that AWS's published steps give, and the container's form of body is found."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary/secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("PROBE_MATCH_API_KEY", "canary-key")  # of other servers: who signs sends no key
    with dialects.speaking(model, form=form) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", server.url)
        client = sagemaker.connect("eu-west-1/digits")
        asked = collect.ask(client, X[:2], DIGITS)
        client.close()

        assert asked.scores == pytest.approx(model(X[:2]), abs=1e-5)
        for method, path, body, headers in server.seen:
            assert headers["Authorization"].endswith(signature(method, path, body, headers, "canary/secret"))
            assert "canary" not in str(headers)


def signature(method: str, path: str, body: bytes, headers: dict[str, str], secret: str) -> str:
    """Signature Version 4, by hand."""
    lowered = {name.lower(): value for name, value in headers.items()}
    scope = lowered["authorization"].partition("Credential=")[2].partition(",")[0].partition("/")[2]
    signed = lowered["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    canonical = [method, path, "", *(f"{name}:{lowered[name].strip()}" for name in signed.split(";")), "", signed]
    whole = "\n".join([*canonical, hashlib.sha256(body).hexdigest()])
    told = "\n".join(["AWS4-HMAC-SHA256", lowered["x-amz-date"], scope, hashlib.sha256(whole.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    moment = datetime.datetime.strptime(lowered["x-amz-date"], "%Y%m%dT%H%M%SZ")
    assert abs((datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - moment).total_seconds()) < 60
    return hmac.new(key, told.encode(), hashlib.sha256).hexdigest()


def test_sagemaker_wants_credentials_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them, and with a name that is none, one line says what is expected."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="set AWS_ACCESS_KEY_ID"):
        sagemaker.connect("eu-west-1/digits")
    with pytest.raises(UsageError, match="expected sagemaker:REGION/ENDPOINT"):
        sagemaker.connect("https://somewhere/digits")


# --- templates ------------------------------------------------------------------------------------------------------


def test_a_template_of_the_users_own(server: dialects.Speaker, tmp_path: Path) -> None:
    """A few lines of JSON say what is sent and where the answer is."""
    file = tmp_path / "mine.json"
    file.write_text('{"request": {"rows": "$INPUTS", "k": [1, "x"]}, "answer": "$.out[*].p"}')
    client = open_target(f"rest:{file}@{server.url}/mine")
    asked = collect.ask(client, X, DIGITS)

    assert asked.scores == pytest.approx(model(X), abs=1e-5)
    assert json.loads(server.seen[-1][2])["k"] == [1, "x"]
    client.close()


def test_a_template_may_name_the_address_and_what_failure_is(server: dialects.Speaker, tmp_path: Path) -> None:
    """What a server says in spite of status 200 goes before its answer."""
    file = tmp_path / "mine.json"
    told = {"url": f"{server.url}/mine", "request": {"rows": "$INPUTS"}, "answer": "$.out[*].p"}
    file.write_text(json.dumps({**told, "failed": {"json": "$.ok"}}))
    client = open_target(f"rest:{file}")
    with pytest.raises(InputRefused, match="says that it failed: True"):
        client.ask(X[:1])
    client.close()


def test_one_input_per_request_where_the_template_says_so(server: dialects.Speaker, tmp_path: Path) -> None:
    """$INPUT is a single one, so that a request never holds more."""
    file = tmp_path / "mine.json"
    file.write_text('{"request": {"rows": ["$INPUT"]}, "answer": "$.out[*].p"}')
    client = open_target(f"rest:{file}@{server.url}/mine")

    assert collect.ask(client, X[:4], DIGITS).scores == pytest.approx(model(X[:4]), abs=1e-5)
    assert len(server.seen) == 4
    client.close()


@pytest.mark.parametrize("name", _template.presets())
def test_every_preset_reads_and_has_signs(name: str) -> None:
    """What is shipped is whole: a request, a way to recognise the server, nothing unknown."""
    template = _template.load(name)

    assert template.about
    assert template.signs
    assert _template.gaps(template.request)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "expected an object with 'request'"),
        ('{"request": {"a": 1}}', "expected one of \\$INPUTS"),
        ('{"request": {"a": "$INPUTS", "b": "$NONSENSE"}}', "got \\$NONSENSE"),
        ('{"request": "$INPUTS", "answer": "$[["}', "expected a JSONPath"),
        ('{"request": "$INPUTS", "extra": 1}', "got 'extra'"),
        ('{"request": "$INPUTS", "answer": 1}', "got 'answer'"),
        ("{", "expected JSON"),
    ],
)
def test_broken_templates_are_one_line(text: str, said: str, tmp_path: Path) -> None:
    """What is expected in a template is said before anything is sent."""
    file = tmp_path / "mine.json"
    file.write_text(text)
    with pytest.raises(BadData, match=said):
        rest.connect(f"{file}@http://127.0.0.1:1/x")


def test_an_unknown_preset_names_those_there_are() -> None:
    """And a preset without a route says that one is missing."""
    with pytest.raises(UsageError, match="presets: azureml, bentoml, cog"):
        rest.connect("nonsense@http://127.0.0.1:1/x")
    with pytest.raises(UsageError, match="got no ROUTE"):
        rest.connect("torchserve@http://127.0.0.1:1")


@pytest.mark.parametrize("bad", [[math.nan] * 10, [math.inf] + [0.1] * 9, None, [None] * 10, [0.5, 0.5], []])
@pytest.mark.parametrize("where", ["v1:{}/v1/models/digits", "mlflow:{}", "rest:t.json@{}/mine"])
def test_an_input_that_breaks_the_model_spoils_no_other(
    where: str, bad: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN, null or half a row for one input leaves it unanswered, the others count, and nothing is sent again."""

    def breaking(rows: Any) -> np.ndarray:
        said = np.empty(len(rows), object)
        said[:] = [bad if row[0] == X[4, 0] else scores for row, scores in zip(rows, model(rows).tolist(), strict=True)]
        return said

    monkeypatch.chdir(tmp_path)
    Path("t.json").write_text('{"request": {"rows": "$INPUTS"}, "answer": "$.out[*].p"}')
    with dialects.speaking(breaking) as server:
        client = open_target(where.format(server.url))
        asked = collect.ask(client, X, DIGITS, partly=True)
        sent = [request for request in server.seen if request[0] == "POST"]
        client.close()

    assert asked.scores is not None
    assert np.flatnonzero(asked.labels < 0).tolist() == [4]
    assert np.delete(asked.scores, 4, 0) == pytest.approx(model(np.delete(X, 4, 0)), abs=1e-5)
    assert len(sent) == 1


def test_what_was_answered_is_not_sent_again_when_the_next_request_of_a_call_is_refused() -> None:
    """A call that takes two requests, of which the second is refused: no input goes twice."""
    asked: list[bytes] = []

    def moody(rows: Any) -> np.ndarray:
        asked.extend(np.asarray(row, np.float32).tobytes() for row in rows)
        if len(asked) == 9:
            raise dialects.Refused(500, "not now")
        return model(rows)

    with dialects.speaking(moody) as server:
        client = v1.connect(f"{server.url}/v1/models/digits")
        whole = client.ask

        def ask(inputs: Any) -> Any:  # as if another thread had learnt meanwhile that four go at once
            client.batch = 4
            return whole(inputs)

        client.ask = ask  # type: ignore[method-assign]
        collect.ask(client, X, DIGITS, partly=True, patient=True)
        client.close()

    assert len(set(asked[:8])) == 8
    assert not set(asked[:8]) & set(asked[9:])


def test_answers_without_one_number_are_refused_and_not_asked_again() -> None:
    """A model that gives NaN for everything is left alone after a few inputs."""
    with dialects.speaking(lambda rows: np.full((len(rows), 10), np.nan)) as server:
        client = v1.connect(f"{server.url}/v1/models/digits")
        with pytest.raises(TargetError, match="answered NaN or infinity"):
            collect.ask(client, np.concatenate([X, X]), DIGITS, partly=True)
        sent = [request for request in server.seen if request[0] == "POST"]
        client.close()

    assert len(sent) == 1


# --- detection ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "kind"),
    [("/v1/models", "v1"), ("/info", "hf"), ("/gradio_api", "gradio")],
)
def test_a_bare_url_is_recognised_by_reading_alone(only: str, kind: str) -> None:
    """A handful of GETs, and not one question."""
    with dialects.speaking(model, only=only) as server:
        client = open_target(server.url)
        client.close()

        assert client.target.startswith(f"{kind}:")
        assert {request[0] for request in server.seen if "repository/index" not in request[1]} == {"GET"}
        assert len(server.seen) <= 14
