"""
One model behind other people's servers: each gives its answers through our clients, and one verdict.

MLServer and MLflow run in every test run, the others with `make test-servers`. See `peers` for how they are made.
"""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import peers
import pytest
from click.testing import CliRunner
from probe_match.clients import sklearn
from probe_match.fingerprinting import collect, matching, registry
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.enrolment import enroll
from probe_match.fingerprinting.errors import ProbeMatchError
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import About, InputSpec, Reference
from probe_match.fingerprinting.targets import open_target
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

DIGITS = InputSpec("image", (64,))
FAST = ("mlserver", "mlflow")
# What each shows; all others show every score.
SHOWN = {"gradio": "top-3", "torchserve": "top-5", "vetiver": "labels only"}
pytestmark = pytest.mark.timeout(1200)  # the first run installs the servers


class Known(NamedTuple):
    """The model, its weights in a file, all digits, its probabilities, and its reference."""

    source: MLPClassifier
    weights: Path
    x: np.ndarray
    scores: np.ndarray
    reference: Reference


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """A model that its owner has enrolled with a few peers."""
    source, x, y = peers.model()
    weights = tmp_path_factory.mktemp("weights") / "weights.npz"
    peers.save(source, weights)
    generators = {"midpoints": registry.load("probes", "midpoints").generate}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        enrolled = enroll(
            sklearn.wrap(source), make_pool(x[:900], y[:900]), name="ours", about=About(), generators=generators,
            log=x[900:1400], peers=48, shadows=8,
        )  # fmt: skip
    return Known(source, weights, x[:300], source.predict_proba(x[:300]), enrolled.reference)


class Served(NamedTuple):
    """A running peer."""

    name: str
    url: peers.Url


@pytest.fixture(
    scope="module",
    params=[name if name in FAST else pytest.param(name, marks=pytest.mark.servers) for name in peers.PEERS],
)
def served(request: Any, known: Known, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The model behind one peer after the other."""
    with peers.running(request.param, tmp_path_factory.mktemp(request.param), known.weights) as url:
        yield Served(request.param, url)


def targets(served: Served) -> list[str]:
    return [target.format(url=served.url, grpc=served.url.grpc) for target in peers.PEERS[served.name].targets]


def test_a_real_server_gives_the_models_own_answers(served: Served, known: Known) -> None:
    """However it is named: 300 digits, every label, and every score that is shown."""
    for target in targets(served):
        client = open_target(target)
        most = 30 if client.batch == 1 else 300
        asked = collect.ask(client, known.x[:most], DIGITS)
        client.close()

        assert np.array_equal(asked.labels, known.scores[:most].argmax(1)), target
        if asked.scores is not None:
            shown = ~np.isnan(asked.scores)
            assert asked.scores[shown] == pytest.approx(known.scores[:most, : asked.scores.shape[1]][shown], abs=1e-5)
        else:
            assert "predict" in target or served.name == "vetiver"


def test_one_model_behind_any_server_is_one_verdict(served: Served, known: Known) -> None:
    """The same reference, whatever the protocol and however little it shows."""
    for target in {targets(served)[0], *(target for target in targets(served) if "grpc" in target)}:
        client = open_target(target)
        verdict = matching.match_one(client, known.reference, seed=3)
        client.close()

        assert (verdict.decision, verdict.reference) == ("match", "ours")
        assert verdict.information == SHOWN.get(served.name, "all scores")
        assert "responses came from" in verdict.why


def test_rows_that_a_server_cannot_take_are_our_errors(served: Served, known: Known) -> None:
    """One line whatever the server says, and afterwards it answers as before."""
    client = open_target(targets(served)[0])
    with pytest.raises(ProbeMatchError) as caught:
        client.ask(np.zeros((3, 5), np.float32))
    after = collect.ask(client, known.x[:2], DIGITS)
    client.close()

    assert "\n" not in str(caught.value)
    assert np.array_equal(after.labels, known.scores[:2].argmax(1))


def test_inspect_tells_what_a_server_is(served: Served, known: Known) -> None:
    """Protocol, input, limits and information level, with three probes at most."""
    result = CliRunner().invoke(cli, ["inspect", targets(served)[-1], "--shape", "64", "--json"])
    told = json.loads(result.output)

    assert result.exit_code == 0, result.output
    assert told["client"] in {target.partition(":")[0] for target in targets(served)}
    assert told["shape"] == [64]
    assert told["probes"] <= 3
    assert told["information"] == SHOWN.get(served.name, "all scores")


def test_an_honest_model_of_the_same_data_is_not_accused(known: Known) -> None:
    """The verdicts above are worth something: another seed is no match."""
    _, x, y = peers.model()

    assert matching.match_one(sklearn.wrap(peers.trained(107, x, y)), known.reference, seed=3).decision != "match"
