"""
Any Python callable as a model: `function:package.module:name`, or `wrap(callable)` in a notebook.

The callable takes float32 (m, *shape) (or object rows, or a list of texts) and returns labels (m,), scores
(m, k), or a regressor's numbers (m,).
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from probe_match.fingerprinting.answers import Answers
from probe_match.fingerprinting.errors import TargetError, UsageError
from probe_match.fingerprinting.records import Access


class FunctionClient:
    """A callable behind the client interface."""

    def __init__(self, function: Callable[[Any], Any], target: str, shape: tuple[int, ...] | None = None) -> None:
        self.function = function
        self.target = target
        self.shape = shape
        self.access: Access = "scores"
        self.classes: tuple[str, ...] = ()
        self.batch = 4096

    def ask(self, inputs: np.ndarray | Sequence[str]) -> Answers:
        """One call of the function."""
        try:
            answer = np.asarray(self.function(inputs))
        except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError, AttributeError) as error:
            raise TargetError(
                f"{self.target} failed on {len(inputs)} inputs: {type(error).__name__}: {error}"
            ) from error
        scores = answer.ndim == 2 and answer.shape[1] > 1
        fractions = answer.ndim == 1 and answer.dtype.kind == "f" and not np.array_equal(answer, np.round(answer))

        return Answers(None, answer) if scores or fractions else Answers(answer, None)

    def close(self) -> None:
        """Nothing is held open."""


def wrap(
    function: Callable[[Any], Any], *, name: str | None = None, shape: tuple[int, ...] | None = None
) -> FunctionClient:
    """A client for a callable at hand."""
    return FunctionClient(function, f"function:{name or getattr(function, '__name__', 'callable')}", shape)


def connect(where: str) -> FunctionClient:
    """`package.module:name`, looked up in the working folder first, as `python -m` does."""
    module, _, name = where.partition(":")
    if not module or not name:
        raise UsageError(f"expected function:package.module:name, got 'function:{where}'")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"cannot import {name} from {module}: {error}") from error
    if not callable(function):
        raise UsageError(f"expected a callable at {where}, got {type(function).__name__}")

    return FunctionClient(function, f"function:{where}")
