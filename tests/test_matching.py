"""Which known model stands behind a target, on a noisy task with real models: found, cleared, or left open."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import worlds
from probe_match.clients import function
from probe_match.fingerprinting.confirming import BUDGET
from probe_match.fingerprinting.database import ReferenceDB, open_db
from probe_match.fingerprinting.enrolment import enroll_answers
from probe_match.fingerprinting.errors import DatabaseError, TargetError, UsageError
from probe_match.fingerprinting.looking import FIRST_LOOK
from probe_match.fingerprinting.matching import match, match_one
from probe_match.fingerprinting.records import About, InputSpec, ProbeSuite, Reference, Verdict
from worlds import Counting, client, copies, honest, pool, public, source

SEVERAL = (1, 2, 3)  # seeds of the sources that train peers of their own
MANY = range(1, 10)  # seeds of the sources that only answered the public suite


@pytest.fixture(scope="module")
def reference() -> Reference:
    """One owner's model."""
    return worlds.enrolled().reference


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceDB]:
    """Three references with peers of their own, trained on the same data under different seeds."""
    with open_db(tmp_path_factory.mktemp("several") / "references.db", create=True) as db:
        db.set_public_suite(public())
        db.add(worlds.enrolled().reference)
        for seed in SEVERAL[1:]:
            db.add(worlds.enrolled(seed, peers=40, shadows=4).reference)
        yield db


def answered(seed: int, suite: ProbeSuite, name: str = "") -> Reference:
    """A reference that trained nothing and answered a public suite."""
    model = client(source(seed).predict, f"s{seed}")
    return enroll_answers(model, pool(), name=name or f"s{seed}", about=About(), public=suite).reference


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceDB]:
    """Nine references that are each other's cohort."""
    with open_db(tmp_path_factory.mktemp("many") / "references.db", create=True) as db:
        db.set_public_suite(public())
        for seed in MANY:
            db.add(answered(seed, public()))
        yield db


def disturbed(answer: worlds.Answer, share: float, seed: int = 0) -> worlds.Answer:
    """The same answers, of which a share are replaced by anything."""
    rng = np.random.default_rng(seed)

    def spoiled(x: np.ndarray) -> np.ndarray:
        return np.where(rng.random(len(x)) < share, rng.integers(0, worlds.CLASSES, len(x)), answer(x))

    return spoiled


# --- one reference --------------------------------------------------------------------------------------------------


def test_the_source_itself_is_found(reference: Reference) -> None:
    """Its own answers are an identical match, and are named."""
    verdict = match_one(client(source().predict, "it"), reference, stop_early=False)

    assert (verdict.decision, verdict.reference, verdict.relation) == ("match", "s1", "identical")
    assert verdict.target == "function:it"
    assert verdict.matches[0].p_value <= 0.01


def test_stolen_copies_are_found(several: ReferenceDB) -> None:
    """Label extraction into other model classes is found with fifty questions, in at least five of six cases."""
    verdicts = [
        match_one(client(model.predict), several.get(f"s{seed}")) for seed in SEVERAL for model in copies(seed).values()
    ]

    assert sum(v.decision == "match" for v in verdicts) >= 5
    assert all(v.sent <= BUDGET for v in verdicts)


def test_honest_models_are_not_accused(several: ReferenceDB) -> None:
    """The same data under another seed, and other data: of 24 cases the one that one in a hundred allows, at most."""
    verdicts = [
        match_one(client(model.predict), several.get(f"s{seed}")) for seed in SEVERAL for model in honest().values()
    ]

    assert sum(v.decision == "match" for v in verdicts) <= 1
    assert {v.decision for v in verdicts} <= {"match", "no match", "inconclusive"}
    assert all((v.reference is None) == (v.relation is None) == (v.decision != "match") for v in verdicts)


def test_copies_score_above_honest_models(several: ReferenceDB) -> None:
    """One number orders them, though an honest model of the same data may agree more in raw terms."""
    ordered = []
    for seed in SEVERAL:
        scores = [
            [match_one(client(m.predict), several.get(f"s{seed}"), stop_early=False).matches[0].score for m in models]
            for models in (copies(seed).values(), honest().values())
        ]
        ordered += [copy > stranger for copy in scores[0] for stranger in scores[1]]

    assert len(ordered) == 3 * 2 * 8
    assert np.mean(ordered) >= 0.95


def test_a_disguised_source_is_still_found(reference: Reference) -> None:
    """A tenth of the answers replaced by anything hides nothing."""
    assert match_one(client(disturbed(source().predict, 0.1)), reference).decision == "match"


