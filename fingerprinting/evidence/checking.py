"""
Checking a bundle: one file, one seal, trusted times, raw answers, and everything that follows from the records.

Offline, with what was pinned by whoever checks. What could not be checked is said; nothing is passed over in silence.
"""

import datetime
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from probe_match.fingerprinting.claims import files, verifying
from probe_match.fingerprinting.claims.verifying import Verified
from probe_match.fingerprinting.errors import BadData

from . import bundle, exchanges, timestamps
from .archive import Files
from .bundle import Bundle
from .timestamps import Authority, Stamp

KNOWN = frozenset({*files.CLOSED, *files.OPENED, files.SOME})


class Checked(NamedTuple):
    """
    A bundle that holds. stamps: by the link they are over, of trusted authorities. committed, run: when the commitment
    and the run were there at the latest, None where too few authorities say so. pinned: whether times were asked for.
    notes: what was not checked.
    """

    bundle: Bundle
    claim: Verified
    stamps: dict[int, tuple[Stamp, ...]]
    committed: datetime.datetime | None
    run: datetime.datetime | None
    pinned: bool
    notes: tuple[str, ...]

    @property
    def timed(self) -> bool:
        """Whether two authorities say when, or neither the bundle nor whoever checks it speaks of times."""
        claimed = self.pinned or bool(self.bundle.tokens)
        return not claimed or (self.committed is not None and self.run is not None)

    @property
    def complete(self) -> bool:
        """Whether all was opened, raw answers told or withheld one by one, and recomputed, and no time is believed."""
        return self.timed and self.claim.whole is not None and self.bundle.exchanges is not None

    @property
    def commitment_stamps(self) -> tuple[Stamp, ...]:
        """What the authorities say of the commitment, for comparing it with another's."""
        return self.stamps.get(len(self.bundle.lines) - 1, ())


def check(given: Files, where: str, trusted: Sequence[Authority] = (), owner: str | None = None) -> Checked:
    """
    Everything that can be checked of a bundle's files. trusted: authorities of time, pinned. owner: public key
    that must have sealed it, 64 hex digits.

    Raises BadData with the first thing that does not hold.
    """
    opened = bundle.opened(given, KNOWN, where)
    stamps = {
        link: tuple(timestamps.verify(one, opened.stamped(link), trusted, f"timestamp of link {link}") for one in held)
        for link, held in opened.tokens.items()
        if trusted
    }  # fmt: skip
    claim = verifying.verify(opened.case)
    if opened.owner != claim.owner or (owner is not None and owner.lower() != claim.owner):
        raise BadData(
            f"the case book was sealed by {claim.owner[:16]}…, the bundle by {opened.owner[:16]}…, expected "
            f"{(owner or claim.owner)[:16]}…"
        )
    _require_answers(opened, claim)
    committed, run = (_time(stamps, link) for link in (len(opened.lines) - 1, len(opened.lines)))

    notes = (*claim.notes, *_notes(opened, stamps, committed, run))

    return Checked(opened, claim, stamps, committed, run, bool(trusted), notes)


def _time(stamps: dict[int, tuple[Stamp, ...]], link: int) -> datetime.datetime | None:
    held = stamps.get(link, ())
    return timestamps.together(held, f"link {link}") if len(held) >= timestamps.ENOUGH else None


def _require_answers(opened: Bundle, claim: Verified) -> None:
    if opened.exchanges is None:
        return
    if claim.whole is None:
        raise BadData("raw answers stand in a bundle whose leaves are closed; nothing binds them")
    leaves: list[dict[str, Any]] = [json.loads(line) for line in opened.case[files.LEAVES].splitlines()]
    exchanges.require_those_of(opened.exchanges, leaves)


def _notes(
    opened: Bundle,
    stamps: dict[int, tuple[Stamp, ...]],
    committed: datetime.datetime | None,
    run: datetime.datetime | None,
) -> list[str]:
    told = []
    if not opened.tokens:
        told.append("no timestamps: when it was committed to and run rests on the owner's word")
    elif not stamps:
        told.append("timestamps are there and none was checked: pin the roots of their authorities")
    elif committed is None or run is None:
        which = "commitment" if committed is None else "run"
        told.append(f"the {which} has trusted timestamps of fewer than {timestamps.ENOUGH} authorities")
    if opened.exchanges is not None and opened.exchanges.withheld:
        told.append(f"{len(opened.exchanges.withheld)} raw answers are withheld; their digests are sealed")
    if opened.exchanges is None and _whole(opened):
        told.append("the raw answers are not in the bundle; only their digests are")

    return told


def _whole(opened: Bundle) -> bool:
    return files.KEY in opened.case
