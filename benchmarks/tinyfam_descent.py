"""Whose derivative a model is, and how soon another model is noticed, by one-token questions."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from probe_match.fingerprinting.chat import border, counting, identity, one_token
from probe_match.fingerprinting.chat.records import Question, Sampling, Transcript
from tinyfam_bench import Bench, ask, share
from tqdm import tqdm


def lineage(bench: Bench) -> Iterator[str]:
    """The parent among all foundations."""
    rng = np.random.default_rng(7)
    stream = border.candidates(rng)
    prompts = [next(stream) for _ in range(50)]
    odds = Sampling(temperature=0.0, max_tokens=1, logprobs=20)
    logs = [Question(f"logprob/{text}", "logprob", text, sampling=odds) for text in prompts]
    yield "\n**Parent among eight foundations**, by number of one-token questions with log-probabilities\n"
    yield "| derivative | 10 | 25 | 50 | 50, text only |\n| --- | --- | --- | --- | --- |"
    answers = {name: ask(bench.client(name, 5), logs, 1) for name in bench.foundations}
    right: dict[str, dict[str, list[float]]] = {}
    for parent in tqdm(bench.tested, desc="lineage", disable=None):
        for kind, name in bench.derived(parent).items():
            given = ask(bench.client(name, 6), logs, 1)
            for size in (10, 25, 50):
                some = {f"logprob/{text}" for text in prompts[:size]}
                best = identity.parents(_only(given, some), {n: _only(a, some) for n, a in answers.items()})[0][0]
                right.setdefault(kind, {}).setdefault(str(size), []).append(float(best == parent))
            same = {
                n: np.mean([t.earlier @ t.new for t in counting.tables(a, given).values()]) for n, a in answers.items()
            }
            right[kind].setdefault("text", []).append(float(max(same, key=lambda n: same[n]) == parent))
    for kind, columns in right.items():
        yield f"| {kind} | " + " | ".join(f"{np.mean(values):.2f}" for values in columns.values()) + " |"
    totals = {
        column: [v for columns in right.values() for v in columns[column]] for column in ("10", "25", "50", "text")
    }
    yield "| all | " + " | ".join(share(sum(v), len(v)) for v in totals.values()) + " |"


def _only(transcript: Transcript, cells: set[str]) -> Transcript:
    return replace(transcript, answers={cell: a for cell, a in transcript.answers.items() if cell in cells})


def swap(bench: Bench) -> Iterator[str]:
    """One-token questions until a swapped model is found."""
    yield "\n**Full swap: one-token questions until e >= 100**, pairs of foundations, text only\n"
    took: dict[str, list[float]] = {"all": [], "same tokenizer and texts": []}
    false, runs = 0, 0
    for parent in tqdm(bench.tested, desc="swap", disable=None):
        usual = bench.client(parent, 1)
        found = border.search(usual, prompts=150, enough=1000, seed=bench.start)
        questions = [border.question(text, f"steady/{text}") for text in found.steady[:24]]
        base = ask(usual, questions, 10)
        for other in [parent] * 10 + [name for name in bench.foundations if name != parent]:
            for repeat in range(3):
                monitor = one_token.Monitor(base, seed=repeat)
                order = np.random.default_rng(repeat).permutation(len(questions))
                client = bench.client(other, 50 + repeat + runs)
                needed = np.inf
                for number in range(200):
                    question = questions[order[number % len(order)]]
                    monitor.add(question.cell, client.chat([question])[0])
                    if monitor.evidence >= np.log(100):
                        needed = number + 1
                        break
                if other == parent:
                    runs, false = runs + 1, false + bool(np.isfinite(needed))
                    continue
                took["all"].append(needed)
                if other[:-1] == parent[:-1]:
                    took["same tokenizer and texts"].append(needed)
    yield "| pairs | swaps | median | 90 % | found within 20 |\n| --- | --- | --- | --- | --- |"
    for name, values in took.items():
        within = sum(value <= 20 for value in values)
        yield (
            f"| {name} | {len(values)} | {np.median(values):g} | {np.quantile(values, 0.9, method='higher'):g} | "
            f"{share(within, len(values))} |"
        )
    yield f"\nAlarms over 200 questions without a swap: {share(false, runs)} of {runs} runs."
