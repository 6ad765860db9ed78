"""Peers and shadows: who is trained on what, by which class, for which use; and that the halves never leak."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import worlds
from probe_match.fingerprinting import disguises, learners, panels
from probe_match.fingerprinting.collect import Asked, ask
from probe_match.fingerprinting.exploring import PEERS
from probe_match.fingerprinting.panels import train_panel
from probe_match.fingerprinting.plans import Kin, Material, Plan, plan_peers, plan_shadows
from probe_match.fingerprinting.records import Panel


@pytest.fixture(scope="module")
def material() -> Material:
    """A small pool in two halves, a log, and a source that answers labels."""
    x, _ = worlds.data()
    train, held, log = worlds.pool().take(np.arange(120)), worlds.pool().take(np.arange(120, 200)), x[500:590]
    client = worlds.client(worlds.source().predict)
    answers, logged = (ask(client, rows, train.spec) for rows in (train.x, log))
    return Material(train, held, answers, log, logged, np.arange(90) % worlds.CLASSES, worlds.CLASSES)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """What every learner is trained on from here on, by inputs and targets."""
    calls: list[tuple[np.ndarray, np.ndarray]] = []
    real = learners.train

    def watched(learner: str, spec: Any, x: Any, target: Any, *rest: Any) -> Any:
        calls.append((np.asarray(x), target))
        return real("linear", spec, x, target, *rest)

    monkeypatch.setattr(learners, "train", watched)
    return calls


def rows_in(x: np.ndarray, among: Any) -> np.ndarray:
    """Bool (m,): which rows of x are rows of `among`."""
    known = {row.tobytes() for row in np.asarray(among)}
    return np.array([row.tobytes() in known for row in x])


def test_shadows_never_see_the_held_rows(material: Material, seen: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """A thief cannot have trained on what will be asked: shadows learn from the train half and the log alone."""
    plans = plan_shadows(material, 8, seed=0)
    train_panel(material, plans, material.held.x)

    assert len(seen) == 8
    for x, _ in seen:
        assert not rows_in(x, material.held.x).any()
        assert (rows_in(x, material.train.x) | rows_in(x, material.log)).all()
        assert rows_in(x, material.log).any()
    assert all(len(plan.held) == 0 for plan in plans)


def test_shadows_learn_the_sources_answers(material: Material, seen: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Label extraction repeats the source's labels, errors included; flipped ones differ in about a tenth."""
    plans = plan_shadows(material, 8, seed=0)
    train_panel(material, plans, material.held.x)
    source = worlds.source()
    changed = {plan.name: np.mean(target != source.predict(x)) for plan, (x, target) in zip(plans, seen, strict=True)}

    assert {plan.target for plan in plans} == {"label", "flipped"}  # a source of labels gives no scores to learn
    for plan in plans:
        if plan.target == "label":
            assert changed[plan.name] == 0
        else:
            assert 0.01 < changed[plan.name] < 0.2


def all_peers(material: Material, count: int, seed: int) -> list[Plan]:
    """The first peers and the rest, kin of a class that is as good as any."""
    first, rest = plan_peers(material, count, seed)
    kin = (learners.OWN, "forest") if material.own is not None else material.learners[:1]
    return first + rest(Kin(kin, material.trained))


