"""
The REST API under `/api/v1`: the same as the pages, for programs. Its description is in `openapi`.

An error is `{"error": …}` in one line: 400 for what cannot be meant, 403 for what is not allowed, 404 for what is not
there, 409 for what cannot be done now.
"""

import json
import math
from collections.abc import Callable
from typing import Any, Final

from probe_match.fingerprinting.compliance.told import clean
from probe_match.fingerprinting.compliance.words import plain
from probe_match.fingerprinting.errors import DatabaseError, ProbeMatchError, UsageError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import pages, results, watches
from .catalogue import Catalogue
from .jobs import Job
from .openapi import description
from .tasks import NotAllowed
from .watches import Watches
from .working import Progress, Workshop

MOST: Final = 200  # rows of a page
Handler = Callable[[Request], Response]


class Missing(UsageError):  # noqa: N818 - reads as what is the matter
    """Something is not there."""


class Api:
    """Handlers; each takes a request that the guard let through."""

    def __init__(self, workshop: Workshop, catalogue: Catalogue, watched: Watches) -> None:
        self.workshop = workshop
        self.catalogue = catalogue
        self.watched = watched

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each."""
        table = [
            ("GET", "/openapi.json", self.openapi),
            ("GET", "/references", self.references),
            ("GET", "/reference", self.reference),
            ("GET", "/jobs", self.jobs),
            ("POST", "/jobs", self.start),
            ("GET", "/jobs/{id}", self.job),
            ("GET", "/jobs/{id}/result", self.result),
            ("GET", "/jobs/{id}/answers", self.answers),
            ("GET", "/jobs/{id}/export/{form}", self.export),
            ("POST", "/jobs/{id}/cancel", self.cancel),
            ("POST", "/jobs/{id}/resume", self.resume),
            ("GET", "/watches", self.watches),
        ]
        return [(method, path, _answering(handler)) for method, path, handler in table]

    def openapi(self, request: Request) -> Any:
        """The description of the API."""
        return description()

    def references(self, request: Request) -> Any:
        """References by pages."""
        search = request.query_params.get("search", "")[:200]
        per_page = _number(request, "per_page", 50, MOST)
        found = self.catalogue.listing(search, _number(request, "page", 1, 10**6), per_page)
        return {"references": found.rows, "total": found.total, "page": found.page, "pages": found.pages}

    def reference(self, request: Request) -> Any:
        """One reference with its family."""
        whole = self.catalogue.get(request.query_params.get("name", ""))
        if whole is None:
            raise Missing("there is no reference of that name")
        obligations = [
            {"licence": licence.id, "says": one.says, "when": one.when, "shows": one.shows}
            for licence in whole.licences
            for one in licence.obligations
        ]
        return {**whole.header, "ancestors": whole.line, "children": whole.children, "obligations": obligations}

    def jobs(self, request: Request) -> Any:
        """Jobs by pages, newest first."""
        page, per_page = _number(request, "page", 1, 10**6), _number(request, "per_page", 50, MOST)
        found, total = self.workshop.jobs.newest((page - 1) * per_page, per_page)
        rows = [told(*self.workshop.now(job)) for job in found]
        return {"jobs": rows, "total": total, "page": page, "pages": max(1, -(-total // per_page))}

    def start(self, request: Request) -> Any:
        """A new job."""
        given = request.state.told
        kinds = [kind for kind in ("match", "audit") if kind in given]
        if len(kinds) != 1 or set(given) - {*kinds, "dry_run"} or not isinstance(given[kinds[0]], dict):
            raise UsageError('expected {"match": {"target": …}} or {"audit": {"policy": …, "endpoint": […]}}')
        task = self.workshop.task(kinds[0], given[kinds[0]])
        if given.get("dry_run"):
            return {"cost": [{"endpoint": name, "says": says} for name, says in self.workshop.cost(task)]}
        return JSONResponse(clean(told(*self.workshop.now(self.workshop.start(task)))), 201)

    def job(self, request: Request) -> Any:
        """One job, as it is now."""
        return told(*self.workshop.now(self._job(request)))

    def result(self, request: Request) -> Any:
        """The verdict or report."""
        return json.loads(self._document(request, "json"))

    def answers(self, request: Request) -> Any:
        """What an endpoint answered, question by question."""
        job = self._job(request)
        shown = json.loads(self._document(request, results.SHOWN))
        names = [one["name"] for one in shown["endpoints"]]
        wanted = request.query_params.get("endpoint", names[0])
        if wanted not in names:
            raise Missing("there is no such endpoint in this job")
        verdict = shown["endpoints"][names.index(wanted)]["verdict"]
        best = verdict["matches"][0]["reference"] if verdict and verdict["matches"] else None
        found = self.workshop.answers(job, wanted, best)
        rows = [vars(row) for row in found.rows]
        return {"endpoint": wanted, "reference": best, "answers": rows, "erased": found.erased or None}

    def export(self, request: Request) -> Any:
        """The result as a file."""
        form = request.path_params["form"]
        if form not in results.TYPES:
            raise Missing(f"there is no {form}; there are {', '.join(results.TYPES)}")
        return pages.export(self._job(request), form, self._document(request, form))

    def cancel(self, request: Request) -> Any:
        """Stop asking."""
        job = self._job(request)
        self.workshop.cancel(job)
        return told(*self.workshop.now(job))

    def resume(self, request: Request) -> Any:
        """Go on with what was cut short."""
        job = self._job(request)
        self.workshop.resume(job)
        return told(*self.workshop.now(job))

    def watches(self, request: Request) -> Any:
        """Watched endpoints."""
        return {"watches": [watches.to_json(one) for one in self.watched.all()]}

    def _job(self, request: Request) -> Job:
        job = self.workshop.jobs.get(request.path_params["id"])
        if job is None:
            raise Missing("there is no such job")
        return job

    def _document(self, request: Request, name: str) -> bytes:
        job = self._job(request)
        data = self.workshop.jobs.document(job.id, name)
        if data is None:
            state = self.workshop.now(job)[0].state
            raise Missing(f"this job is {state}; there is no such result of it")
        return data


def told(job: Job, progress: Progress | None) -> dict[str, Any]:
    """A job as plain values."""
    state = "stopping" if progress is not None and progress.stop.is_set() else job.state
    return {
        "id": job.id, "kind": job.kind, "title": job.title, "state": state, "begun": job.begun, "ended": job.ended,
        "answered": job.answered, "most": None if progress is None else progress.most,
        "outcome": job.outcome or None, "why": job.why or None,
    }  # fmt: skip


def _answering(handler: Callable[[Request], Any]) -> Handler:
    """A handler whose value is sent as JSON, made harmless, and whose errors are told in a line."""

    def answer(request: Request) -> Response:
        try:
            value = handler(request)
        except ProbeMatchError as error:
            status = {NotAllowed: 403, Missing: 404, DatabaseError: 409}.get(type(error), 400)
            return JSONResponse({"error": plain(error)}, status)
        return value if isinstance(value, Response) else JSONResponse(_finite(clean(value)))

    return answer


def _finite(value: Any) -> Any:
    """The same value, null for what is no number in JSON."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]

    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(request: Request, name: str, default: int, most: int) -> int:
    given = request.query_params.get(name, str(default))
    if not (given.isdecimal() and len(given) < 8 and 1 <= int(given) <= most):
        raise UsageError(f"expected {name} to be a whole number from 1 to {most}")
    return int(given)
