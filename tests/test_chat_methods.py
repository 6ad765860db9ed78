"""Style, same prompts, decisions, sequences, exact matches and the geometry of logits."""

from collections.abc import Callable

import numpy as np
import pytest
from probe_match.fingerprinting.chat import (
    decisions,
    exact_match,
    habits,
    logit_geometry,
    same_prompts,
    sequences,
    style,
    style_space,
)  # fmt: skip
from probe_match.fingerprinting.errors import BadData, NoAnswers
from scipy.stats import bernoulli

OPENERS = ("Certainly! ", "Sure, ", "", "Well: ", "Of course. ", "In short, ")
ENDS = ("!", ".", "...", " - done.", ";", "?")
THINGS = ("river", "stone", "engine", "garden", "letter", "harbour", "winter", "signal")


def writing(who: int, rng: np.random.Generator) -> str:
    """An answer of one of six writers, who differ in habits and not in subjects."""
    things = rng.choice(THINGS, 6)
    link = (" and ", ", ", " but ", "\n- ", " or ", "; ")[who]
    body = link.join(f"the {thing}" if rng.random() < 0.2 + 0.1 * who else thing for thing in things)
    return OPENERS[who] * (rng.random() < 0.7) + body + ENDS[who] * (rng.random() < 0.8)


def test_style_has_numbers_for_every_text() -> None:
    """Features are finite and of one length, and an empty text has none."""
    rows = style.features(["", "Hello, **world**!\n- one\n- two", "1. " * 9000, "你好。"])

    assert rows.shape == (4, style.FEATURES)
    assert np.isfinite(rows).all()
    assert not rows[0].any()


def test_writers_are_told_by_their_habits_and_enrolled_without_training() -> None:
    """A model that the space was not fitted on is enrolled, and found by answers to other prompts."""
    rng = np.random.default_rng(0)
    texts = {f"w{w}": [writing(w, rng) for _ in range(40)] for w in range(6)}
    space = style_space.fit({name: texts[name] for name in list(texts)[:5]})
    known = style_space.gather([style_space.enroll(some, space) for some in texts.values()], space)

    for who in range(6):
        suspect = style_space.enroll([writing(who, rng) for _ in range(20)], space)
        ratio = style_space.log_ratio(suspect, known, space)
        assert ratio.argmax() == who
        assert ratio[who] > 0
    with pytest.raises(NoAnswers, match="3 models"):
        style_space.fit({"w0": texts["w0"]})


def test_words_too_rare_for_the_space_tell_writers_apart_one_by_one() -> None:
    """Writers that differ in rare words alone, which the space does not see, are told apart by what it is added."""
    rng = np.random.default_rng(0)
    every = " ".join(f"{a}{b}{c}o" for a in "bcdfghjklmnpqrstvwxyz" for b in "aeiou" for c in "bdfgk")  # 525 words
    rare = np.array([f"{a}{b}zz" for a in "bcdfgh" for b in "aeiou"])
    preferred = [rng.dirichlet(np.full(len(rare), 0.3)) for _ in range(6)]

    def wrote(who: int, n: int) -> list[str]:
        return [f"{every} {' '.join(rng.choice(rare, 6, p=preferred[who]))}" for _ in range(n)]

    texts = {f"w{who}": wrote(who, 30) for who in range(6)}
    space = style_space.fit(texts)
    writers = [style_space.enroll(some, space) for some in texts.values()]
    known = style_space.gather(writers, space)
    suspects = [style_space.enroll(wrote(who, 20), space) for who in range(6)]
    placed = [style_space.gaussian_ratio(suspect, known, space) for suspect in suspects]
    added = [
        style_space.log_ratio(suspect, known, space) - seen for suspect, seen in zip(suspects, placed, strict=True)
    ]
    counted = style_space.counted_ratio(suspects[0], known)
    rate = (writers[1].counts + style_space.PRIOR * space.usual) / (30 + style_space.PRIOR)
    by_hand = bernoulli.logpmf(1, rate) * suspects[0].counts + bernoulli.logpmf(0, rate) * (20 - suspects[0].counts)
    usual = bernoulli.logpmf(1, space.usual) * suspects[0].counts
    usual += bernoulli.logpmf(0, space.usual) * (20 - suspects[0].counts)

    assert [int(more.argmax()) for more in added] == list(range(6))
    assert [more.std() for more in added] == pytest.approx([style_space.COUNTED_SHARE * p.std() for p in placed])
    assert counted[1] == pytest.approx((by_hand - usual).sum())


