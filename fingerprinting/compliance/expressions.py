"""
SPDX licence expressions: parsed by `license-expression`, with names that people write and references of our own.

`LicenseRef-` identifiers are anybody's to make: a company's own terms are `LicenseRef-acme-internal`.
"""

import difflib
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from license_expression import ExpressionError, LicenseSymbol, Licensing, get_spdx_licensing
from probe_match.fingerprinting.errors import UsageError

from .licences import aliases, catalogue

OWN: Final = re.compile(r"(DocumentRef-[A-Za-z0-9.-]{1,100}:)?LicenseRef-[A-Za-z0-9.-]{1,100}")
WORD: Final = re.compile(r"[^\s()]+")
LONGEST: Final = 1000  # characters of an expression
DEEPEST: Final = 40  # brackets
Value = TypeVar("Value")


@functools.cache
def licensing() -> Any:
    """All SPDX licences and those of the catalogue."""
    known = get_spdx_licensing().known_symbols
    ours = [LicenseSymbol(id_) for id_ in catalogue() if id_ not in known]

    return Licensing([*known.values(), *ours])


def parse(text: str) -> Any:
    """A parsed expression. Raises UsageError."""
    text = text.strip()
    shown = "".join(c if c.isprintable() else "?" for c in text[:80])
    if not text or len(text) > LONGEST or text.count("(") > DEEPEST or not text.isprintable():
        raise UsageError(f"expected an SPDX licence expression such as Apache-2.0 OR MIT, got '{shown}'")
    named = aliases()
    whole = named.get(text.casefold())
    text = whole or WORD.sub(lambda word: named.get(word[0].casefold(), word[0]), text)
    try:
        found = licensing().parse(text)
        unknown = [str(key) for key in licensing().unknown_license_keys(found) if not OWN.fullmatch(str(key))]
    except (ExpressionError, ValueError) as error:
        raise UsageError(
            f"expected an SPDX licence expression such as Apache-2.0 OR MIT, got '{shown}'; use a LicenseRef- for "
            "terms of your own"
        ) from error
    if unknown:
        near = difflib.get_close_matches(unknown[0], [*licensing().known_symbols, *named], n=2, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "use a LicenseRef- for terms of your own"
        raise UsageError(f"'{unknown[0][:60]}' is no SPDX licence; {hint}")

    return found


def normal(text: str) -> str:
    """The expression as it is usually written."""
    return str(parse(text).render())


def identifiers(text: str) -> list[str]:
    """The licences of an expression, each once, in order; an exception stays with its licence."""
    return list(dict.fromkeys(_leaves(parse(text))))


def fold(text: str, value: Callable[[str], Value], both: Callable[[list[Value]], Value],
         either: Callable[[list[Value]], Value]) -> Value:  # fmt: skip
    """What an expression comes to: `value` of each licence, `both` where all bind, `either` where one may be chosen."""

    def of(node: Any) -> Value:
        if isinstance(node, licensing().AND):
            return both([of(part) for part in node.args])
        if isinstance(node, licensing().OR):
            return either([of(part) for part in node.args])
        return value(str(node.render()))

    return of(parse(text))


def joined(texts: list[str]) -> str:
    """All of these bind at once; "" where there is none."""
    parsed = list(dict.fromkeys(normal(text) for text in texts))
    if len(parsed) < 2:
        return "".join(parsed)
    whole = licensing().AND(*[parse(text) for text in parsed])

    return str(whole.flatten().render())


def covers(declared: str, concluded: str) -> bool:
    """Whether a declaration names terms that the conclusion allows: some choice of each is the same set of licences."""
    wanted = _choices(concluded)

    return any(offered >= needed for offered in _choices(declared) for needed in wanted)


def binding(text: str) -> frozenset[str]:
    """The licences of an expression that bind whatever is chosen."""
    return frozenset.intersection(*_choices(text))


def _choices(text: str) -> list[frozenset[str]]:
    def product(parts: list[list[frozenset[str]]]) -> list[frozenset[str]]:
        found = [frozenset[str]()]
        for part in parts:
            found = [a | b for a in found for b in part][:1024]
        return found

    return fold(text, lambda one: [frozenset([one])], product, lambda parts: [c for part in parts for c in part])


def _leaves(node: Any) -> Iterator[str]:
    if isinstance(node, (licensing().AND, licensing().OR)):
        for part in node.args:
            yield from _leaves(part)
    else:
        yield str(node.render())
