"""Verdicts on language models: right at the stated rate, and none across conditions that differ."""

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from chat_models import Habits
from probe_match.fingerprinting.calibration import PValues
from probe_match.fingerprinting.chat import conditions, equality, judging, prepared, scoring
from probe_match.fingerprinting.chat import known as knowing
from probe_match.fingerprinting.chat.records import Answer, Bank, ChatReference, Transcript
from probe_match.fingerprinting.errors import NoAnswers
from probe_match.fingerprinting.records import Verdict
from probe_match.fingerprinting.verdicts import Evidence
from probe_match.probes import chat_words
from scipy.stats import entropy

CELLS = 12
BANK = chat_words.generate(n=CELLS, seed=0, languages=("en", "de"))


@pytest.fixture(scope="module")
def known() -> list[ChatReference]:
    """Forty models that were asked each question 20 times."""
    return [Habits().reference(f"known-{i}", BANK, 20) for i in range(40)]


def spoken(name: str, repeats: int, seed: int = 1, **changes: int) -> Transcript:
    """What a model answers when it is asked everything so many times; changes: to its prompt tokens."""
    drawn = Habits(seed).reference(name, BANK, repeats)
    tokens = {cell: n + changes.get("added", 0) for cell, n in drawn.prompt_tokens.items()}
    answers = {
        cell: tuple(Answer(text, prompt_tokens=tokens[cell]) for text, n in some.items() for _ in range(n))
        for cell, some in drawn.counts.items()
    }
    return Transcript(f"function:{name}", answers, BANK.digest, sent=CELLS * repeats)


def identify(transcript: Transcript, known: list[ChatReference]) -> Verdict:
    references = {one.name: one for one in known}
    return judging.identify(transcript, BANK, references, prepared.scorer(references, alpha=0.01), alpha=0.01)


def test_known_models_are_named_and_strangers_are_not(known: list[ChatReference]) -> None:
    """With six answers to each of twelve questions: nearly all known models, and hardly a stranger."""
    some = known[:15]
    verdicts = [identify(spoken(k.name, 6), known) for k in some]
    strangers = [identify(spoken(f"stranger-{i}", 6), known) for i in range(20)]
    right = [v.decision == "match" and v.reference == k.name for v, k in zip(verdicts, some, strict=True)]

    assert np.mean(right) >= 0.9
    assert not any(v.decision == "match" and v.reference != k.name for v, k in zip(verdicts, some, strict=True))
    assert sum(v.decision == "match" for v in strangers) <= 1
    assert sum(v.decision == "no match" for v in strangers) >= 10
    assert all(v.decision != "no match" for v in verdicts)


def test_a_model_that_is_not_in_the_database_is_a_stranger(known: list[ChatReference]) -> None:
    """Ten of the same models, each with its own reference left out."""
    wrong = 0
    for i, one in enumerate(known[:10]):
        others = known[:i] + known[i + 1 :]
        wrong += identify(spoken(one.name, 6), others).decision == "match"

    assert wrong <= 1


def test_references_that_answer_alike_are_named_together(known: list[ChatReference]) -> None:
    """One model under two names: whichever is named, the verdict names the other beside it."""
    twin = replace(Habits(9).reference("known-3", BANK, 20), name="another name")
    verdict = identify(spoken("known-3", 12), [*known, twin])
    alone = identify(spoken("known-5", 12), [*known, twin])

    assert verdict.decision == alone.decision == "match"
    assert "do not tell it from" in verdict.why
    assert all(f"'{name}'" in verdict.why for name in ("known-3", "another name"))
    assert "do not tell it from" not in alone.why
    assert alone.relation == "family"


def test_a_version_that_is_missing_is_named_as_family_and_not_as_its_sibling() -> None:
    """Two versions each of sixty models are known, but only the second of ten; lonely models are named themselves."""
    references = {}
    for i in range(60):
        first, second = (Habits(seed).reference(f"m-{i}", BANK, 20) for seed in (0, 3))
        other = Habits(5).reference(f"other-{i}", BANK, 10)
        mixed = {c: dict(Counter(some) + Counter(other.counts[c])) for c, some in second.counts.items()}
        references |= {f"m-{i}": first, f"m-{i}-v2": replace(second, name=f"m-{i}-v2", counts=mixed)}
    for i in range(10):
        del references[f"m-{i}"]
    ready = knowing.know({name: one.counts for name, one in references.items()})

    def named(name: str) -> Verdict:
        score = partial(scoring.score, known=ready, alpha=0.01)
        return judging.identify(
            spoken(name, 12), BANK, references, lambda counts, looks: score(counts, looks=looks), alpha=0.01
        )

    verdicts = [named(f"m-{i}") for i in range(10)]
    found = [v for v in verdicts if v.decision == "match"]

    assert len(found) >= 5
    assert all(v.reference == f"{v.target.removeprefix('function:')}-v2" for v in found)
    assert sum(v.relation == "itself" for v in found) <= 1  # at 1 % one of ten is bad luck, two are not
    assert all("or a near relative of it" in v.why for v in found if v.relation == "family")