def test_one_answer_to_everything_is_evasion(reference: Reference) -> None:
    """Neither cleared nor accused."""
    verdict = match_one(client(lambda x: np.full(len(x), 3)), reference)

    assert verdict.decision == "evasion suspected"
    assert verdict.reference is None


def test_random_answers_are_no_match(reference: Reference) -> None:
    """An endpoint that answers anything is nobody's copy."""
    rng = np.random.default_rng(0)
    verdict = match_one(client(lambda x: rng.integers(0, worlds.CLASSES, len(x))), reference)

    assert verdict.decision in ("no match", "evasion suspected")


def test_questions_are_counted_and_saved(reference: Reference) -> None:
    """What was sent is what the target was asked; a clear case saves most of the budget, a dull one nothing."""
    answer = Counting(source().predict)
    verdict = match_one(client(answer), reference)
    whole = Counting(source().predict)
    patient = match_one(client(whole), reference, stop_early=False, screen="never")

    assert answer.rows == verdict.sent == verdict.answered == FIRST_LOOK
    assert verdict.saved == BUDGET - FIRST_LOOK
    assert whole.rows == patient.sent == BUDGET
    assert patient.saved == 0
    assert verdict.coverage == patient.coverage == 1


@pytest.mark.parametrize("budget", [1, 7, 8, 30, 64])
def test_the_budget_is_exact(budget: int, reference: Reference) -> None:
    """A patient match asks just the budget, and below eight answers decides nothing."""
    answer = Counting(copies()["trees"].predict)
    verdict = match_one(client(answer), reference, budget=budget, stop_early=False, screen="always")

    assert answer.rows == verdict.sent == budget
    assert (verdict.decision == "inconclusive") >= (budget < 8)


def test_impossible_limits_ask_nothing(reference: Reference, several: ReferenceDB) -> None:
    """A budget of none, or of more than the suite has, or an alpha that is none, costs no question."""
    answer = Counting(source().predict)
    for limits in ({"budget": 0}, {"budget": -1}, {"budget": 65}, {"alpha": 0.0}, {"alpha": 0.9}):
        with pytest.raises(UsageError, match="expected"):
            match_one(client(answer), reference, **limits)  # type: ignore[arg-type]
    for limits in ({"budget": 0}, {"budget": 3 * 64 + 1}, {"alpha": 1.0}):
        with pytest.raises(UsageError, match="expected"):
            match(client(answer), several, **limits)  # type: ignore[arg-type]

    assert answer.rows == 0


def test_one_seed_is_one_verdict(reference: Reference) -> None:
    """The same seed gives the same verdict; the order of questions alone changes nothing either."""
    first, again, other = (match_one(client(copies()["trees"].predict), reference, seed=s) for s in (1, 1, 2))

    assert first == again == other


def test_a_smaller_alpha_accuses_less(reference: Reference) -> None:
    """What is a match at one in a hundred is none at one in a trillion, and the verdict names its alpha."""
    verdict = match_one(client(source().predict), reference, alpha=1e-12)

    assert verdict.decision == "inconclusive"
    assert verdict.alpha == 1e-12


def test_scores_may_be_left_aside(reference: Reference) -> None:
    """With access to labels alone, a target that gives scores is judged as one that gives none."""
    labels = match_one(client(copies()["trees"].predict), reference, access="label")
    scores = match_one(client(copies()["trees"].predict_proba), reference, access="label")

    assert labels == scores
    assert scores.access == "label"
    assert match_one(client(copies()["trees"].predict_proba), reference).access == "scores"


def test_a_failing_target_is_an_error(reference: Reference) -> None:
    """A target that breaks is not one that refuses, and no verdict is made of it."""

    def broken(x: np.ndarray) -> np.ndarray:
        raise RuntimeError("out of memory")

    with pytest.raises(TargetError, match="out of memory"):
        match_one(client(broken), reference)
    with pytest.raises(TargetError, match=r"\(3,\)"):
        match_one(function.wrap(source().predict, shape=(3,)), reference)


# --- several references with peers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEVERAL)
def test_the_right_one_of_several_is_named(seed: int, several: ReferenceDB) -> None:
    """Each source among its siblings, that differ from it by a seed."""
    answer = Counting(source(seed).predict)
    verdict = match(client(answer), several)

    assert (verdict.decision, verdict.reference) == ("match", f"s{seed}")
    assert verdict.matches[0].reference == f"s{seed}"
    assert {m.reference for m in verdict.matches} == {"s1", "s2", "s3"}
    assert answer.rows == verdict.sent <= BUDGET


