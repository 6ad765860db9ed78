"""
Text from outside, made harmless before it is shown: an endpoint's words are quoted, short, and on one line.

Whoever reads a report, a person or a program, must be able to tell the report's own words from an endpoint's.
"""

from typing import Final

from probe_match.fingerprinting.report import printable

LONGEST: Final = 160  # characters quoted
FORMULA: Final = frozenset("=+-@|%＝＋－＠")  # what begins a formula, in wide forms as well
CLOSING: Final = str.maketrans({"“": "'", "”": "'", '"': "'", "`": "'"})  # nothing quoted ends its own quotation


def quoted(text: object) -> str:
    """Somebody else's words in quotation marks, without control or direction characters, cut to LONGEST."""
    told = plain(text).translate(CLOSING)
    return f"“{told[: LONGEST - 1]}…”" if len(told) > LONGEST else f"“{told}”"


def plain(text: object) -> str:
    """Text on one line without control or direction characters."""
    return printable(" ".join(str(text).split()))


def cell(text: object) -> str:
    """A cell of a table that a spreadsheet takes for text, never for a formula."""
    told = plain(text)
    return f"'{told}" if told.lstrip("'\" ")[:1] in FORMULA else told
