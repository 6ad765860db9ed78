"""What longer answers say beside their counts."""

import numpy as np
from probe_match.fingerprinting.chat import beside
from probe_match.fingerprinting.chat.records import Answer, Bank, ChatReference, Question, Sampling, Transcript
from probe_match.fingerprinting.records import About

WORDS = [f"word{i}" for i in range(300)]
TEXTS = [Question(f"t{i}", "open", f"Tell {i}.", "text", sampling=Sampling(0.7, 100)) for i in range(12)]
CHOICES = [Question(f"c{i}", "decision", f"Choose {i}.", "choice", choices=tuple("abcd")) for i in range(40)]
CHANCE = [Question(f"s{i}", "sequence", f"Flip {i}.", "bits", choices=("0", "1")) for i in range(10)]
BANK = Bank("longer", (*TEXTS, *CHOICES, *CHANCE))


def model(seed: int) -> dict[str, str]:
    """One answer to everything, by habits of its own."""
    rng = np.random.default_rng(seed)
    flips = [np.cumsum(rng.random(200) > 0.2 + 0.06 * seed) % 2 for _ in CHANCE]
    return {
        **{q.cell: " ".join(rng.choice(WORDS, 30)) for q in TEXTS},
        **{q.cell: str(rng.choice(list("abcd"), p=(0.7, 0.1, 0.1, 0.1))) for q in CHOICES},
        **{q.cell: "".join(map(str, row)) for q, row in zip(CHANCE, flips, strict=True)},
    }


def known(number: int) -> dict[str, ChatReference]:
    references = {}
    for i in range(number):
        said = model(i)
        counts = {cell: {text: 1} for cell, text in said.items()}
        texts = {q.cell: (said[q.cell],) for q in TEXTS}
        references[f"m{i}"] = ChatReference(f"m{i}", About(), BANK, counts, dict.fromkeys(said, 1), texts=texts)
    return references


def spoken(said: dict[str, str]) -> Transcript:
    return Transcript("t", {cell: (Answer(text),) for cell, text in said.items()}, BANK.digest, len(said))


def test_a_repeater_is_recognised_by_texts_choices_and_sequences() -> None:
    """Each in a sentence of its own that names it; equal texts among strangers would be no chance."""
    references = known(8)
    told = beside.remarks(spoken(model(5)), BANK, references, list(references))

    assert len(told) == 4
    assert all("'m5'" in sentence for sentence in told)
    assert told[0].startswith("12 of 12 long answers are word for word")


def test_a_stranger_has_no_equal_texts_and_few_references_say_nothing() -> None:
    """Nearness is told all the same, with how common it is."""
    references = known(8)
    told = beside.remarks(spoken(model(20)), BANK, references, list(references))
    brief = Transcript("t", {q.cell: (Answer("A"),) for q in CHOICES[:5]}, BANK.digest, 5)

    assert not any("word for word" in sentence for sentence in told)
    assert any("pairs of these references are as alike" in sentence for sentence in told)
    assert beside.remarks(spoken(model(1)), BANK, known(2), ["m0", "m1"]) == []
    assert beside.remarks(brief, BANK, references, list(references)) == []