LISTED = "Sure! Here are two:\n\n1. **Oak**: tall, old.\n2. Elm\n\nIn summary, the oak."


@pytest.mark.parametrize(
    ("of", "there", "absent"),
    [
        (habits.words, {"here are", "* *", "oak"}, {"Here are"}),
        (habits.opening, {"Sure !", "Here"}, {"In", "Oak"}),
        (habits.starts, {"Sure !", "Here are two", "1 .", "In summary ,"}, {"oak", "are two"}),
        (habits.lines, {"^ w4: _", "1.b4 1.2", "w4 $"}, {"#3", "w4: 1.b4"}),
        (habits.ending, {"oak .", "the oak .", "."}, {"\n", "summary"}),
        (habits.skeleton, {"\n\n 0 .", "* * A*", "are two :", ", the a*"}, {"oak", "a* a*"}),
        (habits.rhythm, {"\n 0 . A*", "a* , a* .", "A* a* :"}, {"a* a*", "are"}),
    ],
)
def test_habits_show_whatever_a_text_is_about(of: Callable[[str], set[str]], there: set[str], absent: set[str]) -> None:
    """Each kind of piece is found as it is written, and an empty text has nothing to say."""
    assert there <= of(LISTED)
    assert not absent & of(LISTED)
    assert all(len(piece.split()) <= 5 for piece in of(""))
    assert of("word " * 100_000) == of("word " * 2_000)


def test_writers_are_told_by_the_build_of_their_sentences_alone() -> None:
    """Made-up words and as many commas, in other places: only skeleton and rhythm show it."""
    rng = np.random.default_rng(0)
    joints = ["{} {}, {} {}.", "{}, {} {} {}.", "{} {} {}, {}."]

    def wrote(who: int, n: int) -> list[str]:
        """Sentences of made-up words, the writer's own joint in half of them."""
        made = ["".join(rng.choice(list("bdfgklmnprst"), 6)) for _ in range(40 * n)]
        chosen = np.where(rng.random((n, 10)) < 0.5, who, rng.integers(3, size=(n, 10)))
        return [
            " ".join(joints[j].format(*made[40 * t + 4 * s : 40 * t + 4 * s + 4]) for s, j in enumerate(chosen[t]))
            for t in range(n)
        ]

    texts = {f"w{who}": wrote(who, 30) for who in range(3)}
    space = style_space.fit(texts)
    known = style_space.gather([style_space.enroll(some, space) for some in texts.values()], space)
    found = [style_space.log_ratio(style_space.enroll(wrote(who, 10), space), known, space) for who in range(3)]

    assert [int(ratio.argmax()) for ratio in found] == list(range(3))


def test_a_copy_answers_the_same_prompts_alike() -> None:
    """A reworded copy stands nearer to its source than to strangers who answer the same prompts."""
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(60)])
    prompts = [rng.choice(words, 20, replace=False) for _ in range(12)]
    source = [" ".join(rng.choice(prompt, 12)) for prompt in prompts]
    copy = [text.replace(text.split()[0], "changed") for text in source]
    others = [[" ".join(rng.choice(prompt, 12)) for prompt in prompts] for _ in range(6)]
    alike = same_prompts.similarities([source, copy, *others])
    scores = same_prompts.lineage(alike)

    assert alike.shape == (12, 8, 8)
    assert scores[0].argmax() == 1
    assert scores[0, 1] > scores[2:, 2:].max()
    assert np.isneginf(np.diag(scores)).all()


def test_words_that_a_prompt_puts_into_every_mouth_relate_nobody() -> None:
    """Of two words that are as rare among all texts, the one that few answer to a prompt makes alike, and more."""
    here = ["odd", "odd", "sea", "sea", "sea", "sea", "sea"]
    there = ["odd", "odd", "odd", "calm", "calm", "calm", "calm"]
    own = [f"own{i}" for i in range(7)]
    told = [[f"{here[i]} {own[i]}", f"{own[i - 1]} {there[i]}"] for i in range(7)]
    alike = same_prompts.similarities(told)[0]

    assert alike[0, 1] > alike[2, 3] + 0.1
    assert alike[2, 3] == pytest.approx(alike[5, 6])


