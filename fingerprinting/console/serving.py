"""The console at work: listening, for as long as a block runs or until somebody stops it."""

import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from probe_match.fingerprinting.database import ReferenceDB, open_db
from probe_match.fingerprinting.errors import TargetError, UsageError

from .app import application
from .config import Config
from .working import Workshop


class Listening(uvicorn.Server):
    """Says where it listens once it does."""

    say: Callable[[str], None] | None = None

    @property
    def url(self) -> str:
        """Of the console."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        scheme = "https" if self.config.is_ssl else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop, in order; at the second time at once. An interruption is how a console ends, not an error."""
        self.force_exit: bool = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: Any = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started and self.say is not None:
            self.say(self.url)


def run(
    config: Config, *, certificate: Path | None = None, key: Path | None = None, listening: Callable[[str], None]
) -> None:
    """
    Serve until interrupted. certificate, key: for HTTPS, PEM files. listening: called with the URL. Raises UsageError,
    DatabaseError.
    """
    with open_db(config.db, read_only=True) as references, Workshop(config, references) as workshop:
        server = _server(config, references, workshop, certificate, key)
        server.say = listening
        try:
            server.run()
        except SystemExit:  # how uvicorn says that it cannot listen
            server.started = False
        if not server.started:
            raise UsageError(f"cannot listen on {config.host}:{config.port}; pass another --host or --port")


@contextlib.contextmanager
def serving(config: Config) -> Iterator[tuple[str, Workshop]]:
    """The console in a thread while the block runs; yields its URL. port: 0 takes a free one."""
    with open_db(config.db, read_only=True) as references, Workshop(config, references) as workshop:
        server = _server(config, references, workshop, None, None)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise TargetError(f"the console could not listen on {config.host}:{config.port}")
                time.sleep(0.005)
            yield server.url, workshop
        finally:
            server.should_exit = True
            thread.join()


def _worth_saying(record: logging.LogRecord) -> bool:
    """Whether a line of the server's is for people; that a browser kept its connection to the last is not."""
    return "graceful shutdown exceeded" not in str(record.msg)


def _server(
    config: Config, references: ReferenceDB, workshop: Workshop, certificate: Path | None, key: Path | None
) -> Listening:
    settings = uvicorn.Config(
        application(config, references, workshop),
        host=config.host,
        port=config.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody else's word for where a request comes from
        lifespan="off",
        limit_concurrency=200,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=1,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    logging.getLogger("uvicorn.error").addFilter(_worth_saying)
    gc.collect()
    gc.freeze()  # what was read to begin with stays: no page waits until all of it has been looked through for garbage

    return Listening(settings)
