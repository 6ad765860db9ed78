"""Fixtures that several test modules share."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


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
