"""
Suffixes that make one model, and no other, answer with a number of the owner's choice (TRAP; Gubri et al., ACL 2024).

The owner's weights are at hand: a few tokens behind a question for a random number are changed one at a time, by the
gradient of the number's probability (greedy coordinate gradient; Zou et al., arXiv 2307.15043), until the model says that
number. A suspect that says it too, for several suffixes, is that model or a light copy of it. Most suffixes die under
another system prompt; none says much of a model whose weights moved far.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from probe_match.fingerprinting.chat.records import Bank, Question, Sampling
from probe_match.fingerprinting.errors import NoAnswers, UsageError

from . import _phrases

KINDS: Final = ("chat",)
NEEDS: Final = "gradient"
ASK: Final = "[Write|Give me|Think of] a random [number|integer] of {} digits and nothing more."
SUFFIX: Final = 20  # tokens
STEPS: Final = 200
CANDIDATES: Final = 64  # single changes that are tried in a step
BEST: Final = 32  # tokens a place that the gradient favours most, to draw them from


@dataclass(frozen=True, eq=False)
class LocalModel:
    """
    A language model at hand. logits: embeddings float (b, t, d) to logits (b, t, v), with a gradient. embedding: float
    (v, d). encode: a user's message to the token ids that the model reads, its chat template included, up to where the
    answer begins. decode: ids to text. plain: a text's ids without any template. allowed: ids a suffix may hold.
    """

    logits: Callable[[torch.Tensor], torch.Tensor]
    embedding: torch.Tensor
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    plain: Callable[[str], list[int]]
    allowed: Sequence[int]


def of_transformers(model: Any, tokenizer: Any) -> LocalModel:
    """A model and tokenizer of the `transformers` package, already loaded."""
    embedding = model.get_input_embeddings().weight.detach()

    def encode(text: str) -> list[int]:
        chat = [{"role": "user", "content": text}]
        return list(tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False))

    def plain(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    printable = [i for i in range(len(embedding)) if _printable(tokenizer.decode([i]))]
    return LocalModel(
        lambda embeddings: model(inputs_embeds=embeddings).logits, embedding, encode, tokenizer.decode, plain, printable
    )


def generate(
    *,
    n: int,
    seed: int,
    languages: Sequence[str] = ("en",),
    model: LocalModel | None = None,
    digits: int = 3,
    steps: int = STEPS,
    length: int = SUFFIX,
) -> Bank:
    """
    At most n suffixes that were found to work, each a question whose only choice is its number.

    steps: of the search for one suffix. Raises UsageError without a model, NoAnswers where no suffix was found.
    """
    if model is None:
        raise UsageError("expected the owner's model at hand, got none; pass model=of_transformers(model, tokenizer)")
    if tuple(languages) != ("en",):
        raise UsageError(f"suffixes are searched behind English questions alone, got {', '.join(languages)}")
    rng = np.random.default_rng(seed)
    questions: dict[str, Question] = {}
    for _ in range(2 * n):
        if len(questions) == n:
            break
        target = str(rng.integers(10 ** (digits - 1), 10**digits))
        found = search(model, _phrases.expand(ASK, rng).format(digits), target, rng=rng, steps=steps, length=length)
        if found is not None:
            cell = f"suffix/en/{_phrases.short(found)}"
            questions[cell] = Question(cell, "key", found, "choice", None, Sampling(0.0, 4 * digits), choices=(target,))
    if not questions:
        raise NoAnswers(f"no suffix of {2 * n} searches made the model say its number; raise steps or length")

    return _phrases.bank("chat-suffixes", questions.values())


def search(
    model: LocalModel, question: str, target: str, *, rng: np.random.Generator, steps: int = STEPS, length: int = SUFFIX
) -> str | None:
    """
    The question with a suffix behind which the model's likeliest answer begins with `target`, or None where none is found.
    """
    wanted = torch.tensor(model.plain(target))
    allowed = torch.tensor(list(model.allowed))
    suffix = allowed[torch.from_numpy(rng.integers(0, len(allowed), length))]
    found = _framed(model, question, suffix)
    for _ in range(steps):
        if found is None:  # its text is read as other tokens: begin again
            suffix = allowed[torch.from_numpy(rng.integers(0, len(allowed), length))]
            found = _framed(model, question, suffix)
            continue
        ids, place = found
        loss, gradient, said = _slope(model, ids, place, length, wanted)
        if said:
            return f"{question} {model.decode(suffix.tolist())}"
        tries = _neighbours(suffix, gradient[:, allowed], allowed, rng)
        tries = torch.stack([row for row in tries if _framed(model, question, row) is not None] or [suffix])
        losses = _losses(model, ids, place, tries, wanted)
        if losses.min() < loss or rng.random() < 0.05:  # now and then a step uphill, out of dead ends
            suffix = tries[int(losses.argmin())]
        found = _framed(model, question, suffix)

    return None


def _framed(model: LocalModel, question: str, suffix: torch.Tensor) -> tuple[torch.Tensor, int] | None:
    """The ids of question and suffix as the model reads their text, and where the suffix is; None if it is not there."""
    ids = model.encode(f"{question} {model.decode(suffix.tolist())}")
    wanted = suffix.tolist()
    for place in range(len(ids) - len(wanted), -1, -1):
        if ids[place : place + len(wanted)] == wanted:
            return torch.tensor(ids), place
    return None


def _slope(
    model: LocalModel, ids: torch.Tensor, place: int, length: int, wanted: torch.Tensor
) -> tuple[float, torch.Tensor, bool]:
    """Loss of the wanted answer, its gradient by the suffix's tokens (length, v), and whether it is the likeliest."""
    whole = torch.cat([ids, wanted])
    one_hot = torch.nn.functional.one_hot(whole[place : place + length], len(model.embedding)).to(model.embedding.dtype)
    one_hot.requires_grad_(True)
    known = model.embedding[whole]
    embeddings = torch.cat([known[:place], one_hot @ model.embedding, known[place + length :]])[None]
    logits = model.logits(embeddings)[0, len(ids) - 1 : len(whole) - 1]
    loss = torch.nn.functional.cross_entropy(logits, wanted)
    (gradient,) = torch.autograd.grad(loss, one_hot)

    return float(loss.detach()), gradient, bool((logits.argmax(-1) == wanted).all())


def _neighbours(
    suffix: torch.Tensor, gradient: torch.Tensor, allowed: torch.Tensor, rng: np.random.Generator
) -> torch.Tensor:
    """Suffixes with one token changed for one that the gradient favours: int64 (CANDIDATES, length)."""
    best = allowed[(-gradient).topk(min(BEST, len(allowed)), dim=1).indices]
    places = torch.from_numpy(rng.integers(0, len(suffix), CANDIDATES))
    picks = torch.from_numpy(rng.integers(0, best.shape[1], CANDIDATES))
    tries = suffix.repeat(CANDIDATES, 1)
    tries[torch.arange(CANDIDATES), places] = best[places, picks]

    return tries


def _losses(
    model: LocalModel, ids: torch.Tensor, place: int, tries: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """Loss of the wanted answer under each suffix; float (len(tries),)."""
    whole = torch.cat([ids, wanted]).repeat(len(tries), 1)
    whole[:, place : place + tries.shape[1]] = tries
    with torch.no_grad():
        logits = model.logits(model.embedding[whole])[:, len(ids) - 1 : -1]
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), wanted.expand(len(tries), -1), reduction="none")

    return losses.mean(1)


def _printable(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable()
