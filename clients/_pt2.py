"""
What a `.pt2` program must not hold, checked before `torch.export.load` sees it.

Such an archive is mostly data: weights as raw bytes, the graph as JSON. But the loader unpickles where the
archive says so, looks up the name of any function under `torch`, and evaluates shape expressions. So an
archive is let through only if nothing in it is pickled beyond plain tensors, its graph calls operators of
PyTorch's core libraries, and its expressions are arithmetic on symbols. The archive is read with the loader's
own reader, so that both see the same bytes.
"""

import io
import pickle
import re
import zipfile
from collections.abc import Iterator
from typing import Any, Final

import torch
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData

from . import _json

OPERATORS: Final = re.compile(
    r"torch\.ops\.(aten|prims)\.(?!from_file|save)(_{0,2}[a-z]\w*?[a-z0-9_])\.[A-Za-z]\w*"
    r"|torch\.ops\.higher_order\.wrap_with_(set_grad_enabled|autocast)"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|abs|and_|or_|not_|lt|le|gt|ge|eq|ne|getitem|index)"
    r"|math\.(ceil|floor|trunc|sqrt)|torch\.sym_(int|float|max|min|not|ite|sum|sqrt)"
)
PRIVATE: Final = re.compile(r"\.__(?!and|or|xor|lshift|rshift|i(?:and|or|xor|lshift|rshift))\w+__")
SYMBOL: Final = re.compile(r"Symbol\('[a-z]+\d+'(, (positive|integer|nonnegative|real)=(True|False))*\)")
WORDS: Final = frozenset((
    "Max", "Min", "Mod", "PythonMod", "FloorDiv", "CeilDiv", "CleanDiv", "ModularIndexing", "Integer", "Eq", "Ne",
    "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "True", "False", "oo", "int_oo", "Mul", "Add", "TruncToInt",
    "FloorToInt", "CeilToInt", "ToFloat", "IntTrueDiv", "FloatTrueDiv", "Where",
))  # fmt: skip
PAYLOADS: Final = ("weight_", "tensor_")


def require_plain(data: bytes, where: str) -> None:
    """Raise BadData where an archive would run code when loaded, or is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            older = "version" in archive.namelist()  # the form that torch up to 2.7 wrote is pickled throughout
        reader = torch._C.PyTorchFileReader(io.BytesIO(data))
        names: list[str] = reader.get_all_records()
        size = sum(reader.get_record_size(name) for name in names)
        if older or not any(name.startswith("models/") for name in names):
            raise BadData(f"{where} is not a program that torch.export.save of torch 2.8 or later wrote")
        if size > storage.MAX_BYTES:
            raise BadData(f"{where} unpacks to {size >> 20} MiB; at most {storage.MAX_BYTES >> 20} MiB are read")
        for name in names:
            _require_plain_record(name, lambda name=name: bytes(reader.get_record(name)), where)
    except (RuntimeError, zipfile.BadZipFile, NotImplementedError) as error:
        raise BadData(f"{where} is not a torch.export archive ({_json.printable(str(error), 120)})") from error


def _require_plain_record(name: str, read: Any, where: str) -> None:
    if name.startswith("models/"):
        _require_plain_graph(_json.parse(read(), where, BadData), where)
    elif name.startswith("data/aotinductor/"):
        raise _refused(where, "holds compiled code")
    elif name.startswith(("data/weights/", "data/constants/")):
        if name.endswith("_config.json"):
            _require_raw(_json.parse(read(), where, BadData), where)
        elif not name.rpartition("/")[2].startswith(PAYLOADS):
            raise _refused(where, f"holds a pickled object ('{_json.printable(name, 60)}')")
    elif name.startswith("data/sample_inputs/"):
        _require_tensors(read(), where)


def _require_raw(config: Any, where: str) -> None:
    entries = config.get("config") if isinstance(config, dict) else None
    if not isinstance(entries, dict):
        raise BadData(f"expected a list of tensors in {where}, got {type(entries).__name__}")
    for entry in entries.values():
        raw = isinstance(entry, dict) and entry.get("use_pickle") is False
        if not raw or not str(entry.get("path_name")).startswith(PAYLOADS):
            raise _refused(where, "keeps tensors as pickles")


def _require_tensors(data: bytes, where: str) -> None:
    try:
        if data:
            torch.load(io.BytesIO(data), weights_only=True)  # the loader tries this first, and falls back to pickle
    except (RuntimeError, ValueError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise _refused(where, "has example inputs that are more than tensors") from error


def _require_plain_graph(program: Any, where: str) -> None:
    for key, text in _texts(program):
        if key == "expr_str" and not _arithmetic(text):
            raise _refused(where, f"evaluates '{_json.printable(text, 60)}'")
        called = key in ("target", "as_operator") or text.startswith(("torch.", "_operator", "math.", "#"))
        if called and (not OPERATORS.fullmatch(text) or PRIVATE.search(text)):
            raise _refused(where, f"calls '{_json.printable(text, 60)}'")


def _arithmetic(text: str) -> bool:
    """Whether a shape expression is sums and products of symbols: the loader evaluates it."""
    text = SYMBOL.sub("s0", text)
    text = re.sub(r"\b[suz]\d+\s*\*\*\s*\d\b", "s0", text)  # any other power may be a tower, 9**9**9
    dotted = re.search(r"(?<!\d)\.|\.(?!\d)", text)
    words = re.findall(r"[A-Za-z_]\w*", text)

    return (
        len(text) <= 2000
        and re.fullmatch(r"[\w\s.+\-*/%(),<>=&|~]*", text) is not None
        and "**" not in text
        and not dotted
        and all(word in WORDS or re.fullmatch(r"[suz]\d+", word) for word in words)
    )


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """All texts of a JSON value with the key they stand under; metadata is left out, as nothing of it is called."""
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        key, item = waiting.pop()
        if isinstance(item, str):
            yield key, item
        elif isinstance(item, list):
            waiting.extend((key, inner) for inner in item)
        elif isinstance(item, dict):
            waiting.extend((name, inner) for name, inner in item.items() if name != "metadata")


def _refused(where: str, what: str) -> BadData:
    return BadData(f"{where} {what}, which could run code; if you trust its author: --allow-pickle")
