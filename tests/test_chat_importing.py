"""Published answers of language models as references, from files and from a server of Zenodo's shape."""

import gzip
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from probe_match.clients import _zenodo
from probe_match.fingerprinting.chat import shelf
from probe_match.fingerprinting.chat.importing import read_references
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import BadData, TargetError

PROMPTS = {
    "source": "somebody",
    "licence": "CC-BY-4.0",
    "temperature": 1.0,
    "max_tokens": 16,
    "system": {"en": "One word only."},
    "tasks": {
        "coin": {"normalize": "binary", "prompts": {"en": 'Flip a coin. Answer "heads" or "tails".'}},
        "number": {"normalize": "integer", "prompts": {"en": "Name a number from 1 to 9."}},
    },
}
LINES = [
    {"model": m, "task_id": t, "lang": "en", "temperature": 1.0, "rep": r, "raw": raw, "error": None}
    for m in ("a/one", "b/two")
    for t, raw in (("coin", "Heads."), ("number", "**7**"))
    for r in range(6)
]
COUNTS = {"coin/en": {"heads": 6}, "number/en": {"7": 6}}


def write(path: Path, value: Any) -> Path:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def zipped(files: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, value in files.items():
            archive.writestr(name, value if isinstance(value, bytes) else json.dumps(value))
    return buffer.getvalue()


def lines() -> bytes:
    return b"\n".join(json.dumps(line).encode() for line in LINES)


def shapes() -> dict[str, Any]:
    counts = {c: {"counts": {"h" if a == "heads" else a: n for a, n in some.items()}} for c, some in COUNTS.items()}
    dist = [
        {"model": m, "task_id": c.split("/")[0], "lang": "en", "temperature": 1.0, "n_valid": 6, "dist": {a: 1.0}}
        for m in ("a/one", "b/two")
        for c, a in (("coin/en", "h"), ("number/en", "7"))
    ]
    kept = [line | {"normalized": "h" if line["task_id"] == "coin" else "7", "answer_class": "valid"} for line in LINES]
    return {
        "x.counts.json.gz": {"models": {"a/one": counts, "b/two": counts}, "temperature": 1.0},
        "responses.jsonl": lines(),
        "normalized.jsonl": b"\n".join(json.dumps(line).encode() for line in kept),
        "distributions.json": {"distributions": dist},
        "all.zip": zipped({"deep/down/responses.jsonl": lines(), "deep/prompts.json": PROMPTS}),
    }


@pytest.mark.parametrize("name", list(shapes()))
def test_every_published_shape_gives_the_same_references(tmp_path: Path, name: str) -> None:
    """Counts, lines of answers and distributions, packed or not, amount to the same counts and questions."""
    prompts = None if name == "all.zip" else write(tmp_path / "q.json", PROMPTS)
    references = read_references(write(tmp_path / name, shapes()[name]), prompts)

    assert [one.name for one in references] == ["a/one", "b/two"]
    assert references[0].counts == COUNTS
    assert references[0].bank.questions[0].system == "One word only."
    assert references[0].bank.questions[0].choices == ("heads", "tails")
    assert references[0].bank.questions[0].sampling.temperature == 1
    assert references[0].about.license == "CC-BY-4.0"


def test_answers_without_their_questions_are_refused(tmp_path: Path) -> None:
    """An answer means nothing but for the question and settings it was given under."""
    path = write(tmp_path / "responses.jsonl", lines())
    with pytest.raises(BadData, match="pass their file with --prompts"):
        read_references(path)
    hot = {**shapes()["x.counts.json.gz"], "temperature": 0.2}
    with pytest.raises(BadData, match=r"temperature 1, as the questions say, got 0.2"):
        read_references(write(tmp_path / "x.counts.json.gz", hot), write(tmp_path / "q.json", PROMPTS))


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"models": {"a": {"coin/en": {"counts": {"h": -1}}}}}', b"PK\3\4x"]
)
def test_broken_files_are_one_line(tmp_path: Path, data: bytes) -> None:
    """Whatever the file holds, the error is ours."""
    path = tmp_path / "x.counts.json"
    path.write_bytes(data)
    with pytest.raises(BadData):
        read_references(path, write(tmp_path / "q.json", PROMPTS))


class Zenodo(BaseHTTPRequestHandler):
    """Two records; `broken` is how many bytes are sent before the first connection to the file breaks."""

    files: dict[str, bytes] = {}  # noqa: RUF012
    asked: list[str] = []  # noqa: RUF012
    wrong = False

    def do_GET(self) -> None:
        """A record, or a part of a file."""
        site = f"http://127.0.0.1:{self.server.server_address[1]}"
        if self.path.startswith("/api/records/") and self.path.count("/") == 3:
            files = [
                {
                    "key": name,
                    "size": len(data),
                    "checksum": "md5:" + ("0" * 32 if self.wrong else hashlib.md5(data).hexdigest()),
                    "links": {"self": f"{site}{self.path}/files/{name}/content"},
                }
                for name, data in self.files.items()
            ]
            about = {"title": "Answers", "license": {"id": "cc-by-4.0"}}
            self.answer(200, json.dumps({"metadata": about, "doi": "10.1/x", "files": files}).encode())
            return
        data = self.files[self.path.split("/")[-2]]
        wanted = self.headers.get("Range", "")
        self.asked.append(wanted)
        first, last = (int(part) for part in wanted.removeprefix("bytes=").split("-"))
        self.answer(206, data[first : last + 1])

    def answer(self, status: int, body: bytes) -> None:
        """One whole answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Zenodo, "files", {"data.zip": shapes()["all.zip"]})
    monkeypatch.setattr(Zenodo, "asked", [])
    monkeypatch.setattr(Zenodo, "wrong", False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Zenodo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_record_is_pulled_checked_and_added(tmp_path: Path, site: str) -> None:
    """One command says the licence, fetches, checks and adds; a second time nothing is fetched."""
    words = ["db", "pull", "single-token-2026", "--site", site, "--db", str(tmp_path / "k.db")]
    said = CliRunner().invoke(cli, words, catch_exceptions=False)
    asked = len(Zenodo.asked)
    again = CliRunner().invoke(cli, [*words, "--replace"], catch_exceptions=False)

    assert said.exit_code == again.exit_code == 0, said.output
    assert "cc-by-4.0" in said.output
    assert "added 2 language models" in said.output
    assert len(Zenodo.asked) == asked
    with open_db(tmp_path / "k.db") as db:
        assert shelf.get(db, "a/one").counts == COUNTS


def test_a_download_goes_on_where_it_stopped(tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before a break is kept, and only the rest is asked for."""
    monkeypatch.setattr(_zenodo, "PART", 100)
    (file,) = _zenodo.describe("1", site=site).files
    (tmp_path / "data.zip.part").write_bytes(Zenodo.files["data.zip"][:150])
    path = _zenodo.fetch(file, tmp_path)

    assert path.read_bytes() == Zenodo.files["data.zip"]
    assert Zenodo.asked[0] == "bytes=150-249"


def test_what_does_not_have_its_digest_is_not_kept(tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not what the record says is thrown away and said so."""
    monkeypatch.setattr(Zenodo, "wrong", True)
    (file,) = _zenodo.describe("1", site=site).files
    with pytest.raises(BadData, match="does not have the digest"):
        _zenodo.fetch(file, tmp_path)

    assert not list(tmp_path.iterdir())


def test_a_name_that_leads_elsewhere_is_refused(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record cannot make us write outside the folder."""
    monkeypatch.setattr(Zenodo, "files", {"../evil": b"x"})
    with pytest.raises(TargetError, match="no plain name"):
        _zenodo.describe("1", site=site)
