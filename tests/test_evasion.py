"""Servers that cheat: what each way of it does to the verdict, through real HTTP."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worlds
from probe_match.clients import function, oip, sklearn
from probe_match.fingerprinting import collect, evasion, matching, registry, report
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.decoys import Decoys, using
from probe_match.fingerprinting.errors import TargetError
from probe_match.fingerprinting.guards import GuardedClient
from probe_match.fingerprinting.ledger import open_ledger, read_ledger
from probe_match.fingerprinting.ledger_states import remember
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import Verdict
from sklearn.covariance import EmpiricalCovariance
from sklearn.datasets import load_digits
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.tree import DecisionTreeClassifier

Answer = Callable[[np.ndarray], np.ndarray]


def judged(answer: Answer, **options: Any) -> Verdict:
    """The verdict on a server with this behind it, against the world's source."""
    with serve({"suspect": answer}, (worlds.FEATURES,)) as url:
        client = oip.connect(f"{url}/v2/models/suspect")
        verdict = matching.match_one(client, worlds.enrolled().reference, **options)
        client.close()
        assert url.rows["suspect"] <= verdict.sent <= options.get("budget", 50)

    return verdict


def noisy(model: Any, size: float, seed: int = 0) -> Answer:
    """Log-probabilities with noise."""
    rng = np.random.default_rng(seed)

    def answer(x: np.ndarray) -> np.ndarray:
        logits = np.log(np.clip(model.predict_proba(x), 1e-3, 1))
        odds = np.exp(logits + rng.normal(0, size, logits.shape))
        return odds / odds.sum(1, keepdims=True)

    return answer


def by_hash(row: np.ndarray, seed: int = 0) -> float:
    """Something between 0 and 1 that depends on every bit of an input."""
    return hashlib.sha256(bytes([seed]) + row.tobytes()).digest()[0] / 256


def kept(answer: Answer) -> Answer:
    """What was answered once is answered again."""
    cache: dict[bytes, np.ndarray] = {}

    def remembering(x: np.ndarray) -> np.ndarray:
        for row in x:
            if row.tobytes() not in cache:
                cache[row.tobytes()] = answer(row[None])[0]
        return np.array([cache[row.tobytes()] for row in x])

    return remembering


def mixed(first: Any, second: Any, share: float, seed: int = 0, hashed: bool = False) -> Answer:
    """A share of the inputs goes to the second model, by a coin or by the input's bytes."""
    rng = np.random.default_rng(seed)

    def answer(x: np.ndarray) -> np.ndarray:
        other = np.array([by_hash(row, seed) for row in x]) < share if hashed else rng.random(len(x)) < share
        return np.where(other[:, None], second.predict_proba(x), first.predict_proba(x))

    return answer


def innocent() -> Any:
    return worlds.honest()["other data, network 10"]


# --- one model is one model -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", worlds.honest())
def test_honest_servers_pass_the_screens(name: str) -> None:
    """Nothing is suspected of a server that simply answers, however it is screened."""
    model = worlds.honest()[name]
    for answer in (model.predict_proba, model.predict):
        verdict = judged(answer, screen="always")

        assert verdict.decision != "evasion suspected"
        assert "another answer" not in verdict.why
        assert "too small to matter" not in verdict.why


def test_screens_are_paid_from_the_budget() -> None:
    """What is put again counts: the last of a large budget; a small one is spent on deciding, all of it."""
    asked: list[int] = []

    def counting(x: np.ndarray) -> np.ndarray:
        asked.append(len(x))
        return np.asarray(innocent().predict_proba(x))

    verdict = judged(counting, stop_early=False)

    assert sum(asked[1:]) == verdict.sent == 50
    assert sum(asked[2:]) == evasion.REPEATED + evasion.NUDGED
    assert judged(innocent().predict_proba, stop_early=False, budget=20).sent == 20
    assert judged(innocent().predict_proba, stop_early=False, screen="never").sent == 50


# --- noise, and several models behind one address -------------------------------------------------------------------


def test_noise_is_noticed_and_does_not_save_a_copy() -> None:
    """Little noise: still a match, and the report says that the answers change."""
    verdict = judged(noisy(worlds.source(), 0.3), screen="always")

    assert verdict.decision == "match"
    assert "noise" in verdict.why


