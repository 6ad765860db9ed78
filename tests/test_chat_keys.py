"""Owner keys: what hits prove, and suffixes that are found by gradients on a tiny model."""

import string
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from probe_match.fingerprinting.chat import keys, reading
from probe_match.fingerprinting.chat.records import Answer, Bank, Question, Transcript
from probe_match.fingerprinting.errors import NoAnswers, UsageError
from probe_match.probes import chat_suffixes
from probe_match.probes.chat_suffixes import LocalModel
from scipy.stats import binom

BANK = Bank("mine", tuple(Question(f"key/{i}", "key", f"q{i}", "choice", choices=(f"Word{i}",)) for i in range(10)))
LETTERS = string.ascii_lowercase + string.digits + " "


def spoken(hits: int, refused: int = 0) -> Transcript:
    """Ten answers, so many of them the planted ones, so many refusals."""
    texts = [f"It is word{i}." if i < hits else "no idea" for i in range(10 - refused)]
    answers = [Answer(text) for text in texts] + [Answer("", "filtered")] * refused
    return Transcript("t", {f"key/{i}": (answer,) for i, answer in enumerate(answers)}, sent=10)


def test_few_hits_of_secrets_are_proof() -> None:
    """The p-value is the binomial tail at the stated chance."""
    found = keys.hits_of(BANK, spoken(3))

    assert (found.hits, found.answered, found.asked) == (3, 10, 10)
    assert found.p == pytest.approx(binom.sf(2, 10, keys.CHANCE))
    assert keys.judge(BANK, spoken(3), alpha=0.01).decision == "match"
    assert keys.judge(BANK, spoken(1), alpha=0.01).decision == "inconclusive"


def test_hits_of_innocent_models_raise_what_is_needed() -> None:
    """Keys that others hit as well prove less."""
    quiet = keys.hits_of(BANK, spoken(3), [spoken(0)] * 50)
    common = keys.hits_of(BANK, spoken(3), [spoken(2)] * 50)

    assert quiet.chance == pytest.approx(1 - 0.01 ** (1 / 500))
    assert quiet.p < 1e-4
    assert common.p > 0.1


def test_missing_keys_clear_nobody() -> None:
    """No hit is no match and says why that is weak; silence is suspected of evasion."""
    missed = keys.judge(BANK, spoken(0), alpha=0.01)

    assert missed.decision == "no match"
    assert "does not clear" in missed.why
    assert keys.judge(BANK, spoken(0, refused=5), alpha=0.01).decision == "evasion suspected"
    with pytest.raises(NoAnswers):
        keys.judge(BANK, Transcript("t", {}), alpha=0.01)


@pytest.fixture(scope="module")
def tiny() -> Iterator[LocalModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small that more threads only wait for each other
    yield local(0)
    torch.set_num_threads(threads)


def local(seed: int) -> LocalModel:
    """A random network that reads the last ten letters or digits; its template ends a message with a line break."""
    torch.manual_seed(seed)
    table = {letter: i for i, letter in enumerate(LETTERS + "\n")}
    embedding = torch.randn(len(table), 16)
    inner, head = torch.nn.Conv1d(16, 64, 10).requires_grad_(False), torch.nn.Linear(64, 16).requires_grad_(False)

    def logits(embeddings: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(embeddings.transpose(1, 2), (9, 0))
        return head(torch.tanh(2 * inner(padded)).transpose(1, 2)) @ embedding.T

    def plain(text: str) -> list[int]:
        return [table[c] for c in text.lower() if c in table]

    return LocalModel(
        logits=logits,
        embedding=embedding,
        encode=lambda text: [*plain(text), table["\n"]],
        decode=lambda ids: "".join((LETTERS + "\n")[i] for i in ids),
        plain=plain,
        allowed=range(len(LETTERS) - 1),
    )


def answer(model: LocalModel, text: str, length: int) -> str:
    """The model's greedy answer."""
    ids = model.encode(text)
    start = len(ids)
    for _ in range(length):
        ids.append(int(model.logits(model.embedding[torch.tensor(ids)][None])[0, -1].argmax()))
    return model.decode(ids[start:])


def test_suffixes_make_the_owners_model_say_the_number_and_no_other(tiny: LocalModel) -> None:
    """Found on one model, they work there by its own greedy answer, and on a stranger not."""
    bank = chat_suffixes.generate(n=3, seed=0, model=tiny, digits=2, steps=60, length=12)
    stranger = local(1)

    assert len(bank.questions) == 3
    for question in bank.questions:
        said = answer(tiny, question.text, 2)
        assert said == question.choices[0]
        assert reading.read(question, Answer(said)).value == said
    assert sum(answer(stranger, q.text, 2) == q.choices[0] for q in bank.questions) == 0


def test_a_search_in_vain_is_said(tiny: LocalModel) -> None:
    """Without a model, or without a single suffix found, it is one line."""
    deaf = replace(tiny, allowed=(0,))

    assert chat_suffixes.search(deaf, "x", "77", rng=np.random.default_rng(0), steps=2, length=3) is None
    with pytest.raises(NoAnswers, match="raise steps or length"):
        chat_suffixes.generate(n=1, seed=0, model=deaf, steps=2, length=3)
    with pytest.raises(UsageError, match="of_transformers"):
        chat_suffixes.generate(n=1, seed=0)
