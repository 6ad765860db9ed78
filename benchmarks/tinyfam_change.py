"""How well changes of weights are found in one look, beside the published tests, at equal cost in output tokens."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from probe_match.fingerprinting.chat import border, counting, logprob_test, mmd
from probe_match.fingerprinting.chat.records import ChatClient, Question, Sampling, Transcript
from tinyfam_bench import Bench, ask, auc, interval
from tinyfam_serving import Deployment
from tqdm import tqdm

REPEATS: Final = 4  # of every change and of no change, each with a baseline of its own
NOISES: Final = (2.0**-5, 2.0**-8)
EDGES: Final = 3  # border inputs of our 15 tokens, five calls each; chosen on start 0


def change(bench: Bench) -> Iterator[str]:
    """AUC of change detection at equal cost, by kind of change."""
    pooled: dict[str, list[float]] = {}
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
        yield "| all | " + " | ".join(_mean(values) for values in whole.values()) + " |"
        for arm, values in whole.items():
            pooled.setdefault(arm, []).extend(values)
    yield "\n| both noises | " + " | ".join(pooled) + " |\n|" + " --- |" * (len(pooled) + 1)
    yield "| all | " + " | ".join(_mean(values) for values in pooled.values()) + " |"


def _mean(values: list[float]) -> str:
    low, high = interval(values)
    return f"**{np.mean(values):.3f}** ({low:.3f}–{high:.3f})"


Arm = tuple[
    Callable[[ChatClient], Transcript],
    Callable[[ChatClient], Transcript],
    Callable[[Transcript, Transcript, np.random.Generator], float],
]


def _arms(chosen: border.Found) -> dict[str, Arm]:
    """What is asked before, what after, and the score. Costs are output tokens of one look."""
    edge = [border.question(text) for text in chosen.border]
    odds = Sampling(temperature=0.0, max_tokens=1, logprobs=20)
    logs = [Question("logprob/x", "logprob", "x", sampling=odds)]
    texts = [Question(f"text/{text}", "text", text, sampling=Sampling(max_tokens=20)) for text in chosen.steady[:5]]

    def tv(old: Transcript, new: Transcript, _: np.random.Generator) -> float:
        return float(np.mean([counting.tv_distance(*table) for table in counting.tables(old, new).values()] or [0.0]))

    def ratio(old: Transcript, new: Transcript, _: np.random.Generator) -> float:
        return float(sum(counting.log_ratio(*table) for table in counting.tables(old, new).values()))

    def lt(statistic: str) -> Callable[[Transcript, Transcript, np.random.Generator], float]:
        return lambda old, new, rng: logprob_test.distance(old, new, statistic=statistic)

    def met(old: Transcript, new: Transcript, rng: np.random.Generator) -> float:
        return -(mmd.round_p(old, new, rng, relabelings=199, length=60) or 1.0)

    return {
        "B3IT, 15 tokens": (lambda c: ask(c, edge[:5], 50), lambda c: ask(c, edge[:5], 3), tv),
        "ours, 15 tokens": (lambda c: ask(c, edge[:EDGES], 250 // EDGES), lambda c: ask(c, edge[:EDGES], 5), ratio),
        "B3IT, 50 tokens": (lambda c: ask(c, edge[:5], 50), lambda c: ask(c, edge[:5], 10), tv),
        "MET, 500 tokens": (lambda c: ask(c, texts, 10), lambda c: ask(c, texts, 5), met),
        "LT, 10 calls after 10": (lambda c: ask(c, logs, 10), lambda c: ask(c, logs, 10), lt("plain")),
        "ours, 10 calls after 10": (lambda c: ask(c, logs, 10), lambda c: ask(c, logs, 10), lt("whitened")),
        "LT, 10 calls after 100": (lambda c: ask(c, logs, 100), lambda c: ask(c, logs, 10), lt("plain")),
        "ours, 10 calls after 100": (lambda c: ask(c, logs, 100), lambda c: ask(c, logs, 10), lt("whitened")),
    }