def test_peers_learn_the_truth(material: Material, seen: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Peers see true labels of pool rows and the voted labels of log rows, and never an answer of the source."""
    plans = all_peers(material, 28, seed=0)
    train_panel(material, plans, material.held.x)
    truth = {row.tobytes(): int(label) for part in (material.train, material.held)
             for row, label in zip(np.asarray(part.x), part.y, strict=True)}  # fmt: skip
    truth |= {row.tobytes(): int(label) for row, label in zip(material.log, material.log_truth, strict=True)}

    assert len(seen) == 28
    for x, target in seen:
        assert target.tolist() == [truth[row.tobytes()] for row in x]
    logged = [rows_in(x, material.log).any() for x, _ in seen]
    assert logged == [plan.name.endswith("log)") for plan in plans]
    assert any(logged)
    assert not all(logged)


def test_roles_say_which_half_a_peer_saw(material: Material) -> None:
    """A peer is "same-data" exactly if it was trained on rows that probes are made from."""
    for plan in all_peers(material, 40, seed=0):
        assert (plan.role in ("same-data peer", "kin peer")) == (len(plan.held) > 0)
        assert len(plan.train) + len(plan.held) > 0


@pytest.mark.parametrize("names", [3, 4, 5, 6, 7])
def test_uses_are_balanced_over_learners(names: int, material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many model classes there are, each is in every use, and none fills one."""
    monkeypatch.setattr(learners, "names", lambda *_: tuple("abcdefg"[:names]))
    plans = all_peers(material, PEERS, seed=0)
    assert Counter(plan.use for plan in plans)["calibrate"] >= 99  # what the p-value that decides needs
    plans = [plan for plan in plans if plan.role != "kin peer"]
    count = Counter((plan.learner, plan.use) for plan in plans)
    uses = Counter(plan.use for plan in plans)

    assert set(uses) == {"select", "estimate", "calibrate"}
    for use, total in uses.items():
        for learner in "abcdefg"[:names]:
            assert 1 <= count[learner, use] <= 2 * total / names
    for use, total in Counter(plan.use for plan in plans if plan.role == "peer").items():
        assert total >= 3, use


def test_the_sources_own_class_is_among_the_peers(material: Material) -> None:
    """Where the source's estimator is at hand, honest models and copies of its own class are made as well."""
    own = replace(material, own=worlds.forest(0))

    for plans in (all_peers(own, 12, seed=0), plan_shadows(own, 8, seed=0)):
        assert learners.OWN in {plan.learner for plan in plans}
    plans = all_peers(own, PEERS, seed=0)
    kin = Counter((plan.learner, plan.use) for plan in plans if plan.role == "kin peer")
    assert {learner for learner, _ in kin} == {learners.OWN, "forest"}  # its own settings, and others of its class
    assert all(kin[learners.OWN, use] == kin["forest", use] for use in ("select", "estimate", "calibrate"))
    assert Counter((plan.role == "kin peer", plan.use) for plan in plans)[True, "calibrate"] >= 99
    assert Counter((plan.role == "kin peer", plan.use) for plan in plans)[False, "calibrate"] >= 99
    assert learners.OWN not in {plan.learner for plan in all_peers(material, 12, seed=0)}


def test_scores_are_extracted_where_there_are_any(material: Material) -> None:
    """A source that gives scores has shadows that learn those."""
    scores = worlds.source().predict_proba(material.train.x).astype(np.float32)
    soft = replace(material, answers=Asked(material.answers.labels, scores), log=None, log_answers=None, log_truth=None)
    plans = plan_shadows(soft, 6, seed=0)
    panel = train_panel(soft, plans, soft.held.x)
    agree = (panel.labels == worlds.source().predict(soft.held.x)).mean(1)

    assert "scores" in {plan.target for plan in plans}
    assert (agree > 1.5 / worlds.CLASSES).all()


def test_a_seed_makes_one_panel(material: Material) -> None:
    """Same seed, same answers; another seed, others. Progress counts every model."""
    counted: list[int] = []
    plans = [all_peers(material, 4, seed) for seed in (5, 5, 6)]
    first, again, other = (train_panel(material, plan, material.held.x, progress=counted.append) for plan in plans)

    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)
    assert sum(counted) == 12
    assert (first.labels.shape, first.scores.shape) == ((4, 80), (4, 80, worlds.CLASSES))


def test_one_class_is_nothing_to_learn(material: Material) -> None:
    """A peer whose rows all have one label says that label, whatever is asked."""
    assert material.train.y is not None
    few = material.train.take(np.flatnonzero(material.train.y == 2))
    alone = replace(material, train=few, held=few, answers=Asked(np.full(len(few), 2), None), log=None,
                    log_answers=None, log_truth=None)  # fmt: skip
    panel = train_panel(alone, all_peers(alone, 3, seed=0), material.held.x)

    assert (panel.labels == 2).all()


