"""What a target speaks, takes and shows, with three probes at most."""

import json
from typing import Any

import dialects
import numpy as np
import pytest
from chat_server import Said, scripted
from click.testing import CliRunner
from probe_match.clients import function, mlflow
from probe_match.fingerprinting import inspecting
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.oip_server import serve

WEIGHTS = np.random.default_rng(1).normal(size=(64, 10))


def model(rows: Any) -> np.ndarray:
    rows = np.asarray(rows, float)
    if rows.ndim != 2 or rows.shape[1] != 64:
        raise ValueError(f"X has {rows.shape[-1]} features, but LogisticRegression is expecting 64 features as input")
    odds = np.exp(rows @ WEIGHTS)
    return odds / odds.sum(1, keepdims=True)


def inspected(*words: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(cli, ["inspect", *words, "--json"])
    return result.exit_code, json.loads(result.output)


def test_a_server_that_describes_itself() -> None:
    """Model, input, limit and information level, each probe counted."""
    with serve({"digits": model}, (64,)) as url:
        code, told = inspected(url)

        assert code == 0
        assert (told["client"], told["shape"], told["classes"], told["information"]) == ("oip", [64], 10, "all scores")
        assert told["facts"]["models"] == "digits"
        assert told["probes"] == url.rows["digits"] == 3


def test_the_input_is_learnt_from_a_refusal() -> None:
    """A server that does not say what it takes says it when it gets something else."""
    with dialects.speaking(model) as server:
        found = inspecting.inspect(mlflow.connect(server.url), "mlflow")
        posts = [request for request in server.seen if request[0] == "POST"]

    assert found.shape == (64,)
    assert found.sent == 3
    assert found.information == "all scores"
    assert json.loads(posts[0][2]) == {"inputs": [[0.0]]}


def test_what_never_answers_needs_a_person() -> None:
    """Exit code 3, with the refusal; the shape is for the user to say."""
    with dialects.speaking(lambda rows: 1 / 0 if False else model(np.zeros((1, 3)))) as server:
        code, told = inspected(f"mlflow:{server.url}", "--shape", "2,2")

    assert code == 3
    assert "expecting 64 features" in told["refusal"]
    assert told["information"] == ""


def test_text_for_people_is_one_fact_a_line() -> None:
    """What is unknown is said to be, and how to say it."""
    with serve({"digits": lambda x: model(x).argmax(1)}, (64,)) as url:
        result = CliRunner().invoke(cli, ["inspect", f"{url}/v2/models/digits"])

    lines = {line[:11].strip(): line[12:] for line in result.output.splitlines()[1:]}
    assert lines["speaks"] == "oip"
    assert lines["takes"] == "shape (64,), 256 at once"
    assert lines["shows"] == "labels only"
    assert lines["probes"] == "3 sent"


def test_a_client_may_be_named() -> None:
    """--client goes before what the server would say."""
    with dialects.speaking(model) as server:
        assert inspected(server.url, "--client", "v1")[1]["client"] == "v1"
        assert inspected(server.url, "--client", "mlflow", "--shape", "64")[1]["client"] == "mlflow"
        unknown = CliRunner().invoke(cli, ["inspect", server.url, "--client", "nonsense"])

    assert "unknown client" in str(unknown.exception) or "no file" in str(unknown.exception)


def test_names_of_classes_are_shown_as_they_come() -> None:
    """Labels that only a pool would know are answers, too."""
    client = function.wrap(lambda x: np.array(["cat"] * len(x)), name="animals", shape=(2,))
    found = inspecting.inspect(client, "function")

    assert found.example == "label cat"
    assert found.information == "labels only"


@pytest.mark.parametrize(
    ("said", "shape"),
    [
        ("X has 2 features, but LogisticRegression is expecting 64 features as input.", (64,)),
        ("Shape of input (2, 10) does not match expected shape (-1, 64).", (64,)),
        ("expected shape [-1, 3, 32, 32], got [1, 1]", (3, 32, 32)),
        ("the app takes 7 values, the probes have 1", (7,)),
        ("expected inputs of 64 columns (p0, p1), got 1", (64,)),
        ("unexpected shape for input 'x' for model 'digits'. Expected [-1,64], got [1,1]", (64,)),
        ("Internal Server Error", None),
        ("status 500", None),
    ],
)
def test_shapes_in_refusals(said: str, shape: tuple[int, ...] | None) -> None:
    """As MLflow, KServe, Triton, scikit-learn and our own clients word them."""
    assert inspecting.wanted_shape(said) == shape


def test_a_language_model_is_asked_nothing() -> None:
    """What the client knows is enough."""
    with scripted(lambda asked: Said({})) as server:
        code, told = inspected(f"openai:{server.url}/v1#tiny")

        assert (code, told["kind"], told["probes"]) == (0, "language model", 0)
