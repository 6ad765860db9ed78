"""Other kinds of answers than first words, whose parent they show: random sequences, and words with texts together."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import torch
from probe_match.fingerprinting.chat import sequences, single_token, style_space, tallies
from probe_match.fingerprinting.chat.records import Counts, Question, Sampling, Transcript
from tinyfam_bench import Bench, ask, share
from tinyfam_descent import BEGINNINGS, QUESTIONS
from tinyfam_network import Model
from tinyfam_training import template
from tqdm import tqdm

SYMBOLS: Final = (("0", "1"), ("a", "b"), ("x", "o"))
LENGTH: Final = 64  # symbols of a sequence
ENROLLED, ASKED = 24, (1, 3, 9)  # sequences of each model
WORDS_ENROLLED, TEXTS_ENROLLED = 12, 4  # answers to each question, texts of each beginning
BUDGETS: Final = ((13, 4), (26, 8), (52, 16))  # one-word answers and texts of a suspect
ONE_WORD: Final = [Question(f"word/{text}", "word", text, sampling=Sampling(1.0, 8)) for text in QUESTIONS]
OPEN: Final = [Question(f"text/{text}", "open", text, raw=True, sampling=Sampling(1.0, 64)) for text in BEGINNINGS]


def random_sequences(bench: Bench) -> Iterator[str]:
    """
    The parent among all foundations by sequences of two symbols alone.

    TinyFam was taught no such question, so what it may say is held to the two symbols, as an endpoint's logit bias
    does; what it then writes is its own odds of either, given those before.
    """
    yield f"\n**Parent among {len(bench.foundations)} foundations by random sequences** of {LENGTH} symbols\n"
    yield f"| suspect | {' | '.join(f'{n} sequences' for n in ASKED)} |\n|" + " --- |" * (len(ASKED) + 1)
    rng = np.random.default_rng(17)
    known = [_written(bench.zoo.model(name), ENROLLED, rng) for name in bench.foundations]
    found: dict[str, list[list[bool]]] = {}
    for parent in tqdm(bench.tested, desc="sequences", disable=None):
        for kind, name in {"unchanged": parent, **bench.derived(parent)}.items():
            said = _written(bench.zoo.model(name), max(ASKED), rng)
            nearest = [bench.foundations[int(sequences.distances(said[:n], known).argmin())] for n in ASKED]
            found.setdefault(kind, []).append([one == parent for one in nearest])
    yield from _rows(found)


def together(bench: Bench) -> Iterator[str]:
    """The parent among all foundations by one-word answers, by style, and by the sum of both, each standardised."""
    kinds = [f"{words} words, {texts} texts: {how}" for words, texts in BUDGETS for how in ("words", "style", "both")]
    yield f"\n**Parent among {len(bench.foundations)} foundations by one-word answers and by style**\n"
    yield f"| suspect | {' | '.join(kinds)} |\n|" + " --- |" * (len(kinds) + 1)
    answers = {name: ask(bench.client(name, 21), ONE_WORD, WORDS_ENROLLED) for name in bench.foundations}
    table = tallies.tabulate({name: _counts(answer) for name, answer in answers.items()})
    own = single_token.all_own_evidence(table)
    texts = {name: _texts(ask(bench.client(name, 22), OPEN, TEXTS_ENROLLED)) for name in bench.foundations}
    space = style_space.fit(texts)
    writers = style_space.gather([style_space.enroll(some, space) for some in texts.values()], space)
    found: dict[str, list[list[bool]]] = {}
    for parent in tqdm(bench.tested, desc="together", disable=None):
        for kind, name in {"unchanged": parent, **bench.derived(parent)}.items():
            right = []
            for words, many in BUDGETS:
                said = ask(bench.client(name, 23), ONE_WORD, words // len(ONE_WORD))
                met = single_token.meet(single_token.Suspect(*tallies.rows_of(table, _counts(said))), table)
                by_words = _unit(single_token.likeness(met, own))
                wrote = _texts(ask(bench.client(name, 24), OPEN, -(-many // len(OPEN))))[:many]
                by_style = _unit(style_space.log_ratio(style_space.enroll(wrote, space), writers, space))
                nearest = [int(scores.argmax()) for scores in (by_words, by_style, by_words + by_style)]
                right += [bench.foundations[one] == parent for one in nearest]
            found.setdefault(kind, []).append(right)
    yield from _rows(found)


def _written(model: Model, n: int, rng: np.random.Generator) -> list[str]:
    """So many sequences of 0 and 1, under each pair of symbols in turn."""
    out = []
    for pair in SYMBOLS:
        ids = torch.tensor([model.tokenizer.encode(symbol)[0] for symbol in pair])
        asked = template(model.tokenizer, "", f"Write random {pair[0]} and {pair[1]}.")
        said = torch.tensor([asked] * -(-n // len(SYMBOLS)))
        bits = []
        for _ in range(LENGTH):
            with torch.inference_mode():
                odds = model.network(said[:, -model.network.size.context :])[:, -1, ids].softmax(1)[:, 1].numpy()
            ones = rng.random(len(said)) < odds
            bits.append(ones)
            said = torch.cat([said, ids[torch.tensor(ones, dtype=torch.long)][:, None]], 1)
        out.append(["".join(map(str, row)) for row in np.array(bits, int).T])

    return [sequence for row in zip(*out, strict=True) for sequence in row][:n]


def _counts(transcript: Transcript) -> Counts:
    """First words, as they are written."""
    out: dict[str, dict[str, int]] = {}
    for cell, answers in transcript.answers.items():
        for answer in answers:
            if answer.text.split():
                word = answer.text.split()[0].strip(".,").lower()
                cell_counts = out.setdefault(cell, {})
                cell_counts[word] = cell_counts.get(word, 0) + 1
    return out


def _texts(transcript: Transcript) -> list[str]:
    """Round by round, so that a few of them are of different beginnings."""
    return [answer.text for row in zip(*transcript.answers.values(), strict=True) for answer in row]


def _unit(scores: np.ndarray) -> np.ndarray:
    return np.asarray((scores - scores.mean()) / max(float(scores.std()), 1e-9))


def _rows(found: Mapping[str, list[list[bool]]]) -> Iterator[str]:
    for kind, right in found.items():
        yield f"| {kind} | " + " | ".join(f"{value:.2f}" for value in np.mean(right, axis=0)) + " |"
    every = np.array([row for right in found.values() for row in right])
    yield "| all | " + " | ".join(share(int(column.sum()), len(column)) for column in every.T) + " |"
