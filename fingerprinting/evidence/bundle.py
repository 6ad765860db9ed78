"""
Evidence bundles, `*.mfpb`: a case, everything that backs it, and one seal over every byte.

    statement.dsse.json     the seal: an in-toto statement of which each other file is a subject, by its SHA-256
    book.jsonl result.json  the case, as `claims.files` names it, and what opens it
    opened/…
    opened/exchanges.jsonl  the raw answers that the leaves name, each of which can be withheld alone
    timestamps/link-N-K.tsr tokens over line N of book.jsonl, without its end, from authority K
    custody.jsonl           who did what with it
    VERIFY.md               how to check it without this program

A bundle says its version in the seal. Every version that was ever released is read by every later release; a file that
no version knows is refused.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData

from . import custody, exchanges, guide, seal
from .archive import Files
from .exchanges import Exchanges

SCHEMA: Final = "probe-match/bundle/1"
KIND: Final = "https://probe-match.dev/evidence-bundle/v1"
SEAL: Final = "statement.dsse.json"
GUIDE: Final = "VERIFY.md"
CUSTODY: Final = "custody.jsonl"
EXCHANGES: Final = "opened/exchanges.jsonl"
BOOK: Final = "book.jsonl"
TOKEN: Final = re.compile(r"timestamps/link-([1-9][0-9]{0,4})-([1-9])\.tsr")
FIELDS: Final = {"schema", "tool", "links"}


class Bundle(NamedTuple):
    """
    An opened bundle. owner: public key of its seal. case: the files that claims are verified by. tokens: by the number
    of the link they are over. lines: of the book, without their ends.
    """

    owner: str
    case: Files
    tokens: dict[int, list[bytes]]
    lines: list[bytes]
    custody: list[dict[str, Any]]
    exchanges: Exchanges | None

    def stamped(self, link: int) -> bytes:
        """What the tokens of a link are over. Raises BadData."""
        if not 1 <= link <= len(self.lines):
            raise BadData(f"a timestamp is of link {link}, the case book has {len(self.lines)}")
        return self.lines[link - 1]


def close(
    case: Mapping[str, bytes], pem: bytes, *, did: str, why: str = "", log: bytes = b"",
    tokens: Mapping[str, bytes] | None = None,
) -> Files:  # fmt: skip
    """
    A bundle's files. did, why: what goes into the custody log. log: of the bundle before. tokens: under their names.

    pem: the Ed25519 key that sealed the case book. Raises BadData.
    """
    files = {**case, **(tokens or {})}
    links = len(case[BOOK].splitlines())
    files[GUIDE] = guide.text(links).encode()
    files[CUSTODY] = custody.extended(log, did, files, why)
    subjects = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    told = {"schema": SCHEMA, "tool": f"probe-match {version('probe-match')}", "links": links}

    return files | {SEAL: storage.canonical_json(seal.seal(KIND, subjects, told, pem))}


def opened(files: Files, known: Collection[str], where: str) -> Bundle:
    """
    What a bundle holds, its seal and every digest checked. known: names of the files of a case.

    Raises BadData for what was changed, what no version knows, and what only a later version does.
    """
    if SEAL not in files:
        raise BadData(f"{where} has no seal ({SEAL}); expected a bundle that `claim run` or `claim reveal` wrote")
    sealed = seal.unseal(storage.from_canonical_json(files[SEAL], f"the seal of {where}"), f"the bundle {where}")
    if sealed.kind != KIND or sealed.predicate.get("schema") != SCHEMA:
        raise BadData(
            f"{where} is of version {str(sealed.predicate.get('schema'))[:60]}; this release reads {SCHEMA}: "
            "a newer one may read it"
        )
    found = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != SEAL}
    if found != sealed.subjects:
        wrong = sorted(name for name in {*found, *sealed.subjects} if found.get(name) != sealed.subjects.get(name))
        raise BadData(f"{wrong[0]} in {where} is not what was sealed; it was changed, added or taken out")
    ours = {GUIDE, CUSTODY, EXCHANGES}
    strange = [name for name in found if name not in ours and name not in known and not TOKEN.fullmatch(name)]
    missing = {GUIDE, CUSTODY, BOOK} - set(found)
    if strange or missing:
        raise BadData(f"{where} holds {strange[:1] or 'no'} {min(missing, default='')}; no version of bundles does")
    steps = custody.read(files[CUSTODY])
    lines = files[BOOK].split(b"\n")
    if set(sealed.predicate) != FIELDS or lines[-1] or sealed.predicate["links"] != len(lines) - 1:
        raise BadData(f"the seal of {where} speaks of another case book than it holds")

    return Bundle(
        sealed.owner, {name: files[name] for name in found if name in known}, _tokens(files), lines[:-1],
        steps, exchanges.read(files[EXCHANGES]) if EXCHANGES in files else None,
    )  # fmt: skip


def token_name(link: int, number: int) -> str:
    """Where a token is kept. link, number: from 1 on."""
    return f"timestamps/link-{link}-{number}.tsr"


def read_tokens(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The tokens among a bundle's files, under their names."""
    return {name: data for name, data in files.items() if TOKEN.fullmatch(name)}


def _tokens(files: Mapping[str, bytes]) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for name in sorted(files):
        if match := TOKEN.fullmatch(name):
            held = found.setdefault(int(match[1]), [])
            held.append(files[name])
            if int(match[2]) != len(held):
                raise BadData(f"{name} does not follow the timestamp before; one was taken out")

    return found
