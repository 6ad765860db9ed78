"""
Does an ONNX file refer to other files? Read from the protobuf wire format, so that nothing needs to be
trusted first.

Only the fields on the way from a model to its tensors are followed (onnx.proto3: ModelProto, GraphProto,
NodeProto, AttributeProto, TensorProto, SparseTensorProto, FunctionProto, TrainingInfoProto); all else is
skipped by its length.
"""

from typing import Final

# message -> field number -> message inside
INSIDE: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
EXTERNAL_DATA: Final = 13  # TensorProto.external_data, and data_location, which is 1 for EXTERNAL
DATA_LOCATION: Final = 14


def external_data(data: bytes) -> bool | None:
    """Whether any tensor of a model lies in another file; None where the bytes are no such message."""
    if data[4:8] == b"ORTM":
        return None  # the runtime's own format, another one altogether
    if b"location" not in data:
        return False  # the key under which a tensor names its file; walking a forest takes a second
    try:
        return _walk(memoryview(data))
    except (IndexError, ValueError):
        return None


def _walk(data: memoryview) -> bool:
    waiting = [("model", 0, len(data))]
    while waiting:
        message, at, end = waiting.pop()
        inside = INSIDE[message]
        while at < end:
            tag, at = _varint(data, at)
            field, wire = tag >> 3, tag & 7
            if wire == 0:
                value, at = _varint(data, at)
                if message == "tensor" and field == DATA_LOCATION and value == 1:
                    return True
            elif wire == 2:
                size, at = _varint(data, at)
                if message == "tensor" and field == EXTERNAL_DATA:
                    return True
                if field in inside:
                    waiting.append((inside[field], at, at + size))
                at += size
            elif wire in (1, 5):
                at += 8 if wire == 1 else 4
            else:
                raise ValueError(f"wire type {wire}")
        if at != end:
            raise ValueError("a field is longer than its message")

    return False


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than ten bytes")
