"""
An audit: all endpoints of a file against all known models and a policy, in parallel, resumable, and never stopped by
what an endpoint does.
"""

import contextlib
import contextvars
import datetime as dt
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from probe_match.fingerprinting import backends, storage
from probe_match.fingerprinting.audits import read_rate
from probe_match.fingerprinting.chat import asking, shelf
from probe_match.fingerprinting.chat.collecting import Cost
from probe_match.fingerprinting.collect import Progress
from probe_match.fingerprinting.database import ReferenceDB
from probe_match.fingerprinting.errors import UsageError

from . import afar
from . import authority as authorities
from .authority import Authority
from .examining import MOST, examine, ledger_path
from .judging import judge, known_models
from .records import Examined, Judged, Report
from .settings import Endpoint, Settings
from .words import plain

CHAT: Final = ("openai", "anthropic", "ollama", "tgi")  # clients of language models
LIMITS: Final = (
    "A match says that answers came from a known model or one derived from it, not who holds which weights; a relay of "
    "all questions to the genuine service looks the same.",
    "A model that is not among the known ones cannot be named, and its licence is only its operator's word.",
    "Obligations are told in our own words from the sources named, as of their dates; what is not visible from outside "
    "was not checked. None of this is legal advice.",
)


class Stopped(BaseException):
    """The audit was interrupted; raised in the threads that still ask."""


def audit(
    settings: Settings,
    references: ReferenceDB,
    *,
    authority: Authority | None = None,
    authority_file: Path = Path(authorities.FILE),
    ledgers: Path | None = None,
    jobs: int = 4,
    database: str | None = None,
    today: dt.date | None = None,
    done: Callable[[Judged], None] | None = None,
    progress: Progress | None = None,
) -> Report:
    """
    The report on all endpoints, in the order of the file.

    authority: leave to ask hosts that are not this machine. ledgers: a folder for one ledger an endpoint. jobs:
    endpoints asked at once; those of one foreign host one after the other. database: as workers open it, needed where
    `backends.using` a cluster, which needs ledgers, too (see `afar`). done: called for each, as it is judged.
    progress: called with questions just answered, from the threads that ask; what it raises ends the audit (on a
    cluster it is not called). Raises UsageError, before anything is asked, where an endpoint may not be.
    """
    today = today or dt.date.today()
    authorities.require(settings.endpoints, authority, authority_file, today=today)
    headers = [*references.headers(), *shelf.headers(references)]
    known = known_models(headers)
    begun = dt.datetime.now(dt.timezone.utc)
    if ledgers is not None:
        ledgers.mkdir(parents=True, exist_ok=True)
    rates = [_rate(endpoint, authority) for endpoint in settings.endpoints]
    judged: dict[int, Judged] = {}
    if backends.is_cluster():
        if database is None:
            raise UsageError("expected the database as a cluster's workers open it; pass database=")
        alpha, seed = settings.policy.alpha, settings.seed
        for i, examined in afar.examine_all(settings.endpoints, rates, database, ledgers, alpha, seed):
            judged[i] = judge(examined, known, settings.policy, today=today)
            if done is not None:
                done(judged[i])
        return _report(settings, references.name, headers, authority, begun, judged)
    halted = threading.Event()
    hosts: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def one(endpoint: Endpoint, rate: str) -> Judged:
        host = authorities.host_of(endpoint.target)
        foreign = not authorities.is_loopback(host)

        def count(answered: int) -> None:
            if halted.is_set():
                raise Stopped
            if progress is not None:
                progress(answered)

        with hosts[str(host)] if foreign else contextlib.nullcontext():
            count(0)
            examined = examine(
                endpoint, references, alpha=settings.policy.alpha, seed=settings.seed, rate=rate,
                ledger=None if ledgers is None else ledger_path(ledgers, endpoint), progress=count,
            )  # fmt: skip
        return judge(examined, known, settings.policy, today=today)

    pool = ThreadPoolExecutor(max(1, min(jobs, len(settings.endpoints))))
    try:
        # Each thread in a copy of this context, which holds how hosts are reached (`network`).
        futures = {
            pool.submit(contextvars.copy_context().run, one, endpoint, rate): i
            for i, (endpoint, rate) in enumerate(zip(settings.endpoints, rates, strict=True))
        }
        for future in as_completed(futures):
            judged[futures[future]] = future.result()
            if done is not None:
                done(judged[futures[future]])
    finally:
        halted.set()
        pool.shutdown(wait=True, cancel_futures=True)

    return _report(settings, references.name, headers, authority, begun, judged)


