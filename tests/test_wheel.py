"""What users install: the wheel's files, and what its programs do where nothing but the declared packages is."""

import os
import resource
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import ROOT, Installed, built, installed, wheel

__all__ = ["installed", "wheel"]  # fixtures

FOLDERS = ("probes", "fingerprinting", "clients", "data")


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
    assert "pip install 'probe-match[console]'" in installed.run("probe-match", "serve").stderr


def write_pool(folder: Path) -> Path:
    """A table of two classes."""
    rows = [f"{i / 40},{i % 7},{int(i > 20)}" for i in range(40)]
    (folder / "pool.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    return folder / "pool.csv"


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
