"""
Personal data in what is asked: addresses, numbers and keys that have no place in a probe.

A probe goes to somebody else's server and into reports. What looks like an e-mail address, a telephone number, a bank
or card number with a right check digit, or a secret key is named. Names of people cannot be told from other words.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

LONGEST: Final = 100_000  # characters of a text that are looked at


class Personal(NamedTuple):
    """Something found. number: of the text, from 0. kind: what it looks like. shown: its ends only."""

    number: int
    kind: str
    shown: str


def _luhn(text: str) -> bool:
    """The check digit of cards (ISO/IEC 7812-1)."""
    digits = [int(c) for c in text if c.isdigit()][::-1]
    total = sum(digits[::2]) + sum(d * 2 - 9 * (d > 4) for d in digits[1::2])
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and total % 10 == 0


def _iban(text: str) -> bool:
    """The check digits of bank accounts (ISO 13616)."""
    plain = text.replace(" ", "").upper()
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def _any(_: str) -> bool:
    return True


KINDS: Final[dict[str, tuple[re.Pattern[str], Callable[[str], bool]]]] = {
    "e-mail address": (
        re.compile(r"\b[\w.+-]{1,64}@(?!example\.)(?:[\w-]{1,63}\.){1,4}(?!example\b|test\b)[a-z]{2,24}\b", re.I),
        _any,
    ),
    "bank account": (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _iban),
    "card number": (re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.])"), _luhn),
    "telephone number": (re.compile(r"(?<![\w.+])\+\d{1,3}[ ./-]?(?:\(?\d{1,4}\)?[ ./-]?){2,5}\d{2,4}(?!\w)"), _any),
    "social security number": (re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])"), _any),
    "secret key": (
        re.compile(r"\b(?:sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|hf_[A-Za-z0-9]{30,})"), _any,
    ),
}  # fmt: skip


def find(texts: Iterable[str]) -> Iterator[Personal]:
    """What of these texts looks like personal data, each match once."""
    for number, text in enumerate(texts):
        for kind, (pattern, is_one) in KINDS.items():
            for found in pattern.finditer(text[:LONGEST]):
                if is_one(found[0]):
                    yield Personal(number, kind, f"{found[0][:2]}…{found[0][-2:]}")