def test_a_stolen_copy_is_traced_to_its_source(several: ReferenceDB) -> None:
    """A thief's model of another class is traced among siblings."""
    verdict = match(client(copies()["trees"].predict), several)

    assert (verdict.decision, verdict.reference) == ("match", "s1")


@pytest.mark.parametrize("seed", SEVERAL)
def test_a_copy_of_a_left_out_source_is_nobodys(seed: int, several: ReferenceDB) -> None:
    """Open set: with its source not considered, a copy is not laid at the door of a sibling."""
    others = [f"s{other}" for other in SEVERAL if other != seed]
    for model in copies(seed).values():
        verdict = match(client(model.predict), several, only=others)

        assert verdict.decision != "match"
        assert {m.reference for m in verdict.matches} == set(others)


def test_honest_models_are_nobodys(several: ReferenceDB) -> None:
    """Searching more references does not accuse more, and costs no more questions."""
    for model in honest().values():
        answer = Counting(model.predict)
        verdict = match(client(answer), several)

        assert verdict.decision != "match"
        assert answer.rows == verdict.sent <= BUDGET


@pytest.mark.parametrize("budget", [1, 5, 10, 12, 23, 50, 100])
def test_one_budget_pays_for_all(budget: int, several: ReferenceDB) -> None:
    """Ranking and confirming together never ask more than the budget, and the verdict counts all of it."""
    answer = Counting(honest()["same data, forest 10"].predict)
    verdict = match(client(answer), several, budget=budget, stop_early=False)

    assert answer.rows == verdict.sent <= budget
    assert verdict.sent + verdict.saved == budget


def test_only_the_named_are_considered(several: ReferenceDB) -> None:
    """One name goes straight to its own suite; an unknown one is an error that lists the known."""
    answer = Counting(source(2).predict)
    verdict = match(client(answer), several, only=["s2"])

    assert verdict.reference == "s2"
    assert len(verdict.matches) == 1
    assert verdict.suite == several.get("s2").suite.digest
    with pytest.raises(DatabaseError, match="no reference 's9'"):
        match(client(answer), several, only=["s9"])


def test_an_input_nobody_takes_is_an_error(several: ReferenceDB) -> None:
    """Before a question is asked, with the shape that was looked for."""
    with pytest.raises(DatabaseError, match=r"\(3,\)"):
        match(function.wrap(source().predict, shape=(3,)), several)


# --- references without peers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 4, 9])
def test_references_are_each_others_cohort(seed: int, many: ReferenceDB) -> None:
    """A source, and the same with a tenth of its answers replaced, is named among nine without any peer trained."""
    for answer in (source(seed).predict, disturbed(source(seed).predict, 0.1)):
        counting = Counting(answer)
        verdict = match(client(counting), many, screen="never")

        assert (verdict.decision, verdict.reference) == ("match", f"s{seed}")
        assert verdict.cohort == len(MANY) - 1
        assert counting.rows == verdict.sent == BUDGET
        assert len(verdict.matches) == len(MANY)


def test_strangers_are_nobodys(many: ReferenceDB) -> None:
    """No honest model is taken for one of nine references."""
    assert not [name for name, m in honest().items() if match(client(m.predict), many).decision == "match"]


def test_a_left_out_source_is_not_taken_for_a_sibling(many: ReferenceDB) -> None:
    """Each source, considered against the other eight."""
    for seed in MANY:
        others = [f"s{other}" for other in MANY if other != seed]

        assert match(client(source(seed).predict), many, only=others).decision != "match"


def test_one_reference_without_peers_decides_nothing(many: ReferenceDB) -> None:
    """Even its own answers are inconclusive, and the sentence says what is missing."""
    verdict = match(client(source(4).predict), many, only=["s4"])

    assert verdict.decision == "inconclusive"
    assert "enroll" in verdict.why
    with pytest.raises(UsageError, match="at most the suite's 64 probes, got 65"):
        match(client(source(4).predict), many, only=["s4"], budget=65)


def test_silence_is_an_error_where_nothing_is_known(many: ReferenceDB) -> None:
    """One answer to everything is evasion here as well."""
    assert match(client(lambda x: np.full(len(x), 2)), many).decision == "evasion suspected"


# --- different inputs of one shape ----------------------------------------------------------------------------------


def renamed(suite: ProbeSuite, prefix: str) -> ProbeSuite:
    """The same probes for an input whose features have names."""
    names = tuple(f"{prefix}{i}" for i in range(worlds.FEATURES))
    return replace(suite, spec=replace(suite.spec, features=names))