def test_prompts_that_all_answer_alike_do_not_drown_the_others() -> None:
    """Each prompt counts in its own deviations, and one of them alone by no more than a few of these."""
    rng = np.random.default_rng(0)
    quiet = rng.normal(0.10, 0.01, (6, 250, 250))
    quiet[:, 0, 1] = quiet[:, 1, 0] = 0.12  # kin, a little nearer to each of six prompts
    loud = rng.normal(0.60, 0.20, (2, 250, 250))
    once = rng.normal(0.10, 0.01, (1, 250, 250))
    once[0, 2, 3] = once[0, 3, 2] = 1.0  # strangers, the same stock phrase to one prompt
    alike = np.concatenate([quiet, loud, once])
    scores = same_prompts.lineage((alike + alike.transpose(0, 2, 1)) / 2)

    assert np.unravel_index(scores.argmax(), scores.shape) in ((0, 1), (1, 0))


def test_shared_opinions_of_the_few_make_kin() -> None:
    """What everybody answers relates nobody; what two alone answer relates them."""
    rng = np.random.default_rng(0)
    crowd = rng.integers(0, 4, 120)
    choices = np.array([np.where(rng.random(120) < 0.3, rng.integers(0, 4, 120), crowd) for _ in range(10)])
    choices[1] = np.where(rng.random(120) < 0.3, choices[1], choices[0])
    choices[2, :60] = -1
    kin = decisions.kinship(decisions.residuals(choices, 4))

    assert kin[0].argmax() == 1
    assert np.sort(kin[np.triu_indices(10, 1)])[-1] == kin[0, 1]


def test_sequences_tell_a_model_by_its_idea_of_chance() -> None:
    """A model that avoids repeats is told from one that likes them, and is like itself."""
    rng = np.random.default_rng(0)

    def sequence(repeat: float) -> str:
        flips = rng.random(300) > repeat
        return "".join("01"[bit] for bit in np.cumsum(flips) % 2)

    known = [[sequence(repeat) for _ in range(12)] for repeat in (0.3, 0.5, 0.7)]
    found = [sequences.distances([sequence(repeat) for _ in range(8)], known) for repeat in (0.3, 0.5, 0.7)]

    assert [int(row.argmin()) for row in found] == [0, 1, 2]
    assert all(row.min() < 2.5 < np.median(row) for row in found)
    assert sequences.statistics("0101").shape == (sequences.FEATURES,)
    assert not sequences.statistics("01").any()


def test_equal_long_answers_are_counted_against_chance() -> None:
    """Five of forty long answers alike are no chance; short answers count for nothing."""
    mine = {str(p): f"a long enough answer to prompt number {p} " * 3 for p in range(40)} | {"short": "yes"}
    theirs = {p: text if int(p) < 5 else text[::-1] for p, text in mine.items() if p != "short"} | {"short": "yes"}
    decoys = [{p: text[::-1] for p, text in mine.items()}] * 3
    found = exact_match.count_equal(mine, theirs, decoys)

    assert (found.equal, found.compared) == (5, 40)
    assert found.p < 1e-6
    assert found.low < 5 / 40 < found.high
    assert exact_match.count_equal(mine, decoys[0], decoys).p > 0.5


def test_logits_betray_their_output_layer() -> None:
    """The rank is the hidden width, own vectors lie in the space, and those of another layer do not."""
    rng = np.random.default_rng(0)
    layer, other = rng.normal(size=(2, 16, 200))
    logits = (rng.normal(size=(60, 16)) @ layer).astype(np.float32)
    image = logit_geometry.enroll(logits + rng.normal(size=(60, 1)).astype(np.float32))

    assert image.rank == 16
    assert logit_geometry.same_layer((rng.normal(size=(3, 16)) @ layer).astype(np.float32), image)
    assert not logit_geometry.same_layer(rng.normal(size=(3, 16)) @ other, image)
    with pytest.raises(BadData, match="more vectors"):
        logit_geometry.enroll(logits[:10])
