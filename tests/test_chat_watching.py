"""Watching an endpoint: what is chosen, what is noted, what is said, and what a killed run leaves behind."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tiny
from probe_match.fingerprinting.chat import (
    border,
    changing,
    history,
    identity,
    sentinels,
    sequential,
    watching,
)
from probe_match.fingerprinting.chat.records import Answer, ChatClient, Question, Sampling, Transcript
from probe_match.fingerprinting.errors import DatabaseError, NoAnswers, TargetError
from tinyfam_serving import Deployment, TinyChat

PLAN = sentinels.Plan(words=3, baseline=8)
ALPHA = 0.05


@pytest.fixture(autouse=True)
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks among fewer relabelings: a third of the time, and p-values down to 1/2000."""
    monkeypatch.setattr(sequential, "RELABELINGS", 1999)


@pytest.fixture
def past(tmp_path: Path) -> Iterator[history.History]:
    with closing(history.History(tmp_path / "watch.db")) as opened:
        yield opened


def looks(client: ChatClient, past: history.History, count: int) -> list[changing.ChangeVerdict]:
    return [watching.look(client, past, alpha=ALPHA, prompts=150, plan=PLAN) for _ in range(count)]


def test_border_inputs_waver_and_steady_ones_do_not() -> None:
    """The search tells ties from clear cases, spends what it says, and repeats itself under a seed."""
    found = border.search(TinyChat(tiny.foundation(), seed=1), prompts=150, enough=8, seed=3)
    client = TinyChat(tiny.foundation(), seed=2)
    again = border.search(client, prompts=150, enough=8, seed=3)
    wavers = [len({a.text for a in client.chat([border.question(text)] * 40)}) for text in found.border[:3]]

    assert min(wavers) > 1
    assert len(found.steady) > 20
    assert set(found.border) & set(again.border)
    assert again.asked <= 150 * border.CALLS + 150 * border.MORE_CALLS


def test_the_same_endpoint_stays_unchanged(past: history.History) -> None:
    """The first look begins, the next ones compare, and every answer is noted."""
    client = tiny.endpoint()
    said = looks(client, past, 4)
    watch = past.find(client.target)

    assert [one.decision for one in said] == ["unchanged"] * 4
    assert [one.rounds for one in said] == [0, 1, 2, 3]
    assert watch is not None
    assert sum(past.answered(one) for one in past.rounds(watch)) == client.sent - watch.searched
    assert said[0].sent == watch.searched + past.answered(past.rounds(watch)[0])


@pytest.mark.parametrize("access", ["logprobs", "text"])
def test_a_tuned_model_is_modified_and_a_strange_one_is_another(tmp_path: Path, access: str) -> None:
    """A change is found in a few looks; what is still like the old model is called modified, what is not, another."""
    how = Deployment(logprobs=access == "logprobs")
    decisions = {}
    for name, model in (("shaken", tiny.shaken()), ("other", tiny.foundation(1, 32))):
        past, client = history.History(tmp_path / f"{name}.db"), tiny.endpoint(how)
        looks(client, past, 2)
        client.now = TinyChat(model, how, seed=5)
        decisions[name] = [one.decision for one in looks(client, past, 5)][-1]
        past.close()

    assert decisions == {"shaken": "modified", "other": "another model"}


@pytest.mark.parametrize(
    "how",
    [
        Deployment(system="Be formal."),
        Deployment(temperature=1.0),
        Deployment(temperature=0.0),
        Deployment(cached=True),
    ],
    ids=str,
)
def test_a_new_configuration_accuses_nobody(past: history.History, how: Deployment) -> None:
    """A system prompt or another temperature is a difference of configuration, for a person to look at."""
    client = tiny.endpoint()
    looks(client, past, 2)
    client.now = TinyChat(tiny.foundation(), how, seed=5)
    said = {one.decision for one in looks(client, past, 5)}

    assert said <= {"unchanged", "configuration"}
    assert "configuration" in said or how.temperature == 0.0 or how.cached


@pytest.mark.parametrize("logprobs", [True, False])
def test_without_token_counts_nobody_is_accused(logprobs: bool) -> None:
    """Where nothing tells a new system prompt from a new model, a person must look."""
    how = Deployment(usage=False, logprobs=logprobs)
    before, after = (TinyChat(model, how, seed=1) for model in (tiny.foundation(), tiny.foundation(1, 32)))
    bank, _ = sentinels.choose(before, PLAN, prompts=100)
    base, again = (
        sentinels.transcript("t", bank, sentinels.ask(client, sentinels.order(bank, PLAN, 8)))
        for client in (before, after)
    )

    assert changing.diagnose(base, again, seed=0)[0] == "inconclusive"