def test_a_model_far_from_all_others_is_named_itself_where_many_are_known() -> None:
    """From 99 known models on their ranks can say so; fewer leave room for a version of it."""
    many = {f"k-{i}": Habits().reference(f"k-{i}", BANK, 20).counts for i in range(110)}
    few = dict(list(many.items())[:40])
    suspect = Habits(1).reference("k-3", BANK, 12).counts

    assert scoring.score_counts(suspect, many, alpha=0.01).relative <= 0.01
    assert scoring.score_counts(suspect, few, alpha=0.01).relative == 1.0


def test_a_changed_copy_is_found_and_called_modified(known: list[ChatReference]) -> None:
    """A quarter of its answers given as another model gives them: still it, but not exactly."""
    mostly, other = spoken("known-6", 12), spoken("known-7", 12)
    mixed = {cell: (*some[3:], *other.answers[cell][:3]) for cell, some in mostly.answers.items()}
    verdict = identify(replace(mostly, answers=mixed), known)

    assert (verdict.decision, verdict.reference, verdict.relation) == ("match", "known-6", "modified")
    assert "not spread exactly as its own were" in verdict.why


def test_a_stranger_a_hair_beyond_all_honest_models_is_no_relative() -> None:
    """It stands out; but spread otherwise, and farther than known models are from themselves, it is nobody's."""
    one = Evidence("known", 0.5, 6.0, PValues(1e-4, 1e-4), True, 150, 0.6, 0.9, ("other", 0.4))
    scores = scoring.Scores([one], np.linspace(0.4, 4.0, 64), 150, 16)
    near = one._replace(score=1.5)
    few = one._replace(peers=40)

    assert judging.related(scores, 0.01, 0.01) is None
    assert judging.related(scores, 0.2, 0.01) == "family"
    assert judging.related(scores._replace(relative=0.005), 0.2, 0.01) == "itself"
    assert judging.related(scores._replace(evidence=[near]), 0.01, 0.01) == "modified"
    assert judging.related(scores._replace(evidence=[few]), 0.01, 0.01) == "modified"


def test_who_is_named_by_rank_alone_is_shown_to_a_person() -> None:
    """The verdict on such a target is inconclusive, names the nearest and says what it may be."""
    many = {f"k-{i}": Habits().reference(f"k-{i}", BANK, 20) for i in range(110)}
    target = spoken("k-3", 12)
    other = spoken("k-5", 12)
    mixed = {cell: (*some[6:], *other.answers[cell][:6]) for cell, some in target.answers.items()}
    score = prepared.scorer(many, alpha=0.01)
    plain, strayed = (
        judging.identify(replace(target, answers=said), BANK, many, score, alpha=0.01)
        for said in (target.answers, mixed)
    )

    assert (plain.decision, plain.reference) == ("match", "k-3")
    assert strayed.decision == "inconclusive"
    assert strayed.reference is None
    assert "a much modified copy of it, or no known model" in strayed.why


@pytest.mark.parametrize("known", [20, 60])
def test_the_tail_of_the_best_holds_its_rate(known: int) -> None:
    """Of strangers whose best of 60 scores is compared with those of known ones, no more than alpha are beyond."""
    rng = np.random.default_rng(0)
    p = []
    for _ in range(300):
        seen, new = (rng.normal(size=(n, 60)).max(1) for n in (known, 20))
        p.append(scoring.tail_of_best(new, seen))

    assert 0.002 <= np.mean(np.concatenate(p) <= 0.01) <= 0.01
    assert 0.02 <= np.mean(np.concatenate(p) <= 0.05) <= 0.055


def test_unchanged_models_are_accused_at_the_stated_rate(known: list[ChatReference]) -> None:
    """Verified again and again, a model fails about as often as alpha says."""
    rng = np.random.default_rng(0)
    p = []
    for seed in range(100):
        target, reference = (Habits(s).reference("known-1", BANK, n) for s, n in ((seed, 13), (seed + 500, 20)))
        p.append(equality.change_p(target.counts, reference.counts, rng, 400))

    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.08)
    assert np.mean(p) == pytest.approx(0.5, abs=0.12)


