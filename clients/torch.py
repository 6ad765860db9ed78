"""
A PyTorch classifier or regressor: `torch:model.pt2`, or `wrap(module)` for one at hand.

`.pt2` files are programs that `torch.export.save` wrote; `.pt` and `.pth` files are pickles and run code when
loaded, so they need `allow_pickle`. `forward` is differentiable, for generators that follow gradients.
"""

import io
import logging
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import BadData, TargetError, UsageError
from probe_match.fingerprinting.records import Access
from torch.export.passes import move_to_device_pass

from . import _outputs, _pt2

BATCH: Final = 256
BROKEN: Final = (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError)


class TorchClient:
    """
    A module in this process. `.module` is the module itself, `.device` where it computes.

    least, most: rows that one pass takes; a program exported with a fixed batch takes exactly that many.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        target: str,
        shape: tuple[int, ...] | None,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        least: int = 1,
        most: int = BATCH,
    ) -> None:
        self.module = module
        self.target = target
        self.shape = shape
        self.device = device
        self.access: Access = "scores"
        self.classes: tuple[str, ...] = ()
        self.batch: int = max(BATCH // most, 1) * most
        self._dtype = dtype
        self._least = least
        self._most = most

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """
        Logits float32 (m, k), or one number (m, 1), of inputs float32 (m, *shape) on `device`; differentiable in x.

        A fixed batch is met by repeating the last row. Raises TargetError where m rows are not answered by m
        rows.
        """
        parts = [self._pass(part) for part in torch.split(x, self._most)]

        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def ask(self, inputs: np.ndarray | Sequence[str]) -> Answers:
        """Scores (m, k) or numbers (m, 1) of m inputs, without gradients."""
        if not isinstance(inputs, np.ndarray) or inputs.dtype == object:
            raise TargetError(f"{self.target} takes numbers, the probes are texts or names")
        with torch.no_grad():
            x = torch.from_numpy(np.ascontiguousarray(inputs, np.float32)).to(self.device)
            scores = self.forward(x).cpu().numpy()

        return Answers(None, scores if scores.shape[1] == 1 else _outputs.unmistakable(scores))

    def close(self) -> None:
        """Nothing is held open."""

    def _pass(self, x: torch.Tensor) -> torch.Tensor:
        m = len(x)
        if m < self._least:
            x = torch.cat([x, x[-1:].expand(self._least - m, *x.shape[1:])])
        try:
            answer = _logits(self.module(x.to(self._dtype)))
        except BROKEN as error:
            told = str(error).strip().split("\n")[0][:300]
            raise TargetError(f"{self.target} failed on inputs of shape {tuple(x.shape)}: {told}") from error
        if isinstance(answer, torch.Tensor) and answer.ndim == 1:
            answer = answer[:, None]
        if not isinstance(answer, torch.Tensor) or answer.ndim != 2 or answer.shape[1] < 1:
            got = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
            raise TargetError(f"expected logits (m, k) or numbers (m, 1) from {self.target}, got {got}")
        if len(answer) != len(x):
            raise TargetError(f"expected {len(x)} rows from {self.target}, got {len(answer)}")

        return answer[:m].float()


def wrap(module: torch.nn.Module, shape: tuple[int, ...] | None = None, *, name: str | None = None) -> TorchClient:
    """A client for a module at hand, left on its device and put into eval mode. shape: of one input."""
    parameter = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))

    return TorchClient(
        module.eval(), f"torch:{name or type(module).__name__}", shape, parameter.device, parameter.dtype
    )


def connect(where: str, *, allow_pickle: bool = False) -> TorchClient:
    """The program in a `.pt2` file, or with allow_pickle the module in a `.pt` or `.pth` file; on the GPU if any."""
    path = Path(where)
    suffix = path.suffix.lower()
    if suffix not in (".pt2", ".pt", ".pth"):
        raise UsageError(f"expected a .pt2 file, got '{where}'; save the model with torch.export.save")
    if suffix != ".pt2" and not allow_pickle:
        raise UsageError(
            f"'{where}' is a pickle and would run code; save it with torch.export.save, or allow it: --allow-pickle"
        )
    data = storage.read_file(path, "model")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if suffix == ".pt2":
        if not allow_pickle:
            _pt2.require_plain(data, where)
        return _program(data, where, device)
    try:
        module = torch.load(io.BytesIO(data), map_location=device, weights_only=False)
    except (*BROKEN, ImportError, EOFError, pickle.UnpicklingError) as error:
        raise BadData(f"cannot read the model {where}: {type(error).__name__}: {error}") from error
    if not isinstance(module, torch.nn.Module):
        raise BadData(f"expected a module in {where}, got {type(module).__name__}; weights alone name no architecture")

    return wrap(module, name=where)


def _program(data: bytes, where: str, device: torch.device) -> TorchClient:
    logging.getLogger("torch.export").setLevel(logging.ERROR)  # what goes wrong is raised below
    try:
        program = torch.export.load(io.BytesIO(data))
        if device.type != "cpu":
            program = move_to_device_pass(program, device)
        given = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
        module = program.module()
    except (*BROKEN, OSError, EOFError, pickle.UnpicklingError) as error:
        told = str(error).strip().split("\n")[0][:200]
        raise BadData(f"cannot load the program {where}: {type(error).__name__}: {told}") from error
    if len(given) != 1 or not isinstance(given[0].meta.get("val"), torch.Tensor) or not given[0].meta["val"].ndim:
        raise BadData(f"expected a program with one batch of inputs in {where}, got {len(given)} inputs")
    value = given[0].meta["val"]
    rest = tuple(value.shape[1:])
    least, most = _rows(value.shape[0], program.range_constraints)

    return TorchClient(
        module,
        f"torch:{where}",
        rest if all(isinstance(size, int) for size in rest) else None,
        device,
        value.dtype,
        least,
        most,
    )


def _rows(size: Any, ranges: Mapping[Any, Any]) -> tuple[int, int]:
    """Fewest and most rows of one pass."""
    if isinstance(size, int):
        return size, size
    allowed = ranges.get(size.node.expr)
    if allowed is None:
        return 1, BATCH
    least = max(int(allowed.lower), 1)

    return least, max(min(BATCH, int(min(allowed.upper, BATCH))), least)


def _logits(answer: Any) -> Any:
    """The logits in whatever form modules give them: a tensor, the first of a tuple, `.logits` or the first value."""
    if isinstance(answer, Mapping):
        return answer["logits"] if "logits" in answer else next(iter(answer.values()))
    if hasattr(answer, "logits"):
        return answer.logits

    return answer[0] if isinstance(answer, tuple | list) and answer else answer
