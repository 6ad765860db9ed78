"""The changes that `bundle_edits` makes to a bundle: of leaves, links, seals, times, answers, files and the zip."""

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.claims import sealing
from probe_match.fingerprinting.evidence import archive, bundle, dsse, seal
from probe_match.fingerprinting.evidence.archive import Files

BOOK, RESULT, LEAVES, SEAL = "book.jsonl", "result.json", "opened/leaves.jsonl", bundle.SEAL
Rng = np.random.Generator


class Sample(NamedTuple):
    """A bundle's files, the owner's key, somebody else's, and tokens over both links of an authority nobody pinned."""

    files: Files
    pem: bytes
    other: bytes
    foreign: list[bytes]


def sealed_anew(files: Files, pem: bytes) -> Files:
    """The files under a new outer seal."""
    rest = {name: data for name, data in files.items() if name != SEAL}
    subjects = {name: hashlib.sha256(rest[name]).hexdigest() for name in sorted(rest)}
    told = {"schema": bundle.SCHEMA, "tool": "probe-match", "links": len(rest.get(BOOK, b"").splitlines())}
    return rest | {SEAL: storage.canonical_json(seal.seal(bundle.KIND, subjects, told, pem))}


def _lines(sample: Sample, name: str) -> list[bytes]:
    return sample.files[name].splitlines(keepends=True)


def _leaves(change: Callable[[list[bytes], int, Rng], None], name: str = LEAVES) -> Callable[[Sample, Rng], Files]:
    def made(sample: Sample, rng: Rng) -> Files:
        lines = _lines(sample, name)
        change(lines, int(rng.integers(len(lines))), rng)
        return sample.files | {name: b"".join(lines)}

    return made


def _drop(lines: list[bytes], place: int, _: Rng) -> None:
    del lines[place]


def _double(lines: list[bytes], place: int, _: Rng) -> None:
    lines.insert(place, lines[place])


def _move(lines: list[bytes], place: int, rng: Rng) -> None:
    lines.insert(int(rng.integers(len(lines))), lines.pop(place))


def _value(lines: list[bytes], place: int, rng: Rng) -> None:
    """Another number or text in one field."""
    told = json.loads(lines[place])
    field = sorted(told)[int(rng.integers(len(told)))]
    told[field] = told[field] + 1 if type(told[field]) is int else f"{told[field]}0"
    lines[place] = storage.canonical_json(told) + b"\n"


def _result(sample: Sample, rng: Rng) -> Files:
    told = json.loads(sample.files[RESULT])
    inner = told["finding"] if rng.random() < 0.7 else told
    field = sorted(inner)[int(rng.integers(len(inner)))]
    was = inner[field]
    inner[field] = was * 2 + 1 if isinstance(was, int | float) else "match" if was != "match" else "no match"
    return sample.files | {RESULT: storage.canonical_json(told)}


def _commitment(sample: Sample, rng: Rng) -> Files:
    """A laxer or other commitment, and the run after it, both sealed by the owner."""
    links = [sealing.unseal(json.loads(line), "it")[0] for line in _lines(sample, BOOK)]
    field = ("threshold", "alpha", "retries", "source", "peers", "weights", "serial")[int(rng.integers(7))]
    was = links[0][field]
    links[0][field] = was * 0.5 if isinstance(was, float) else (was or 0) + 1 if not isinstance(was, str) else "other"
    links[1]["previous"] = links[1]["commitment"] = storage.sha256(storage.canonical_json(links[0]))
    told = json.loads(sample.files[RESULT]) | {"commitment": links[1]["commitment"]}
    result = storage.canonical_json(told)
    links[1]["result"] = storage.sha256(result)
    book = b"".join(storage.canonical_json(sealing.seal(link, sample.pem)) + b"\n" for link in links)
    return sample.files | {BOOK: book, RESULT: result}


def _run(sample: Sample, rng: Rng) -> Files:
    """Another end of the same case, sealed by the owner."""
    lines = _lines(sample, BOOK)
    link = sealing.unseal(json.loads(lines[1]), "it")[0]
    field = ("outcome", "root", "leaves", "result", "beacon")[int(rng.integers(5))]
    was = link[field]
    link[field] = {"outcome": "no match", "leaves": 7, "beacon": None}.get(field, f"{str(was)[:-1]}{rng.integers(9)}")
    lines[1] = storage.canonical_json(sealing.seal(link, sample.pem)) + b"\n"
    return sample.files | {BOOK: b"".join(lines)}


def _stale(sample: Sample, rng: Rng) -> Files:
    """Another case is committed to after this one, or before it, and this one passed off as the last."""
    lines = _lines(sample, BOOK)
    links = [sealing.unseal(json.loads(line), "it")[0] for line in lines]
    later = links[0] | {"serial": 2, "previous": storage.sha256(storage.canonical_json(links[1]))}
    later["retries"] = int(rng.integers(5))
    added = storage.canonical_json(sealing.seal(later, sample.pem)) + b"\n"
    lines.insert(int(rng.integers(3)), added)
    return sample.files | {BOOK: b"".join(lines)}


def _other_owner(sample: Sample, _: Rng) -> Files:
    """All links under somebody else's key: a claim that was taken over."""
    links = [sealing.unseal(json.loads(line), "it")[0] for line in _lines(sample, BOOK)]
    book = b"".join(storage.canonical_json(sealing.seal(link, sample.other)) + b"\n" for link in links)
    return sealed_anew(sample.files | {BOOK: book}, sample.other)


