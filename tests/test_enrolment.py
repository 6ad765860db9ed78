"""Enrolment: what is kept of a source, that it is the same every time, and what is refused."""

from typing import Any

import numpy as np
import pytest
import worlds
from probe_match.clients import function, sklearn
from probe_match.fingerprinting import plans, storage
from probe_match.fingerprinting.enrolment import Enrolled, enroll, enroll_answers
from probe_match.fingerprinting.errors import BadData, SuiteMismatch, TargetError, UsageError
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import About, InputSpec, Pool, ProbeSuite
from samples import make_suite
from worlds import CLASSES, FEATURES, client, data, pool, source


def small(target: Any, rows: Pool, **changes: Any) -> Enrolled:
    """An enrolment with as few models as are allowed."""
    settings = {"name": "s0", "about": About(), "generators": {}, "probes": 20, "peers": 8, "shadows": 2}
    return enroll(target, rows, **(settings | changes))


@pytest.fixture(scope="module")
def few() -> Pool:
    """80 labelled rows."""
    return pool().take(np.arange(80))


def test_what_is_kept_fits_together() -> None:
    """A reference holds the source's own answers to its suite, those of every peer and shadow, and public ones."""
    reference, public = worlds.enrolled()
    suite, panel = reference.suite, reference.panel
    labels = source().predict(suite.inputs)

    assert panel is not None
    assert reference.public is not None
    assert len(suite) == 64
    assert np.array_equal(reference.answers.label, labels)
    assert np.array_equal(suite.expected, labels)
    assert panel.labels.shape == (48 + 8 + 4 + 3 + 2, 64)
    assert (len(panel.rows("peer")), len(panel.rows("shadow"))) == (48, 17)
    assert panel.names[panel.rows("shadow")[0]] == "shadow (copy)"
    assert np.array_equal(panel.labels[panel.rows("shadow")[0]], labels)
    assert np.array_equal(reference.public.label, source().predict(public.inputs))
    assert set(public.kinds) == {"uniform"}
    assert "log" in suite.kinds


def test_probes_tell_copies_from_honest_models() -> None:
    """On the kept probes shadows agree with the source far more than peers do; on public ones both are near."""
    reference, _ = worlds.enrolled()
    panel = reference.panel
    assert panel is not None
    agree = (panel.labels == reference.answers.label).mean(1)

    assert agree[panel.rows("shadow")].mean() > agree[panel.rows("peer", "calibrate")].mean() + 0.3


def test_a_seed_makes_one_reference(few: Pool) -> None:
    """The same seed keeps the same probes and answers of all models, to the byte; another seed keeps others."""
    made = [small(client(source().predict), few, log=data()[0][500:540], seed=seed) for seed in (3, 3, 4)]
    first, again, other = (each.reference for each in made)

    assert first.suite.digest == again.suite.digest
    assert storage.digest(first.panel) == storage.digest(again.panel)
    assert storage.digest(first.answers) == storage.digest(again.answers)
    assert made[0].public.digest == made[1].public.digest
    assert other.suite.digest != first.suite.digest


def test_many_processes_make_the_same_reference(few: Pool) -> None:
    """How many processes train is nothing that a reference depends on."""
    one, two = (small(sklearn.wrap(source()), few, jobs=jobs).reference for jobs in (1, 2))

    assert one.suite.digest == two.suite.digest
    assert storage.digest(one.panel) == storage.digest(two.panel)


