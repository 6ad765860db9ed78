"""What a watch says of endpoints that changed and of those that did not, looked at after every round."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from probe_match.fingerprinting.chat import changing, sentinels
from probe_match.fingerprinting.chat.records import Answer, Bank, ChatClient, Question, Transcript
from tinyfam_bench import Bench, share
from tinyfam_serving import Deployment, Laundered, Routed, TinyChat
from tinyfam_text import SYSTEMS
from tqdm import tqdm


def stream(
    before: ChatClient,
    after: ChatClient,
    *,
    rounds: int,
    switch: int,
    logprobs: bool,
    seed: int,
    turn: Callable[[], None] = lambda: None,
) -> tuple[int | None, str]:
    """
    A watch in memory, looked at after every round: the round of its alarm and what it then says, "unchanged" if none.

    switch: the round from which `after` answers. turn: called before every round.
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
        turn()
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
        "system prompt, no token counts": [
            (Deployment(usage=False), Deployment(usage=False, system=text)) for text in SYSTEMS
        ],
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
    yield f"\nAccused in all: {share(accused_in_all, runs_in_all)} of {runs_in_all} runs."


def replicas(bench: Bench) -> Iterator[str]:
    """What breaks the assumption: looks that meet replicas of other arithmetic, all calls of one look the same one."""
    yield "\n**Replicas that take turns by the look** (weights as they are, and rounded to 8 bits), 24 looks\n"
    yield "| access | runs | any alarm | verdicts |\n| --- | --- | --- | --- |"
    for access in ("text", "logprobs"):
        how, said = Deployment(logprobs=access == "logprobs"), []
        for parent in tqdm(bench.tested, desc=f"replicas, {access}", disable=None):
            for seed in range(3):
                usual = bench.client(parent, seed, how)
                turns = _Turns(usual, bench.client(bench.derived(parent)["int8"], seed, how), seed)
                said.append(
                    stream(
                        turns, turns, rounds=24, switch=99, logprobs=access == "logprobs", seed=seed, turn=turns.turn
                    )[1]
                )
        counts = ", ".join(f"{said.count(word)} {word}" for word in dict.fromkeys(said))
        yield f"| {access} | {len(said)} | {sum(word != 'unchanged' for word in said)} | {counts} |"


class _Turns:
    """One of two endpoints, another draw at every turn."""

    concurrency = 64

    def __init__(self, one: TinyChat, two: TinyChat, seed: int) -> None:
        self.both, self.rng, self.now = (one, two), np.random.default_rng(seed), one
        self.target, self.access, self.sent, self.notes = one.target, one.access, 0, ()

    def turn(self) -> None:
        """Choose who answers from now on."""
        self.now = self.both[int(self.rng.integers(2))]

    def chat(self, questions: Sequence[Question]) -> list[Answer]:
        """What the one whose turn it is answers."""
        return self.now.chat(questions)

    def close(self) -> None:
        """Nothing is held open."""


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
