"""Whose derivative a model is, and how soon another model is noticed, by one-token questions."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from probe_match.fingerprinting.chat import border, counting, identity, one_token
from probe_match.fingerprinting.chat.records import Question, Sampling, Transcript
from tinyfam_bench import Bench, ask, share
from tqdm import tqdm

# What people write: what a student learnt from its teacher shows there, and not in made-up words.
QUESTIONS: Final = (
    "Name an animal.", "Pick a number between 1 and 10.", "Which is better, tea or soup?", "Tell me a story.",
    "What is your favourite colour?", "Say a word.", "Where would you like to travel?", "What is 2 plus 2?",
    "Choose a letter.", "Tell me about Paris.", "Flip a coin.", "Name a person.", "What do you eat?",
)  # fmt: skip
BEGINNINGS: Final = (
    "The", "The old", "Anna", "In Paris", "2 plus 2 is", "red, blue,", "Sold to", "def f(x):", "I like", "One day",
    "A cat", '"Hello," said', "There",
)  # fmt: skip


def lineage(bench: Bench) -> Iterator[str]:
    """The parent among all foundations."""
    stream = border.candidates(np.random.default_rng(7))
    made_up = [next(stream) for _ in range(50)]
    odds = Sampling(temperature=0.0, max_tokens=1, logprobs=20)
    questions = [Question(f"made-up/{text}", "odds", text, sampling=odds) for text in made_up]
    questions += [Question(f"natural/{text}", "odds", text, sampling=odds) for text in QUESTIONS]
    questions += [Question(f"natural/{text}", "odds", text, sampling=odds, raw=True) for text in BEGINNINGS]
    cells = [question.cell for question in questions]
    sets = {"made-up 10": cells[:10], "made-up 25": cells[:25], "made-up 50": cells[:50], "natural 26": cells[50:]}
    yield "\n**Parent among eight foundations**, by one-token prompts; the last column by text alone\n"
    yield f"| derivative | {' | '.join(sets)} | all 76, text |\n|" + " --- |" * (len(sets) + 2)
    answers = {name: ask(bench.client(name, 5), questions, 1) for name in bench.foundations}
    right: dict[str, dict[str, list[float]]] = {}
    for parent in tqdm(bench.tested, desc="lineage", disable=None):
        for kind, name in bench.derived(parent).items():
            given = ask(bench.client(name, 6), questions, 1)
            columns = right.setdefault(kind, {})
            for label, some in sets.items():
                known = {foundation: _only(answer, set(some)) for foundation, answer in answers.items()}
                best = identity.parents(_only(given, set(some)), known)[0][0]
                columns.setdefault(label, []).append(float(best == parent))
            same = {
                n: np.mean([t.earlier @ t.new for t in counting.tables(a, given).values()]) for n, a in answers.items()
            }
            columns.setdefault("text", []).append(float(max(same, key=lambda n: same[n]) == parent))
    for kind, columns in right.items():
        yield f"| {kind} | " + " | ".join(f"{np.mean(values):.2f}" for values in columns.values()) + " |"
    totals = [[v for columns in right.values() for v in columns[label]] for label in (*sets, "text")]
    yield "| all | " + " | ".join(share(sum(v), len(v)) for v in totals) + " |"


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
