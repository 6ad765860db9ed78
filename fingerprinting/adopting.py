"""
Somebody else's public suite as ours: whoever asks the same questions has references that can be compared.

A suite published as a file is adopted before anything is enrolled; a pack brings its own along (see `unpacking`).
"""

from .database import ReferenceDB
from .errors import DatabaseError
from .records import ProbeSuite


def adopt(db: ReferenceDB, suite: ProbeSuite, *, replace: bool = False) -> bool:
    """
    Make a suite the public one of its input; False where it was that already.

    replace: take the place of another one, whose answers then count no longer. Raises DatabaseError without it.
    """
    former = db.public_suite(suite.spec)
    if former is not None and former.digest == suite.digest:
        return False
    if former is not None and not replace:
        asked = len(db.public_labels(suite.spec)[0])
        raise DatabaseError(
            f"{db.name} has another public suite for this input, {former.digest[:15]}…, which {asked} references "
            "answered; pass --replace to drop it, and enrol them again"
        )
    db.set_public_suite(suite)

    return True
