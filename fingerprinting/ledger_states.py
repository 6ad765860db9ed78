"""
What the entries of a ledger mean: queries and their states, and which of them need not, or must not, be sent again.

    opened      first entry: whom the ledger is about
    planned     queries that are going to be asked
    sent        queries that leave now; on the disk before their first byte does
    answered    of a sent entry: answers, as the client understood them and byte by byte
    failed      of a sent entry: an answer came and cannot be used; it may have been paid, so it is not asked again
    refused     of a sent entry: nothing left, or it was turned away unread; may be asked again
    split       of a sent entry: the target fails on these queries together; they go again, fewer at once
    doubt       of a sent entry: no whole answer came

A sent entry that nothing follows is in doubt, too: the run was killed; unless it is known that it never left
(`departures`). A query is known by its key, a digest of what is
asked, and by how often the same was asked before. The first answer counts, whatever comes later.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from .answers import Answers, label_name
from .chat.records import Answer
from .errands import Errand
from .errors import DatabaseError
from .ledger import Ledger

FINAL: Final = ("answered", "failed")
AGAIN: Final = ("refused", "split")


class Cost(NamedTuple):
    """The most that queries may cost. dollars: 0 where no price is known."""

    queries: int = 0
    tokens: int = 0
    dollars: float = 0.0

    def plus(self, other: "Cost", times: int = 1) -> "Cost":
        """The sum of this and so many times the other."""
        return Cost(
            self.queries + times * other.queries, self.tokens + times * other.tokens,
            self.dollars + times * other.dollars,
        )  # fmt: skip


class Query(NamedTuple):
    """
    What is known of a query. state: answered, failed, doubt, or "" where it may be asked. seq: the entry that holds
    its answer, at `row`. why: of one that failed. open: requests for it whose end is not known.
    """

    state: str = ""
    seq: int = 0
    row: int = 0
    why: str = ""
    open: int = 0


@dataclass
class Memory:
    """What a ledger knew when it was opened. queries: by key and how often it was asked before."""

    queries: dict[str, list[Query]] = field(default_factory=dict)
    planned: int = 0  # and never sent
    unsent: list[int] = field(default_factory=list)  # entries whose queries were written down and never left
    cut: list[int] = field(default_factory=list)  # entries whose queries left, or may have, when the run was killed
    doubt: Cost = field(default_factory=Cost)
    spent: Cost = field(default_factory=Cost)

    def find(self, key: str, nth: int, *, again: bool = False) -> Query | None:
        """The query of that key that was asked as the nth, counted from 0. again: start over after the last."""
        known = self.queries.get(key, [])
        nth = nth % len(known) if again and known else nth
        return known[nth] if nth < len(known) and known[nth].state else None

    def count(self, state: str) -> int:
        """How many queries are in a state."""
        return sum(query.state == state for some in self.queries.values() for query in some)


def remember(ledger: Ledger) -> Memory:
    """What the entries of a ledger say. Raises DatabaseError where they make no sense."""
    memory = Memory()
    sent: dict[int, tuple[list[tuple[str, int]], Cost]] = {}
    planned: set[tuple[str, int]] = set()
    open_entries: set[int] = set()
    try:
        for entry in ledger.entries():
            about = json.loads(entry.about)
            if entry.kind == "planned":
                planned.update(zip(about["keys"], about["nth"], strict=True))
            if entry.kind == "sent":
                asked, cost = list(zip(about["keys"], about["nth"], strict=True)), Cost(*about["cost"])
                sent[entry.seq] = asked, cost
                open_entries.add(entry.seq)
                memory.spent = memory.spent.plus(cost)
                _note(memory, asked, "sent", entry.seq)
            elif entry.of in sent:
                asked, reserved = sent[entry.of]
                open_entries.discard(entry.of)
                memory.spent = memory.spent.plus(_given_back(reserved, about))
                _note(memory, asked, entry.kind, entry.seq, str(about.get("why", "")))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DatabaseError(f"ledger {ledger.path} holds an entry that makes no sense ({error!r})") from error
    for i, came in enumerate(ledger.departures.came):  # of a run that was killed before it could write them down
        if came.of in open_entries:
            open_entries.discard(came.of)
            asked, reserved = sent[came.of]
            memory.spent = memory.spent.plus(_given_back(reserved, came.about))
            _note(memory, asked, came.kind, -1 - i, str(came.about.get("why", "")))
    left = ledger.departures.left
    memory.unsent = sorted(open_entries - left) if left is not None else []
    memory.cut = sorted(open_entries.difference(memory.unsent))
    for seq in memory.unsent:
        memory.spent = memory.spent.plus(sent[seq][1], -1)
        _note(memory, sent[seq][0], "refused", seq)
    memory.planned = sum(memory.find(*query) is None for query in planned)
    for asked, cost in sent.values():
        open_ = [memory.find(*query) for query in asked]
        if any(query is not None and query.state == "doubt" for query in open_):
            memory.doubt = memory.doubt.plus(cost)

    return memory


def in_words(memory: Memory) -> str:
    """What a ledger holds, in one line."""
    told = f"{memory.count('answered')} answered"
    for state, word in (("failed", "failed"), ("doubt", "in doubt")):
        if memory.count(state):
            told += f", {memory.count(state)} {word}"

    return told


def doubts_in_words(memory: Memory) -> str:
    """What is in doubt and what it may have cost, in one line; "" where nothing is."""
    total = memory.doubt
    if not memory.count("doubt"):
        return ""
    tokens = f", at most {total.tokens} tokens" if total.tokens else ""
    dollars = f" (${total.dollars:.4f})" if total.dollars else ""

    return f"{memory.count('doubt')} queries were sent and never answered{tokens}{dollars}"


def pack(answers: Answers) -> bytes:
    """Labels and scores of m queries: a line of JSON, then the arrays' bytes."""
    header: dict[str, Any] = {}
    parts = [b""]
    for name, array in zip(("labels", "scores"), answers, strict=True):
        if array is None:
            continue
        array = np.asarray(array)
        if array.dtype.kind in "biuf":
            plain = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
            header[name] = [plain.dtype.str, plain.shape]
            parts.append(plain.tobytes())
        else:
            header[name] = {"names": [_plain(label) for label in array.ravel().tolist()]}
    parts[0] = json.dumps(header, separators=(",", ":")).encode() + b"\n"

    return b"".join(parts)