def test_the_likelihood_ratio_of_counts_is_their_divergence() -> None:
    """G is the Jensen-Shannon divergence weighted by the numbers of answers."""
    mine, theirs = np.array([3, 0, 5]), np.array([1, 4, 3])
    both = (mine + theirs) / 16
    by_hand = 8 * entropy(mine / 8, both) + 8 * entropy(theirs / 8, both)

    assert float(equality._g(mine, theirs)) == pytest.approx(by_hand)


def test_a_constant_surplus_of_tokens_is_a_prompt_and_a_varying_one_a_tokenizer(known: list[ChatReference]) -> None:
    """Only the first keeps the verdict back; a small one may be a template's line break."""
    other = spoken("known-4", 3)
    longer = {
        cell: tuple(replace(answer, prompt_tokens=answer.prompt_tokens + len(cell) % 5) for answer in some)
        for cell, some in other.answers.items()
    }
    varying = replace(other, answers=longer)

    assert conditions.added_tokens(spoken("known-4", 3, added=40), known[4]) == 40
    assert conditions.added_tokens(varying, known[4]) is None
    assert conditions.other_tokenizer(varying, known[4])
    assert conditions.differing(spoken("known-4", 3, added=3), BANK, known[4], {}) is None
    assert "counts 40 tokens more" in str(conditions.differing(spoken("known-4", 3, added=40), BANK, known[4], {}))


def test_reasoning_that_cannot_be_switched_off_is_another_condition(known: list[ChatReference]) -> None:
    """Whatever the answers look like."""
    thinking = replace(
        spoken("known-4", 6), notes=("reasons before it answers, and does not let that be switched off",)
    )

    assert identify(thinking, known).decision == "inconclusive"


def test_answers_that_never_vary_are_kept_ones_unless_a_known_model_is_so_steady(known: list[ChatReference]) -> None:
    """Three times the same answer to everything is no habit; from one answer each, nothing is told."""
    same = {cell: {max(some, key=some.__getitem__): 4} for cell, some in known[0].counts.items()}
    steady = replace(known[0], name="steady", counts={cell: {"7": 20} for cell in same})

    by_name = {one.name: one for one in known}

    assert conditions.kept_answers(same, by_name)
    assert not conditions.kept_answers({cell: dict.fromkeys(some, 1) for cell, some in same.items()}, by_name)
    assert not conditions.kept_answers(same, {**by_name, "steady": steady})


def test_silence_is_told_apart(known: list[ChatReference]) -> None:
    """Refusals suggest evasion, failures an outage, a handful of answers nothing."""

    def verdict(answer: Answer, n: int = 24) -> tuple[str, str]:
        cells = [question.cell for question in BANK.questions]
        answers = dict.fromkeys(cells, (answer,) * (n // CELLS)) if n >= CELLS else {cells[0]: (answer,) * n}
        found = identify(Transcript("t", answers, sent=n), known)
        return found.decision, found.why

    assert verdict(Answer("", "filtered"))[0] == "evasion suspected"
    assert verdict(Answer("", "failed"))[0] == "inconclusive"
    assert "ask again when the target is up" in verdict(Answer("", "failed"))[1]
    assert verdict(Answer("a"), 3)[1].startswith("Only")


def test_references_of_other_questions_cannot_be_compared() -> None:
    """And two of the same are too few to say anything."""
    with pytest.raises(NoAnswers, match="share no answered question"):
        scoring.score_counts({"a": {"x": 9}}, {"m": {"b": {"x": 9}}}, alpha=0.01)
    few = [Habits().reference(f"known-{i}", BANK, 20) for i in range(2)]
    verdict = identify(spoken("known-0", 6), few)

    assert verdict.decision == "inconclusive"
    assert "enroll at least three" in verdict.why


def test_a_bank_may_hold_questions_that_weigh_nothing() -> None:
    """They are asked of nobody by default, and a bank of nothing else is asked as it is."""
    from probe_match.fingerprinting.chat.asking import join, scored
    from probe_match.probes import chat_identity

    shown = chat_identity.generate(n=2, seed=0)
    both = join([Bank("w", BANK.questions[:3]), shown])

    assert len(both.questions) == 5
    assert scored(both).questions == BANK.questions[:3]
    assert scored(shown) == shown
