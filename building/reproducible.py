"""
The build backend: setuptools, whose archives are then written anew so that the same sources always give the same bytes.

Members are sorted, carry one date, belong to nobody and may be read by all, whoever builds, where, when and under which
umask. The date is SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/) where that is set, else
the first that a zip can hold.
"""

import gzip
import io
import os
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

FIRST = 315532800  # 1980-01-01, in seconds since 1970


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: "str | None" = None) -> str:
    """Build the wheel into a folder and return its file name."""
    name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    path = Path(wheel_directory, name)
    path.write_bytes(same_wheel(path.read_bytes()))

    return name


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """Build the source archive into a folder and return its file name."""
    name = build_meta.build_sdist(sdist_directory, config_settings)
    path = Path(sdist_directory, name)
    path.write_bytes(same_sdist(path.read_bytes()))

    return name


def same_wheel(data: bytes) -> bytes:
    """The zip with the same members, in the wheel specification's order: metadata last."""
    written = io.BytesIO()
    date = time.gmtime(max(epoch(), FIRST))[:6]
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist(), key=lambda name: (".dist-info/" in name, name)):
            info = zipfile.ZipInfo(name, date)
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(info, old.read(name))

    return written.getvalue()


def same_sdist(data: bytes) -> bytes:
    """The tar.gz with the same files. Folders are left out: every unpacker makes them."""
    written = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(data)) as old,
        gzip.GzipFile("", "wb", fileobj=written, mtime=epoch()) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(filter(tarfile.TarInfo.isfile, old), key=lambda member: member.name):
            info = tarfile.TarInfo(member.name)
            info.size, info.mtime, info.mode = member.size, epoch(), 0o644
            new.addfile(info, old.extractfile(member))

    return written.getvalue()


def epoch() -> int:
    """The date of every member, in seconds since 1970."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", FIRST))