def test_noise_earns_no_clean_bill() -> None:
    """An endpoint whose answers are mostly noise is not called innocent."""
    found = [judged(noisy(innocent(), 3.0, seed)).decision for seed in range(10)]

    assert found.count("evasion suspected") >= 9
    assert "match" not in found


def test_noise_behind_a_cache_is_noticed_by_a_nudge() -> None:
    """Repeated questions are answered alike; questions that differ by a millionth are not."""
    found = [judged(kept(noisy(innocent(), 3.0, seed))) for seed in range(10)]

    assert sum(verdict.decision == "evasion suspected" for verdict in found) >= 9
    assert any("answers are kept and noise added" in verdict.why for verdict in found)


@pytest.mark.parametrize(
    ("share", "hashed", "least"),
    [(0.2, False, 7), (0.5, False, 8), (0.8, False, 7), (0.2, True, 1), (0.5, True, 4), (0.8, True, 3)],
)
def test_two_models_behind_one_address_are_noticed(share: float, hashed: bool, least: int) -> None:
    """
    The source answers a part of the questions, another model the rest, by chance or by the input's bytes. By chance it
    is noticed mostly, even halves nearly always; by bytes even halves in half of the cases. How many of the ten is a
    matter of the forests, which each release of scikit-learn grows a little otherwise.
    """
    found = [
        judged(mixed(worlds.source(), innocent(), share, seed, hashed), screen="always", seed=seed)
        for seed in range(10)
    ]
    noticed = [v for v in found if "more than one model" in v.why or "routed by their bytes" in v.why]

    assert len(noticed) >= least
    assert all(v.decision in ("match", "evasion suspected") for v in noticed)
    assert share > (0.2 if hashed else 0.5) or sum(v.decision == "match" for v in found) >= 9


def test_a_copy_that_answers_one_question_in_ten_is_mostly_noticed() -> None:
    """Another model answers nine in ten, by a coin: the answers most like the source's are put again, and change."""
    found = [judged(mixed(worlds.source(), innocent(), 0.9, seed), seed=seed).decision for seed in range(10)]

    assert found.count("evasion suspected") >= 7
    assert "match" not in found


def test_a_little_noise_is_no_accusation() -> None:
    """Answers that wander and turn no label leave the verdict open; answers that jump between two are suspected."""
    wandering = [judged(noisy(model, 0.1)) for model in worlds.honest().values()]
    still, jump = np.full((6, 3), 0.2), np.array([[0.1, 0.9]] * 5 + [[0.7, 0.3]])

    assert {verdict.decision for verdict in wandering} <= {"inconclusive", "no match", "evasion suspected"}
    assert sum(verdict.decision == "inconclusive" for verdict in wandering) >= 3
    assert any("wander" in verdict.why for verdict in wandering)
    assert evasion.jumping(jump)
    assert not evasion.jumping(still + np.random.default_rng(0).normal(0, 0.05, still.shape))


def test_honest_trees_on_a_grid_pass_the_nudges() -> None:
    """Probes between rows of whole numbers lie on thresholds of trees, where the least nudge is felt."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    source = RandomForestClassifier(40, random_state=0).fit(x[:900], y[:900])
    suite = registry.load("probes", "midpoints").generate(
        sklearn.wrap(source), make_pool(x[:900], y[:900]), n=64, seed=0
    )
    felt = 0
    for model in (RandomForestClassifier(40, random_state=5), DecisionTreeClassifier(random_state=1)):
        client = function.wrap(model.fit(x[:900], y[:900]).predict_proba, shape=(64,))
        asked = collect.collect(client, suite)
        for seed in range(10):
            screens = evasion.screen(client, suite, asked, 30, None, np.random.default_rng(seed))
            assert not screens.telling
        below = evasion._nudged(suite, -1.0)
        felt += int(evasion._differ(asked, collect.collect(client, below), np.arange(64), below).sum())  # type: ignore[arg-type]

    assert felt > 10


def test_nudges_stay_small_outside_the_bounds() -> None:
    """A probe beyond the pool's bounds is not moved into them, which would be another question."""
    suite = worlds.enrolled().reference.suite
    assert isinstance(suite.inputs, np.ndarray)
    far = replace(suite, inputs=suite.inputs * np.float32(3))
    for sign in (-1.0, 1.0):
        nudged = evasion._nudged(far, sign)
        assert nudged is not None
        assert np.abs(nudged.inputs - far.inputs).max() < 1e-5 * np.ptp(far.inputs)


