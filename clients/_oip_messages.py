"""
The messages of the Open Inference Protocol over gRPC, to and from the JSON of its REST form, which is read elsewhere.

Field numbers: https://github.com/kserve/open-inference-protocol, grpc_predict_v2.proto.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from probe_match.fingerprinting.errors import TargetError

from ._protobuf import Value, field, fields, integers, packed

SERVICE: Final = "/inference.GRPCInferenceService"
INTEGERS: Final = {"INT8": 2, "INT16": 2, "INT32": 2, "INT64": 3, "UINT8": 4, "UINT16": 4, "UINT32": 4, "UINT64": 5}
# Numbers of fields in a tensor's contents. Of 16 bits there are none: those go as raw bytes.
CONTENTS: Final = {"BOOL": 1, **INTEGERS, "FP32": 6, "FP64": 7, "BYTES": 8}
RAW: Final = {
    "BOOL": "?", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BF16": "<u2",
}  # fmt: skip
MOST_TENSORS: Final = 1000


def named(name: str, version: str) -> bytes:
    """What asks for a model's metadata, or whether it is ready."""
    return field(1, name) + (field(2, version) if version else b"")


def infer(name: str, version: str, body: Mapping[str, Any]) -> bytes:
    """An infer request. body: as it is over REST."""
    message = field(1, name) + (field(2, version) if version else b"")
    raw = b""
    for tensor in body["inputs"]:
        datatype, data = tensor["datatype"], tensor["data"]
        told = field(1, tensor["name"]) + field(2, datatype) + field(3, packed(tensor["shape"]))
        if datatype in CONTENTS:
            told += field(5, _contents(datatype, data))
        else:
            raw += field(7, _halves(datatype, data))
        message += field(5, told)
    for output in body.get("outputs", ()):
        message += field(6, field(1, output["name"]))

    return message + raw


def read_infer(data: bytes, source: str) -> dict[str, Any]:
    """What an infer response says, as it would over REST. Raises TargetError."""
    told = _of(data)
    raw = _bytes(told.get(6, []), source)
    tensors = _bytes(told.get(5, []), source)
    if len(tensors) > MOST_TENSORS or (raw and len(raw) != len(tensors)):
        raise TargetError(f"expected the contents of each output from {source}, got {len(raw)} for {len(tensors)}")

    return {"outputs": [_tensor(tensor, raw[i] if raw else None, source) for i, tensor in enumerate(tensors)]}


def read_metadata(data: bytes, source: str) -> dict[str, Any]:
    """What is said of a model, as it would be over REST. Raises TargetError."""
    told = _of(data)
    inputs, outputs = ([_described(tensor, source) for tensor in _bytes(told.get(n, []), source)] for n in (4, 5))

    return {"inputs": inputs, "outputs": outputs}


def read_server(data: bytes, source: str) -> tuple[str, str]:
    """Name and version of a server. Raises TargetError."""
    told = _of(data)
    return _text(told.get(1), source), _text(told.get(2), source)


def read_ready(data: bytes) -> bool:
    """Whether a server or model says that it is ready. Raises TargetError."""
    return _of(data).get(1, [0])[-1] == 1


def _contents(datatype: str, data: list[Any]) -> bytes:
    if datatype == "BYTES":
        return b"".join(field(8, text) for text in data)
    number = CONTENTS[datatype]
    if datatype in ("FP32", "FP64"):
        return field(number, np.asarray(data, RAW[datatype]).tobytes())

    return field(number, packed(int(value) for value in data))


def _halves(datatype: str, data: list[Any]) -> bytes:
    """Numbers of 16 bits; BF16 is the upper half of FP32."""
    if datatype == "FP16":
        return np.asarray(data, "<f2").tobytes()
    return (np.asarray(data, "<f4").view("<u4") >> 16).astype("<u2").tobytes()


def _tensor(data: bytes, raw: bytes | None, source: str) -> dict[str, Any]:
    told = _of(data)
    described = _described(data, source)
    datatype = described["datatype"]
    if raw is not None:
        return {**described, "data": _from_raw(datatype, raw, source)}
    contents = _of(b"".join(_bytes(told.get(5, []), source)))
    given = contents.get(CONTENTS.get(datatype, 0), [])
    if datatype == "BYTES":
        return {**described, "data": [_decoded(item, source) for item in _bytes(given, source)]}
    if datatype in ("FP32", "FP64"):
        return {**described, "data": _array(b"".join(_bytes(given, source)), RAW[datatype], source).tolist()}
    if datatype not in CONTENTS:
        raise TargetError(f"expected numbers or texts as output data from {source}, got '{datatype[:40]}'")

    return {**described, "data": integers(given).tolist()}


def _from_raw(datatype: str, raw: bytes, source: str) -> list[Any]:
    if datatype != "BYTES":
        array = _array(raw, RAW.get(datatype, ""), source)
        return list((array.astype("<u4") << 16).view("<f4").tolist() if datatype == "BF16" else array.tolist())
    texts: list[str] = []
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        if at + 4 + size > len(raw) or len(texts) > MOST_TENSORS * 1000:
            raise TargetError(f"expected texts with their lengths from {source}, got {len(raw)} other bytes")
        texts.append(_decoded(raw[at + 4 : at + 4 + size], source))
        at += 4 + size

    return texts


def _array(data: bytes, dtype: str, source: str) -> np.ndarray:
    if not dtype or len(data) % np.dtype(dtype).itemsize:
        raise TargetError(f"expected whole numbers of type '{dtype}' from {source}, got {len(data)} bytes")
    return np.frombuffer(data, dtype)


def _described(data: bytes, source: str) -> dict[str, Any]:
    told = _of(data)
    shape = integers(told.get(3, [])).tolist()

    return {"name": _text(told.get(1), source), "datatype": _text(told.get(2), source), "shape": shape}


def _of(data: bytes) -> dict[int, list[Value]]:
    """Values by number."""
    found: dict[int, list[Value]] = {}
    for number, value in fields(data):
        found.setdefault(number, []).append(value)

    return found


def _bytes(values: list[Value], source: str) -> list[bytes]:
    wrong = [value for value in values if not isinstance(value, bytes)]
    if wrong:
        raise TargetError(f"expected a message of the protocol from {source}, got a number in place of one")
    return [value for value in values if isinstance(value, bytes)]


def _text(values: list[Value] | None, source: str) -> str:
    return _decoded(_bytes(values or [b""], source)[-1], source)


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise TargetError(f"expected text from {source}, got other bytes") from error
