"""
Fenced blocks of a document that tests run, so that what it shows is what happens.

A `console` block's lines that begin with `$ probe-match` are commands (a line ending in a backslash goes on), and a
`python` block is a program of its own. Comments just above a block say what to expect of it:

    <!-- exit: 1 -->            the exit code of each of its commands, 0 unless said
    <!-- shows: a text -->      occurs in what the block really prints, and stands in the block
    <!-- not run: a reason -->  skipped; its commands must still be ones there are
    <!-- file: name.py -->      not run but saved under this name
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = re.compile(
    r"^(?P<comments>(?:<!--(?:(?!-->).)*-->\s*)*)^```(?P<kind>console|python)[^\S\n]*\n(?P<body>.*?)^```[^\S\n]*$",
    re.MULTILINE | re.DOTALL,
)
COMMENT = re.compile(r"<!--\s*(exit|shows|not run|file):\s*(.*?)\s*-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: the line it begins on, its language and text, and what the comments above it say."""

    line: int
    kind: str
    body: str
    exit: int
    shows: tuple[str, ...]
    not_run: str | None
    file: str | None = None

    @property
    def commands(self) -> list[str]:
        """The lines a reader would type, without the prompt."""
        whole = self.body.replace("\\\n", " ")
        return [line[2:].strip() for line in whole.splitlines() if line.startswith("$ probe-match")]


def blocks_of(text: str) -> Iterator[Block]:
    """Console and Python blocks in their order."""
    for found in BLOCK.finditer(text):
        said = COMMENT.findall(found["comments"])
        values = {key: value for key, value in said if key != "shows"}
        yield Block(
            line=text.count("\n", 0, found.start("kind")) + 1,
            kind=found["kind"],
            body=found["body"],
            exit=int(values.get("exit", 0)),
            shows=tuple(value for key, value in said if key == "shows"),
            not_run=values.get("not run"),
            file=values.get("file"),
        )
