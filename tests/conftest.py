"""Fixtures that several test modules share."""

import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Few tests, each of many seconds. They start first, so that none is alone at the end while other processors idle.
LONG = (
    "test_readme", "test_wheel", "test_demo", "test_reliability", "test_regression", "test_database", "test_peers",
    "test_chat_watch_command", "test_zoo_cifar", "test_zoos", "test_backends", "test_audit_command", "test_bench",
    "test_derivatives", "test_networks", "test_team", "test_weights_marks",
    "test_console_browser", "test_console_hostile",
)  # fmt: skip

# Where torch is not installed, the tests that are about it are left out, and all others still run.
HERE = Path(__file__).parent
TORCH = re.compile(
    r"^(?:import|from) (?:torch|tiny)\b|^from probe_match.clients import .*\btorch\b|chat_suffixes,", re.M
)
collect_ignore = (
    []
    if importlib.util.find_spec("torch")
    else [file.name for file in HERE.glob("test_*.py") if TORCH.search(file.read_text(encoding="utf-8"))]
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of long modules first, otherwise in the order they came."""
    place = {name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """An empty folder, and a user whom permissions bind: the administrator, who may write anywhere, steps down."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    administrator = os.geteuid() == 0
    if administrator:
        try:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        except OSError:
            pytest.skip("this container knows no other user")
    try:
        yield folder
    finally:
        if administrator:
            os.seteuid(0)
        folder.chmod(0o777)
        shutil.rmtree(folder)
