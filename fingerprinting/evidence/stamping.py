"""Tokens of an owner's case book, kept beside it until they go into a bundle: one folder, one file a token."""

from collections.abc import Callable, Sequence
from pathlib import Path

from probe_match.fingerprinting import storage

from . import bundle

Ask = Callable[[bytes], bytes]  # data -> a token over it


def folder_of(book: Path) -> Path:
    """Where the tokens of a book are kept."""
    return book.with_name(f"{book.name}.timestamps")


def stamp(book: Path, authorities: Sequence[Ask]) -> list[str]:
    """
    Ask every authority for a token over each link that has none of it yet, newest first, as that is the urgent one.

    What was got before an authority failed is kept. Returns the names of the new tokens.
    """
    lines = storage.read_file(book, "case book").split(b"\n")[:-1]
    folder = folder_of(book)
    folder.mkdir(exist_ok=True)
    made = []
    for link in range(len(lines), 0, -1):
        for number, ask in enumerate(authorities, 1):
            name = bundle.token_name(link, number)
            path = folder / Path(name).name
            if not path.exists():
                storage.write_file(path, ask(lines[link - 1]))
                made.append(name)

    return made


def tokens(book: Path, links: int) -> dict[str, bytes]:
    """The tokens of the first `links` links that are there, under the names that they have in a bundle."""
    found = {}
    for path in sorted(folder_of(book).glob("link-*.tsr")):
        name = f"timestamps/{path.name}"
        match = bundle.TOKEN.fullmatch(name)
        if match and int(match[1]) <= links:
            found[name] = storage.read_file(path, "timestamp")

    return found
