"""
A scikit-learn classifier or regressor: `sklearn:model.skops`, or `wrap(estimator)` for one at hand.

`.skops` files are data: only scikit-learn's own types are built from them, and a file that wants any other is
refused with its name. `.joblib` and `.pkl` files are programs and run when loaded, so they need
`allow_pickle`.
"""

import importlib
import io
import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import joblib
import numpy as np
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.answers import Answers, label_name
from probe_match.fingerprinting.errors import BadData, MissingPackage, TargetError, UsageError
from probe_match.fingerprinting.records import Access, Output
from probe_match.fingerprinting.threads import one_thread
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.pipeline import FeatureUnion

from . import _outputs

PICKLED: Final = (".joblib", ".pkl", ".pickle")
# Compiled helpers inside fitted estimators. They hold numbers; none opens a file or calls what it is given.
HELPERS: Final = re.compile(
    r"sklearn\.(tree\._tree|neighbors|metrics\._dist_metrics|linear_model\._sgd_fast|_loss|ensemble|calibration"
    r"|preprocessing|svm|gaussian_process|mixture|neural_network\._stochastic_optimizers|utils\._bunch)\b[\w.]*"
    r"|scipy\.(interpolate|sparse)\b[\w.]*"
)
ADAPTERS: Final = tuple(f"sklearn.externals.array_api_compat.{name}" for name in ("torch", "dask", "cupy"))
BROKEN: Final = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ImportError,
    OSError,
    EOFError,
    RecursionError,
)


class SklearnClient:
    """A fitted estimator in this process; `.estimator` is the object itself. output: what it answers, if it says so."""

    def __init__(self, estimator: Any, target: str) -> None:
        self.estimator = estimator
        self.target = target
        self.batch = 4096
        self.shape: tuple[int, ...] | None = _shape(estimator)
        classes = np.asarray(getattr(estimator, "classes_", ()))
        self.classes: tuple[str, ...] = tuple(label_name(value) for value in classes.tolist())
        self._scorer = next((name for name in ("predict_proba", "decision_function") if hasattr(estimator, name)), None)
        self.output: Output | None = None
        if isinstance(estimator, BaseEstimator):
            self.output = "number" if is_regressor(estimator) else "classes" if is_classifier(estimator) else None
        self.access: Access = "scores" if self._scorer or self.output == "number" else "label"

    def ask(self, inputs: np.ndarray | Sequence[str]) -> Answers:
        """
        Predicted labels, with probabilities or decision values where the estimator has them; of a regressor the
        predicted numbers, as scores.
        """
        rows = self._rows(inputs)
        try:
            with one_thread("blas"), warnings.catch_warnings():  # without pandas, columns are given by position
                warnings.filterwarnings("ignore", message="X does not have valid feature names")
                labels = np.asarray(self.estimator.predict(rows))
                scores = np.asarray(getattr(self.estimator, self._scorer)(rows)) if self._scorer else None
        except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError, AttributeError) as error:
            raise TargetError(f"{self.target} failed on {len(inputs)} inputs: {error}") from error
        if self.output == "number":
            return Answers(None, labels)
        if scores is not None and self._scorer == "decision_function":
            scores = _outputs.unmistakable(scores)

        return Answers(labels, scores)

    def close(self) -> None:
        """Nothing is held open."""

    def _rows(self, inputs: np.ndarray | Sequence[str]) -> Any:
        names = getattr(self.estimator, "feature_names_in_", None)
        if names is None or not isinstance(inputs, np.ndarray) or inputs.shape[1:] != (len(names),):
            return inputs
        try:  # what was fitted on named columns may pick them by name
            pandas = importlib.import_module("pandas")
        except ImportError:
            return inputs
        return pandas.DataFrame(inputs, columns=list(names))


