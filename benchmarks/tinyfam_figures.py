"""
How well changes of a language model are found, on TinyFam: tables in Markdown, with intervals.

    python benchmarks/zoos/tinyfam.py                                   # once
    python benchmarks/tinyfam_figures.py [--start 1] [--zoo DIR] [--part change …] [--output FILE]

Constants were chosen on the families of start 0 (--start 0); figures are those of start 1. Intervals are 95 %
bootstraps over pairs of family and kind of change, or Wilson's where something is counted.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from probe_match.fingerprinting.bench.measures import wilson
from probe_match.fingerprinting.chat import (
    border,
    changing,
    counting,
    identity,
    logprob_test,
    mmd,
    one_token,
    sentinels,
)
from probe_match.fingerprinting.chat.records import Bank, ChatClient, Question, Sampling, Transcript
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent / "zoos"))
from tinyfam import DEFAULT_OUTPUT, Recipe, Zoo
from tinyfam_serving import Deployment, Laundered, Routed, TinyChat
from tinyfam_text import SYSTEMS

REPEATS: Final = 4  # of every change and of no change, each with a baseline of its own
NOISES: Final = (2.0**-5, 2.0**-8)


def ask(client: ChatClient, questions: list[Question], times: int) -> Transcript:
    """Each question some times."""
    answers = client.chat([question for question in questions for _ in range(times)])
    cells = {question.cell: tuple(answers[times * i : times * (i + 1)]) for i, question in enumerate(questions)}
    return Transcript(client.target, cells)


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Share of pairs in which the positive scores higher; ties count half."""
    difference = positive[:, None] - negative
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def interval(values: list[float]) -> tuple[float, float]:
    """95 % bootstrap interval of a mean."""
    draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    return float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975))


class Bench:
    """The zoo, and the families of one start."""

    def __init__(self, folder: Path, start: int) -> None:
        self.zoo = Zoo(folder, Recipe())
        self.start = start
        lines = self.zoo.lines.values()
        self.foundations = [line.name for line in lines if line.parent is None]
        self.tested = [line.name for line in lines if line.parent is None and line.start == start]

    def client(self, name: str, seed: int, how: Deployment | None = None) -> TinyChat:
        """A model behind an endpoint of its own."""
        return TinyChat(self.zoo.model(name), how, seed=seed, target=name)

    def derived(self, parent: str) -> dict[str, str]:
        """Kind -> name."""
        return {line.kind: line.name for line in self.zoo.lines.values() if line.parent == parent}


def change(bench: Bench) -> Iterator[str]:
    """AUC of change detection at equal cost, by kind of change."""
    for noise in NOISES:
        how = Deployment(jitter=noise)
        by_kind: dict[str, dict[str, list[float]]] = {}
        found = []
        for parent in tqdm(bench.tested, desc=f"change, noise {noise:.4f}", disable=None):
            chosen = border.search(bench.client(parent, 1, how), prompts=2000, enough=20, seed=bench.start)
            found.append((len(chosen.border), chosen.asked))
            arms = _arms(chosen)
            kinds = {"same": parent, **bench.derived(parent)}
            scores: dict[str, dict[str, list[float]]] = {arm: {kind: [] for kind in kinds} for arm in arms}
            for repeat in range(REPEATS):
                before = {arm: one[0](bench.client(parent, 100 + repeat, how)) for arm, one in arms.items()}
                for kind, name in kinds.items():
                    # What did not change is what all else is held against: asked more often.
                    for again in range(3 if kind == "same" else 1):
                        seed = 1000 + 10 * repeat + again
                        for arm, (_, after, score) in arms.items():
                            given = after(bench.client(name, seed, how))
                            scores[arm][kind].append(score(before[arm], given, np.random.default_rng(seed)))
            for arm, kinds_scores in scores.items():
                honest = np.array(kinds_scores.pop("same"))
                for kind, values in kinds_scores.items():
                    by_kind.setdefault(kind, {}).setdefault(arm, []).append(auc(np.array(values), honest))
        names = list(next(iter(by_kind.values())))
        yield f"\n**AUC of change, noise {noise:.4f}** (border inputs and calls of the search, by family: {found})\n"
        yield "| change | " + " | ".join(names) + " |\n|" + " --- |" * (len(names) + 1)
        for kind, arms_values in by_kind.items():
            yield f"| {kind} | " + " | ".join(f"{np.mean(arms_values[arm]):.3f}" for arm in names) + " |"
        whole = {arm: [value for some in by_kind.values() for value in some[arm]] for arm in names}
        cells = (f"**{np.mean(v):.3f}** ({interval(v)[0]:.3f}–{interval(v)[1]:.3f})" for v in whole.values())
        yield "| all | " + " | ".join(cells) + " |"


