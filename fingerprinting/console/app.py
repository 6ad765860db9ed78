"""The console put together: pages, API, files, and the guard before all of them."""

from collections.abc import Callable
from importlib import resources
from typing import Any, Final

from probe_match.fingerprinting.database import ReferenceDB
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from .api import Api
from .catalogue import Catalogue
from .config import Config
from .entering import Door
from .guarding import API, Guard
from .pages import Pages
from .watches import Watches
from .working import Workshop

STATIC: Final = resources.files("probe_match.fingerprinting.console") / "static"
FILES: Final = {"console.css": "text/css", "htmx.min.js": "text/javascript", "icon.svg": "image/svg+xml"}


def application(config: Config, references: ReferenceDB, workshop: Workshop) -> Guard:
    """The ASGI application."""
    door = Door(config.token)
    catalogue, watched = Catalogue(references), Watches(config.history)
    pages, api = Pages(workshop, catalogue, watched, door), Api(workshop, catalogue, watched)
    routes = [
        _get("/", pages.home),
        _get("/references", pages.references),
        _get("/reference", pages.reference),
        _get("/start", pages.start),
        _post("/start", pages.begin),
        _get("/jobs", pages.jobs),
        _get("/jobs/{id}", pages.job),
        _get("/jobs/{id}/progress", pages.progress),
        _get("/jobs/{id}/answers", pages.answers),
        _get("/jobs/{id}/export/{form}", pages.export),
        _post("/jobs/{id}/cancel", pages.cancel),
        _post("/jobs/{id}/resume", pages.resume),
        _get("/watches", pages.watches),
        Route("/login", pages.login, methods=["GET", "POST"]),
        _post("/logout", pages.logout),
        _get("/static/{name}", _file),
        *(Route(API.rstrip("/") + path, handler, methods=[method]) for method, path, handler in api.routes()),
    ]
    made = Starlette(routes=routes, exception_handlers={404: _nothing, 405: _nothing, 500: _bug})
    guard = Guard(made, door, config.called, secure=config.secure)
    made.state.cookie = guard.cookie

    return guard


def _get(path: str, handler: Callable[[Request], Response]) -> Route:
    return Route(path, handler, methods=["GET"])


def _post(path: str, handler: Callable[[Request], Response]) -> Route:
    return Route(path, handler, methods=["POST"])


def _file(request: Request) -> Response:
    """A file of the console's own, the same as long as the console runs."""
    name = request.path_params["name"]
    if name not in FILES:
        return PlainTextResponse("nothing here\n", 404)
    data = (STATIC / name).read_bytes()
    return Response(data, media_type=FILES[name], headers={"Cache-Control": "no-cache"})


def _nothing(request: Request, error: Any) -> Response:
    why = "nothing here" if error.status_code == 404 else "not this way"
    return _said(request, error.status_code, why)


def _bug(request: Request, error: Exception) -> Response:
    return _said(request, 500, "a bug of ours; the console's own output has more")


def _said(request: Request, status: int, why: str) -> Response:
    if request.url.path.startswith(API):
        return JSONResponse({"error": why}, status)
    return PlainTextResponse(why + "\n", status)
