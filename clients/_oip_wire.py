"""
The Open Inference Protocol on the wire: model metadata, infer requests and answers, as plain JSON.

Every field comes from a stranger and is checked before it is used; TargetError names the first that does not
fit.
"""

import math
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import TargetError

from . import _json, _outputs

FLOATS: Final = ("FP32", "FP64", "FP16", "BF16")
INTEGERS: Final = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
UNQUOTED: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # as protobuf's JSON writes them
DATATYPES: Final = (*FLOATS, *INTEGERS, "BOOL", "BYTES")


class Model(NamedTuple):
    """
    What a server says about a model. input: name of its input. datatype: of it, None if unsaid. shape: of one
    input without the batch, None if unsaid. fixed: rows in every request, None if any number. column: texts
    are sent as (m, 1). outputs: their names, () if unsaid.
    """

    input: str
    datatype: str | None
    shape: tuple[int, ...] | None
    fixed: int | None
    column: bool
    outputs: tuple[str, ...]


def read_metadata(value: Any, source: str) -> Model:
    """The model behind `GET /v2/models/NAME`. Raises TargetError."""
    if not isinstance(value, dict):
        raise TargetError(f"expected model metadata from {source}, got {_shown(value)}")
    inputs = _entries(value.get("inputs"), source)
    names = tuple(str(entry.get("name")) for entry in _entries(value.get("outputs"), source))
    if not inputs:
        return Model("x", None, None, None, False, names)
    if len(inputs) > 1:
        listed = _json.printable(", ".join(str(entry.get("name")) for entry in inputs), 120)
        raise TargetError(f"expected a model with one input at {source}, got {len(inputs)} ({listed})")
    name, datatype, dims = (inputs[0].get(key) for key in ("name", "datatype", "shape"))
    if not isinstance(name, str) or (datatype is not None and datatype not in DATATYPES):
        raise TargetError(f"expected the name and datatype of an input from {source}, got {_shown(inputs[0])}")
    shape = _dims(dims, source) if dims is not None else []
    if not shape:
        return Model(name, datatype, None, None, False, names)
    if datatype == "BYTES" and math.prod(shape[1:]) == 1:
        return Model(name, datatype, (), None, len(shape) > 1, names)
    rest = None if -1 in shape[1:] or len(shape) == 1 else tuple(shape[1:])

    return Model(name, datatype, rest, shape[0] if shape[0] > 0 and rest else None, False, names)


def request(model: Model, datatype: str, inputs: np.ndarray | Sequence[str], outputs: Sequence[str]) -> dict[str, Any]:
    """The body that asks for m inputs; outputs: names asked for, () for the server's own choice."""
    if isinstance(inputs, np.ndarray):
        shape, data = list(inputs.shape), _flat(inputs, datatype)
    else:
        shape, data = ([len(inputs), 1] if model.column else [len(inputs)]), list(inputs)
        datatype = "BYTES"
    body: dict[str, Any] = {"inputs": [{"name": model.input, "shape": shape, "datatype": datatype, "data": data}]}
    if outputs:
        body["outputs"] = [{"name": name} for name in outputs]

    return body


def read_answer(value: Any, m: int, source: str) -> Answers:
    """Labels and scores of m inputs from an infer response. Raises TargetError."""
    outputs = value.get("outputs") if isinstance(value, dict) else None
    if not isinstance(outputs, list) or not outputs:
        raise TargetError(f"expected outputs from {source}, got {_shown(value)}")

    return _outputs.read(
        {str(entry.get("name")): _array(entry, source) for entry in _entries(outputs, source)}, m, source
    )


def datatype_wanted(complaint: str, sent: str) -> str | None:
    """The datatype that a refusal asks for, or None: "data-type is 'FP64', but the model expects 'FP32'"."""
    named = [word for word in re.findall(r"\b[A-Z]+\d*\b", complaint) if word in DATATYPES and word != sent]
    return named[-1] if named else None


def rows_allowed(complaint: str, sent: int) -> int | None:
    """The largest batch that a refusal names, or None: "inference request batch-size must be <= 128"."""
    found = re.search(r"(?:<=|at most|maximum|max\w*|limit\w*)\D{0,20}(\d{1,7})", complaint, re.IGNORECASE)
    return int(found[1]) if found and 0 < int(found[1]) < sent else None


def _flat(inputs: np.ndarray, datatype: str) -> list[Any]:
    flat = inputs.ravel()
    if datatype == "BYTES":
        return [str(item) for item in flat.tolist()]
    if inputs.dtype == object:
        raise TargetError(f"the model takes {datatype}, the probes hold names; ask it through a template")
    if datatype in FLOATS:
        return list(flat.tolist())
    if not np.array_equal(flat, np.round(flat)):
        raise TargetError(f"the model takes {datatype}, the probes hold fractions; use probes of whole numbers")

    return list((flat != 0).tolist() if datatype == "BOOL" else flat.astype(np.int64).tolist())


def _array(entry: dict[str, Any], source: str) -> np.ndarray:
    shape, data = _dims(entry.get("shape"), source), entry.get("data")
    if not isinstance(data, list):
        raise TargetError(f"expected output data as a list from {source}, got {_shown(data)}")
    flat = _unnested(_even(data, shape))
    if entry.get("datatype") in FLOATS:
        flat = [UNQUOTED.get(item, item) if isinstance(item, str) else item for item in flat]
    try:
        if entry.get("datatype") == "BYTES" or any(isinstance(item, str) for item in flat):
            array = np.array([None if item is None else _text(item) for item in flat], object)
        else:
            array = np.asarray(flat, np.float64)
            if entry.get("datatype") in INTEGERS and np.array_equal(array, np.round(array)):
                array = array.astype(np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise TargetError(f"expected numbers or texts as output data from {source} ({error})") from error
    if min(shape, default=0) < 0 or math.prod(shape) != array.size:
        raise TargetError(f"expected output data of shape {shape} from {source}, got {array.size} values")

    return array.reshape(shape)


def _even(data: list[Any], shape: list[int]) -> list[Any]:
    """Rows of nested data; one that is missing, or of another length than its neighbours, is of nothing but nulls."""
    if len(shape) < 2 or len(data) != shape[0] or not any(isinstance(row, list) for row in data):
        return data
    width = math.prod(shape[1:])
    rows = [_unnested(row) if isinstance(row, list) else [] for row in data]
    if not 0 < width <= 1 << 20 or not any(len(row) == width for row in rows):
        return data

    return [row if len(row) == width else [None] * width for row in rows]


def _unnested(data: list[Any]) -> list[Any]:
    while data and all(isinstance(item, list) for item in data):
        data = [item for row in data for item in row]
    return data


def _text(item: Any) -> str:
    if not isinstance(item, str) or len(item) > 200:
        raise ValueError(f"not a short text: {_shown(item)}")
    item.encode()  # a lone surrogate could neither be printed nor stored; UnicodeEncodeError is a ValueError

    return item


def _dims(value: Any, source: str) -> list[int]:
    if not isinstance(value, list) or len(value) > 16 or not all(_dim(size) for size in value):
        raise TargetError(f"expected a shape from {source}, got {_shown(value)}")
    return [max(int(size), -1) for size in value]


def _dim(size: Any) -> bool:
    if isinstance(size, str):  # some gateways write 64-bit integers as texts, as protobuf's JSON does
        return bool(re.fullmatch(r"-?\d{1,15}", size))
    return isinstance(size, int) and not isinstance(size, bool) and abs(size) < 10**15


def _entries(value: Any, source: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise TargetError(f"expected a list of inputs or outputs from {source}, got {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {_json.printable(repr(value)[:400], 80)}"
