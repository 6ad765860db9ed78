"""Plug-ins found by their file names."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from probe_match.fingerprinting import registry
from probe_match.fingerprinting.errors import MissingPackage, UsageError


@pytest.mark.parametrize(
    ("folder", "name"), [("probes", "uniform"), ("clients", "function"), ("fingerprinting.methods", "agreement")]
)
def test_every_file_is_a_plug_in(folder: str, name: str) -> None:
    """What is listed is what lies in the folder, private files apart, and loads as that file."""
    source = Path(__file__).parents[1] / folder.replace(".", "/")
    files = sorted(f.stem for f in source.glob("*.py") if not f.stem.startswith("_"))

    assert registry.available(folder) == files
    assert registry.load(folder, name).__name__ == f"probe_match.{folder}.{name}"


def test_listing_imports_nothing() -> None:
    """Names are known without loading a single plug-in or heavy package."""
    program = (
        "import sys; from probe_match.fingerprinting import registry\n"
        "names = registry.available('clients')\n"
        "print([m for m in sys.modules if m in ('numpy', 'torch') or m.startswith('probe_match.clients.')], len(names))"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    assert told.startswith("[] ")
    assert int(told.split()[-1]) > 0


def test_hyphens_and_underscores_are_one() -> None:
    """A name may be written as file or as words of a command line."""
    assert registry.load("fingerprinting.methods", "mutual-information") is registry.load(
        "fingerprinting.methods", "mutual_information"
    )


@pytest.mark.parametrize("name", ["uniformm", "", "_search", "__init__", "..", ".x"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    """An unknown plug-in, or one that is private, is an error that says what there is."""
    with pytest.raises(UsageError, match=r"unknown generator '.*'; choose one of .*uniform"):
        registry.load("probes", name)


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the user's own on the Python path."""
    for name in [name for name in sys.modules if name.startswith("mine_registry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine_registry").mkdir()
    (tmp_path / "mine_registry" / "__init__.py").touch()
    return tmp_path / "mine_registry"


def test_a_dotted_name_is_a_module_of_the_users_own(own_modules: Path) -> None:
    """Plug-ins need not live in our folders."""
    (own_modules / "probing.py").write_text("KINDS = ('image',)\n")

    assert registry.load("probes", "mine_registry.probing").KINDS == ("image",)


def test_a_missing_module_of_the_users_own_is_an_error(own_modules: Path) -> None:
    """A mistyped dotted name is the user's to mend."""
    for name in ("mine_registry.nothing", "nowhere_at_all.probing", "mine_registry."):
        with pytest.raises(UsageError, match=r"no module '.*'; expected the dotted name"):
            registry.load("probes", name)


def test_a_missing_optional_package_is_a_pip_line(own_modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed is named with the line that installs it, for every optional package."""
    for package, extra in registry.EXTRAS.items():
        (own_modules / f"needs_{package}.py").write_text(f"import {package}.nn\n")
        importlib.invalidate_caches()
        monkeypatch.setitem(sys.modules, package, None)

        with pytest.raises(MissingPackage) as caught:
            registry.load("clients", f"mine_registry.needs_{package}")
        assert str(caught.value).endswith(f"needs {package}: pip install 'probe-match[{extra}]'")


def test_a_bug_in_a_plug_in_keeps_its_traceback(own_modules: Path) -> None:
    """An import that fails inside a plug-in for a reason of its own is not disguised as a usage error."""
    for i, missing in enumerate(("a_package_nobody_has", "mine_registry.gone")):
        (own_modules / f"broken{i}.py").write_text(f"import {missing}\n")
        importlib.invalidate_caches()

        with pytest.raises(ModuleNotFoundError, match=missing):
            registry.load("probes", f"mine_registry.broken{i}")


def test_every_extra_exists() -> None:
    """A pip line names an extra that the project has."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    extras = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    offered = {line.split("=")[0].strip() for line in extras.splitlines() if "= [" in line}

    assert set(registry.EXTRAS.values()) <= offered
