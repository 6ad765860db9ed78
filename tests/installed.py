"""
What users install, for the tests: a wheel made from the source archive, in a fresh environment with what it declares.

No index is asked: the declared packages, and what they declare in turn, are linked from the environment of the tests.
Nothing else is there, so an import that was never declared fails here as it would at a user's.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
ALIEN = ("PYTHON", "PIP_", "XDG_", "SOURCE_DATE_EPOCH")
NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")


def run(*command: str | Path, cwd: Path, **others: str) -> "subprocess.CompletedProcess[str]":
    """A program that sees nothing of this environment: another home, no Python settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ALIEN)}
    kept |= {"HOME": str(cwd), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_CONFIG_FILE": os.devnull} | others
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, env=kept, capture_output=True, text=True, timeout=200, check=False
    )


def built(source: Path, into: Path, **others: str) -> Path:
    """
    A source archive of a clean copy of the checkout, and the wheel from that archive alone. Returns the wheel.

    The copy's files are new: their times and modes are of now and of the umask.
    """
    copy = source / "checkout"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED, copy_function=shutil.copyfile)
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", into, cwd=copy, **others)

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return next(into.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as for a release."""
    return built(tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist"))


class Installed(NamedTuple):
    """bin: of the fresh environment. empty: a folder with nothing in it, to work from."""

    bin: Path
    empty: Path

    def run(self, *command: str | Path) -> "subprocess.CompletedProcess[str]":
        """One of the environment's programs, started in the empty folder."""
        return run(self.bin / command[0], *command[1:], cwd=self.empty)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in a fresh environment."""
    environment = tmp_path_factory.mktemp("fresh") / "venv"
    fresh = Installed(environment / "bin", tmp_path_factory.mktemp("empty"))
    done = [run(sys.executable, "-m", "venv", environment, cwd=fresh.empty)]
    site = Path(fresh.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    with zipfile.ZipFile(wheel) as file:
        name = next(part for part in {entry.split("/")[0] for entry in file.namelist()} if part.endswith(".dist-info"))
        declared = metadata.PathDistribution(zipfile.Path(file, f"{name}/")).requires or []
    for distribution in sorted(needed(declared)):
        link(distribution, site)
    done.append(fresh.run("python", "-m", "pip", "install", "--no-deps", "--no-index", wheel))
    done.append(fresh.run("python", "-m", "pip", "check"))

    assert [step.returncode for step in done] == [0, 0, 0], [step.stdout + step.stderr for step in done]
    return fresh


def needed(requirements: list[str], extras: frozenset[str] = frozenset()) -> set[str]:
    """Names of the distributions that the requirements ask for, and of all that those ask for."""
    found: set[str] = set()
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""}):
            asked = metadata.requires(requirement.name) or []
            found |= {requirement.name} | needed(asked, frozenset(requirement.extras))

    return found


def link(distribution: str, site: Path) -> None:
    """Make one distribution of this environment importable from another one."""
    files = metadata.files(distribution) or []
    for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
        if not (site / top).exists():
            (site / top).symlink_to(metadata.distribution(distribution).locate_file(top))
