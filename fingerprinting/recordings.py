"""
Opening targets within an audit, and the ledgers of audits as targets.

A ledger that was written while a model was asked answers for that model later, without any network: what it holds, and
nothing else.
"""

from pathlib import Path
from typing import Any, Literal, cast

from .answers import Answers, Client
from .audits import Audit
from .chat.records import Answer, ChatClient, Price
from .errors import DatabaseError, TargetError
from .guards import GuardedChat, GuardedClient
from .ledger import Ledger, open_ledger, read_ledger
from .records import Access


class Absent:
    """A model that is only known by its ledger; it answers nothing itself."""

    def __init__(self, about: Any, path: Path) -> None:
        shape, classes = about.get("shape"), about.get("classes") or ()
        self.target: str = f"replay:{path}"
        self.access: Access = "label" if about.get("access") == "label" else "scores"
        self.shape: tuple[int, ...] | None = None if shape is None else tuple(int(size) for size in shape)
        self.classes: tuple[str, ...] = tuple(str(name) for name in classes)
        self.batch = 4096

    def ask(self, inputs: Any) -> Answers:
        """Nothing: an offline audit never comes this far."""
        raise TargetError(f"{self.target} holds no answer to these inputs")

    def close(self) -> None:
        """Nothing is held open."""


class AbsentChat:
    """A language model that is only known by its ledger."""

    def __init__(self, path: Path) -> None:
        self.target: str = f"replay:{path}"
        self.access: Literal["text", "logprobs"] = "text"
        self.concurrency = 1
        self.sent = 0
        self.notes: tuple[str, ...] = ()

    def chat(self, questions: Any) -> list[Answer]:
        """Nothing: an offline audit never comes this far."""
        raise TargetError(f"{self.target} holds no answer to these questions")

    def close(self) -> None:
        """Nothing is held open."""


def guard(
    client: Client | ChatClient, audit: Audit, *, concurrency: int | None = None, price: Price | None = None
) -> Client | ChatClient:
    """A client within an audit. concurrency: requests under way at once; a language model's client has its own."""
    guarded: Any  # both say by properties what a protocol has as plain attributes
    if isinstance(client, ChatClient):
        guarded = GuardedChat(client, audit, price=price)
    else:
        guarded = GuardedClient(client, audit, concurrency=concurrency or 1)

    return cast(Client | ChatClient, guarded)


def ledger_of(path: Path, client: Client | ChatClient) -> Ledger:
    """The ledger at a path, for questions to this client. Raises UsageError, DatabaseError."""
    if isinstance(client, ChatClient):
        return open_ledger(path, target=client.target, about={"kind": "chat"})
    about = {"kind": "inputs", "shape": client.shape, "classes": client.classes, "access": client.access}

    return open_ledger(path, target=client.target, about=about)


def recorded(path: Path) -> "RecordedClient | RecordedChat":
    """The model that a ledger is about, as far as the ledger goes. Raises DatabaseError for one that was changed."""
    ledger = read_ledger(path)
    try:
        if ledger.forgotten:
            raise DatabaseError(
                f"the answers in ledger {path} were erased ({ledger.forgotten[:200]}); nothing can be decided"
            )
        audit = Audit(ledger, offline=True)
        if ledger.about.get("kind") == "chat":
            return RecordedChat(AbsentChat(path), audit)
        return RecordedClient(Absent(ledger.about, path), audit)
    except BaseException:
        ledger.close()
        raise


class RecordedClient(GuardedClient):
    """A model that takes inputs, by its ledger."""

    def close(self) -> None:
        """Close the ledger."""
        self.audit.close()


class RecordedChat(GuardedChat):
    """A language model, by its ledger."""

    def close(self) -> None:
        """Close the ledger."""
        self.audit.close()
