"""
What stands between the network and the pages: names, origins, sizes, sessions, and what browsers are told.

A page of somebody else's can make a browser send requests here, and a name of somebody else's can be made to point
here. So a request is only heard under the console's own name, one that changes something only from the console's own
pages, with the word of its session; a program brings the token, and its JSON cannot be sent by a form.
"""

import json
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .entering import Door, Session, brought_back

API: Final = "/api/v1/"
COOKIE: Final = "probe_match_console"
FORM_FIELD: Final = "form_word"
LARGEST: Final = 2 << 20  # bytes of a request's body
FORM: Final = "application/x-www-form-urlencoded"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",  # with none, browsers send our own forms as from nowhere, too
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware. What it lets through has as its state `session` (of pages) and `told` (the body of a POST)."""

    def __init__(self, app: ASGIApp, door: Door, called: frozenset[str], *, secure: bool) -> None:
        self.app = app
        self.door = door
        self.called = called
        self.secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        fresh: list[Session] = []

        async def out(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                for session in fresh:
                    headers.append("Set-Cookie", self.cookie(session))
            await send(message)

        refusal = await self._refusal(request, fresh)
        await (refusal or self.app)(scope, receive, out)

    def cookie(self, session: Session) -> str:
        """What the browser is to keep."""
        secure = "; Secure" if self.secure else ""
        return f"{COOKIE}={session.number}; Path=/; HttpOnly; SameSite=Strict{secure}"

    async def _refusal(self, request: Request, fresh: list[Session]) -> Response | None:
        """Why a request is not heard, or None; then its state is filled."""
        api = request.url.path.startswith(API)
        state: dict[str, Any] = request.scope.setdefault("state", {})
        if self._called(request) not in self.called:
            return _no(421, "this console does not go by that name; see --name of `probe-match serve`", api)
        if request.method not in ("GET", "HEAD", "POST"):
            return _no(405, "expected GET or POST", api)
        if request.method == "POST":
            if not _from_here(request):
                return _no(403, "a page of another site may not change anything here", api)
            try:
                state["told"] = await _body(request, "application/json" if api else FORM)
            except _Refused as refused:
                return _no(refused.status, str(refused), api)
        if api:
            return (
                None
                if self.door.open or self._bearer(request)
                else _no(401, "expected Authorization: Bearer TOKEN", api)
            )

        return self._page_refusal(request, state, fresh)

    def _page_refusal(self, request: Request, state: dict[str, Any], fresh: list[Session]) -> Response | None:
        if request.url.path.startswith("/static/"):
            return None
        session = self.door.session(request.cookies.get(COOKIE, ""))
        if request.method == "POST" and (
            session is None or not brought_back(session, state["told"].get(FORM_FIELD, ""))
        ):
            return _no(403, "this form is out of date; go back, load its page again, and send it once more", api=False)
        if session is None:
            session = self.door.begin(trusted=self.door.open)
            fresh.append(session)
        state["session"] = session
        if not session.trusted and request.url.path != "/login":
            return RedirectResponse("/login", 303)

        return None

    def _called(self, request: Request) -> str:
        """The name by which the console was called, "" where that is not clear."""
        given = request.headers.getlist("host")
        try:
            name = urlsplit(f"//{given[0]}").hostname if len(given) == 1 else None
        except ValueError:
            name = None
        return (name or "").casefold()

    def _bearer(self, request: Request) -> bool:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        return kind.casefold() == "bearer" and self.door.knows(token.strip())


class _Refused(Exception):  # noqa: N818 - an answer, not a failure
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def _from_here(request: Request) -> bool:
    """Whether a page of this console, or no page at all, sent a request."""
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")

    return origin is None or urlsplit(origin).netloc.casefold() == request.headers["host"].casefold()


async def _body(request: Request, kind: str) -> dict[str, Any]:
    if request.headers.get("content-type", "").split(";")[0].strip().casefold() != kind:
        raise _Refused(415, f"expected a body of type {kind}")
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > LARGEST:
            raise _Refused(413, f"expected at most {LARGEST >> 20} MiB")
    try:
        if kind == FORM:
            return dict(parse_qsl(data.decode(), keep_blank_values=True, max_num_fields=100))
        told = json.loads(data or b"{}")
        json.dumps(told, ensure_ascii=False, allow_nan=False).encode()  # no half characters, no NaN
    except (ValueError, RecursionError) as error:
        raise _Refused(400, "expected a body that can be read") from error
    if not isinstance(told, dict):
        raise _Refused(400, "expected a JSON object")

    return told


def _no(status: int, why: str, api: bool) -> Response:
    return JSONResponse({"error": why}, status) if api else PlainTextResponse(why + "\n", status)
