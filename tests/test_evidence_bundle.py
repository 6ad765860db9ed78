"""Bundles: read by every later release and by a second verifier, and no change of one is accepted."""

import base64
import io
import json
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rfc3161_client")

from click.testing import CliRunner, Result
from probe_match.fingerprinting.claims import deciding, files
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.evidence import (
    archive,
    bundle,
    checking,
    custody,
    exchanges,
    report,
    telling,
    timestamps,
)
from probe_match.fingerprinting.evidence.checking import Checked

from benchmarks import bundle_edits, local_tsa
from benchmarks.bundle_changes import CHANGES, sealed_anew
from benchmarks.bundle_edits import SAMPLE, Judges

ROOTS = ("--tsa-root", SAMPLE / "north.pem", "--tsa-root", SAMPLE / "south.pem")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="the second verifier needs openssl")


def claim(*words: object) -> Result:
    return CliRunner().invoke(cli, ["claim", *map(str, words)])


@pytest.fixture(scope="module")
def sample() -> bundle_edits.Sample:
    return bundle_edits.load()


@pytest.fixture(scope="module")
def judges(sample: bundle_edits.Sample) -> Judges:
    return Judges(SAMPLE, bundle_edits.owner_of(sample))


@pytest.fixture(scope="module")
def checked(sample: bundle_edits.Sample, judges: Judges) -> Checked:
    return checking.check(sample.files, "sample", judges.trusted)


def test_bundles_of_every_released_version_are_read() -> None:
    """The stored samples are valid and whole with their roots pinned; a closed one is valid and not whole."""
    for folder in sorted(SAMPLE.parent.glob("bundle-*")):
        roots = [timestamps.authority(folder / f"{name}.pem") for name in ("north", "south")]
        opened, closed = (
            checking.check(archive.read(folder / name), name, roots) for name in ("opened.mfpb", "closed.mfpb")
        )

        assert opened.complete
        assert opened.claim.result["finding"]["outcome"] == "match"
        assert (closed.complete, closed.timed) == (False, True)


def test_times_count_only_under_pinned_roots() -> None:
    """Exit code 0 with both roots, 3 with one or none, 1 with another in the place of one."""
    one = claim("verify", SAMPLE / "opened.mfpb", *ROOTS[:2])

    assert claim("verify", SAMPLE / "opened.mfpb", *ROOTS).exit_code == 0
    assert claim("verify", SAMPLE / "opened.mfpb").exit_code == 3
    assert one.exit_code == 1
    assert "no trusted authority" in one.output


@needs_openssl
def test_a_second_verifier_says_the_same(tmp_path: Path) -> None:
    """Eighty lines that import nothing of the project accept the sample, and not when a byte of it is changed."""
    program = bundle_edits.ROOT / "docs" / "second_verifier.py"
    text = program.read_text(encoding="utf-8")
    (tmp_path / "changed.mfpb").write_bytes((SAMPLE / "opened.mfpb").read_bytes().replace(b'"audits":1', b'"audits":2'))

    def verdict(path: Path) -> int:
        command = [sys.executable, "-I", str(program), str(path), *map(str, ROOTS[1::2])]
        return subprocess.run(command, capture_output=True).returncode

    assert verdict(SAMPLE / "opened.mfpb") == 0
    assert verdict(tmp_path / "changed.mfpb") == 1
    assert len(text.splitlines()) <= 80
    assert "import probe_match" not in text
    assert "from probe_match" not in text


def refused(told: dict[str, Any], beacon: object) -> bool:
    """Whether the second verifier says that a result's p-values do not follow from its hits."""
    committed = {"threshold": deciding.THRESHOLD, "alpha": deciding.ALPHA, "confidence": deciding.CONFIDENCE}
    try:
        bundle_edits.second().counted(told, committed, beacon)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("hits", [0, 700, 980, 1024])
@pytest.mark.parametrize("nearest", [300, 870, 1024])
@pytest.mark.parametrize("kin", [3, 100])
@pytest.mark.parametrize("beacon", [None, {"round": 7}])
def test_a_second_verifier_counts_again(hits: int, nearest: int, kin: int, beacon: object) -> None:
    """From hits to p-values as ours does; whatever is changed by itself no longer follows."""
    peers = np.concatenate([[nearest], np.full(kin + 99, 200)])
    times = deciding.factor(2, 1, beacon is not None)
    found = deciding.decide(hits, 1024, 1.0, peers, np.arange(len(peers)) < kin, times, deciding.Rule(0.85))
    told = {"finding": found._asdict(), "searched": 2, "audits": 1, "floor": 0.85}

    assert not refused(told, beacon)
    assert refused(told, {"round": 7} if beacon is None else None)
    for field in ("bound", "p_query", "factor", "p_corrected"):
        assert refused(told | {"finding": {**found._asdict(), field: 0.123}}, beacon)
    assert (found.outcome == "match") is not refused(
        told | {"finding": {**found._asdict(), "outcome": "match"}}, beacon
    )