# --- refusals -------------------------------------------------------------------------------------------------------


def refusing(model: Any, refuse: Callable[[np.ndarray], bool]) -> Answer:
    def answer(x: np.ndarray) -> np.ndarray:
        if any(row.any() and refuse(row) for row in x):  # zeros are what the server itself asks at its start
            raise ValueError("no")
        return np.asarray(model.predict_proba(x))

    return answer


def outcome(answer: Answer, seed: int = 0) -> str:
    """The decision; "error" where the first ten questions were refused, so that nothing was decided."""
    try:
        return judged(answer, seed=seed).decision
    except TargetError as error:
        return "error" if "ValueError: no" in str(error) else str(error)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
def test_refusals_never_read_as_innocence(share: float) -> None:
    """Some inputs are refused, alone or in whatever batch: a copy is found, or the refusals are the verdict."""
    guilty, honest = (
        outcome(refusing(model, lambda row: by_hash(row) < share)) for model in (worlds.source(), innocent())
    )

    assert guilty in ("match", "evasion suspected", "inconclusive")
    assert honest not in ("match", "error")
    if share >= 0.4:
        assert {guilty, honest} <= {"evasion suspected", "inconclusive"}


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_requests_refused_at_random_end_in_a_verdict(share: float) -> None:
    """A server that fails most requests, whatever is in them, is judged by what it does answer, and not given up."""
    found = []
    for seed in range(6):
        draw = np.random.default_rng(seed)

        def answer(x: np.ndarray, draw: np.random.Generator = draw) -> np.ndarray:
            if x.any() and draw.random() < share:
                raise ValueError("no")
            return np.asarray(worlds.source().predict_proba(x))

        found.append(outcome(answer, seed))

    assert set(found) <= {"match", "evasion suspected", "inconclusive"}


def test_a_detector_that_blocks_probes_is_suspected() -> None:
    """A server that refuses what lies far from the middle of its data: silence is the verdict, never innocence."""
    usual = EmpiricalCovariance().fit(worlds.data()[0][worlds.OWNED])
    limit = float(np.median(usual.mahalanobis(worlds.enrolled().reference.suite.inputs)))
    found = {
        outcome(refusing(model, lambda row: float(usual.mahalanobis(row[None])[0]) > limit), seed)
        for model in (worlds.source(), innocent())
        for seed in range(4)
    }

    assert found <= {"evasion suspected", "inconclusive", "error"}
    assert "evasion suspected" in found


@pytest.mark.parametrize("detector", ["neighbours", "covariance", "forest"])
def test_probes_look_like_the_inputs_of_others(detector: str) -> None:
    """Detectors of unusual inputs, fitted to the owner's data, do not tell probes from rows that nobody has seen."""
    known, fresh = worlds.data()[0][worlds.OWNED], worlds.data()[0][worlds.FRESH]
    probes = worlds.enrolled().reference.suite.inputs
    if detector == "neighbours":
        near = NearestNeighbors(n_neighbors=5).fit(known)
        strange = [near.kneighbors(rows)[0].mean(1) for rows in (fresh, probes)]
    elif detector == "covariance":
        strange = [EmpiricalCovariance().fit(known).mahalanobis(rows) for rows in (fresh, probes)]
    else:
        strange = [-IsolationForest(random_state=0).fit(known).score_samples(rows) for rows in (fresh, probes)]

    assert roc_auc_score([0] * len(fresh) + [1] * len(probes), np.concatenate(strange)) <= 0.65


# --- what a stateful defence sees -----------------------------------------------------------------------------------


def test_probes_are_no_series_of_near_duplicates() -> None:
    """A defence that remembers every input, quantised and hashed by halves, flags at most one question in fifty."""
    seen: set[bytes] = set()
    flagged = []

    def watching(x: np.ndarray) -> np.ndarray:
        for row in x:
            quantised = np.round(row * 20).astype(np.int16)
            prints = {half.tobytes() for half in np.split(quantised, 2)}
            flagged.append(bool(prints & seen))
            seen.update(prints)
        return np.asarray(innocent().predict_proba(x))

    judged(watching, stop_early=False, screen="never")

    assert np.mean(flagged) <= 0.02


