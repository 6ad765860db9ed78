"""
An ONNX graph run by ONNX Runtime: `onnx:model.onnx`.

A graph that keeps tensors in other files is refused, because the runtime would read whatever path it names.
Models converted with skl2onnx answer labels and, per row, a mapping from class to probability or a plain
matrix: both work.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import BadData, TargetError
from probe_match.fingerprinting.records import Access

from . import _outputs
from ._onnx_file import external_data

THREADS: Final = 2
DTYPES: Final[dict[str, type[np.generic]]] = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_, "tensor(string)": np.object_,
}  # fmt: skip
# The runtime's errors share no base but Exception.
ERRORS: Final[tuple[type[Exception], ...]] = (
    RuntimeError,
    ValueError,
    TypeError,
    *(kind for kind in vars(states).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)


class OnnxClient:
    """A graph in this process. classes: known after the first answer, where it names them. graph: the file's bytes."""

    def __init__(self, session: Any, target: str, graph: bytes) -> None:
        self.target = target
        self.graph = graph
        self.access: Access = "scores"
        self.classes: tuple[str, ...] = ()
        self._session = session
        self._inputs = session.get_inputs()
        self._names = [output.name for output in session.get_outputs()]
        for given in self._inputs:
            if given.type not in DTYPES:
                raise BadData(f"expected numbers or texts as input of {target}, got {given.type}")
        # one input per column: how skl2onnx writes models of tables with named columns
        self._columns = len(self._inputs) > 1
        sizes = list(self._inputs[0].shape)
        if self._columns and not all(list(given.shape)[1:] == [1] for given in self._inputs):
            raise BadData(f"expected one input or one per column in {target}, got {len(self._inputs)} inputs")
        self.shape: tuple[int, ...] | None = (
            (len(self._inputs),) if self._columns else _shape(sizes, self._inputs[0].type)
        )
        fixed = sizes[0] if sizes and isinstance(sizes[0], int) and sizes[0] > 0 else None
        self._least = fixed or 1
        self.batch: int = 4096 if fixed is None else 64 * fixed
        self._most = fixed or 1024

    def ask(self, inputs: np.ndarray | Sequence[str]) -> Answers:
        """Labels and scores of m inputs. Raises TargetError where the graph does not take them."""
        rows = inputs if isinstance(inputs, np.ndarray) else np.array(list(inputs), object)
        return _outputs.in_parts(self._run, rows, least=self._least, most=self._most)

    def close(self) -> None:
        """Nothing is held open."""

    def with_graph(self, graph: bytes) -> "OnnxClient":
        """A client of a changed copy of the graph. Raises BadData where the runtime refuses it."""
        return OnnxClient(_session(graph, self.target), self.target, graph)

    def _run(self, rows: np.ndarray) -> Answers:
        parts = np.split(rows, len(self._inputs), axis=1) if self._columns else [rows]
        feed = {}
        for given, part in zip(self._inputs, parts, strict=True):
            dtype = DTYPES[given.type]
            if part.ndim == 1 and len(given.shape) == 2:
                part = part[:, None]  # texts for a graph that wants one column of them
            feed[given.name] = part.astype(str).astype(object) if dtype is np.object_ else part.astype(dtype)
        try:
            answered = self._session.run(self._names, feed)
        except ERRORS as error:
            raise TargetError(f"{self.target} failed on {len(rows)} inputs: {str(error)[:300]}") from error

        return _outputs.read(
            {name: self._array(value) for name, value in zip(self._names, answered, strict=True)},
            len(rows),
            self.target,
        )

    def _array(self, value: Any) -> np.ndarray:
        if not isinstance(value, list):
            return np.asarray(value)
        if not value or not all(isinstance(row, Mapping) for row in value):
            return np.array(value, object)
        keys = list(value[0])
        self.classes = tuple(str(key) for key in keys)
        return np.array([[row[key] for key in keys] for row in value], np.float32)


def connect(where: str) -> OnnxClient:
    """The graph in a file. Raises BadData for a file that is no such graph or refers to other files."""
    data = storage.read_file(Path(where), "model")
    outside = external_data(data)
    if outside is None:
        raise BadData(f"{where} is not an ONNX model, or is cut off")
    if outside:
        raise BadData(
            f"{where} keeps tensors in other files, which are not read; save it as one file "
            "(onnx.save_model with save_as_external_data=False)"
        )
    return OnnxClient(_session(data, where), f"onnx:{where}", data)


def _session(data: bytes, where: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised, not printed
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except ERRORS as error:
        raise BadData(f"cannot load the model {where}: {str(error)[:300]}") from error


def _shape(sizes: list[int | str | None], kind: str) -> tuple[int, ...] | None:
    rest = sizes[1:]
    if kind == "tensor(string)" and rest in ([], [1]):
        return ()
    whole = [size for size in rest if isinstance(size, int) and size > 0]

    return tuple(whole) if rest and len(whole) == len(rest) else None
