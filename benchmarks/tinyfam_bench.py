"""What the parts of TinyFam's figures share: the families of one start, endpoints of them, and intervals."""

import sys
from pathlib import Path

import numpy as np
from probe_match.fingerprinting.bench.measures import wilson
from probe_match.fingerprinting.chat.records import ChatClient, Question, Transcript

sys.path.insert(0, str(Path(__file__).parent / "zoos"))
from tinyfam import DEFAULT_OUTPUT, Recipe, Zoo
from tinyfam_serving import Deployment, TinyChat

__all__ = ["DEFAULT_OUTPUT", "Bench", "ask", "auc", "interval", "share"]


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

    def __init__(self, folder: Path, start: int, *, small: bool = False) -> None:
        self.zoo = Zoo(folder, Recipe(small=small))
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


def share(count: float, of: int) -> str:
    """A share in bold with its Wilson interval."""
    found = wilson(int(count), of)
    return f"**{count / of:.3f}** ({found.low:.3f}–{found.high:.3f})"