Arm = tuple[
    Callable[[ChatClient], Transcript],
    Callable[[ChatClient], Transcript],
    Callable[[Transcript, Transcript, np.random.Generator], float],
]


def _arms(chosen: border.Found) -> dict[str, Arm]:
    """What is asked before, what after, and the score. Costs are output tokens of one look."""
    edge = [border.question(text) for text in chosen.border]
    steady = [border.question(text, f"steady/{text}") for text in chosen.steady]
    odds = Sampling(temperature=0.0, max_tokens=1, logprobs=20)
    logs = [
        Question(f"logprob/{text}", "logprob", text, sampling=odds) for text in ["x", *chosen.border, *chosen.steady]
    ]
    texts = [Question(f"text/{text}", "text", text, sampling=Sampling(max_tokens=20)) for text in chosen.steady[:5]]

    def tv(old: Transcript, new: Transcript, _: np.random.Generator) -> float:
        return float(np.mean([counting.tv_distance(*table) for table in counting.tables(old, new).values()] or [0.0]))

    def ratio(old: Transcript, new: Transcript, rng: np.random.Generator) -> float:
        # In spreads of its own relabelings: baselines differ in how noisy they are.
        cells = list(counting.tables(old, new).values())
        dealt = np.sum([counting.log_ratio(*counting.relabelled(cell, rng, 999)) for cell in cells], axis=0)
        return float((sum(counting.log_ratio(*cell) for cell in cells) - dealt.mean()) / (dealt.std() + 1e-9))

    def lt(statistic: str) -> Callable[[Transcript, Transcript, np.random.Generator], float]:
        return lambda old, new, rng: logprob_test.distance(old, new, statistic=statistic)

    def met(old: Transcript, new: Transcript, rng: np.random.Generator) -> float:
        return -(mmd.round_p(old, new, rng, relabelings=199, length=60) or 1.0)

    def mixed(border_calls: int, steady_calls: int) -> Callable[[ChatClient], Transcript]:
        return lambda client: sentinels.joined(
            ask(client, edge[:EDGES], border_calls), ask(client, steady[:STEADY], steady_calls)
        )

    return {
        "B3IT, 15 tokens": (lambda c: ask(c, edge[:5], 50), lambda c: ask(c, edge[:5], 3), tv),
        "ours, 15 tokens": (mixed(34, 10), mixed(2, 1), ratio),
        "B3IT, 50 tokens": (lambda c: ask(c, edge[:5], 50), lambda c: ask(c, edge[:5], 10), tv),
        "MET, 500 tokens": (lambda c: ask(c, texts, 10), lambda c: ask(c, texts, 5), met),
        "LT, 10 calls": (lambda c: ask(c, logs[:1], 10), lambda c: ask(c, logs[:1], 10), lt("plain")),
        "ours, 10 calls": (lambda c: ask(c, logs[:5], 2), lambda c: ask(c, logs[:5], 2), lt("scaled")),
    }


EDGES: Final = 4  # border inputs and steady prompts of our 15 tokens, chosen on start 0
STEADY: Final = 7


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
    yield "| all | " + " | ".join(_share(sum(v), len(v)) for v in totals.values()) + " |"


def _only(transcript: Transcript, cells: set[str]) -> Transcript:
    return replace(transcript, answers={cell: a for cell, a in transcript.answers.items() if cell in cells})


def _share(count: float, of: int) -> str:
    found = wilson(int(count), of)
    return f"**{count / of:.3f}** ({found.low:.3f}–{found.high:.3f})"


def stream(
    before: ChatClient, after: ChatClient, *, rounds: int, switch: int, logprobs: bool, seed: int
) -> tuple[int | None, str]:
    """
    A watch in memory, looked at after every round: the round of its alarm and what it then says, "unchanged" if none.

    switch: the round from which `after` answers.
    """
    plan = sentinels.Plan(baseline=10)
    bank, _ = sentinels.choose(before, plan, seed=seed)
    if not logprobs:
        bank = Bank("sentinels", tuple(question for question in bank.questions if question.family != "logprob"))

    def answered(client: ChatClient, count: int) -> Transcript:
        return sentinels.transcript(client.target, bank, sentinels.ask(client, sentinels.order(bank, plan, count)))

    base = answered(before, plan.baseline)
    past, p_values = [base], []
    for number in range(1, rounds + 1):
        client = after if number >= switch else before
        new = answered(client, 1)
        if changing.injected(base, new):
            return number, "configuration"
        p_values.append(changing.round_p(past, new, seed=seed + number))
        past = [sentinels.joined(*past, new)]
        if changing.evidence(p_values, 0.01)[2]:
            return number, changing.diagnose(base, answered(client, plan.baseline), seed=seed)[0]
    return None, "unchanged"


