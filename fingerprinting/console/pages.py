"""The pages: what a person sees and sends. They work without scripts; with them, searches and progress are live."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import jinja2
from probe_match.fingerprinting.errors import DatabaseError, ProbeMatchError, UsageError
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from . import results, views
from .answered import Answered
from .catalogue import Catalogue
from .entering import Door
from .guarding import FORM_FIELD
from .jobs import Job
from .tasks import NotAllowed
from .watches import Watches
from .working import Workshop

PER_PAGE: Final = 50
WATCHES: Final = 20  # on a page
LISTS: Final = re.compile(r"[,\s]+")
FORMS: Final[dict[str, tuple[str, ...]]] = {
    "match": ("target", "budget", "rate", "alpha", "references"),
    "audit": ("target", "name", "declared", "model", "budget", "rate", "allow", "deny", "review"),
    "many": ("toml",),
}


class Pages:
    """Handlers of GET and POST; each takes a request that the guard let through."""

    def __init__(self, workshop: Workshop, catalogue: Catalogue, watched: Watches, door: Door) -> None:
        self.workshop = workshop
        self.catalogue = catalogue
        self.door = door
        self.watched = watched
        self.templates: jinja2.Environment = views.environment()

    def home(self, request: Request) -> Response:
        """The references are what one begins with."""
        return RedirectResponse("/references", 303)

    def references(self, request: Request) -> Response:
        """All references, searched and by pages."""
        search = request.query_params.get("search", "")[:200]
        found = self.catalogue.listing(search, _page(request))
        part = "rows" if request.headers.get("hx-target") == "found" else "references"
        return self._show(request, part, found=found, search=search, here="references")

    def reference(self, request: Request) -> Response:
        """One reference."""
        whole = self.catalogue.get(request.query_params.get("name", ""))
        if whole is None:
            return self._problem(request, 404, "There is no reference of that name.")
        return self._show(request, "reference", whole=whole, header=whole.header, here="references")

    def start(self, request: Request) -> Response:
        """The forms to start a match or an audit with."""
        return self._forms(request, "match", {"target": request.query_params.get("target", "")[:2000]})

    def begin(self, request: Request) -> Response:
        """A form was sent: start what it says, or say what that may cost."""
        told = request.state.told
        form = told.get("form", "match")
        try:
            kind, asked = _asked(form, told)
            task = self.workshop.task(kind, asked)
            if told.get("do") == "cost":
                return self._forms(request, form, told, costs=self.workshop.cost(task))
            job = self.workshop.start(task)
        except ProbeMatchError as error:
            return self._forms(
                request, form, told, problem=str(error), status=403 if isinstance(error, NotAllowed) else 400
            )

        return RedirectResponse(f"/jobs/{job.id}", 303)

    def jobs(self, request: Request) -> Response:
        """Everything the console was asked to do, newest first."""
        page = _page(request)
        found, total = self.workshop.jobs.newest((page - 1) * PER_PAGE, PER_PAGE)
        pages = max(1, -(-total // PER_PAGE))
        rows = [self.workshop.now(job)[0] for job in found]
        return self._show(request, "jobs", rows=rows, total=total, page=page, pages=pages, here="jobs")

    def job(self, request: Request) -> Response:
        """One job: how far it is, or what came of it."""
        job = self._job(request)
        if job is None:
            return self._problem(request, 404, "There is no such job.")
        job, progress = self.workshop.now(job)
        shown = json.loads(self.workshop.jobs.document(job.id, results.SHOWN) or b"null")
        answers = self._answers(job, shown, 0) if shown and job.kind == "match" else None
        formats = [name for name in results.TYPES if shown and (name != "sarif" or job.kind == "audit")]
        return self._show(
            request, "job", job=job, progress=progress, shown=shown, answers=answers, formats=formats, here="jobs"
        )

    def progress(self, request: Request) -> Response:
        """The part of a job's page that changes; once it is over, the word to load the page again."""
        job = self._job(request)
        if job is None:
            return self._problem(request, 404, "There is no such job.")
        job, progress = self.workshop.now(job)
        if job.over:
            return Response("", headers={"HX-Refresh": "true"})
        return self._show(request, "progress", job=job, progress=progress, here="jobs")

    def answers(self, request: Request) -> Response:
        """What one endpoint of an audit answered."""
        job = self._job(request)
        shown = json.loads((job and self.workshop.jobs.document(job.id, results.SHOWN)) or b"null")
        names = [one["name"] for one in shown["endpoints"]] if shown else []
        wanted = request.query_params.get("endpoint", "")
        if job is None or wanted not in names:
            return self._problem(request, 404, "There is no such endpoint in this job.")
        number = names.index(wanted)
        return self._show(
            request, "answers", job=job, one=shown["endpoints"][number], answers=self._answers(job, shown, number),
            here="jobs",
        )  # fmt: skip

    def cancel(self, request: Request) -> Response:
        """Stop asking."""
        job = self._job(request)
        if job is None:
            return self._problem(request, 404, "There is no such job.")
        self.workshop.cancel(job)
        return RedirectResponse(f"/jobs/{job.id}", 303)

    def resume(self, request: Request) -> Response:
        """Go on with what was cut short."""
        job = self._job(request)
        if job is None:
            return self._problem(request, 404, "There is no such job.")
        try:
            self.workshop.resume(job)
        except ProbeMatchError as error:
            return self._problem(request, 400, str(error))
        return RedirectResponse(f"/jobs/{job.id}", 303)

    def export(self, request: Request) -> Response:
        """A job's result as a file."""
        job, form = self._job(request), request.path_params["form"]
        data = self.workshop.jobs.document(job.id, form) if job and form in results.TYPES else None
        if job is None or data is None:
            return self._problem(request, 404, "There is no such file.")
        return export(job, form, data)

    def watches(self, request: Request) -> Response:
        """Watched endpoints, alarms first."""
        try:
            found = self.watched.all()
        except DatabaseError as error:
            return self._problem(request, 500, str(error))
        pages = max(1, -(-len(found) // WATCHES))
        page = min(_page(request), pages)
        shown = found[(page - 1) * WATCHES : page * WATCHES]
        alarms = sum(one.alarm is not None for one in found)
        return self._show(
            request, "watches", found=shown, total=len(found), alarms=alarms, page=page, pages=pages,
            history=self.watched.path, here="watches",
        )  # fmt: skip

    def login(self, request: Request) -> Response:
        """Where the token is asked for, and taken."""
        wrong = False
        if request.method == "POST":
            if self.door.knows(request.state.told.get("token", "")):
                self.door.end(request.state.session.number)
                response = RedirectResponse("/references", 303)
                response.headers.append("Set-Cookie", request.app.state.cookie(self.door.begin(trusted=True)))
                return response
            wrong = True
        return self._show(request, "login", status=401 if wrong else 200, wrong=wrong, here="login")

    def logout(self, request: Request) -> Response:
        """Forget this browser."""
        self.door.end(request.state.session.number)
        return RedirectResponse("/login", 303)

    def _forms(
        self, request: Request, form: str, told: Mapping[str, str], *, problem: str = "", costs: Any = None,
        status: int = 200,
    ) -> Response:  # fmt: skip
        """The page of forms, one of them as it was filled in."""
        filled = {
            name: {key: told.get(key, "") if name == form else "" for key in keys} for name, keys in FORMS.items()
        }
        return self._show(request, "start", status=status, filled=filled, problem=problem, costs=costs, here="start")

    def _job(self, request: Request) -> Job | None:
        return self.workshop.jobs.get(request.path_params["id"])

    def _answers(self, job: Job, shown: Mapping[str, Any], number: int) -> Answered | None:
        one = shown["endpoints"][number]
        matches = one["verdict"]["matches"] if one["verdict"] else []
        best = matches[0]["reference"] if matches else None
        try:
            return self.workshop.answers(job, one["name"], best)
        except DatabaseError:  # in use, or changed by somebody: the verdict stands without it
            return None

    def _problem(self, request: Request, status: int, why: str) -> Response:
        return self._show(request, "problem", status=status, why=why, here="")

    def _show(self, request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
        session = request.state.session
        common = {"form_field": FORM_FIELD, "form_word": session.form, "asks": not self.door.open}
        return HTMLResponse(self.templates.get_template(f"{template}.html.j2").render(common | values), status)


def export(job: Job, form: str, data: bytes) -> Response:
    """A document to be kept; a page among them is cut off from everything, should a browser show it."""
    headers = {
        "Content-Disposition": f'attachment; filename="probe-match-{job.kind}-{job.id}.{form}"',
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    }
    return Response(data, media_type=results.TYPES[form], headers=headers)


def _page(request: Request) -> int:
    given = request.query_params.get("page", "1")
    return min(max(1, int(given)), 10**6) if given.isdecimal() and len(given) < 8 else 1


def _asked(form: str, told: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """The kind and the settings that a form means. Raises UsageError, BadData."""
    if form not in FORMS:
        raise UsageError("expected the form of a match or of an audit")
    given = {key: told[key].strip() for key in FORMS[form] if told.get(key, "").strip()}
    if form == "many":
        from probe_match.fingerprinting.compliance.settings import parse_toml

        return "audit", parse_toml(given.get("toml", "").encode(), "what was pasted")
    asked: dict[str, Any] = {key: value for key, value in given.items() if key in ("target", "rate")}
    if "budget" in given:
        asked["budget"] = _number(given["budget"], int, "budget")
    if form == "match":
        if "alpha" in given:
            asked["alpha"] = _number(given["alpha"], float, "accepted rate of false accusations")
        if "references" in given:
            asked["references"] = [name.strip() for name in told["references"].split("\n") if name.strip()]
        return "match", asked
    asked |= {key: given[key] for key in ("declared", "model") if key in given}
    policy = {
        key: [one for one in LISTS.split(given[key]) if one] for key in ("allow", "deny", "review") if key in given
    }

    return "audit", {"endpoint": [asked | {"name": given.get("name", "endpoint")}], "policy": policy}


def _number(text: str, kind: type[int] | type[float], what: str) -> float:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"expected a number as the {what}, got '{text[:40]}'") from None