def test_a_killed_round_goes_on_where_it_was(past: history.History) -> None:
    """After the endpoint went down amid a round, the next look asks only what is not noted yet."""
    client = tiny.endpoint()
    looks(client, past, 1)
    size = len(sentinels.order(past.find(client.target).bank, PLAN))  # type: ignore[union-attr]
    client.left = sentinels.AT_ONCE
    with pytest.raises(TargetError, match="down"):
        looks(client, past, 1)
    client.left, before = 10**9, client.sent
    (said,) = looks(client, past, 1)

    assert size > sentinels.AT_ONCE
    assert client.sent - before == size - sentinels.AT_ONCE
    assert said.rounds == 1


def test_failed_answers_are_not_sameness(past: history.History) -> None:
    """A round most of which failed says nothing, and a baseline of failures is not begun from."""
    client = tiny.endpoint()
    looks(client, past, 1)
    good, client.now = client.now, _Saying(Answer("", "failed", error="busy"))
    (said,) = looks(client, past, 1)
    client.now = good

    assert said.decision == "inconclusive"
    assert changing.EXIT[said.decision] == 3
    assert looks(client, past, 1)[0].decision == "unchanged"
    past.forget(past.find(client.target))  # type: ignore[arg-type]
    client.now = _Saying(Answer("", "failed", error="busy"))
    with pytest.raises(TargetError, match="failed to answer 150 questions; the last: busy"):
        looks(client, past, 1)


def test_a_search_ends_where_the_endpoint_does() -> None:
    """Whether it went down or a limit was reached: what fails is not asked for ever."""
    client = tiny.endpoint()
    answer, asked = client.chat, []

    def chat(questions: Sequence[Question]) -> list[Answer]:
        asked.append(len(questions))
        return answer(questions) if len(asked) == 1 else [Answer("", "failed", error="no money")] * len(questions)

    client.chat = chat  # type: ignore[method-assign]
    with pytest.raises(TargetError, match="the last: no money"):
        border.search(client, prompts=400, enough=1000)

    assert asked == [150, 150]


@pytest.mark.parametrize(
    ("answer", "message"),
    [(Answer("", "empty"), "got one to 0%"), (Answer("I", "truncated"), r"answered alike \('I'\)")],
    ids=["nothing", "one word"],
)
def test_an_endpoint_that_says_nothing_is_neither_unchanged_nor_accused(
    past: history.History, answer: Answer, message: str
) -> None:
    """It cannot be watched from the start, and one that falls silent later is for a person to look at."""
    client = tiny.endpoint()
    good, client.now = client.now, _Saying(answer)
    with pytest.raises(NoAnswers, match=message):
        looks(client, past, 1)
    client.now = good
    looks(client, past, 1)
    client.now = _Saying(Answer("", "filtered"))
    said = looks(client, past, 2)
    client.now = good

    assert {one.decision for one in said} == {"inconclusive"}
    assert looks(client, past, 1)[0].decision == "unchanged"


class _Saying:
    target, access, concurrency, sent, notes = "t", "text", 1, 0, ()

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def chat(self, questions: Sequence[Question]) -> list[Answer]:
        return [self.answer] * len(questions)

    def close(self) -> None:
        """Nothing is open."""


def test_a_foreign_or_damaged_file_is_refused(tmp_path: Path) -> None:
    """A history is never written into a file that is something else."""
    foreign, broken = tmp_path / "other.db", tmp_path / "broken.db"
    with closing(sqlite3.connect(foreign, isolation_level=None)) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    broken.write_bytes(b"not a database" * 100)

    with pytest.raises(DatabaseError, match="something else"):
        history.History(foreign)
    with pytest.raises(DatabaseError, match="another --history"):
        history.History(broken)


def test_the_parent_is_found_among_strangers() -> None:
    """A fine-tuned model's next-token odds are nearest to its parent's, once everyone's own level is taken off."""
    odds = Sampling(temperature=0.0, max_tokens=1, logprobs=20)
    stream = border.candidates(np.random.default_rng(0))
    questions = [Question(f"q/{text}", "q", text, sampling=odds) for text in (next(stream) for _ in range(15))]

    def asked(model: tiny.Model) -> Transcript:
        answers = TinyChat(model, seed=1).chat(questions)
        return Transcript("t", {q.cell: (answer,) for q, answer in zip(questions, answers, strict=True)})

    candidates = {"a": asked(tiny.foundation()), "b": asked(tiny.foundation(1, 32))}

    assert identity.parents(asked(tiny.tuned()), candidates)[0][0] == "a"
    assert identity.parents(asked(tiny.foundation(1, 32)), candidates)[0][0] == "b"
