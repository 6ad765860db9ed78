"""An owner's case book on the disk: sealed links, one a line, to which lines are only ever added."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData

from . import commitments, files, sealing


class Book(NamedTuple):
    """
    envelopes as they stand in the file, the links in them, and the public key that sealed all, None of an empty book.
    """

    envelopes: list[dict[str, Any]]
    links: list[dict[str, Any]]
    owner: str | None


def read(path: Path) -> Book:
    """The book in a file, whole and in order; empty where there is no file. Raises BadData."""
    if not path.exists():
        return Book([], [], None)
    return opened(storage.read_file(path, "case book"), str(path))


def opened(data: bytes, where: str) -> Book:
    """A book from its lines. Raises BadData where a seal does not fit, a link is missing, or two keys sealed."""
    envelopes = files.lines(data, f"the case book {where}")
    unsealed = [sealing.unseal(envelope, f"link {n} of {where}") for n, envelope in enumerate(envelopes, 1)]
    owners = {owner for _, owner in unsealed}
    if len(owners) > 1:
        raise BadData(f"expected one owner's seal on every link of {where}, got those of {len(owners)}")
    links = [link for link, _ in unsealed]
    commitments.check_chain(links)

    return Book(envelopes, links, next(iter(owners), None))


def extended(book: Book, link: Mapping[str, Any], pem: bytes) -> Book:
    """
    The book with one more link, sealed. Raises BadData where it does not follow, or another key sealed the others.
    """
    envelope = sealing.seal(link, pem)
    return opened(files.joined([*book.envelopes, envelope]), "yours")


def write(path: Path, book: Book) -> None:
    """All of it, or nothing."""
    storage.write_file(path, files.joined(book.envelopes))
