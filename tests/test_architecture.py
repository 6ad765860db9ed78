"""The rules of the house that can be read off the source, file by file."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("fingerprinting", "probes", "clients", "data")
FILES = sorted(file.relative_to(ROOT) for folder in PRODUCT for file in (ROOT / folder).rglob("*.py"))
# Which of our folders a folder may import; only the command line brings them together, by name and not by import.
ALLOWED = {
    "fingerprinting": {"fingerprinting", "data"},
    "probes": {"fingerprinting", "probes"},
    "clients": {"fingerprinting", "clients"},
    "data": {"data"},
}
TESTS = {file.stem for file in (ROOT / "tests").glob("*.py")} | {"tests", "pytest", "hypothesis", "benchmarks"}
TRANSPORT = {"clients/_transport.py", "clients/_deadline.py", "clients/_calls.py"}
PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal"}

each_file = pytest.mark.parametrize("file", FILES, ids=str)


def parse(file: Path) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), str(file))


def imports(file: Path, tree: ast.Module) -> Iterator[str]:
    """Absolute dotted names of everything a file imports, at its top or inside a function; relative ones resolved."""
    package = ["probe_match", *file.parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_there_are_files_to_check() -> None:
    """The folders are where these tests look for them."""
    assert {file.parts[0] for file in FILES} == set(PRODUCT)
    assert Path("fingerprinting/collect.py") in FILES


def test_relative_imports_are_resolved() -> None:
    """The rule reads `from ..x import y` as Python does."""
    tree = ast.parse("from . import a\nfrom ..b import c\nfrom ...probes import d\nimport e.f\nfrom g import h")

    assert list(imports(Path("fingerprinting/methods/m.py"), tree)) == [
        "probe_match.fingerprinting.methods.a", "probe_match.fingerprinting.b.c", "probe_match.probes.d", "e.f", "g.h",
    ]  # fmt: skip


@each_file
def test_folders_import_only_what_they_may(file: Path) -> None:
    """What answers mean knows no probe and no client; probes and clients know nothing of each other."""
    ours = [name.split(".") for name in imports(file, parse(file)) if name.split(".")[0] == "probe_match"]
    strangers = {".".join(name) for name in ours if len(name) > 1 and name[1] not in ALLOWED[file.parts[0]]}

    assert strangers == set()


@each_file
def test_folders_are_imported_by_their_package_name(file: Path) -> None:
    """The folder name alone would load a second copy of every class."""
    first = {name.split(".")[0] for name in imports(file, parse(file))}

    assert first & set(PRODUCT) == set()


@each_file
def test_the_product_does_not_import_tests(file: Path) -> None:
    """What is shipped needs nothing that is not."""
    first = {name.split(".")[0] for name in imports(file, parse(file))}

    assert first & TESTS == set()


@each_file
def test_only_the_transport_reaches_the_network(file: Path) -> None:
    """Deadlines, limits and secrets live in one module, its adapter and its form for gRPC; nobody goes round them."""
    found = {
        name for name in imports(file, parse(file)) if name.split(".")[0] in ("requests", "httpx", "aiohttp", "grpc")
    }

    assert str(file) in TRANSPORT or found == set()


def unpicklers(file: Path, tree: ast.Module) -> set[str]:
    """What a file uses of modules that write or run pickles; the names of their errors are harmless."""
    imported = {name for name in imports(file, tree) if name.split(".")[0] in PICKLERS and name != "pickle"}
    used = {
        f"pickle.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pickle"
    }
    return {name for name in imported | used if not name.endswith("Error")}


def test_the_pickle_rule_sees_through_both_ways_of_importing() -> None:
    """Catching an error of pickle is allowed, calling it is not."""
    tree = ast.parse("import pickle\nfrom pickle import loads, PickleError\npickle.load(f)\npickle.UnpicklingError")

    assert unpicklers(Path("clients/m.py"), tree) == {"pickle.loads", "pickle.load"}


@each_file
def test_nothing_is_pickled(file: Path) -> None:
    """What comes from outside is never executed: no pickle, and numpy is not allowed to use it either."""
    tree = parse(file)
    allowed = [
        node.value.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) == "True"
    ]

    assert unpicklers(file, tree) == set()
    assert allowed == []


@each_file
def test_only_reports_and_commands_print(file: Path) -> None:
    """A library function returns what it has to say."""
    prints = [
        node.lineno
        for node in ast.walk(parse(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]

    assert file.name == "report.py" or "commands" in file.parts or prints == []
