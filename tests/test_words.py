"""The generator `words`, and texts in the generators that take any input."""

from typing import Any

import numpy as np
import pytest
from probe_match.clients import function
from probe_match.fingerprinting import registry, storage
from probe_match.fingerprinting.errors import BadData, UsageError
from probe_match.fingerprinting.records import InputSpec, Pool, ProbeSuite
from probe_match.probes import mixed, words
from probe_match.probes._pieces import joined, pieces, span, splice

VOCABULARY = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "po") for b in ("ra", "se", "ti", "vu")]


class Counting:
    """A linear model of words, that remembers what it was asked."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.weights = {word: rng.normal(size=3) for word in VOCABULARY}
        self.asked: list[str] = []
        self.calls = 0

    def __call__(self, texts: Any) -> np.ndarray:
        """Labels 0 to 2."""
        self.calls += 1
        self.asked += texts
        return np.array([sum((self.weights[w] for w in t.split()), np.zeros(3)).argmax() for t in texts])


@pytest.fixture
def source() -> Counting:
    return Counting()


@pytest.fixture
def pool(source: Counting) -> Pool:
    """Texts of 12 words; every fifth label is not what the source says."""
    rng = np.random.default_rng(0)
    texts = tuple(" ".join(rng.choice(VOCABULARY, 12)) for _ in range(120))
    labels = Counting()(list(texts))
    return Pool(InputSpec("text"), texts, np.where(np.arange(120) % 5, labels, (labels + 1) % 3))


def test_pieces_are_the_text() -> None:
    """Words keep what stands between them; a text without spaces falls into characters."""
    text = "One,\n  two three\tfour"

    assert joined(pieces(f"  {text} ")) == text
    assert len(pieces(text)) == 4
    assert pieces("模型的来源") == list("模型的来源")


def test_a_splice_goes_from_one_text_to_the_other() -> None:
    """The first words shrink, the last words grow, and there is always something in between."""
    a, b = pieces("a b c d"), pieces("u v w x y z")

    assert [splice(a, b, step) for step in (0, 3, 6)] == ["a b c d", "a b x y z", "u v w x y z"]
    assert all(splice(pieces(short), b, step) for short in ("a", "ab") for step in range(span(pieces(short), b) + 1))


def test_probes_are_distinct_texts_with_the_sources_labels(source: Counting, pool: Pool) -> None:
    """At most n of them; a quarter from the pool, half of those errors of the source."""
    suite = words.generate(function.wrap(source), pool, n=40, seed=1)
    natural = [i for i, text in enumerate(suite.inputs) if text in pool.x]
    wrong = [i for i in natural if suite.expected[i] != pool.y[pool.x.index(suite.inputs[i])]]

    assert len(set(suite.inputs)) == len(suite) == 40
    np.testing.assert_array_equal(suite.expected, Counting()(list(suite.inputs)))
    assert len(wrong) >= 5
    assert len(natural) < 20


def test_most_probes_stand_on_the_edge_of_a_label(source: Counting, pool: Pool) -> None:
    """One word put elsewhere or taken away changes the label of nearly every splice and edit, of few natural texts."""
    suite = words.generate(function.wrap(source), pool, n=80, seed=2)

    def on_the_edge(text: str) -> bool:
        parts = text.split()
        shorter = [" ".join(parts[:i] + parts[i + 1 :]) for i in range(len(parts))]
        swapped = [" ".join([*parts[:i], w, *parts[i + 1 :]]) for i in range(len(parts)) for w in VOCABULARY]
        return len(set(Counting()([text, *shorter, *swapped]))) > 1

    edge = [on_the_edge(text) for text in suite.inputs if text not in pool.x]
    assert np.mean(edge) > 0.95
    pairs = [suite.inputs[i : i + 2] for i in range(20, 48, 2)]
    assert all(len(set(Counting()(list(pair)))) == 2 for pair in pairs)  # both sides of a splice


def test_edits_are_few(source: Counting, pool: Pool) -> None:
    """An edited text shares most of its words with the text it was made from."""
    rng = np.random.default_rng(0)
    parts = [pieces(text) for text in pool.x]
    labels = source(list(pool.x))
    first = np.arange(60)
    second = np.array([int(rng.choice(np.flatnonzero(labels != labels[i]))) for i in first])
    client = function.wrap(source)
    made = words._edited(client, pool, [parts[i] for i in first], [parts[j] for j in second], labels[first], 40, rng)
    near, far = made[::2], made[1::2]
    kept = [max(sum(x == y for x, y in zip(text.split(), p.split(), strict=False)) for p in pool.x) for text in near]

    assert len(far) == 40
    assert (Counting()(near) != Counting()(far)).all()
    assert np.median(kept) >= 6


def test_questions_come_in_batches_and_stay_below_what_is_promised(source: Counting, pool: Pool) -> None:
    """The search for all probes is one search."""
    words.generate(function.wrap(source), pool, n=60, seed=0)

    assert len(source.asked) <= len(pool) + 16 * 60
    assert source.calls < 50


@pytest.mark.parametrize("name", ["words", "mixed", "misclassified", "uniform"])
def test_a_seed_is_a_suite_that_a_file_holds(name: str, source: Counting, pool: Pool) -> None:
    """Same seed, same digest; another, another; and the bytes of a suite of texts give it back."""
    generate = registry.load("probes", name).generate
    suites = [generate(function.wrap(source), pool, n=20, seed=seed) for seed in (1, 1, 2)]
    again = storage.from_bytes(ProbeSuite, storage.to_bytes(suites[0]))

    assert suites[0].digest == suites[1].digest != suites[2].digest
    assert again.digest == suites[0].digest
    assert again.inputs == suites[0].inputs


def test_rare_texts_are_those_that_few_peers_call_the_same(source: Counting, pool: Pool) -> None:
    """The first probe is one on which no peer agrees."""
    peer = function.wrap(lambda texts: (source(texts) + (["ra" in t for t in texts])) % 3)
    suite = registry.load("probes", "rare").generate(function.wrap(source), pool, n=5, seed=0, peers=[peer])

    assert peer.ask(list(suite.inputs[:1])).labels != suite.expected[:1]


def test_mixed_texts_begin_like_one_and_end_like_another(source: Counting, pool: Pool) -> None:
    """With a share of .25, the first nine words of twelve are one text's and the last three another's."""
    suite = mixed.generate(function.wrap(source), pool, n=30, seed=0, share=0.25)
    begins = {" ".join(text.split()[:9]) for text in pool.x}
    ends = {" ".join(text.split()[-3:]) for text in pool.x}

    for text in suite.inputs:
        assert " ".join(text.split()[:9]) in begins
        assert " ".join(text.split()[-3:]) in ends
        assert text not in pool.x


def test_what_words_cannot_work_on(source: Counting, pool: Pool) -> None:
    """Rows of numbers are a usage error; a source with one label only is bad data."""
    numbers = Pool(InputSpec("tabular", (2,)), np.zeros((30, 2), np.float32))

    with pytest.raises(UsageError, match="words works on text inputs, this pool holds tabular"):
        words.generate(function.wrap(source), numbers, n=5, seed=0)
    with pytest.raises(BadData, match="got one for all"):
        words.generate(function.wrap(lambda texts: np.zeros(len(texts), int)), pool, n=5, seed=0)