def against(report: Report, old: Mapping[str, Any]) -> Report:
    """The report with every finding marked as new or not, against the JSON of an earlier one."""
    earlier = {
        str(finding["fingerprint"])
        for endpoint in old["endpoints"]
        for finding in endpoint["findings"]
        if finding["kind"] in ("review", "fail")
    }
    marked, now = [], set()
    for endpoint in report.endpoints:
        findings = []
        for finding in endpoint.findings:
            if finding.kind in ("review", "fail"):
                now.add(finding.fingerprint(endpoint.name))
                finding = replace(finding, new=finding.fingerprint(endpoint.name) not in earlier)
            findings.append(finding)
        marked.append(replace(endpoint, findings=tuple(findings)))

    return replace(report, endpoints=tuple(marked), gone=tuple(sorted(earlier - now)))


def cost(settings: Settings, references: ReferenceDB) -> list[tuple[str, str]]:
    """What an audit may ask at most, by endpoint, in words; nothing is asked for that."""
    rows, counts = [], most_questions(settings, references)
    for endpoint, (questions, told) in zip(settings.endpoints, counts, strict=True):
        host = authorities.host_of(endpoint.target)
        place = "this machine" if authorities.is_loopback(host) else plain(host)
        tokens = f", about {told.prompt_tokens} tokens of prompts and {told.answer_tokens} of answers," if told else ""
        rows.append((endpoint.name, f"at most {questions} questions{tokens} to {place}"))
    total = sum(questions for questions, _ in counts)

    return [*rows, ("all", f"at most {total} questions, against {len(known_names(references))} known models")]


def most_questions(settings: Settings, references: ReferenceDB) -> list[tuple[int, Cost | None]]:
    """For each endpoint how many questions it may be asked, and the cost of those to a language model."""
    counts: list[tuple[int, Cost | None]] = []
    for endpoint in settings.endpoints:
        chat = endpoint.target.partition(":")[0] in CHAT or "#" in endpoint.target
        if chat and shelf.banks(references):
            planned = asking.plan_identification(
                references, only=endpoint.references, budget=endpoint.budget, seed=settings.seed
            )
            counts.append((planned.cost().questions, planned.cost()))
        else:
            counts.append((endpoint.budget or MOST, None))

    return counts


def known_names(references: ReferenceDB) -> list[str]:
    """Every model of a database."""
    return [*references.names(), *shelf.names(references)]


def _rate(endpoint: Endpoint, authority: Authority | None) -> str:
    foreign = not authorities.is_loopback(authorities.host_of(endpoint.target))
    return _slower(endpoint.rate, authority.rate if authority and foreign else "")


def _slower(one: str, other: str) -> str:
    if not one or not other:
        return one or other
    speeds = {rate: number / span for rate in (one, other) for number, span in [read_rate(rate)]}

    return min((one, other), key=lambda rate: speeds[rate])


def _report(
    settings: Settings, database: str, headers: Sequence[Mapping[str, Any]], authority: Authority | None,
    begun: dt.datetime, judged: Mapping[int, Judged],
) -> Report:  # fmt: skip
    found = tuple(judged[i] for i in range(len(settings.endpoints)))
    return Report(found, _about(settings, database, headers, authority, begun, [one.examined for one in found]))


def _about(
    settings: Settings,
    database: str,
    headers: Sequence[Mapping[str, Any]],
    authority: Authority | None,
    begun: dt.datetime,
    examined: Sequence[Examined],
) -> dict[str, Any]:
    policy, decided = settings.policy, sum(one.verdict is not None for one in examined)
    told = storage.canonical_json(_plain(asdict(settings)))
    digests = sorted(str(header["digest"]) for header in headers)
    return {
        "tool": {"name": "probe-match", "version": metadata.version("probe-match")},
        "started": begun.isoformat(timespec="seconds"),
        "ended": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        "settings": storage.sha256(told),
        "references": {
            "database": database, "models": len(headers), "digest": storage.sha256("\n".join(digests).encode()),
        },
        "policy": _plain(asdict(policy)),
        "authority": None if authority is None else _plain(asdict(authority)),
        "expected_false_accusations": round(policy.alpha * decided, 4),
        "limits": list(LIMITS),
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """Dates as ISO days, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]

    return value.isoformat() if isinstance(value, dt.date | dt.time) else value
