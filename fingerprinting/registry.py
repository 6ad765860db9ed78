"""
Plug-ins are files: the file name is the name on the command line.

`available("probes")` lists `probes/*.py` without importing any of them; `load("probes", "midpoints")` imports one.
A dotted name loads a module of the user's own. Optional packages are imported at the top of the one file that needs
them, so a missing one shows up here and becomes a pip line.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import Final

from .errors import MissingPackage, UsageError

KINDS: Final = {"probes": "generator", "clients": "client", "fingerprinting.methods": "method"}
# What to install when a plug-in's own import fails: package -> extra.
EXTRAS: Final = {
    "torch": "torch", "onnxruntime": "onnx", "skops": "sklearn", "matplotlib": "plots", "botocore": "aws",
    "grpc": "grpc",
    "cryptography": "evidence", "rfc3161_client": "evidence", "safetensors": "evidence",
    "psycopg": "postgres", "distributed": "dask", "ray": "ray",
    "license_expression": "licence", "cyclonedx": "licence", "tomli": "licence",
    "starlette": "console", "uvicorn": "console",
}  # fmt: skip


def available(folder: str) -> list[str]:
    """Names of the plug-ins in `folder` (probes, clients, fingerprinting.methods), sorted, none imported."""
    package = importlib.import_module(f"probe_match.{folder}")

    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def load(folder: str, name: str) -> ModuleType:
    """
    Import one plug-in by its file name, or a module of the user's own by its dotted name.

    Raises UsageError for an unknown name and MissingPackage where an optional package is absent.
    """
    if "." in name and not name.startswith("."):
        return _import(name, name)
    names = available(folder)
    if name.replace("-", "_") not in names:
        raise UsageError(f"unknown {KINDS.get(folder, folder)} '{name}'; choose one of {', '.join(names)}")

    return _import(f"probe_match.{folder}.{name.replace('-', '_')}", name)


def _import(module: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in EXTRAS:
            extra = EXTRAS[package]
            raise MissingPackage(f"{name} needs {package}: pip install 'probe-match[{extra}]'") from error
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise UsageError(
                f"no module '{module}'; expected the dotted name of a module on the Python path"
            ) from error
        raise
