"""The console in a real browser, used as a person would, and by pages that mean ill. Skipped without Chromium."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import consoles
import pytest
from axe_playwright_python.sync_playwright import Axe
from consoles import FEATURES, TOKEN, console, model
from playwright.sync_api import Browser, BrowserContext, Page, expect
from probe_match.fingerprinting.chat.changing import RoundP
from probe_match.fingerprinting.chat.history import History
from probe_match.fingerprinting.chat.records import Bank, Question
from probe_match.fingerprinting.chat.sentinels import Plan
from probe_match.fingerprinting.oip_server import Address, serve
from test_console import Slow, done
from test_console import start as begin

CONTRAST = ["color-contrast"]  # all that a colour scheme changes
pytestmark = pytest.mark.skipif(
    consoles.CHROMIUM is None, reason="NO CHROMIUM HERE: the console was not tested in a browser"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with consoles.chromium() as running:
        yield running


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile."""
    opened = browser.new_context(viewport={"width": 1440, "height": 900})
    opened.set_default_timeout(10_000)
    yield opened
    opened.close()


@pytest.fixture
def page(window: BrowserContext) -> Page:
    return window.new_page()


@pytest.fixture(scope="module")
def slow() -> Slow:
    return Slow(0.03)


@pytest.fixture(scope="module")
def models(slow: Slow) -> Iterator[Address]:
    made = {"copy": model(77, near=2), "strange": model(78)}
    with serve(made, (FEATURES,)) as url, serve({"slow": slow}, (FEATURES,), max_rows=1) as slowly:
        url.rows["slow"] = slowly  # type: ignore[assignment]
        yield url


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A console with known models and a watch that has alarmed."""
    folder = tmp_path_factory.mktemp("browsed")
    consoles.known(folder)
    history = History(folder / "watch.db")
    for target, p in (("openai:http://127.0.0.1:9/v1#changed", 0.001), ("openai:http://127.0.0.1:9/v1#same", 0.5)):
        watch = history.begin(target, Bank("b", (Question("c", "word", "Say a word.", "word"),)), Plan(), 5, 0)
        for _ in range(8):
            history.end(history.open_round(watch, "round"), RoundP(p))
    history.close()
    with console(folder) as (address, _):
        yield address


def start(page: Page, url: str, target: str) -> None:
    """Fill in the form of a match and send it."""
    page.goto(f"{url}/start")
    form = page.get_by_role("form", name="Which known model is this?")
    form.get_by_label("Endpoint").fill(target)
    form.get_by_role("button", name="Ask and compare").click()


def test_a_person_finds_a_model_and_keeps_the_verdict(page: Page, url: str, models: Address, tmp_path: Path) -> None:
    """Search, read a reference, ask an endpoint, read the verdict and its answers, take the files along."""
    page.goto(url)
    page.get_by_label("Search by name").press_sequentially("cc-by")  # found while it is typed
    expect(page.get_by_role("status")).to_have_text("1 reference with “cc-by”")
    page.get_by_role("link", name="closed").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("closed")
    expect(page.get_by_role("region", name="What its licence asks for")).to_contain_text("commercial")
    expect(page.get_by_role("region", name="Family").get_by_role("link")).to_have_text("tuned")
    start(page, url, f"oip:{models}/v2/models/copy")
    verdict = page.get_by_role("region", name="MATCH closed")

    expect(verdict).to_contain_text("The responses came from 'closed' or a copy of it")
    expect(verdict.get_by_role("img")).to_be_visible()
    answers = page.get_by_role("region", name="Answers, probe by probe").get_by_role("row")
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    download.value.save_as(tmp_path / "v.json")
    kept = json.loads((tmp_path / "v.json").read_text())
    assert (kept["decision"], kept["reference"]) == ("match", "closed")
    assert answers.count() == kept["queries"]["sent"] + 1
    page.get_by_role("link", name="Ask this endpoint again").click()
    asked = page.get_by_role("form", name="Which known model").get_by_label("Endpoint")
    expect(asked).to_have_value(f"oip:{models}/v2/models/copy")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Jobs").click()
    expect(page.get_by_role("row", name="models/copy")).to_contain_text("match")


def test_a_person_audits_an_endpoint(page: Page, url: str, models: Address) -> None:
    """The cost is said first and nothing asked; then the violation is named, with what to do, and its answers."""
    page.goto(f"{url}/start")
    form = page.get_by_role("form", name="May it be served under its licence?")
    for label, text in (
        ("Endpoint", f"oip:{models}/v2/models/copy"), ("Name", "shop"), ("Licence its operator names", "MIT"),
        ("Most questions", "50"), ("Allow", "MIT, Apache-2.0"), ("Deny", "category:non-commercial"),
    ):  # fmt: skip
        form.get_by_label(label, exact=True).fill(text)
    form.get_by_role("button", name="Say what it may cost").click()
    expect(page.get_by_role("status")).to_contain_text("shop: at most 50 questions to this machine")
    form.get_by_role("button", name="Audit it").click()  # filled in as before

    found = page.get_by_role("region", name="shop violation")
    expect(found).to_contain_text("The licence is one that the policy denies")
    expect(found).to_contain_text("To do: ask for the model's own licence")
    found.get_by_role("link", name="Answers of shop").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Answers of shop")
    assert page.get_by_role("row").count() > 10


def test_progress_is_live_and_a_job_outlives_its_page(
    window: BrowserContext, page: Page, url: str, models: Address, slow: Slow
) -> None:
    """The count grows without loading; a closed window stops nothing; the button does, and another goes on."""
    slow.asked.clear()
    slow.seconds = 0.15
    start(page, url, f"oip:{models.rows['slow']}/v2/models/slow")
    status = page.locator(".asking")
    expect(status).to_contain_text("Asking: ")
    first = status.inner_text()
    expect(status).not_to_have_text(first)
    address = page.url
    page.close()
    before = len(slow.asked)
    time.sleep(0.4)
    assert len(slow.asked) > before
    page = window.new_page()
    page.goto(address)
    page.get_by_role("button", name="Stop asking").click()
    expect(page.get_by_role("status")).to_contain_text("Stopped after ")
    after = len(slow.asked)
    slow.seconds = 0.0
    page.get_by_role("button", name="Go on").click()

    expect(page.get_by_role("region", name="MATCH closed")).to_be_visible()
    assert after < len(slow.asked) == len(set(slow.asked))


def test_what_is_wrong_is_said_beside_the_form_as_it_was(page: Page, url: str) -> None:
    """A target that is not allowed is named, and what was typed is still there."""
    start(page, url, "https://api.example.org/v2/models/m")
    expect(page.get_by_role("alert")).to_contain_text("api.example.org is not this machine")

    expect(page.get_by_role("form", name="Which known model").get_by_label("Endpoint")).to_have_value(
        "https://api.example.org/v2/models/m"
    )
    expect(page.get_by_role("form", name="May it be").get_by_label("Endpoint")).to_have_value("")


def test_watches_show_alarms_first(page: Page, url: str) -> None:
    """With the round of the alarm and the evidence that grew to it."""
    page.goto(f"{url}/watches")
    headings = page.get_by_role("main").get_by_role("heading", level=2)

    expect(headings.first).to_have_text("openai:http://127.0.0.1:9/v1#changed alarm")
    expect(headings.last).to_have_text("openai:http://127.0.0.1:9/v1#same unchanged")
    expect(page.get_by_role("img")).to_have_count(2)


def test_the_console_works_without_scripts(browser: Browser, url: str, models: Address) -> None:
    """Searching and asking are plain forms."""
    bare = browser.new_context(java_script_enabled=False)
    page = bare.new_page()
    page.goto(f"{url}/references")
    page.get_by_label("Search by name").fill("tuned")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("row")).to_have_count(2)
    start(page, url, f"oip:{models}/v2/models/strange")
    for _ in range(100):
        page.reload()
        if not page.get_by_role("button", name="Stop asking").count():
            break

    expect(page.get_by_role("region", name="NO MATCH")).to_be_visible()
    bare.close()


@pytest.fixture(scope="module")
def addresses(url: str, models: Address) -> list[str]:
    """Every kind of page."""
    endpoint = {"name": "e", "target": f"oip:{models}/v2/models/copy"}
    dead = {"target": "oip:http://127.0.0.1:9/v2/models/m"}
    asked = ({"match": {"target": endpoint["target"]}}, {"audit": {"endpoint": [endpoint]}}, {"match": dead})
    jobs = [begin(url, **told) for told in asked]
    for job in jobs:
        done(url, job)
    return [
        "/references", "/reference?name=tuned", "/start", "/reference?name=none", f"/jobs/{jobs[0]}", "/jobs",
        f"/jobs/{jobs[1]}", f"/jobs/{jobs[1]}/answers?endpoint=e", "/watches", f"/jobs/{jobs[2]}",
    ]  # fmt: skip


@pytest.mark.parametrize(("scheme", "width", "rules"), [("light", 375, {}), ("dark", 1440, {"runOnly": CONTRAST})])
def test_every_page_is_accessible_and_fits(
    scheme: Any, width: int, rules: Any, browser: Browser, url: str, addresses: list[str]
) -> None:
    """axe-core finds nothing, in both colour schemes, and no page scrolls sideways on a telephone or a desk."""
    opened = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = opened.new_page()
    found: dict[str, Any] = {}
    for address in addresses if not rules else addresses[::2]:
        page.goto(url + address)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found[address] = "scrolls sideways"
        for fault in Axe().run(page, options=rules).response["violations"]:
            found[f"{address} {fault['id']}"] = [node["html"][:200] for node in fault["nodes"]]
    opened.close()

    assert found == {}


def test_a_token_is_asked_for_and_not_kept(browser: Browser, tmp_path: Path) -> None:
    """One signs in and out; scripts see no cookie, and no storage holds anything."""
    consoles.known(tmp_path)
    with console(tmp_path, token=TOKEN) as (address, _):
        opened = browser.new_context()
        page = opened.new_page()
        page.goto(f"{address}/jobs")
        page.get_by_label("Token").fill("not the token, surely")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        faults = Axe().run(page).response["violations"]
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("References")
        seen = page.evaluate("[document.cookie, localStorage.length, {...sessionStorage}, document.body.innerHTML]")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        opened.close()

    assert faults == []
    assert seen[:2] == ["", 0]
    assert set(seen[2]) <= {"htmx-current-path-for-history"}
    assert TOKEN not in str(seen)


@contextmanager
def evil(html: str) -> Iterator[str]:
    """A page of somebody else's, on the same machine and so of the same site as cookies see it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: Any) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_another_page_can_start_nothing(page: Page, url: str) -> None:
    """Neither its form nor its script is heard, though the browser sends the console's cookie along."""
    page.goto(f"{url}/jobs")
    before = page.get_by_role("row").count()
    target = '{"match": {"target": "http://127.0.0.1:9/v2/models/m"}}'
    script = (
        f"""fetch("{url}/api/v1/jobs", {{method: "POST", mode: "no-cors", credentials: "include", body: '{target}'}})"""
    )
    form = f'<form method=post action="{url}/start"><input name=target value="http://127.0.0.1:9/"><button>x</button></form>'
    with evil(f"{form}<script>{script}</script><iframe src='{url}/references'></iframe>") as foreign:
        page.goto(foreign)
        framed = page.frame_locator("iframe").get_by_role("heading", name="References").count()
        with page.expect_response(f"{url}/start") as sent:
            page.get_by_role("button").click()
        cookie = "probe_match_console=" in (sent.value.request.all_headers().get("cookie") or "")
    page.goto(f"{url}/jobs")

    assert (sent.value.status, cookie, framed) == (403, True, 0)
    assert page.get_by_role("row").count() == before


def test_a_name_that_was_made_to_point_here_shows_nothing(page: Page, url: str) -> None:
    """DNS rebinding: the address is the console's, the name is not."""
    answer = page.goto(url.replace("127.0.0.1", "rebound.example") + "/references")

    assert answer is not None
    assert answer.status == 421
    assert "References" not in page.content()