def test_the_disguised_source_stays_close_to_itself(material: Material) -> None:
    """An exact copy repeats everything, flipped answers nine in ten, noise most: all shadows, over all candidates."""
    client = worlds.Counting(worlds.source().predict)
    candidates = np.asarray(material.held.x)
    answers = ask(worlds.client(client), candidates, material.train.spec)
    asked = client.rows
    panel = disguises.disturbed_source(worlds.client(client), material, candidates, answers, seed=0)
    agree = dict(zip(panel.names, (panel.labels == answers.labels).mean(1), strict=True))

    assert agree["shadow (copy)"] == 1
    assert 0.8 < agree["shadow (answers flipped)"] < 1
    assert agree["shadow (input noise 0.05)"] > agree["shadow (input noise 0.15)"] > 0.5
    assert set(panel.roles) == {"shadow"}
    assert client.rows == asked + 2 * len(candidates)  # only noisy inputs are asked anew


def test_shaken_scores_change_sides_near_a_boundary_only(material: Material) -> None:
    """Noise on the logits turns answers that were nearly ties, more of them the stronger it is, and no sure ones."""
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.02, 0.5, 4000)  # the first class's lead, evenly spread
    scores = np.stack([0.5 + sure, 0.5 - sure], 1).astype(np.float32)
    candidates = np.zeros((4000, *material.train.spec.shape), np.float32)
    answers = Asked(np.zeros(4000, np.int64), scores)
    panel = disguises.disturbed_source(worlds.client(worlds.source().predict), material, candidates, answers, seed=0)
    turned = [panel.labels[i] != 0 for i, name in enumerate(panel.names) if "shaken" in name]

    assert len(turned) == 3
    assert 0 < turned[0].mean() < turned[1].mean() < turned[2].mean() < 0.2
    assert sure[turned[0]].max() < 0.25
    assert set(panel.names) == {name for name in panel.names if name.startswith("shadow (")}


def test_panels_join_row_by_row(material: Material) -> None:
    """Names, uses and answers stay together; scores go where one panel has none."""
    one = train_panel(material, all_peers(material, 2, seed=0), material.held.x)
    bare = Panel(("x",), ("shadow",), ("select",), np.zeros((1, 80), np.int16))

    both = panels.join([one, bare])
    assert both.names == (*one.names, "x")
    assert np.array_equal(both.labels[:2], one.labels)
    assert both.scores is None
    assert panels.join([one, one]).scores is not None


def test_honest_models_vote_for_the_truth(material: Material) -> None:
    """The labels voted for are nearer to the truth than chance by far, and are no source's answers."""
    x, y = worlds.data()
    voted = panels.vote(worlds.pool().take(np.arange(300)), worlds.pool().take(np.arange(300, 500)), x[500:],
                        worlds.CLASSES, 0)  # fmt: skip

    assert np.mean(voted == y[500:]) > 0.5
    assert voted.dtype == np.int64


def test_kin_learn_what_the_source_learnt(material: Material) -> None:
    """Where the pool names the rows the source was trained on, its kin are trained on those alone."""
    n = len(material.train)
    trained = np.arange(n + len(material.held)) % 3 == 0
    told = replace(material, own=worlds.forest(0), trained=trained)
    kin = [plan for plan in all_peers(told, 40, seed=0) if plan.role == "kin peer"]

    assert kin
    for plan in kin:
        assert trained[plan.train].all()
        assert trained[n + plan.held].all()
        assert len(plan.train) + len(plan.held) > 0.5 * trained.sum()


def test_others_know_the_sources_data_or_other_data(material: Material) -> None:
    """Where the pool names the rows the source was trained on, others have those, other ones, or any."""
    n = len(material.train)
    trained = np.arange(n + len(material.held)) % 3 == 0
    told = replace(material, trained=trained)
    shares = {}
    for plan in all_peers(told, PEERS, seed=0):
        rows = np.concatenate([plan.train, n + plan.held])
        shares.setdefault(plan.name.split(", ")[1].rstrip(")"), set()).add(round(float(trained[rows].mean()), 1))

    assert shares["the source's rows"] == {1.0}
    assert shares["the other rows"] == {0.0}
    assert "same half" not in shares
