"""A family of very small language models, trained in seconds, for tests of what happens to endpoints."""

import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from probe_match.fingerprinting.chat.records import Answer, ChatClient, Question
from probe_match.fingerprinting.errors import TargetError

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "zoos"))
import tinyfam_changes as changes
import tinyfam_training as training
from tinyfam_network import Model, Size
from tinyfam_serving import Deployment, TinyChat
from tinyfam_text import Author
from tinyfam_tokens import Tokenizer, learn

torch.set_num_threads(1)  # such small models are slower on many, and the same weights come out everywhere


@lru_cache
def tokenizer(merges: int = 64) -> Tokenizer:
    author = Author("tales", 0)
    return learn([author.prose() for _ in range(100)] + [author.talk().user for _ in range(200)], merges)


@lru_cache
def foundation(seed: int = 0, merges: int = 64) -> Model:
    """A model of one layer, two seconds of training; another seed or tokenizer is another model."""
    words = tokenizer(merges)
    stream = training.tokens(Author("tales", 1), words, 300)
    return training.foundation(words, stream, Size(len(words), layers=1, width=32, heads=2), seed, steps=200)


@lru_cache
def tuned(steps: int = 32) -> Model:
    """The first foundation, fine-tuned on another author's texts."""
    stream = training.tokens(Author("tales", 2, taste=1), tokenizer(), 100)
    return training.tuned(foundation(), stream, [steps], 3)[steps]


@lru_cache
def shaken() -> Model:
    """The first foundation with a little noise on its weights."""
    return changes.changed(foundation(), changes.shaken(0.05, 1))


class Swappable:
    """An endpoint whose model can be changed under its address, and that can go down after a number of questions."""

    concurrency = 8

    def __init__(self, client: TinyChat) -> None:
        self.now: ChatClient = client
        self.target, self.access = "tiny:endpoint", client.access
        self.sent, self.notes = 0, ()
        self.left = 10**9

    def chat(self, questions: Sequence[Question]) -> list[Answer]:
        """What the model behind it answers."""
        self.left -= len(questions)
        if self.left < 0:
            raise TargetError("expected an answer, got none; the endpoint is down")
        self.sent += len(questions)
        return self.now.chat(questions)

    def close(self) -> None:
        """Close the model behind it."""
        self.now.close()


def endpoint(how: Deployment | None = None, seed: int = 1) -> Swappable:
    """The first foundation behind an address."""
    return Swappable(TinyChat(foundation(), how, seed=seed))
