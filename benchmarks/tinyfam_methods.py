"""Methods that look at more than first words: decisions against the crowd, equal long answers, the space of logits."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from probe_match.fingerprinting.chat import border, decisions, exact_match, logit_geometry
from probe_match.fingerprinting.chat.records import Question, Sampling
from tinyfam_bench import Bench, ask, share
from tinyfam_descent import BEGINNINGS, QUESTIONS
from tqdm import tqdm

CHOICES: Final = 100  # prompts whose greedy first token is a decision
VECTORS: Final = 90  # of logits that enrol a layer; TinyFam is 64 wide
STORIES: Final = tuple(f"{begin} {more}" for begin in BEGINNINGS for more in ("", "a", "the old", "then"))


def choices(bench: Bench) -> Iterator[str]:
    """The parent among all foundations by greedy first tokens alone."""
    stream = border.candidates(np.random.default_rng(11))
    prompts = [*(next(stream) for _ in range(CHOICES)), *QUESTIONS]
    questions = [Question(f"choice/{text}", "choice", text, sampling=Sampling(0.0, 1)) for text in prompts]
    names = [*bench.foundations, *(name for parent in bench.tested for name in bench.derived(parent).values())]
    said = [ask(bench.client(name, 5), questions, 1) for name in tqdm(names, desc="choices", disable=None)]
    picked = np.empty((len(names), len(questions)), int)
    for q, question in enumerate(questions):
        texts = [transcript.answers[question.cell][0].text for transcript in said]
        picked[:, q] = np.unique(texts, return_inverse=True)[1]
    crowd = decisions.kinship(decisions.residuals(picked, int(picked.max()) + 1))
    plain = (picked[:, None] == picked[None]).mean(2)
    among = f"Parent among {len(bench.foundations)} foundations by {len(questions)} greedy first tokens"
    yield f"\n**{among}**, text alone\n"
    yield "| derivative | against the crowd | plain agreement |\n| --- | --- | --- |"
    right: dict[str, list[tuple[bool, bool]]] = {}
    for parent in bench.tested:
        for kind, name in bench.derived(parent).items():
            row = names.index(name)
            best = [bench.foundations[int(scores[row, : len(bench.foundations)].argmax())] for scores in (crowd, plain)]
            right.setdefault(kind, []).append((best[0] == parent, best[1] == parent))
    for kind, found in right.items():
        yield f"| {kind} | " + " | ".join(f"{value:.2f}" for value in np.mean(found, axis=0)) + " |"
    every = np.array([pair for found in right.values() for pair in found])
    yield "| all | " + " | ".join(share(int(column.sum()), len(column)) for column in every.T) + " |"


def equal(bench: Bench) -> Iterator[str]:
    """Long greedy answers that a derivative and its parent, or two strangers, give word for word."""
    sampling = Sampling(0.0, 64)
    questions = [Question(f"story/{text}", "open", text, raw=True, sampling=sampling) for text in STORIES]

    def told(name: str, seed: int) -> dict[str, str]:
        spoken = ask(bench.client(name, seed), questions, 1)
        return {cell: some[0].text for cell, some in spoken.answers.items()}

    known = {name: told(name, 5) for name in tqdm(bench.foundations, desc="equal", disable=None)}
    found: dict[str, list[exact_match.Matches]] = {}
    for parent in tqdm(bench.tested, desc="equal", disable=None):
        others = [known[name] for name in bench.foundations if name != parent]
        suspects = {"unchanged": parent, **bench.derived(parent)}
        for kind, name in suspects.items():
            found.setdefault(kind, []).append(exact_match.count_equal(told(name, 6), known[parent], others))
        for other in others:
            rest = [one for one in others if one is not other]
            found.setdefault("another foundation", []).append(exact_match.count_equal(other, known[parent], rest))
    yield f"\n**Equal long answers** to {len(questions)} beginnings at temperature 0, 64 tokens each\n"
    yield "| suspect | compared | equal | p <= .01 |\n| --- | --- | --- | --- |"
    for kind, matches in found.items():
        compared, same = (sum(getattr(m, field) for m in matches) for field in ("compared", "equal"))
        named = sum(match.p <= 0.01 for match in matches)
        yield f"| {kind} | {compared} | {same / max(compared, 1):.3f} | {share(named, len(matches))} |"


def geometry(bench: Bench) -> Iterator[str]:
    """Whether logits lie in the space of a foundation's, by what was done to the model."""
    rng = np.random.default_rng(13)

    def logits(name: str, n: int) -> np.ndarray:
        network = bench.zoo.model(name).network
        ids = torch.tensor(rng.integers(3, network.embedding.num_embeddings, (n, 12)))
        with torch.no_grad():
            return np.asarray(network(ids)[:, -1].numpy())

    yield f"\n**Space of full logits**: {VECTORS} vectors enrol a foundation, 10 of a suspect are tested\n"
    yield "| suspect | residual, median | same layer |\n| --- | --- | --- |"
    found: dict[str, list[tuple[float, bool]]] = {}
    for parent in tqdm(bench.tested, desc="geometry", disable=None):
        image = logit_geometry.enroll(logits(parent, VECTORS))
        suspects = [("unchanged", parent), *bench.derived(parent).items()]
        suspects += [("another foundation", n) for n in bench.foundations if n != parent and n[:4] == parent[:4]]
        for kind, name in suspects:
            vectors = logits(name, 10)
            outside = float(np.median(logit_geometry.residual(vectors, image)))
            found.setdefault(kind, []).append((outside, logit_geometry.same_layer(vectors, image)))
    for kind, values in found.items():
        same = share(sum(value for _, value in values), len(values))
        yield f"| {kind} | {np.median([value for value, _ in values]):.1e} | {same} |"