@needs_openssl
def test_no_edit_is_accepted_and_both_verifiers_agree(sample: bundle_edits.Sample, judges: Judges) -> None:
    """Every kind of change, by strangers and by the owner who seals anew, is refused by both."""
    told = bundle_edits.judged(judges, bundle_edits.edits(sample, 2 * len(CHANGES), 5))

    assert judges.first(archive.pack(sample.files))
    assert judges.second(archive.pack(sample.files))
    assert told == {"tried": 2 * len(CHANGES), "accepted_by_first": 0, "accepted_by_second": 0, "disagreements": 0}


@needs_openssl
def test_no_changed_byte_is_accepted(sample: bundle_edits.Sample, judges: Judges) -> None:
    """Bytes of the zip, and bytes of its files in a zip that is right again, are refused by both."""
    raw = bundle_edits.judged(judges, bundle_edits.bytewise(archive.pack(sample.files), 997, 5))
    packed = bundle_edits.judged(judges, bundle_edits.repacked(sample, 1009, 5))

    assert raw["tried"] > 150
    assert packed["tried"] > 150
    assert not any(told[key] for told in (raw, packed) for key in told if key not in ("tried",))


def test_the_zip_is_a_plain_one() -> None:
    """Byte for byte what Python's zipfile writes for stored members in order, and read back alike."""
    held = {"b/c.json": b"{}", "a": bytes(range(256)), "empty": b""}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name in sorted(held):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, 0o100644 << 16
            made.writestr(info, held[name])

    assert archive.pack(held) == out.getvalue()
    assert archive.unpack(archive.pack(held), "it") == held


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("result.json", bytes(1 << 26))
    return out.getvalue()


def slip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("../../etc/passwd", b"x")
    return out.getvalue()


def giant() -> bytes:
    data = bytearray(archive.pack({"result.json": b"{}"}))
    data[18:26] = b"\xff" * 8  # said to be four gigabytes
    return bytes(data)


@pytest.mark.parametrize("data", [bomb(), slip(), giant(), b"", b"PK\3\4", b"PK\5\6" + bytes(18), bytes(1000)])
def test_hostile_files_are_refused_at_once(data: bytes) -> None:
    """Bombs, paths that lead outside, sizes that lie and what is no zip are one clear error at once."""
    began = time.perf_counter()
    with pytest.raises(BadData, match="no bundle"):
        archive.unpack(data, "it")

    assert time.perf_counter() - began < 1


def test_mutants_never_crash_the_reader(sample: bundle_edits.Sample) -> None:
    """Bytes cut, doubled and overwritten at random give BadData and nothing else."""
    rng, whole = np.random.default_rng(3), archive.pack({"result.json": b"{}", "book.jsonl": b"x" * 50})
    for _ in range(2000):
        data = bytearray(whole)
        place = int(rng.integers(len(data)))
        data[place : place + int(rng.integers(6))] = rng.bytes(int(rng.integers(6)))
        if bytes(data) != whole:
            with pytest.raises(BadData):
                archive.unpack(bytes(data), "it")


def test_what_no_version_knows_is_refused(sample: bundle_edits.Sample) -> None:
    """A file of an unknown name and a seal of a later version are refused though the owner sealed them."""
    with pytest.raises(BadData, match="no version of bundles"):
        bundle.opened(sealed_anew(sample.files | {"Book.jsonl": b""}, sample.pem), checking.KNOWN, "it")
    from probe_match.fingerprinting import storage
    from probe_match.fingerprinting.evidence import seal

    later = storage.canonical_json(seal.seal(bundle.KIND, {}, {"schema": "probe-match/bundle/9"}, sample.pem))
    with pytest.raises(BadData, match="a newer one may read it"):
        bundle.opened(sample.files | {bundle.SEAL: later}, checking.KNOWN, "it")


def test_custody_is_a_chain(sample: bundle_edits.Sample) -> None:
    """Each step names the files as they were after it and follows the one before; none can be taken out."""
    log = custody.extended(sample.files[bundle.CUSTODY], "look", {"a": b"b"}, "to see")
    lines = log.splitlines(keepends=True)

    assert [line["what"] for line in custody.read(log)] == ["run", "reveal", "look"]
    with pytest.raises(BadData, match="does not follow"):
        custody.read(lines[0] + lines[2])
    with pytest.raises(BadData, match="cut off"):
        custody.read(log[:-1])