def wrap(estimator: Any, *, name: str | None = None) -> SklearnClient:
    """A client for a fitted classifier or regressor at hand. Raises UsageError for anything that does not predict."""
    target = f"sklearn:{name or type(estimator).__name__}"
    if not callable(getattr(estimator, "predict", None)):
        raise UsageError(f"expected a fitted classifier or regressor, got {type(estimator).__name__} without predict")
    classes = getattr(estimator, "classes_", ())
    if isinstance(classes, list) and any(np.ndim(some) for some in classes):
        raise UsageError(f"{target} answers several labels per input; only one label is supported")

    return SklearnClient(estimator, target)


def connect(where: str, *, allow_pickle: bool = False) -> SklearnClient:
    """The estimator in a `.skops` file, or with allow_pickle in a `.joblib` or `.pkl` file."""
    path = Path(where)
    if path.suffix.lower() not in (".skops", *PICKLED):
        raise UsageError(f"expected a .skops file, got '{where}'; save the model with skops.io.dump")
    if path.suffix.lower() in PICKLED and not allow_pickle:
        raise UsageError(
            f"'{where}' is a pickle and would run code; save it with skops.io.dump, or allow it: --allow-pickle"
        )
    data = storage.read_file(path, "model")
    try:
        estimator = joblib.load(io.BytesIO(data)) if path.suffix.lower() in PICKLED else _from_skops(data, where)
    except (*BROKEN, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise BadData(f"cannot read the model {where}: {type(error).__name__}: {error}") from error

    return wrap(estimator, name=where)


def _from_skops(data: bytes, where: str) -> Any:
    try:  # wrap() works without it
        with _no_foreign_arrays():
            import skops.io
            from skops.io.exceptions import UntrustedTypesFoundException
    except ModuleNotFoundError as error:
        raise MissingPackage("sklearn needs skops: pip install 'probe-match[sklearn]'") from error
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > storage.MAX_BYTES:
        raise BadData(f"{where} unpacks to {size >> 20} MiB; at most {storage.MAX_BYTES >> 20} MiB are read")
    wanted = skops.io.get_untrusted_types(data=data)
    strange = [name for name in wanted if not _helper(name)]
    if strange:
        raise BadData(f"{where} wants the type '{strange[0][:100]}', which is not scikit-learn's own; not loaded")
    try:
        return skops.io.loads(data, trusted=wanted)
    except UntrustedTypesFoundException as error:
        raise BadData(f"{where} wants types that it did not name; not loaded ({error})") from error


@contextmanager
def _no_foreign_arrays() -> Iterator[None]:
    """
    Importing skops imports every package of scikit-learn, and with its adapters for other libraries' arrays torch and
    dask, seconds for nothing. Inside, those not yet imported pass for empty.
    """
    empty = {name: ModuleType(name) for name in ADAPTERS if name not in sys.modules}
    sys.modules.update(empty)
    try:
        yield
    finally:
        for name in empty:
            sys.modules.pop(name, None)


def _helper(name: str) -> bool:
    """Whether a dotted name is one of the helper classes; functions never are, since estimators call functions."""
    if not HELPERS.fullmatch(name) or "test" in name:
        return False
    module, _, attribute = name.rpartition(".")
    try:
        return isinstance(getattr(importlib.import_module(module), attribute, None), type)
    except ImportError:
        return False


def _shape(estimator: Any) -> tuple[int, ...] | None:
    width = getattr(estimator, "n_features_in_", None)
    if width is not None:
        return (int(width),)
    return () if _reads_texts(estimator) else None


def _reads_texts(estimator: Any) -> bool:
    """Whether the first step of a pipeline, or every part of a union or a vote, turns texts into numbers."""
    if steps := getattr(estimator, "steps", None):
        return _reads_texts(steps[0][1])
    if isinstance(estimator, FeatureUnion):
        return all(_reads_texts(part) for _, part in estimator.transformer_list)
    if isinstance(estimator, VotingClassifier):
        return all(_reads_texts(part) for part in getattr(estimator, "estimators_", [None]))
    return isinstance(estimator, CountVectorizer | HashingVectorizer)  # TfidfVectorizer is a CountVectorizer
