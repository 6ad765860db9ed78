"""The public API: what docs/reference lists, importable at once and without anything optional, and typed throughout."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

REFERENCE = Path(__file__).resolve().parents[1] / "docs/reference"
PUBLIC = sorted(
    {
        name
        for page in REFERENCE.glob("*.md")
        for name in re.findall(r"^\.\. automodule:: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
)
# Of the extras. Not license_expression: audits need it, and their module is public.
HEAVY = ("torch", "onnxruntime", "matplotlib", "pandas", "cryptography", "psycopg", "distributed", "ray", "botocore",
         "cyclonedx", "starlette", "uvicorn", "safetensors", "rfc3161_client")  # fmt: skip


def members(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Functions and classes that a module defines, and the methods of its classes, none with an underscore."""
    for name, item in vars(module).items():
        if name.startswith("_") or getattr(item, "__module__", None) != module.__name__:
            continue
        yield name, item
        if inspect.isclass(item):
            for inner, member in vars(item).items():
                if inspect.isfunction(member) and not inner.startswith("_"):
                    yield f"{name}.{inner}", member


def test_the_api_imports_without_anything_optional() -> None:
    """In a fresh Python every public module is imported, and none of the packages of the extras is then there."""
    program = (
        "import sys\n"
        "from importlib import import_module\n"
        f"for name in {PUBLIC!r}: import_module(name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)

    assert (told.stderr, told.stdout) == ("", "[]\n")
    assert len(PUBLIC) > 30


@pytest.mark.parametrize("name", PUBLIC)
def test_the_api_is_typed_and_documented(name: str) -> None:
    """Every argument and result says its type, and every function and class what it is."""
    for label, item in members(import_module(name)):
        assert inspect.getdoc(item), f"{name}.{label} says nothing of itself"
        if inspect.isfunction(item):
            signature = inspect.signature(item)
            bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty and p.name != "self"]

            assert (bare, signature.return_annotation is signature.empty) == ([], False), f"{name}.{label}"
