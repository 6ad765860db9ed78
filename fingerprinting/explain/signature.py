"""
The contribution vector as a signature, read from answers alone: what each feature contributes linearly, nonlinearly and
in pairs (Li, Turkington and Yazdani 2020), by the regression of `surrogate` on the suite that a model answered.

Columns of tables, regions of images and words of texts are features, as in `explain`, which is finer and asks for it.
"""

from typing import NamedTuple

import numpy as np
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.plans import Inputs
from probe_match.fingerprinting.records import InputSpec, Pool

from .features import features_of
from .surrogate import Parts, estimate, foremost


class Described(NamedTuple):
    """
    Inputs as numbers. names: of the K features. columns: float64 (n, d). owner: int (d,), whose each column is: a
    category has one for each of its values. ordered: bool (K,), False for categories.
    """

    names: tuple[str, ...]
    columns: np.ndarray
    owner: np.ndarray
    ordered: np.ndarray

    def of(self, rows: np.ndarray) -> "Described":
        """Some of the inputs; int (m,)."""
        return self._replace(columns=self.columns[rows])


def describe(spec: InputSpec, inputs: Inputs) -> Described:
    """The features of some inputs. Raises BadData where nothing varies, UsageError for chat."""
    features = features_of(Pool(spec, inputs))
    if not features.names:
        raise BadData(f"expected inputs with features that vary, got {len(inputs)} inputs that are alike")
    widths = [1 if ordered else len(grid) for ordered, grid in zip(features.ordered, features.grids, strict=True)]
    owner = np.repeat(np.arange(len(widths)), widths)

    return Described(features.names, features.describe(), owner, features.ordered)


def pairs_of(of: Described, answers: np.ndarray) -> np.ndarray:
    """The columns whose products are looked at where a model is to be compared with others; int (p,)."""
    found = estimate(of.columns, answers)
    return foremost(found.linear + found.nonlinear)


def contributions(of: Described, answers: np.ndarray, among: np.ndarray, rows: np.ndarray | None = None) -> Parts:
    """
    A model's parts by feature and output. answers: float (n, outputs), of labels one-hot. among: as `pairs_of` has it,
    of one model for all that are compared with it. rows: int (m,), the inputs to read, all unless told.
    """
    rows = np.arange(len(of.columns)) if rows is None else rows
    found = estimate(of.columns[rows], answers[rows], among)
    linear, nonlinear, paired = (_summed(part, of) for part in found)
    straight = np.where(of.ordered[:, None], linear, 0.0)  # values of a category have no order

    return Parts(straight, nonlinear + linear - straight, paired)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of two vectors without negative entries, 0 to 1; 1 where both are nothing."""
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    if length == 0:
        return float(not (a.any() or b.any()))
    return min(float(a.ravel() @ b.ravel()) / length, 1.0)


def _summed(part: np.ndarray, of: Described) -> np.ndarray:
    out = np.zeros((len(of.names), part.shape[1]))
    np.add.at(out, of.owner, part)
    return out