def test_candidates_of_the_pool_are_rows_no_shadow_saw(few: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every probe taken from the pool is of the half that shadows were kept from."""
    seen: list[plans.Material] = []
    real = plans.plan_shadows
    monkeypatch.setattr(
        "probe_match.fingerprinting.exploring.plan_shadows",
        lambda material, *rest: seen.append(material) or real(material, *rest),
    )
    made = small(client(source().predict), few)
    [material] = seen
    trained = {row.tobytes() for row in np.asarray(material.train.x)}
    held = {row.tobytes() for row in np.asarray(material.held.x)}

    assert not trained & held
    assert len(trained | held) == len(few)
    for suite in (made.reference.suite, made.public):
        assert {row.tobytes() for row in np.asarray(suite.inputs)} <= held


def test_scores_are_kept_where_there_are_any(few: Pool) -> None:
    """A model in Python gives scores and its own class: both are used, and the scores kept are its own."""
    reference = small(sklearn.wrap(source()), few).reference
    assert reference.panel is not None

    assert reference.answers.access == "scores"
    np.testing.assert_allclose(
        reference.answers.score, source().predict_proba(reference.suite.inputs).astype(np.float32), atol=1e-6
    )
    assert any("own" in name for name in reference.panel.names)


def test_a_black_box_is_enrolled_by_its_labels(few: Pool) -> None:
    """A callable that gives labels and hides what it is: no scores are invented, no class is assumed."""
    reference = small(function.wrap(source().predict), few).reference
    assert reference.panel is not None

    assert reference.answers.scores is None
    assert not any("own" in name or "scores" in name for name in reference.panel.names)


def test_questions_to_the_source_are_counted(few: Pool) -> None:
    """Half the pool to learn from, and the candidates six times, five of them with noise."""
    answer = worlds.Counting(source().predict)
    reference = small(client(answer), few).reference

    assert answer.rows == 40 + 6 * 40
    assert reference.answers.sent == 40


@pytest.mark.parametrize("rows", [20, 23])
def test_the_smallest_pool_is_enough(rows: int) -> None:
    """Twenty rows can be enrolled, and the suite is no longer than the candidates."""
    reference = small(client(source().predict), pool().take(np.arange(rows)), probes=64).reference

    assert len(reference.suite) == rows // 2


def test_classes_the_pool_does_not_know_are_survived(few: Pool) -> None:
    """A source that answers a class no row of the pool has is enrolled like any other."""
    reference = small(client(lambda x: source().predict(x) + (x[:, 0] > 0)), few).reference

    assert reference.answers.label.max() <= CLASSES


def test_classes_the_source_does_not_know_are_survived(few: Pool) -> None:
    """A source with fewer scores than the pool has classes is enrolled like any other."""
    known = data()[1][worlds.OWNED] < CLASSES - 1
    narrow = worlds.forest(0).fit(data()[0][worlds.OWNED][known], data()[1][worlds.OWNED][known])
    reference = small(client(narrow.predict_proba), few, shadows=4).reference

    assert reference.answers.label.max() < CLASSES - 1


def test_labels_may_be_names(few: Pool) -> None:
    """A pool with named classes and a source that answers names agree on the indices."""
    names = np.array(["ant", "bee", "cat", "dog", "eel", "fox"])
    named = make_pool(few.x, names[few.y])
    reference = small(client(lambda x: names[source().predict(x)]), named).reference

    assert reference.suite.classes == tuple(names)
    assert np.array_equal(reference.answers.label, source().predict(reference.suite.inputs))


def test_texts_are_enrolled() -> None:
    """A source of texts: probes are texts of the pool, peers are models of words."""
    rng = np.random.default_rng(0)
    texts = tuple(f"{'good' if i % 2 else 'bad'} {' '.join(rng.choice(list('abcdefgh'), 4))}" for i in range(60))
    spec = InputSpec("text")
    rows = Pool(spec, texts, np.arange(60) % 2)
    reference = small(function.wrap(lambda x: np.array([int("good" in t or " a" in t) for t in x])), rows).reference

    assert set(reference.suite.inputs) <= set(texts)
    assert reference.suite.spec == spec


def test_images_are_enrolled() -> None:
    """A source of images: probes have their shape, whatever the peers make of it."""
    rng = np.random.default_rng(0)
    images = rng.random((60, 4, 4)).astype(np.float32)
    rows = make_pool(images, (images[:, 0, 0] > 0.5).astype(int))
    reference = small(function.wrap(lambda x: (x[:, 0, 0] > 0.45).astype(int)), rows).reference

    assert np.asarray(reference.suite.inputs).shape[1:] == (4, 4)


def test_probes_are_chosen_from_a_given_suite(few: Pool) -> None:
    """With a suite of the user's own, every probe is one of it and keeps its kind."""
    given = make_suite(3, 30, few.spec, kinds=("mine",) * 30)
    reference = small(client(source().predict), few, given=given, log=data()[0][500:540]).reference
    mine = {row.tobytes() for row in np.asarray(given.inputs)}

    assert {row.tobytes() for row in np.asarray(reference.suite.inputs)} <= mine
    assert set(reference.suite.kinds) == {"mine"}
    assert len(reference.suite) == 20


@pytest.mark.parametrize("shape", [(FEATURES + 1,), (4, 4)])
def test_a_suite_for_another_input_is_refused(shape: tuple[int, ...], few: Pool) -> None:
    """A suite of another shape or kind is named, with both shapes."""
    kind = "tabular" if len(shape) == 1 else "image"
    with pytest.raises(SuiteMismatch, match=r"suite-0.*build a suite"):
        small(client(source().predict), few, given=make_suite(0, 9, InputSpec(kind, shape)))


def test_a_generator_that_finds_nothing_is_passed_over(few: Pool) -> None:
    """The others go on; an error that is no lack of probes is not hidden."""

    def barren(*_: Any, **__: Any) -> ProbeSuite:
        raise BadData("found no probe")

    def broken(*_: Any, **__: Any) -> ProbeSuite:
        raise TargetError("the source hung up")

    assert len(small(client(source().predict), few, generators={"barren": barren}).reference.suite) == 20
    with pytest.raises(TargetError, match="hung up"):
        small(client(source().predict), few, generators={"broken": broken})


def test_unlabelled_pools_are_refused(few: Pool) -> None:
    """Peers need true labels; the message says what to do without."""
    with pytest.raises(BadData, match="--no-train"):
        small(client(source().predict), Pool(few.spec, few.x))


@pytest.mark.parametrize("answer", [lambda x: np.zeros(len(x), int), lambda x: np.tile([0.1, 0.9], (len(x), 1))])
def test_a_source_with_one_answer_is_refused(answer: Any, few: Pool) -> None:
    """What answers the same to all of the pool is no classifier of it, by labels or by scores."""
    with pytest.raises(BadData, match="one and the same label"):
        small(client(answer), few)


@pytest.mark.parametrize("changes", [{"peers": 7}, {"shadows": 1}, {"peers": 0, "shadows": 0}, {"peers": -3}])
def test_too_few_models_are_refused(changes: dict[str, int], few: Pool) -> None:
    """Fewer than 8 peers or 2 shadows decide nothing, and the message says both numbers."""
    with pytest.raises(UsageError, match="at least 8 peers and 2 shadows"):
        small(client(source().predict), few, **changes)


def test_a_source_of_another_input_is_refused(few: Pool) -> None:
    """Before a single question is asked."""
    answer = worlds.Counting(source().predict)
    with pytest.raises(TargetError, match=r"\(3,\).*\(16,\)"):
        small(function.wrap(answer, shape=(3,)), few)

    assert answer.rows == 0


def test_answers_alone_make_a_reference(few: Pool) -> None:
    """Without training: errors of the source first, half the probes at most, and no panel."""
    reference, public = enroll_answers(client(source(9).predict), few, name="s0", about=About(), public=None, probes=20)
    assert few.y is not None
    truth = {row.tobytes(): label for row, label in zip(np.asarray(few.x), few.y, strict=True)}
    wrong = [truth[row.tobytes()] != label for row, label in zip(public.inputs, reference.answers.label, strict=True)]
    total = int((source(9).predict(few.x) != few.y).sum())

    assert reference.panel is None
    assert reference.suite.digest == public.digest
    assert reference.public is reference.answers
    assert sum(wrong) == min(10, total)
    assert all(wrong[: sum(wrong)])
    assert len({row.tobytes() for row in np.asarray(public.inputs)}) == 20


def test_a_public_suite_is_shared(few: Pool) -> None:
    """The second reference of an input answers the first one's public suite, needs no labels, and makes no other."""
    first = enroll_answers(client(source(1).predict), few, name="s1", about=About(), public=None, probes=20)
    second = enroll_answers(
        client(source(2).predict), Pool(few.spec, few.x), name="s2", about=About(), public=first.public
    )

    assert second.public is first.public
    assert second.reference.answers.suite == first.reference.answers.suite
    assert np.array_equal(second.reference.answers.label, source(2).predict(first.public.inputs))


def test_a_public_suite_of_another_input_is_refused(few: Pool) -> None:
    """The message has both shapes."""
    with pytest.raises(BadData, match=r"\(16,\).*\(3,\)"):
        enroll_answers(
            client(source().predict), few, name="s", about=About(), public=make_suite(spec=InputSpec("tabular", (3,)))
        )


def test_honest_models_at_hand_join_the_peers() -> None:
    """They are asked what the others are; half calibrate, the rest choose probes and fit."""
    cohort = [worlds.client(model.predict, name) for name, model in list(worlds.honest().items())[:4]]
    reference = enroll(
        worlds.client(worlds.source().predict), worlds.pool(), name="s0", about=About(),
        generators=worlds.generators(), cohort=cohort, peers=8, shadows=2,
    ).reference  # fmt: skip
    panel = reference.panel
    assert panel is not None
    at_hand = [i for i, name in enumerate(panel.names) if name.endswith("(at hand)")]

    assert [panel.uses[i] for i in at_hand] == ["calibrate", "select", "calibrate", "estimate"]
    assert len(panel.rows("peer")) == 8 + 4
    for i, model in zip(at_hand, list(worlds.honest().values()), strict=False):
        assert np.array_equal(panel.labels[i], model.predict(reference.suite.inputs))
