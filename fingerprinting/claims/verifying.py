"""
Recomputing a case from what was handed over: no network, no model, nothing believed that can be worked out again.

What stays to be believed is said in `Verified.notes`: that the recorded answers are those of the suspect, and, without
timestamps, when the book was sealed.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.evidence import merkle
from probe_match.fingerprinting.records import Pool

from . import books, cases, commitments, deciding, files, keys, panel, running, segments
from .asking import Attempt
from .beacons import Beacon
from .cases import Asked, Case, Probes
from .commitments import Commitment, Run
from .files import Files
from .panel import Peer

# What values of other types and sizes raise in the arithmetic that recomputes a case; it has no other way to fail.
STRANGE: Final = (KeyError, TypeError, ValueError, OverflowError, IndexError, AttributeError, RecursionError)
MOST: Final = 1 << 31  # of any whole number in a leaf
CLOSE: Final = 1e-6  # relative; the last digits of a p-value differ between machines
KINDS: Final = {"peer": {"kind", *Peer._fields}, "attempt": {"kind", "of", "role", *Attempt._fields}}


class Opened(NamedTuple):
    """A case that was opened whole, its probes, the pool they lie in, and the seed that they were drawn from."""

    case: Case
    probes: Probes
    pool: Pool
    seed: bytes


class Verified(NamedTuple):
    """
    owner: public key of the seals. leaves: how many were opened, of all. whole: None where not everything was opened.
    notes: what had to be believed.
    """

    commitment: Commitment
    result: dict[str, Any]
    owner: str
    leaves: tuple[int, int]
    whole: Opened | None
    notes: tuple[str, ...]


def verify(given: Files) -> Verified:
    """Check everything that can be. Raises BadData with the first thing that does not hold."""
    try:
        return _verify(given)
    except STRANGE as error:
        raise BadData(f"the case holds what no case holds ({type(error).__name__}: {str(error)[:80]})") from error


def _verify(given: Files) -> Verified:
    unknown = set(given) - {*files.CLOSED, *files.OPENED, files.SOME}
    missing = set(files.CLOSED) - set(given)
    if unknown or missing:
        raise BadData(
            f"expected {', '.join(files.CLOSED)} in a case, and what opens it; {sorted(unknown | missing)} differ"
        )
    book = books.opened(given[files.BOOK], files.BOOK)
    if len(book.links) < 2 or book.links[-1]["schema"] != commitments.RUN:
        raise BadData("the case book does not end with the run of a commitment")
    run, commitment = commitments.read_run(book.links[-1]), commitments.read(book.links[-2])
    result = files.parse(given[files.RESULT], files.RESULT)
    if storage.sha256(given[files.RESULT]) != run.result or result["commitment"] != commitment.digest:
        raise BadData("the result is not the one that the run was sealed with")
    if type(result["searched"]) is not int or not 1 <= result["searched"] < MOST:
        raise BadData("the result does not say how many models were searched")
    audits = commitments.check_chain(book.links)
    if result["audits"] != audits:
        raise BadData(f"the p-value is corrected for {result['audits']} audits, the case book holds {audits}")
    opened, whole = 0, None
    if files.KEY in given:
        if any(name not in given for name in files.OPENED):
            raise BadData(f"a case that is opened by its key holds {', '.join(files.OPENED)}")
        whole = _recompute(given, commitment, run, result, audits)
        opened = run.leaves
    elif files.SOME in given:
        opened = _some(files.parse(given[files.SOME], files.SOME), run)

    return Verified(commitment, result, str(book.owner), (opened, run.leaves), whole, _notes(whole, commitment, result))


def _notes(whole: Opened | None, commitment: Commitment, result: dict[str, Any]) -> tuple[str, ...]:
    told = [
        "the recorded answers are taken for the suspect's: whose they are rests on who asked (--again)",
        "the honest models learnt from the claimant's pool: add some of yours, or your own data (--honest, --pool)",
    ]
    if whole is None:
        told.append("the key was not revealed: probes, answers and p-values could not be recomputed")
    ground = min(1.0, float(result["finding"]["p_query"]) * result["searched"] * result["audits"] * deciding.RESERVE)
    if commitment.beacon is None:
        told.append("no beacon: the p-value is corrected for 2^40 keys that could have been tried")
    else:
        told.append(
            "the beacon counts if a trusted time shows the commitment to be older than its round; if not, keys could "
            f"have been tried, and the p-value is {ground:.2g}"
        )
    if commitment.generator.statistic == "crossings":
        told.append("screening only: without registered bits the error rate rests on the honest models alone")

    return tuple(told)


def _recompute(given: Files, commitment: Commitment, run: Run, result: dict[str, Any], audits: int) -> Opened:
    key = keys.of_hex(given[files.KEY].decode("ascii", "replace"), files.KEY)
    seed, salts = (cases.seed(commitment, key, run.beacon, purpose) for purpose in ("probes", "leaves"))
    pool = storage.from_bytes(Pool, given[files.POOL], files.POOL)
    if storage.digest(pool) != commitment.pool:
        raise BadData("the pool is not the one that was committed to")
    leaves = given[files.LEAVES].split(b"\n")[:-1]
    if len(leaves) != run.leaves or root_of(salts, leaves).hex() != run.root:
        raise BadData("the leaves do not have the root that was sealed; one was changed, added, dropped or moved")
    told = [_leaf(files.parse(line, f"leaf {i}"), i) for i, line in enumerate(leaves)]
    case = _case(files.parse(given[files.DERIVATION], files.DERIVATION), told, commitment, run.beacon, audits, result)
    shared = cases.assumed(commitment.generator, cases.require_taught(pool, case.labels))
    case = replace(case, shared=shared)
    x = cases.rows_of(pool)
    ways = segments.draw(seed, case.labels, commitment.generator.candidates)
    own = panel.parsed(case.own, 2 * len(commitment.generator.offsets) * len(ways.first))
    probes = cases.derive(pool.spec, x, ways, case.places, own, case.peers, commitment, seed)
    if not same(cases.conclude(case, probes), result):
        raise BadData("the result is not what the leaves give")

    return Opened(case, probes, pool, seed)


def _case(
    derivation: Any, leaves: Sequence[dict[str, Any]], commitment: Commitment, beacon: Beacon | None, audits: int,
    result: dict[str, Any],
) -> Case:  # fmt: skip
    """A case from its parts, of which each is what was committed to."""
    try:
        labels, places = (np.array(derivation[name], np.int64) for name in ("labels", "places"))
        at_hand = tuple((str(name), str(seen)) for name, seen in derivation["at_hand"])
        if set(derivation) != {"labels", "places", "own", "at_hand"}:
            raise ValueError("unknown fields")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadData(f"{files.DERIVATION} is none that was written here ({error})") from error
    peers = tuple(Peer(*(leaf[name] for name in Peer._fields)) for leaf in leaves if leaf["kind"] == "peer")
    asked: dict[tuple[str, str], list[Attempt]] = {}
    for leaf in leaves:
        if leaf["kind"] == "attempt":
            attempt = Attempt(*(leaf[name] for name in Attempt._fields))
            asked.setdefault((leaf["of"], leaf["role"]), []).append(attempt)
    models = tuple(Asked(name, role, tuple(attempts)) for (name, role), attempts in asked.items())
    calibrating, copies = (sum(peer.use == use for peer in peers) for use in ("calibrate", panel.SHADOW))
    honest = len(peers) - copies
    for what, holds in (
        ("labels of the source", running.labels_digest(labels) == commitment.labels),
        ("honest models at hand", commitments.panel_digest(commitment.peers, at_hand) == commitment.panel
         and sorted(name for name, _ in at_hand) == sorted(m.name for m in models if m.role == "peer")),
        ("number of honest models", honest == commitment.peers and calibrating == panel.calibrating(honest)),
        ("copies that choose", copies >= panel.ENOUGH_SHADOWS if commitment.generator.shadows else copies == 0),
        ("source", [m.name for m in models if m.role == "source"] == [commitment.source]),
        ("one suspect", sum(m.role == "suspect" for m in models) == 1),
        ("places", places.shape == (commitment.generator.candidates,)
         and bool(((places >= 0) & (places < 1 << segments.STEPS)).all())),
    ):  # fmt: skip
        if not holds:
            raise BadData(f"expected the {what} that the commitment says, got something else")

    return Case(
        commitment, beacon, labels, places, derivation["own"], peers, models, audits, result["searched"], at_hand
    )


def _leaf(leaf: Any, place: int) -> dict[str, Any]:
    """A leaf whose fields are those of its kind. Raises BadData."""
    kind = leaf.get("kind") if isinstance(leaf, dict) else None
    if kind not in KINDS or set(leaf) != KINDS[kind]:
        raise BadData(f"leaf {place} is neither an honest model's nor an attempt's")
    texts = {"name", "role", "use", "readings", "of", "input", "outcome"} & set(leaf)
    numbers = {"probe", "attempt", "label", "sent", "entry"} & set(leaf)
    sound = all(isinstance(leaf[name], str) for name in texts) and all(
        type(leaf[name]) is int and -1 <= leaf[name] < MOST for name in numbers
    )
    if not sound or (kind == "attempt" and leaf["role"] not in cases.ROLES):
        raise BadData(f"leaf {place} holds a field that cannot be")
    if kind == "attempt" and (leaf["outcome"] == "answered") != (leaf["label"] >= 0):
        raise BadData(f"leaf {place} says that it was {leaf['outcome'][:20]} and holds label {leaf['label']}")
    if leaf.get("response") is not None and not commitments.DIGEST.fullmatch(str(leaf["response"])):
        raise BadData(f"leaf {place} holds a field that cannot be")
    if kind == "peer" and leaf["use"] not in ("choose", "calibrate", panel.SHADOW):
        raise BadData(f"leaf {place} holds a field that cannot be")

    return dict(leaf)


def root_of(salts: bytes, leaves: Sequence[bytes]) -> bytes:
    """The root over leaves, whose salts are drawn from a seed."""
    return merkle.root([merkle.leaf(keys.salt(salts, i), line) for i, line in enumerate(leaves)])


def _some(opened: Any, run: Run) -> int:
    """How many leaves were opened one by one, each on the sealed root. Raises BadData."""
    try:
        for one in opened:
            salt, path = bytes.fromhex(one["salt"]), [bytes.fromhex(step) for step in one["path"]]
            if set(one) != {"index", "leaf", "salt", "path"} or len(salt) != merkle.SALT:
                raise ValueError("unknown fields")
            if type(one["index"]) is not int or not 0 <= one["index"] < run.leaves:
                raise ValueError("no such leaf")
            _leaf(one["leaf"], one["index"])
            digest = merkle.leaf(salt, storage.canonical_json(one["leaf"]))
            root = merkle.climb(digest, one["index"], run.leaves, path)
            if root is None or root.hex() != run.root:
                raise BadData(f"leaf {one['index']} does not lead to the root that was sealed; it was changed")
        return len(opened)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadData(f"{files.SOME} does not hold leaves with salts and paths ({error})") from error


def same(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal, numbers that are not whole up to CLOSE."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float | int) and not isinstance(b, bool):
        return math.isclose(a, b, rel_tol=CLOSE, abs_tol=0.0)
    return type(a) is type(b) and bool(a == b)
