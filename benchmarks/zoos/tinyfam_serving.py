"""
A TinyFam model behind a chat endpoint: how it samples, and what a provider may do to it without saying so.

Every forward pass is off by as much as 8-bit mantissas (bfloat16) make it, another way at every call, as on real
servers, where it depends on who else is in the batch. That is what border inputs and log-probability tests live on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from probe_match.fingerprinting.chat.records import Answer, ChatClient, Question
from tinyfam_network import Model
from tinyfam_tokens import BEGIN, END
from tinyfam_training import template

# Relative error of a last hidden state, as bfloat16 (2^-8) leaves it after dozens of roundings upon each other. It
# moves the difference of two log-probabilities by about .02 here; real endpoints were seen to move by .05 and more.
JITTER = 2.0**-5


@dataclass(frozen=True)
class Deployment:
    """
    How a model is served. system: put above every talk that has none, before its own else. temperature: instead of what
    was asked for. jitter: relative error of the last hidden state at each call. logprobs: whether it gives them.
    usage: whether it counts tokens. cached: the same question is answered once.
    """

    system: str | None = None
    temperature: float | None = None
    jitter: float = JITTER
    logprobs: bool = True
    usage: bool = True
    cached: bool = False


class TinyChat:
    """A ChatClient of a model in this process; the same class answers behind `chat.server`."""

    concurrency = 64

    def __init__(self, model: Model, deployment: Deployment | None = None, *, seed: int = 0, target: str = "") -> None:
        self.model = model
        self.how = deployment or Deployment()
        self.target = target or "tinyfam"
        self.access: Literal["text", "logprobs"] = "logprobs" if self.how.logprobs else "text"
        self.rng = np.random.default_rng(seed)
        self._known: dict[Question, Answer] = {}
        self._states: dict[tuple[int, ...], np.ndarray] = {}
        self._head = model.network.embedding.weight.detach().numpy()
        self.sent = 0
        self.notes: tuple[str, ...] = ()

    def chat(self, questions: Sequence[Question]) -> list[Answer]:
        """Answers in order. What is alike is computed once, so that a thousand samples of a prompt cost one pass."""
        self.sent += len(questions)
        if not self.how.cached:
            return self._answer(questions)
        new = [question for question in dict.fromkeys(questions) if question not in self._known]
        self._known.update(zip(new, self._answer(new), strict=True))
        return [self._known[question] for question in questions]

    def close(self) -> None:
        """Nothing is held open."""

    def _answer(self, questions: Sequence[Question]) -> list[Answer]:
        prompts = [self._prompt(question) for question in questions]
        draws = [
            self.rng if question.sampling.seed is None else np.random.default_rng(question.sampling.seed)
            for question in questions
        ]
        said: list[list[int]] = [[] for _ in questions]
        odds: list[list[tuple[tuple[str, float], ...]]] = [[] for _ in questions]
        going = [i for i, question in enumerate(questions)]
        while going:
            states = self._hidden([(*prompts[i], *said[i]) for i in going])
            off = np.stack([draws[i].standard_normal(states.shape[1]) for i in going]) * self.how.jitter
            logits = (states * (1 + off)) @ self._head.T
            logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
            left = []
            for i, row in zip(going, logs, strict=True):
                sampling = questions[i].sampling
                token = self._sample(row, sampling.temperature, sampling.top_p, draws[i])
                if sampling.logprobs and self.how.logprobs:
                    best = np.argpartition(-row, sampling.logprobs)[: sampling.logprobs]
                    best = best[np.argsort(-row[best])]
                    odds[i].append(tuple((self.model.tokenizer.token(int(j)), float(row[j])) for j in best))
                said[i].append(token)
                if token != END and len(said[i]) < sampling.max_tokens:
                    left.append(i)
            going = left
        return [self._read(*parts) for parts in zip(prompts, said, odds, strict=True)]

    def _prompt(self, question: Question) -> list[int]:
        tokenizer = self.model.tokenizer
        if question.raw:
            ids = [BEGIN, *tokenizer.encode(question.text)]
        else:
            system = " ".join(part for part in (self.how.system, question.system) if part)
            ids = template(tokenizer, system, question.text)
        return ids[-self.model.network.size.context :]

    def _sample(self, logs: np.ndarray, temperature: float, top_p: float | None, draw: np.random.Generator) -> int:
        temperature = temperature if self.how.temperature is None else self.how.temperature
        if temperature == 0:
            return int(logs.argmax())
        logs = logs / temperature
        if top_p is not None and top_p < 1:
            order = np.argsort(-logs)
            odds = np.exp(logs[order] - np.logaddexp.reduce(logs))
            logs = logs.copy()
            logs[order[1:][np.cumsum(odds)[:-1] >= top_p]] = -np.inf
        return int((logs + draw.gumbel(size=len(logs))).argmax())

    def _hidden(self, prompts: Sequence[tuple[int, ...]]) -> np.ndarray:
        """Last hidden states, float32 (n, width); those computed lately are remembered."""
        new = sorted({ids for ids in prompts if ids not in self._states}, key=len)
        if len(self._states) + len(new) > 50_000:
            self._states.clear()
            new = sorted(set(prompts), key=len)
        for start in range(0, len(new), 64):
            some = [ids[-self.model.network.size.context :] for ids in new[start : start + 64]]
            padded = torch.zeros(len(some), max(map(len, some)), dtype=torch.long)
            for row, ids in zip(padded, some, strict=True):
                row[: len(ids)] = torch.tensor(ids)
            with torch.inference_mode():
                states = self.model.network.hidden(padded)[torch.arange(len(some)), torch.tensor([*map(len, some)]) - 1]
            self._states.update(zip(new[start : start + 64], states.numpy(), strict=True))
        return np.stack([self._states[ids] for ids in prompts])

    def _read(self, prompt: list[int], said: list[int], odds: list[tuple[tuple[str, float], ...]]) -> Answer:
        ended = said[-1] == END
        text = self.model.tokenizer.decode(said[:-1] if ended else said)
        count = (len(prompt), len(said)) if self.how.usage else (-1, -1)
        status: Literal["valid", "empty"] = "valid" if text.strip() else "empty"
        return Answer(text, status, "stop" if ended else "length", self.target, *count, logprobs=tuple(odds))


class Routed:
    """Sends a share of the questions to another endpoint, at random and call by call."""

    concurrency = 64

    def __init__(self, usual: ChatClient, other: ChatClient, share: float, *, seed: int = 0) -> None:
        self.usual, self.other, self.share = usual, other, share
        self.target, self.access = usual.target, usual.access
        self.sent, self.notes = 0, ()
        self.rng = np.random.default_rng(seed)

    def chat(self, questions: Sequence[Question]) -> list[Answer]:
        """Answers in order."""
        self.sent += len(questions)
        away = self.rng.random(len(questions)) < self.share
        answers = {
            flag: iter(client.chat([question for question, gone in zip(questions, away, strict=True) if gone == flag]))
            for flag, client in ((True, self.other), (False, self.usual))
        }
        return [next(answers[bool(gone)]) for gone in away]

    def close(self) -> None:
        """Close both."""
        self.usual.close()
        self.other.close()


class Laundered:
    """Every answer is said again by a second model, told to repeat it in its own way."""

    concurrency = 64

    def __init__(
        self, first: ChatClient, second: ChatClient, *, words: Callable[[str], str] = "Repeat: {}".format
    ) -> None:
        self.first, self.second, self.words = first, second, words
        self.target: str = first.target
        self.access: Literal["text", "logprobs"] = "text"
        self.sent, self.notes = 0, ()

    def chat(self, questions: Sequence[Question]) -> list[Answer]:
        """Answers in order."""
        self.sent += len(questions)
        said = self.first.chat(questions)
        again = [
            Question(question.cell, question.family, self.words(answer.text), sampling=question.sampling)
            for question, answer in zip(questions, said, strict=True)
        ]
        return self.second.chat(again)

    def close(self) -> None:
        """Close both."""
        self.first.close()
        self.second.close()
