"""A gRPC server of the Open Inference Protocol on loopback; its messages are Google's own protobuf, not ours."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Answer = Callable[[np.ndarray, Any], np.ndarray]  # rows and the call's context -> scores
TYPES = {
    "string": 9,
    "int64": 3,
    "bool": 8,
    "bytes": 12,
    "int32": 5,
    "uint32": 13,
    "uint64": 4,
    "float": 2,
    "double": 1,
}
# grpc_predict_v2.proto: message -> field -> (number, type), "*" where it is repeated.
PROTO = {
    "Tensor": {"name": (1, "string"), "datatype": (2, "string"), "shape": (3, "*int64"), "contents": (5, "Contents")},
    "Contents": {
        "bool_contents": (1, "*bool"), "int_contents": (2, "*int32"), "int64_contents": (3, "*int64"),
        "uint_contents": (4, "*uint32"), "uint64_contents": (5, "*uint64"), "fp32_contents": (6, "*float"),
        "fp64_contents": (7, "*double"), "bytes_contents": (8, "*bytes"),
    },
    "Wanted": {"name": (1, "string")},
    "InferRequest": {
        "model_name": (1, "string"), "model_version": (2, "string"), "inputs": (5, "*Tensor"),
        "outputs": (6, "*Wanted"), "raw_input_contents": (7, "*bytes"),
    },
    "InferResponse": {
        "model_name": (1, "string"), "outputs": (5, "*Tensor"), "raw_output_contents": (6, "*bytes"),
    },
    "Metadata": {"name": (1, "string"), "inputs": (4, "*Tensor"), "outputs": (5, "*Tensor")},
    "Ready": {"ready": (1, "bool")},
    "Named": {"name": (1, "string"), "version": (2, "string")},
}  # fmt: skip


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="oip_of_tests.proto", package="oip", syntax="proto3")
    for name, told in PROTO.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in told.items():
            added = message.field.add(name=field, number=number, label=3 if kind[0] == "*" else 1)
            plain = kind.lstrip("*")
            added.type = TYPES.get(plain, 11)
            if plain not in TYPES:
                added.type_name = f".oip.{plain}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"oip.{name}")) for name in PROTO}


MESSAGES = _classes()


class Model(grpc.GenericRpcHandler):
    """One model called m. seen, metadata: of each infer request. raw: how it answers."""

    def __init__(self, answer: Answer, shape: tuple[int, ...], *, raw: bool = False) -> None:
        self.answer, self.shape, self.raw = answer, shape, raw
        self.seen: list[np.ndarray] = []
        self.metadata: list[dict[str, str]] = []

    def service(self, details: Any) -> Any:
        """What handles a call."""
        said = {"ModelReady": self._ready, "ModelMetadata": self._told, "ModelInfer": self._infer}
        handler = said.get(details.method.rpartition("/")[2])
        return None if handler is None else grpc.unary_unary_rpc_method_handler(handler)

    def _ready(self, _: bytes, __: Any) -> bytes:
        return MESSAGES["Ready"](ready=True).SerializeToString()

    def _told(self, request: bytes, context: Any) -> bytes:
        if MESSAGES["Named"].FromString(request).name != "m":
            context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        tensor = MESSAGES["Tensor"](name="x", datatype="FP32", shape=[-1, *self.shape])
        return MESSAGES["Metadata"](name="m", inputs=[tensor], outputs=[]).SerializeToString()

    def _infer(self, request: bytes, context: Any) -> bytes:
        told = MESSAGES["InferRequest"].FromString(request)
        (tensor,) = told.inputs
        rows = np.array(tensor.contents.fp32_contents, np.float32).reshape(tensor.shape)
        self.seen.append(rows)
        self.metadata.append(dict(context.invocation_metadata()))
        scores = np.asarray(self.answer(rows, context), np.float32)
        output = MESSAGES["Tensor"](name="p", datatype="FP32", shape=scores.shape)
        response = MESSAGES["InferResponse"](model_name="m", outputs=[output])
        if self.raw:
            response.raw_output_contents.append(scores.tobytes())
        else:
            response.outputs[0].contents.fp32_contents.extend(scores.ravel().tolist())
        return response.SerializeToString()


@contextlib.contextmanager
def serving(model: grpc.GenericRpcHandler, **options: Any) -> Iterator[str]:
    """host:port of a server while the block runs."""
    server = grpc.server(ThreadPoolExecutor(8), handlers=[model], **options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