def honest(bench: Bench) -> Iterator[str]:
    """How often endpoints whose weights never change are accused under a look after every round."""
    yield "\n**Accusations of endpoints with unchanged weights**, alpha 1 %, a look after every round\n"
    yield "| what happens | access | runs | rounds | any alarm | accused | verdicts |\n|" + " --- |" * 7
    cases: dict[str, list[tuple[Deployment, Deployment]]] = {
        "nothing, noise 2^-5": [(Deployment(), Deployment())] * 6,
        "nothing, noise 2^-8": [(Deployment(jitter=2.0**-8), Deployment(jitter=2.0**-8))] * 6,
        "nothing, no noise": [(Deployment(jitter=0.0), Deployment(jitter=0.0))] * 3,
        "system prompt": [(Deployment(), Deployment(system=text)) for text in SYSTEMS] * 2,
        "temperature": [(Deployment(), Deployment(temperature=t)) for t in (0.0, 0.3, 0.7, 1.2)] * 3,
        "temperature, other way": [(Deployment(temperature=t), Deployment()) for t in (0.3, 0.7, 1.2)] * 2,
        "caching": [(Deployment(), Deployment(cached=True))] * 4,
    }
    accused_in_all = runs_in_all = 0
    for access in ("text", "logprobs"):
        for case, deployments in tqdm(cases.items(), desc=f"honest, {access}", disable=None):
            rounds = 24 if case.startswith("nothing") else 12
            said = []
            for parent in bench.tested:
                for number, (one, two) in enumerate(deployments):
                    give = access == "logprobs"
                    one, two = (replace(d, logprobs=give) for d in (one, two))
                    a, b = bench.client(parent, 10 * number + 1, one), bench.client(parent, 10 * number + 2, two)
                    switch = 3 if not case.startswith("nothing") else rounds + 1
                    said.append(stream(a, b, rounds=rounds, switch=switch, logprobs=give, seed=1000 * number)[1])
            accused = sum(decision in ("modified", "another model") for decision in said)
            accused_in_all, runs_in_all = accused_in_all + accused, runs_in_all + len(said)
            alarms = sum(decision != "unchanged" for decision in said)
            counts = ", ".join(f"{said.count(word)} {word}" for word in dict.fromkeys(said))
            yield f"| {case} | {access} | {len(said)} | {rounds} | {alarms} | {accused} | {counts} |"
    yield f"\nAccused in all: {_share(accused_in_all, runs_in_all)} of {runs_in_all} runs."


def watched(bench: Bench) -> Iterator[str]:
    """Rounds until an alarm, and what it is called, for changes and disguises."""
    yield "\n**Rounds until the alarm** (median; – where fewer than half are found in 12 rounds) and its verdicts\n"
    yield "| change at round 3 | text | verdicts | log-probabilities | verdicts |\n| --- | --- | --- | --- | --- |"
    kinds = [*bench.derived(bench.tested[0]), "other model", "30 % routed away", "10 % routed away", "laundered"]
    for kind in tqdm(kinds, desc="watched", disable=None):
        cells = []
        for access in ("text", "logprobs"):
            how = Deployment(logprobs=access == "logprobs")
            took, said = [], []
            for i, parent in enumerate(bench.tested):
                other = bench.client(bench.tested[i - 1], 4, how)
                now: ChatClient = bench.client(parent, 3, how)
                if "routed" in kind:
                    now = Routed(now, other, float(kind.split()[0]) / 100, seed=5)
                elif kind == "laundered":
                    now = Laundered(now, other)
                else:
                    now = other if kind == "other model" else bench.client(bench.derived(parent)[kind], 3, how)
                alarm, decision = stream(
                    bench.client(parent, 2, how), now, rounds=14, switch=3, logprobs=access == "logprobs", seed=9
                )
                took.append(np.inf if alarm is None else alarm - 2)
                said.append(decision)
            middle = float(np.median(took))
            counts = ", ".join(f"{said.count(word)} {word}" for word in dict.fromkeys(said))
            cells += [f"{middle:g}" if np.isfinite(middle) else "–", counts]
        yield f"| {kind} | " + " | ".join(cells) + " |"


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
            f"{_share(within, len(values))} |"
        )
    yield f"\nAlarms over 200 questions without a swap: {_share(false, runs)} of {runs} runs."


PARTS: Final[dict[str, Callable[[Bench], Iterator[str]]]] = {
    "change": change, "lineage": lineage, "swap": swap, "honest": honest, "watched": watched
}  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Figures of change detection on TinyFam.")
    parser.add_argument("--zoo", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--start", type=int, default=1, help="families whose figures these are; 0 chose the constants")
    parser.add_argument("--part", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(given.zoo, given.start)
    lines = []
    for part in given.part:
        for line in PARTS[part](bench):
            print(line, flush=True)
            lines.append(line)
    if given.output:
        given.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
