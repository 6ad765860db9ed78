"""
Promises towards hostile servers, dying machines and money, each in small; `benchmarks/reliability.py` has them in full.

Where a defence can be taken away, a second test does so and sees the promise broken: the measurement is no formality.
"""

import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from probe_match.clients import _deadline, _dialling, _json, _keys, _patience, _transport, oip
from probe_match.clients._transport import Transport
from probe_match.fingerprinting import confirming, ledger_states, parting, verdicts
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.budget import Budget
from probe_match.fingerprinting.departures import Departures
from probe_match.fingerprinting.errands import Errand
from probe_match.fingerprinting.errors import TargetError
from probe_match.fingerprinting.ledger import Ledger

from benchmarks.reliability import ROWS
from benchmarks.reliability_rows import bodies, crashes, load, refusing, silent, wire

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
Patch = pytest.MonkeyPatch


# --- 1: crashes -------------------------------------------------------------------------------------------------------


@linux
def test_no_question_is_sent_twice_over_kills() -> None:
    """SIGKILL at random moments: nothing is sent twice, nothing recorded is lost, all else is listed as in doubt."""
    found = crashes.kills(3, 100)

    assert found["holds"], found
    assert found["kills"] == 3


@linux
def test_without_entries_before_sending_kills_repeat_questions(monkeypatch: Patch) -> None:
    """Where what was sent is only known once it is answered, kills make questions go twice."""
    monkeypatch.setattr(ledger_states, "_note", _forgetful(ledger_states._note))

    assert crashes.kills(2, 100)["sent_twice"] > 0


def _forgetful(note: Any) -> Any:
    return lambda memory, asked, kind, *more: None if kind == "sent" else note(memory, asked, kind, *more)


@linux
def test_without_departures_more_is_in_doubt(monkeypatch: Patch) -> None:
    """What was written down ahead and what just came would be in doubt as well."""
    monkeypatch.setattr(Departures, "_read", lambda *_: None)

    assert crashes.kills(4, 160)["most_in_doubt_per_kill"] > crashes.CONCURRENCY


@linux
def test_asked_again_by_a_token_is_billed_once(monkeypatch: Patch) -> None:
    """--in-doubt resend sends the same Idempotency-Key, so that a server which knows it charges once."""
    assert crashes.kills(2, 60, wish="resend")["holds"]
    monkeypatch.setattr(Errand, "headers", lambda _: {})
    assert not crashes.kills(2, 60, wish="resend")["holds"]


# --- 2 to 8: the wire -------------------------------------------------------------------------------------------------


def test_nothing_is_sent_again_after_an_answer(monkeypatch: Patch) -> None:
    """Tries are bounded, and none follows a 2xx; a policy that retries everything is seen to break that."""
    assert wire.retries()["holds"]
    monkeypatch.setattr(_patience, "BUSY", range(600))
    monkeypatch.setattr(_patience, "MOST_TRIES", 3)
    assert wire.retries()["sent_again_after_2xx_or_too_often"] > 0


def test_no_answered_row_goes_again_where_requests_are_refused_at_random(monkeypatch: Patch) -> None:
    """50, 70 and 90 % refused while batches are learnt: none twice, none given up; without either rule both happen."""
    found = refusing.refusals(3, 60)
    assert (found["rows_again"], found["given_up"]) == (0, 0)
    monkeypatch.setattr(parting, "SILENCE", 3)
    monkeypatch.setattr(parting._Plan, "_taken", _whole)
    monkeypatch.setattr(Errand, "answered", False)
    found = refusing.refusals(3, 60)
    assert found["rows_again"] > 0
    assert found["given_up"] > 0


def _whole(plan: Any, piece: Any) -> Any:
    plan._under_way += 1
    return piece


def test_every_request_is_over_by_its_deadline(monkeypatch: Patch) -> None:
    """Stalled and dripping heads, bodies and handshakes end in time; with a watch that sleeps, drips go on."""
    assert wire.deadlines(2, 0.2)["holds"]
    monkeypatch.setattr(_deadline, "TICK", 1.2)
    time.sleep(2 * _deadline.IDLE)  # the watch of before has gone
    assert not wire.deadlines(1, 0.3, only="drip of the body")["holds"]


@linux
def test_no_answer_fills_the_memory(monkeypatch: Patch) -> None:
    """Bombs, floods and endless bodies cost little; a parser that takes anything is seen to cost more."""
    assert wire.memory(16)["holds"]
    monkeypatch.setattr(_json, "MOST_MEMORY", 1 << 40)
    assert wire.memory(1)["largest_mib"] > 64


def test_no_key_goes_elsewhere(monkeypatch: Patch) -> None:
    """Redirects are not followed and private addresses not connected to; with every name allowed, they are."""
    assert wire.origins()["holds"]
    monkeypatch.setattr(_dialling, "is_public", lambda _: True)
    assert wire.origins()["private_connects"] > 0


def test_where_redirects_are_followed_keys_go_elsewhere(monkeypatch: Patch) -> None:
    """A client that follows them, as most do, carries keys to the second origin, and the paid question with them."""
    send = requests.Session.send
    monkeypatch.setattr(
        requests.Session, "send", lambda self, *a, **k: send(self, *a, **{**k, "allow_redirects": True})
    )
    found = wire.origins()

    assert found["canaries_elsewhere"] > 0
    assert found["posts_again"] > 0


def test_no_key_is_at_rest(monkeypatch: Patch) -> None:
    """An endpoint that echoes the key gets it into no file; without the striking out, it does."""
    assert wire.at_rest()["holds"]
    monkeypatch.setattr(_keys.Secrets, "struck_bytes", lambda _, data: data)
    assert wire.at_rest()["hits"] > 0


