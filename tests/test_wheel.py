"""
What users install: a wheel made from the source archive, in a fresh environment with the packages it declares.

No index is asked: the declared packages, and what they declare in turn, are linked from the environment of the tests.
Nothing else is there, so an import that was never declared fails here as it would at a user's.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("probes", "fingerprinting", "clients", "data")
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


def shipped() -> Iterator[str]:
    """Every file of the product as it must be called in the wheel."""
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and file.suffix != ".pyc":
                yield f"probe_match/{file.relative_to(ROOT).as_posix()}"


def test_the_wheel_holds_all_of_the_product_and_nothing_else(wheel: Path) -> None:
    """Code, type markers, templates and data of the four folders, under one name."""
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if not name.split("/")[0].endswith(".dist-info")}

    assert names == set(shipped())
    assert {f"probe_match/{folder}/py.typed" for folder in FOLDERS} <= names


def test_whoever_builds_gets_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    """Another folder, time zone, umask and age of the files change no byte of the wheel and of the source archive."""
    elsewhere = tmp_path / "another folder"
    elsewhere.mkdir()
    former = os.umask(0o077)
    try:
        again = built(elsewhere, tmp_path, TZ="Pacific/Auckland", LC_ALL="C")
    finally:
        os.umask(former)
    (archive,) = tmp_path.glob("*.tar.gz")

    assert again.read_bytes() == wheel.read_bytes()
    assert archive.read_bytes() == next(wheel.parent.glob("*.tar.gz")).read_bytes()


def test_the_source_archive_holds_what_a_packager_needs(wheel: Path) -> None:
    """Tests, documentation, the Makefile and the locks come with the source; nothing is owned by its builder."""
    with tarfile.open(next(wheel.parent.glob("*.tar.gz"))) as archive:
        members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members}

    assert {"Makefile", "constraints.txt", "docs/decisions.md", "tests/test_wheel.py", "benchmarks/twins.py"} <= names
    assert {(member.uid, member.gid, member.mode, member.mtime) for member in members} == {(0, 0, 0o644, 315532800)}


def test_the_wheel_carries_its_licence(wheel: Path) -> None:
    """The whole text goes with every copy, and the metadata names it."""
    with zipfile.ZipFile(wheel) as file:
        text = next(file.read(name) for name in file.namelist() if name.endswith(".dist-info/licenses/LICENSE"))
        about = next(file.read(name).decode() for name in file.namelist() if name.endswith(".dist-info/METADATA"))

    assert text == (ROOT / "LICENSE").read_bytes()
    assert "License-Expression: Apache-2.0" in about
    assert (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[0] in about


def test_only_one_name_is_taken(installed: Installed) -> None:
    """A user's own modules called probes, clients or data are not hidden by ours."""
    program = (
        "import importlib.util, probe_match.clients, probe_match.data, probe_match.fingerprinting, probe_match.probes\n"
        f"print([name for name in {FOLDERS!r} if importlib.util.find_spec(name)], probe_match.clients.__file__)"
    )
    told = installed.run("python", "-c", program)

    assert told.stderr == ""
    assert told.stdout.startswith("[] ")
    assert str(installed.bin.parent) in told.stdout


@pytest.mark.parametrize(
    "words", [["--help"], ["demo", "--help"], ["match", "--help"], ["--version"], ["suite", "list"]]
)
def test_commands_answer_without_optional_packages(installed: Installed, words: list[str]) -> None:
    """Help and lists need no more than the declared packages, and warn of nothing."""
    told = installed.run("probe-match", *words)

    assert (told.returncode, told.stderr) == (0, "")
    assert "Usage: probe-match" in told.stdout or words[-1] != "--help"


def test_a_missing_extra_is_a_pip_line(installed: Installed) -> None:
    """What an ONNX model or a gradient needs beyond the declared packages is said in one line."""
    (installed.empty / "model.onnx").write_bytes(b"")
    told = installed.run("probe-match", "compare", "model.onnx", "model.onnx", "--pool", write_pool(installed.empty))

    assert told.returncode == 2
    assert told.stderr.count("\n") == 1
    assert "pip install 'probe-match[onnx]'" in told.stderr


def write_pool(folder: Path) -> Path:
    """A table of two classes."""
    rows = [f"{i / 40},{i % 7},{int(i > 20)}" for i in range(40)]
    (folder / "pool.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    return folder / "pool.csv"


def test_the_demo_finds_the_thief_from_the_wheel(installed: Installed) -> None:
    """The main job runs on what is installed, and writes its JSON and its page."""
    told = installed.run("probe-match", "demo", "--json", "verdicts.json", "--html", "report.html")
    assert told.returncode == 0, told.stdout + told.stderr
    data = json.loads((installed.empty / "verdicts.json").read_text())
    decisions = {(end["role"], end["verdict"]["decision"] == "match") for end in data["endpoints"]}

    assert (data["schema"], data["seed"]) == ("probe-match/demo/1", 0)
    assert decisions == {("thief", True), ("honest", False)}
    assert {end["verdict"]["schema"] for end in data["endpoints"]} == {"probe-match/verdict/1"}
    assert (installed.empty / "report.html").read_text(encoding="utf-8").count('<svg class="strip"') == 6


def test_help_appears_at_once(installed: Installed) -> None:
    """`--help` costs less than 0.3 s over starting Python: processor time, for other tests share the machine."""

    def seconds(*command: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert installed.run(*command).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    bare = min(seconds("python", "-c", "pass") for _ in range(5))
    with_help = min(seconds("probe-match", "--help") for _ in range(5))

    assert with_help - bare < 0.3