def inputs_of_one_shape(path: Path, seeds: Sequence[Sequence[int]]) -> ReferenceDB:
    """A database with one input per group of seeds, told apart by the names of its features."""
    db = open_db(path, create=True)
    for i, group in enumerate(seeds):
        suite = renamed(public(), "abcdefghijklmnopqrstuvwxyz"[i])
        db.set_public_suite(suite)
        for seed in group:
            made = worlds.enrolled(seed, peers=40, shadows=4) if seed in SEVERAL[1:] else None
            if made is None:
                model = client(source(seed).predict)
                named = replace(pool(), spec=suite.spec)
                db.add(enroll_answers(model, named, name=f"{i}-{seed}", about=About(), public=suite).reference)
                continue
            own = replace(made.reference.suite, spec=suite.spec)
            answers = replace(made.reference.answers, suite=own.digest)
            asked = enroll_answers(client(source(seed).predict), replace(pool(), spec=suite.spec), name="x",
                                   about=About(), public=suite).reference.answers  # fmt: skip
            db.add(Reference(f"{i}-{seed}", About(), own, answers, made.reference.panel, asked))
    return db


@pytest.mark.parametrize("seed", [2, 3])
def test_the_right_input_is_found(seed: int, tmp_path: Path) -> None:
    """Two tables of as many columns, one reference each: the source is named, whichever of them it is."""
    with inputs_of_one_shape(tmp_path / "two.db", [[2], [3]]) as db:
        answer = Counting(source(seed).predict)
        verdict = match(client(answer), db)

        assert verdict.reference == f"{seed - 2}-{seed}"
        assert answer.rows == verdict.sent <= BUDGET


def test_a_lonely_reference_is_confirmed_beside_a_crowd(tmp_path: Path) -> None:
    """An input with one reference is looked at, though scores among one mean nothing and those of a crowd do."""
    with inputs_of_one_shape(tmp_path / "crowd.db", [[4, 5, 6, 7], [2]]) as db:
        verdict = match(client(source(2).predict), db)

        assert verdict.reference == "1-2"


@pytest.mark.parametrize("budget", [3, 10, 50])
def test_inputs_share_the_budget(budget: int, tmp_path: Path) -> None:
    """Three inputs of one shape cost no more than one."""
    with inputs_of_one_shape(tmp_path / "three.db", [[4, 5], [6], [7, 8, 9]]) as db:
        answer = Counting(honest()["same data, forest 10"].predict)
        verdict = match(client(answer), db, budget=budget)

        assert answer.rows == verdict.sent <= budget
        assert len(verdict.matches) == 6
        with pytest.raises(UsageError, match="3 different inputs"):
            match(client(answer), db, budget=2)


def test_a_target_that_hides_its_input_must_be_told(several: ReferenceDB, tmp_path: Path) -> None:
    """Where references take inputs of different shapes, a target that says none is asked nothing."""
    answer = Counting(source(1).predict)
    verdict: Verdict = match(function.wrap(answer), several)

    assert verdict.reference == "s1"

    other = InputSpec("tabular", (3,))
    suite = ProbeSuite("other", "uniform", 0, other, np.random.default_rng(0).random((9, 3)).astype(np.float32),
                       ("uniform",) * 9, np.ones(9))  # fmt: skip
    with open_db(tmp_path / "mixed.db", create=True) as db:
        for known in (public(), suite):
            db.set_public_suite(known)
        db.add(answered(4, public()))
        parity = function.wrap(lambda x: (x[:, 0] > 0.5).astype(int))
        small = replace(pool().take(np.arange(3)), spec=other)
        db.add(enroll_answers(parity, small, name="tiny", about=About(), public=suite).reference)
        asked = answer.rows
        with pytest.raises(UsageError, match="--reference"):
            match(function.wrap(answer), db)

        assert answer.rows == asked
        assert match(function.wrap(answer), db, only=["s4"]).matches[0].reference == "s4"


def test_public_answers_count_where_little_is_left_to_ask(several: ReferenceDB) -> None:
    """After eight public questions, four more to the leader are enough to weigh it against its own peers."""
    answer = Counting(source(2).predict)
    verdict = match(client(answer), several, budget=12, stop_early=False)
    panel = several.get("s2").panel

    assert answer.rows == verdict.sent == 12
    assert verdict.matches[0].reference == "s2"
    assert panel is not None
    assert verdict.cohort == len(panel.rows("peer", "calibrate"))
