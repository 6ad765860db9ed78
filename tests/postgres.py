"""A PostgreSQL server of the tests' own, on a socket in a temporary folder, where its programs are installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")


def programs() -> Path | None:
    """The folder of initdb and postgres, or None."""
    found = shutil.which("initdb")
    if found is not None:
        return (
            Path(found).resolve().parent if (Path(found).resolve().parent / "postgres").exists() else Path(found).parent
        )
    folders = [folder for place in PLACES for folder in sorted(Path("/").glob(place.lstrip("/")))]
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


@contextmanager
def server() -> Iterator[str]:
    """The folder of the socket of a fresh server, `postgres` its superuser; skips, saying so, where none can run."""
    where = programs()
    if where is None:
        pytest.skip(
            "NO POSTGRESQL SERVER: initdb and postgres are not installed (Debian: postgresql), nothing was tested"
        )
    # A server refuses to run as root; a short path, since a socket's may have 107 characters.
    user = next((u for u in ("postgres", "nobody") if _is_user(u)), None) if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        folder.chmod(0o777)
        data = folder / "data"
        subprocess.run(
            [where / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"],
            check=True, capture_output=True, user=user, cwd=folder,
        )  # fmt: skip
        process = subprocess.Popen(
            [where / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user, cwd=folder,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 30
            while not (folder / ".s.PGSQL.5432").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            yield str(folder)
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(folder: str, name: str) -> str:
    """The URL of a new, empty database."""
    import psycopg

    deadline = time.monotonic() + 30
    while True:
        try:
            with psycopg.connect(host=folder, user="postgres", dbname="postgres", autocommit=True) as connection:
                connection.execute(f'CREATE DATABASE "{name}"')
            return url(folder, name, "postgres")
        except psycopg.OperationalError:  # starting up
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def url(folder: str, name: str, user: str) -> str:
    """As one user."""
    return f"postgresql+psycopg://{user}@/{name}?host={folder}"


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
