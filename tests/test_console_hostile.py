"""Two hundred hostile texts in references, answers, errors and watches: none is live on any page or in any export."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import consoles
import pytest
import requests
import samples
from chat_models import Habits
from chat_server import Asked, Said, completion, scripted
from probe_match.fingerprinting.chat import shelf
from probe_match.fingerprinting.chat.changing import RoundP
from probe_match.fingerprinting.chat.history import History
from probe_match.fingerprinting.chat.records import Bank, Question
from probe_match.fingerprinting.chat.sentinels import Plan
from probe_match.fingerprinting.compliance.records import Examined, Judged, Report
from probe_match.fingerprinting.compliance.settings import Endpoint
from probe_match.fingerprinting.console import results
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.records import About
from probe_match.probes import chat_words
from test_audit_hostile import MARK, Tags, hostile_verdict, live, payloads, report_of
from test_console import done, get, start

TEXTS = [text.encode("utf-8", "replace").decode() for text in payloads()]  # half characters do not cross a wire


class World:
    """A console that holds all texts in all places. url: its address. jobs: an audit, and a match of a chatterer."""

    def __init__(self, url: str, jobs: dict[str, str]) -> None:
        self.url = url
        self.jobs = jobs

    def pages(self) -> list[str]:
        """Everywhere the texts occur."""
        names = [
            row["name"]
            for page in (1, 2)
            for row in get(self.url, f"/references?per_page=200&page={page}")["references"]
        ]
        return [
            *(f"/references?page={i}" for i in range(1, 4)), "/jobs", "/watches",
            *(f"/jobs/{job}" for job in self.jobs.values()),
            *(f"/references?search={quote(text)}" for text in TEXTS[:30:3]),
            *(f"/reference?name={quote(name)}" for name in names), f"/jobs/{self.jobs['audit']}/answers?endpoint=m0",
            *(f"/start?target={quote(text)}" for text in TEXTS[:30:3]),
        ]  # fmt: skip


def chatterer(asked: Asked) -> Said:
    """A language model that says one hostile text after the other."""
    if asked.body is None:
        return Said({"data": [{"id": "m"}]})
    chatterer.said += 1  # type: ignore[attr-defined]
    text = TEXTS[chatterer.said % len(TEXTS)]  # type: ignore[attr-defined]
    return Said(completion(text, model=text, usage={"prompt_tokens": 9, "completion_tokens": 1}))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    with open_db(folder / "known.db", create=True) as db:
        plain = samples.make_reference("r")
        for i, (text, other) in enumerate(zip(TEXTS[::2], TEXTS[1::2], strict=True)):
            name = text[:200] if text.isprintable() and text.strip() else f"r{i}"
            about = About(license=other, source=text, parent=other, note=text, date=other, weights=text)
            db.add(replace(plain, name=name, about=about))
        bank = chat_words.generate(n=25, seed=0, languages=("en",))
        habits = Habits()
        shelf.add(db, [habits.reference(name, bank, 10) for name in ("chat 1", "chat 2", "chat 3", "chat 4")])
    history = History(folder / "watch.db")
    for text in TEXTS[::2]:
        watch = history.begin(text, Bank("b", (Question("c", "word", text, "word"),)), Plan(), 5, 0)
        history.end(history.open_round(watch, "round"), RoundP(0.5))
    history.close()
    chatterer.said = 0  # type: ignore[attr-defined]
    with scripted(chatterer) as chat, consoles.console(folder) as (url, workshop):
        audit = workshop.jobs.add("audit", TEXTS[0], {})
        outcome, documents = results.of_audit(report_of(TEXTS, folder))
        workshop.jobs.end(audit.id, "done", answered=0, outcome=outcome, documents=documents)
        for text in TEXTS[::2]:
            workshop.jobs.end(workshop.jobs.add("match", text, {}).id, "failed", answered=0, why=text)
        match = start(url, match={"target": f"openai:{chat.url}/v1#m", "budget": 220})
        assert done(url, match)["state"] == "done"
        yield World(url, {"audit": audit.id, "match": match})


def test_no_text_is_live_on_any_page(world: World) -> None:
    """No control character, no element of theirs, no handler; and all texts are there to be found."""
    browser, seen = requests.Session(), ""
    for path in world.pages():
        text = browser.get(world.url + path, timeout=20).text
        assert text.startswith("<!doctype html>"), path
        assert live(text) == set(), path
        tags = Tags(text).found
        assert {tag for tag, _ in tags if tag in ("img", "iframe", "b", "style", "object", "base")} <= {"b"}, path
        assert [keys for tag, keys in tags if tag == "script"] == [("defer", "src")], path
        assert not [key for _, keys in tags for key in keys if key.startswith("on") or key in ("style", "srcdoc")], path
        seen += text

    assert [i for i in range(len(TEXTS)) if f"{MARK}{i}" not in seen] == []


def test_no_text_is_live_in_any_export(world: World) -> None:
    """Files and API alike: no control character, no formula, no script."""
    for kind, job in world.jobs.items():
        files = {
            form: requests.get(f"{world.url}/api/v1/jobs/{job}/export/{form}", timeout=20).content.decode()
            for form in ("json", "csv", "html", *(["sarif"] if kind == "audit" else []))
        }
        answers = requests.get(f"{world.url}/api/v1/jobs/{job}/answers", timeout=20)
        files["answers"] = "\n".join(str(row) for row in answers.json()["answers"])
        cells = [cell for row in csv.reader(io.StringIO(files["csv"])) for cell in row]

        assert {name: live(text) for name, text in files.items() if live(text)} == {}
        assert "<script" not in files["html"]
        assert not [cell for cell in cells if cell.lstrip(" \"'\t")[:1] in tuple("=+@|%＝＋＠") and cell[0] != "'"]
    assert len(answers.json()["answers"]) >= len(TEXTS)
    assert f"{MARK}199" in files["answers"]


def test_no_cell_of_a_match_is_a_formula() -> None:
    """Whatever target and reference are called, its CSV begins no cell as a formula."""
    for text in TEXTS[:60]:  # every way alone, and one in another
        judged = Judged(Examined(Endpoint("target", text), hostile_verdict(text, text)), ())
        _, documents = results.of_match(Report((judged,), {}))
        head, row = csv.reader(io.StringIO(documents["csv"].decode()))

        assert dict(zip(head, row, strict=True))["score"] == "1"
        assert not [cell for cell in row if cell.lstrip(' "\t')[:1] in tuple("=+-@|%＝＋－＠")]
        assert live("".join(row)) == set()


@pytest.mark.skipif(consoles.CHROMIUM is None, reason="NO CHROMIUM HERE: hostile texts were not tried in a browser")
def test_a_real_browser_runs_none_of_it(world: World, tmp_path: Path) -> None:
    """No dialog, script, or request to anybody else, and nothing that the policy had to stop; nor in a saved report."""
    trouble: list[str] = []
    (tmp_path / "audit.html").write_bytes(
        requests.get(f"{world.url}/api/v1/jobs/{world.jobs['audit']}/export/html", timeout=20).content
    )
    pages = world.pages()
    with consoles.chromium() as browser:
        page = browser.new_page()

        def refuse(dialog: Any) -> None:
            trouble.append(f"dialog {dialog.message}")
            dialog.dismiss()

        page.on("dialog", refuse)
        page.on("console", lambda said: trouble.append(f"console {said.text}"))
        page.on("pageerror", lambda error: trouble.append(f"error {error}"))
        page.on("request", lambda r: trouble.append(r.url) if not r.url.startswith((world.url, "file:")) else None)
        for path in [*pages[:10], *pages[17:40:7], *pages[40::20]]:
            page.goto(world.url + path)
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            assert page.evaluate("document.scripts.length") == 1
        page.goto(f"file://{tmp_path}/audit.html")
        assert page.evaluate("document.scripts.length") == 0

    assert trouble == []