def test_every_body_is_an_answer_or_an_error_of_ours(monkeypatch: Patch) -> None:
    """Hostile bodies raise nothing else, and are kept byte by byte; a careless reader is found out."""
    assert bodies.bodies(150)["holds"]
    monkeypatch.setattr(oip, "read_answer", lambda value, *_: value["outputs"][0]["data"])
    assert bodies.bodies(40)["uncaught"] > 0


# --- 3, 10, 14: money, load, disks ------------------------------------------------------------------------------------


def test_too_few_answers_decide_nothing(monkeypatch: Patch) -> None:
    """From 0 to 100 % of failing inputs, below the least number always inconclusive; without these rules it is not."""
    assert silent.silence(16, runs=4)["holds"]
    monkeypatch.setattr(verdicts, "MIN_ANSWERED", 0)
    monkeypatch.setattr(confirming, "MIN_ANSWERED", 0)
    monkeypatch.setattr(parting, "SILENCE", 3)
    found = silent.silence(16, runs=4)

    assert found["decided_on_too_little"] > 0
    assert found["given_up"] > 0


def test_no_limit_is_ever_passed(monkeypatch: Patch) -> None:
    """Random limits with many threads: not by a query, a token or a cent; counting afterwards is seen to fail."""
    assert load.budgets(40, 16)["holds"]
    monkeypatch.setattr(Budget, "reserve", lambda *_, **__: None)
    assert not load.budgets(6, 16)["holds"]


@linux
def test_load_is_held_with_the_ledger_on() -> None:
    """A thousand questions a few at a time, none lost, in little memory."""
    found = load.load(600, 0.005, 16)

    assert (found["lost"], found["sent_twice"]) == (0, 0)
    assert found["per_second"] > 100  # of a laptop that does something else as well


@linux
def test_load_one_by_one_is_slow_and_answers_that_are_not_kept_count_as_lost(monkeypatch: Patch) -> None:
    """Without requests under way together the rate falls to the server's; what the ledger drops is missed."""
    assert load.load(30, 0.02, 1)["per_second"] < 50
    add = Ledger.add
    monkeypatch.setattr(
        Ledger, "add", lambda self, kind, *more, **told: 0 if kind == "answered" else add(self, kind, *more, **told)
    )
    monkeypatch.setattr(Departures, "_read", lambda *_: None)  # which would know them all the same

    assert load.load(60, 0.005, 16)["lost"] == 60


@linux
def test_a_ledger_that_waits_for_the_disk_at_each_entry_shows_in_the_throughput(monkeypatch: Patch) -> None:
    """Group commit keeps the rate near that of bare requests; a twentieth of a second per entry is seen."""
    shared = load.throughput(1, 240, ((8, 1),))["ratios"]["concurrency 8, batch 1"]["ratio"]
    sync = Ledger.sync

    def slow(*more: Any) -> None:
        time.sleep(0.05)
        sync(*more)

    monkeypatch.setattr(Ledger, "sync", slow)
    found = load.throughput(1, 120, ((8, 1),))

    assert found["ratios"]["concurrency 8, batch 1"]["ratio"] < 0.8 * shared
    assert not found["holds"]


@linux
def test_endurance_costs_no_files_and_no_threads() -> None:
    """Exchange after exchange, as many files and threads as before."""
    found = load.soak(1000, 4, rounds=4)

    assert (found["files_more"], found["threads_more"]) == (0, 0)


@linux
def test_a_file_left_open_at_every_exchange_is_seen(monkeypatch: Patch) -> None:
    """A client that forgets to close what it opens fails the endurance."""
    kept: list[int] = []
    ask = load.CountedClient.ask

    def leaky(*more: Any) -> Any:
        kept.append(os.open(__file__, os.O_RDONLY))
        return ask(*more)

    monkeypatch.setattr(load.CountedClient, "ask", leaky)
    found = load.soak(200, 4, rounds=4)
    for file in kept:
        os.close(file)

    assert found["files_more"] > 0


@linux
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler to make disk operations fail")
def test_a_disk_that_fails_leaves_no_half_file() -> None:
    """From the Nth operation on everything fails: no half file under its name, one line, and the next run finishes."""
    found = crashes.faults(6)

    assert found["holds"], found
    assert not crashes.faults(1, careless=True)["holds"]


def test_an_unsynced_ledger_is_found_out(tmp_path: Path, monkeypatch: Patch) -> None:
    """Were nothing written before it is sent, a reader of the disk would see no question while it is under way."""
    monkeypatch.setattr(Ledger, "sync", lambda *_: None)
    from test_ledger import test_everything_is_written_before_it_is_sent as seen

    with pytest.raises((AssertionError, TargetError)):
        seen(tmp_path)


def test_transport_and_audit_are_those_of_the_product() -> None:
    """The rows measure what is shipped, not a copy."""
    assert wire.Transport is Transport is _transport.Transport
    assert load.Audit is Audit


def test_the_page_of_promises_names_rows_and_tests_that_there_are() -> None:
    """Every promise has a row in the figures, a test here and a control; no test named there is gone."""
    page = (Path(__file__).parents[1] / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [line.split("|")[3:6] for line in page.splitlines() if re.match(r"\|[ \d]+\|.*`", line)]
    figures = {re.findall(r"`(.+?)`", row)[0] for row, _, _ in rows}
    tests = set(re.findall(r"`(test_\w+)`", page))

    assert figures == set(ROWS)
    assert all(callable(globals()[name]) for name in tests)
    assert all("same test" in control or "`test_" in control for _, _, control in rows)