def _algorithm(sample: Sample, rng: Rng) -> Files:
    """A seal by another algorithm, or one that says so."""
    name = SEAL if rng.random() < 0.5 else BOOK
    lines = _lines(sample, name)
    envelope = json.loads(lines[0])
    how = int(rng.integers(3))
    if how == 0:
        key = ec.generate_private_key(ec.SECP256R1())
        keyid = envelope["signatures"][0]["keyid"]
        envelope = dsse.wrap(base64.b64decode(envelope["payload"]), key, keyid).to_json()
    elif how == 1:
        envelope["signatures"][0]["alg"] = "none"
    else:
        envelope["signatures"][0]["sig"] = base64.b64encode(rng.bytes(int(rng.integers(0, 80)))).decode()
    lines[0] = storage.canonical_json(envelope) + (b"\n" if name == BOOK else b"")
    return sample.files | {name: b"".join(lines)}


def _foreign_time(sample: Sample, rng: Rng) -> Files:
    link, number = (int(n) for n in rng.integers(1, 3, 2))
    return sample.files | {bundle.token_name(link, number): sample.foreign[link - 1]}


def _swapped_times(sample: Sample, rng: Rng) -> Files:
    """A token of the other link, or one authority twice."""
    names = sorted(bundle.read_tokens(sample.files))
    a, b = rng.choice(len(names), 2, replace=False)
    return sample.files | {names[a]: sample.files[names[b]]}


def _dropped_time(sample: Sample, rng: Rng) -> Files:
    names = sorted(bundle.read_tokens(sample.files))
    gone = names[int(rng.integers(len(names)))]
    return {name: data for name, data in sample.files.items() if name != gone}


def _broken_time(sample: Sample, rng: Rng) -> Files:
    names = sorted(bundle.read_tokens(sample.files))
    name = names[int(rng.integers(len(names)))]
    return sample.files | {name: sample.files[name][: int(rng.integers(1, 900))] + rng.bytes(int(rng.integers(0, 9)))}


def _file(sample: Sample, rng: Rng) -> Files:
    """
    A file is dropped, emptied, added, or stands for another; VERIFY.md apart, whose words whoever seals may choose.
    """
    names = sorted(set(sample.files) - {bundle.GUIDE})
    a, b = (names[int(n)] for n in rng.choice(len(names), 2, replace=False))
    how = int(rng.integers(4))
    if how == 0:
        return {name: data for name, data in sample.files.items() if name != a}
    if how == 1:
        return sample.files | {f"opened/extra-{int(rng.integers(99))}.json": b"{}"}
    return sample.files | {a: sample.files[b]} if how == 2 else sample.files | {a: b""}


def _opened(sample: Sample, rng: Rng) -> Files:
    """Another key, pool or derivation, or the pool saved anew with a row changed."""
    name = ("opened/key.hex", "opened/pool.npz", "opened/derivation.json")[int(rng.integers(3))]
    if name == "opened/pool.npz":
        with np.load(io.BytesIO(sample.files[name])) as arrays:
            held = dict(arrays)
        held["x"][int(rng.integers(len(held["x"])))] += 0.01
        out = io.BytesIO()
        np.savez_compressed(out, **held)
        return sample.files | {name: out.getvalue()}
    data = sample.files[name]
    place = int(rng.integers(len(data) - 1))
    digit = b"0" if data[place : place + 1] != b"0" else b"1"
    return sample.files | {name: data[:place] + digit + data[place + 1 :]}


def _zip(sample: Sample, rng: Rng) -> bytes:
    """The same files in another zip: compressed, dated, in another order, a file twice, with words before or after."""
    data, how, out = archive.pack(sample.files), int(rng.integers(6)), io.BytesIO()
    if how == 0:
        return data + rng.bytes(int(rng.integers(1, 30)))
    if how == 1:
        return rng.bytes(int(rng.integers(1, 30))) + data
    if how == 2:
        return data[: int(rng.integers(len(data)))]
    names = [str(name) for name in rng.permutation(sorted(sample.files))] if how == 3 else sorted(sample.files)
    kind = zipfile.ZIP_DEFLATED if how == 4 else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", kind) as made:
        for name in names:
            date = (1980 + int(rng.integers(how == 5, 9)), 1, 1, 0, 0, 0)
            made.writestr(zipfile.ZipInfo(name, date), sample.files[name], kind)
    return out.getvalue()


CHANGES: dict[str, Callable[[Sample, Rng], Files | bytes]] = {
    "leaf dropped": _leaves(_drop), "leaf doubled": _leaves(_double), "leaves reordered": _leaves(_move),
    "leaf changed": _leaves(_value), "result changed": _result, "other commitment": _commitment, "other run": _run,
    "stale case": _stale, "link dropped": _leaves(_drop, BOOK), "link doubled": _leaves(_double, BOOK),
    "links reordered": _leaves(_move, BOOK), "other owner": _other_owner, "other algorithm": _algorithm,
    "foreign authority": _foreign_time, "times swapped": _swapped_times, "time dropped": _dropped_time,
    "time broken": _broken_time, "file": _file, "opened": _opened, "answer dropped": _leaves(_drop, bundle.EXCHANGES),
    "answer changed": _leaves(_value, bundle.EXCHANGES), "custody reordered": _leaves(_move, bundle.CUSTODY),
    "custody dropped": _leaves(lambda lines, _, rng: lines.pop(0) and None, bundle.CUSTODY), "zip": _zip,
}  # fmt: skip