def unpack(data: bytes, ledger: Ledger) -> Answers:
    """What `pack` packed. Raises DatabaseError."""
    line, _, rest = data.partition(b"\n")
    found: dict[str, np.ndarray] = {}
    try:
        for name, told in json.loads(line).items():
            if isinstance(told, dict):
                found[name] = np.array(told["names"], object)
                continue
            dtype, shape = np.dtype(told[0]), tuple(int(size) for size in told[1])
            if dtype.kind not in "biuf" or min(shape, default=0) < 0:
                raise ValueError(f"{dtype} {shape}")
            size = dtype.itemsize * int(np.prod(shape))
            found[name] = np.frombuffer(rest[:size], dtype).reshape(shape)
            rest = rest[size:]
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise DatabaseError(f"ledger {ledger.path} holds an answer that cannot be read ({error})") from error

    return Answers(found.get("labels"), found.get("scores"))


def recall(ledger: Ledger, queries: Sequence[tuple[int, Query]]) -> Iterator[tuple[list[int], Answers]]:
    """The recorded answers to queries, each given with a number of the caller's; those of one entry together."""
    by_entry: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, query in queries:
        by_entry[query.seq].append((number, query.row))
    for seq, rows in by_entry.items():
        answers = unpack(ledger.answer(seq), ledger)
        picked = [row for _, row in rows]
        try:
            yield [number for number, _ in rows], Answers(*(None if a is None else a[picked] for a in answers))
        except IndexError as error:
            raise DatabaseError(f"ledger {ledger.path} holds too few answers in entry {seq}") from error


def pack_chat(answer: Answer) -> bytes:
    """One answer of a language model as JSON."""
    told = {
        "text": answer.text, "status": answer.status, "finish": answer.finish, "model": answer.model,
        "prompt_tokens": answer.prompt_tokens, "answer_tokens": answer.answer_tokens, "logprobs": answer.logprobs,
        "seconds": answer.seconds, "error": answer.error,
    }  # fmt: skip
    return json.dumps(told, separators=(",", ":")).encode()


def unpack_chat(data: bytes, ledger: Ledger) -> Answer:
    """What `pack_chat` packed. Raises DatabaseError."""
    try:
        told = json.loads(data)
        told["logprobs"] = tuple(tuple((str(t), float(p)) for t, p in place) for place in told["logprobs"])
        return Answer(**told)
    except (ValueError, TypeError, KeyError) as error:
        raise DatabaseError(f"ledger {ledger.path} holds an answer that cannot be read ({error})") from error


def wire(errand: Errand) -> tuple[list[dict[str, Any]], bytes]:
    """The requests of an errand: what is known of each, and the bytes that came, one after the other."""
    told = [{"url": attempt.url, "status": attempt.status, "bytes": len(attempt.body)} for attempt in errand.attempts]

    return told, b"".join(attempt.body for attempt in errand.attempts)


def _note(memory: Memory, asked: list[tuple[str, int]], kind: str, seq: int, why: str = "") -> None:
    for row, (key, nth) in enumerate(asked):
        known = memory.queries.setdefault(key, [])
        known += [Query()] * (nth + 1 - len(known))
        before = known[nth]
        if before.state in FINAL:
            continue  # the first answer counts
        if kind in FINAL:
            known[nth] = Query(kind, seq, row, why)
            continue
        open_ = max(0, before.open + (kind == "sent") - (kind in AGAIN))
        known[nth] = Query("doubt" if open_ else "", open=open_)


def _plain(label: Any) -> Any:
    return label if label is None or isinstance(label, str | int | float) else label_name(label)


def _given_back(reserved: Cost, about: dict[str, Any]) -> Cost:
    """What the end of an errand adds to the cost that was reserved for it; mostly less than nothing."""
    used = about.get("cost")

    return Cost() if used is None else Cost(*used).plus(reserved, -1)