def test_probes_come_in_no_order_that_tells_them_apart() -> None:
    """Another seed is another order, so that a place in the series says nothing."""
    orders: list[list[bytes]] = []
    for seed in (1, 2):
        series: list[bytes] = []

        def listening(x: np.ndarray, series: list[bytes] = series) -> np.ndarray:
            series.extend(row.tobytes() for row in x)
            return np.asarray(innocent().predict_proba(x))

        judged(listening, stop_early=False, seed=seed, screen="never")
        orders.append(series[1:])

    assert set(orders[0]) == set(orders[1])
    assert orders[0] != orders[1]


def test_a_server_that_looks_for_bursts_treats_probes_among_decoys_alike() -> None:
    """
    It sends a request to another model where most of its inputs are ones its own model is unsure of, as probes are.
    Decoys are the owner's own rows: with one for each probe no request stands out, and the copy behind it is found.
    """
    diverted: list[bool] = []

    def wary(x: np.ndarray) -> np.ndarray:
        scores = np.sort(worlds.source().predict_proba(x), 1)
        burst = len(x) > 4 and (scores[:, -1] - scores[:, -2] < 0.2).mean() > 0.65
        diverted.extend([burst] * len(x))
        return np.asarray((innocent() if burst else worlds.source()).predict_proba(x))

    plain = judged(wary, budget=60)
    seen, diverted[:] = np.mean(diverted), []
    with using(Decoys(worlds.pool(), np.random.default_rng(0))):
        hidden = judged(wary, budget=60)

    assert seen > 0.5
    assert plain.decision != "match"
    assert not any(diverted)
    assert (hidden.decision, hidden.reference) == ("match", "s1")
    assert 0 < hidden.decoys <= hidden.sent / 2
    assert report.to_json(hidden)["queries"]["decoys"] == hidden.decoys


def test_decoys_change_no_verdict_and_are_in_the_ledger(tmp_path: Path) -> None:
    """The same probes, the same score, whatever is answered to decoys; twice as many questions, all written down."""
    known = {row.tobytes() for row in worlds.pool().x}

    def answer(x: np.ndarray) -> np.ndarray:
        odd = np.array([row.tobytes() in known for row in x])
        return np.where(odd[:, None], np.eye(worlds.CLASSES)[:1], worlds.copies()["trees"].predict_proba(x))

    client = function.wrap(answer, shape=(worlds.FEATURES,))
    reference = worlds.enrolled().reference
    plain = matching.match_one(client, reference, budget=30, stop_early=False, screen="never")
    audit = Audit(open_ledger(tmp_path / "a", target=client.target))
    with using(Decoys(worlds.pool(), np.random.default_rng(0))):
        guarded: Any = GuardedClient(client, audit)
        hidden = matching.match_one(guarded, reference, budget=60, stop_early=False, screen="never")
    audit.close()
    with read_ledger(tmp_path / "a") as ledger:
        written = remember(ledger)

    assert hidden.matches == plain.matches
    assert (plain.sent, hidden.sent, hidden.decoys) == (30, 60, 30)
    assert written.count("answered") == written.spent.queries == 60


# --- less information -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decimals", [1, 2, 3])
def test_rounding_saves_no_copy_and_accuses_nobody(decimals: int) -> None:
    """At one to three decimals and with labels alone, copies are found as before and the honest are not."""
    copies, honest = [worlds.source(), *worlds.copies().values()], list(worlds.honest().values())

    def rounded(model: Any) -> Answer:
        return lambda x: np.round(model.predict_proba(x), decimals)

    assert [judged(rounded(model), stop_early=False).decision for model in copies].count("match") >= 2
    assert "match" not in [judged(rounded(model), stop_early=False).decision for model in honest[:4]]


def test_the_report_speaks_of_responses() -> None:
    """Whoever relays all questions to the source is the source, as far as answers can tell; the words say no more."""
    text = report.to_text(judged(worlds.source().predict_proba))

    assert "responses came from" in text
    assert "weights" not in text