def test_an_answer_is_withheld_alone(sample: bundle_edits.Sample, judges: Judges) -> None:
    """Its body goes, its digest stays, everything is still recomputed, and the reader is told."""
    told = exchanges.read(sample.files[bundle.EXCHANGES])
    digest, body = next(iter(told.bodies.items()))
    less = exchanges.withhold(sample.files[bundle.EXCHANGES], [digest], "personal data")
    found = checking.check(sealed_anew(sample.files | {bundle.EXCHANGES: less}, sample.pem), "it", judges.trusted)

    assert base64.b64encode(body) not in less
    assert found.complete
    assert any("withheld" in note for note in found.notes)
    with pytest.raises(BadData, match="one was added or taken out"):
        checking.check(sealed_anew(sample.files | {bundle.EXCHANGES: b""}, sample.pem), "it", judges.trusted)
    none = {name: data for name, data in sample.files.items() if name != bundle.EXCHANGES}
    silent = checking.check(sealed_anew(none, sample.pem), "it", judges.trusted)

    assert not silent.complete
    assert any("only their digests are" in note for note in silent.notes)


@needs_openssl
def test_a_case_book_is_stamped_and_its_case_sealed_anew(tmp_path: Path, sample: bundle_edits.Sample) -> None:
    """`claim stamp` asks each authority once for every link over HTTP, and puts the tokens into the case."""
    bare = {name: data for name, data in sample.files.items() if name in checking.KNOWN or name == bundle.EXCHANGES}
    book, case = tmp_path / "cases.jsonl", tmp_path / "case.mfpb"
    book.write_bytes(bare[files.BOOK])
    archive.write(case, bundle.close(bare, sample.pem, did="run"))
    (tmp_path / "seal.pem").write_bytes(sample.pem)
    north, south = (local_tsa.make(tmp_path / name, name) for name in ("north", "south"))
    roots = ("--tsa-root", north.folder / "root.pem", "--tsa-root", south.folder / "root.pem")
    with local_tsa.serving(north) as one, local_tsa.serving(south) as two:
        words = ("stamp", book, "--tsa", one, "--tsa", two, *roots, "--case", case, "--seal", tmp_path / "seal.pem")
        unstamped, done, again = claim("verify", case, *roots), claim(*words), claim(*words)
    verified = claim("verify", case, *roots, "--json")

    assert unstamped.exit_code == 3
    assert "4 new timestamps" in done.output
    assert "0 new timestamps" in again.output
    assert verified.exit_code == 0
    assert set(json.loads(verified.output)["times"]) == {"committed to", "run"}


def test_the_report_says_what_stands_in_the_bundle(checked: Checked) -> None:
    """Claim, times, rule, rates with intervals, controls, alternatives and limits, and no word of guilt."""
    told = telling.tell(checked)
    text = report.to_text(told)
    hits = told["rates"][0]

    assert told["outcome"]["word"] == "match"
    assert (hits["value"], hits["of"], hits["high"]) == (1.0, 128, 1.0)
    assert hits["low"] == pytest.approx(0.025 ** (1 / 128))  # Clopper and Pearson, where all hit
    assert (told["rates"][2]["value"], told["rates"][2]["of"]) == (0.0, 100)
    assert all(one["authorities"] == ["north", "south"] for one in told["times"])
    assert {one["what"] for one in told["alternatives"]} >= {"relay", "same base", "distillation"}
    assert "conclusion of law" in text
    assert not any(word in text.lower() for word in ("thief", "guilty", "infring", "unlawful"))


def test_the_page_is_one_file_without_script(checked: Checked, tmp_path: Path) -> None:
    """`claim report --html` writes a page that loads nothing, and names from outside stay text."""
    done = claim("report", SAMPLE / "opened.mfpb", *ROOTS, "--html", tmp_path / "report.html", "--json")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    told = telling.tell(checked)
    hostile = report.to_html(told | {"claim": told["claim"] | {"says": "<script>alert(1)</script>\x1b[2J"}})

    assert done.exit_code == 0
    assert json.loads(done.output) == json.loads(json.dumps(told))
    assert "default-src 'none'" in page
    assert not any(word in page for word in ("<script", 'http-equiv="refresh', "src=", "url("))
    assert "<script>alert" not in hostile
    assert "\x1b" not in hostile
