"""
A zoo: models whose descent is known, described by a `zoo.json`, on which error rates are measured.

Sources are enrolled, derived models should be found, independent ones should not. A zoo is a folder; targets and the
pool are named relative to it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from probe_match.fingerprinting.errors import BadData, UsageError
from probe_match.fingerprinting.pools import load_pool
from probe_match.fingerprinting.records import InputSpec, Pool
from probe_match.fingerprinting.storage import read_file

ROLES: Final = ("source", "derived", "independent")
MOST_MODELS: Final = 100_000


@dataclass(frozen=True)
class ZooModel:
    """
    One model. role: source, derived or independent. parent, attack: what a derived model was made from, and how.

    data: "same" or "other", relative to the sources' training data, for independents; "" where unknown. use: "test", or
    "cohort" for honest models that an owner would have at hand. learner: its model class, "" where unknown.
    """

    name: str
    target: str
    role: str
    parent: str = ""
    attack: str = ""
    data: str = ""
    use: str = "test"
    learner: str = ""


@dataclass(frozen=True, eq=False)
class Zoo:
    """Models that all take the inputs of one pool."""

    folder: Path
    pool: Pool
    models: tuple[ZooModel, ...]

    def of(self, role: str, use: str = "") -> list[ZooModel]:
        """Models of one role, and of one use if it is given."""
        return [model for model in self.models if model.role == role and use in ("", model.use)]

    def only(self, sources: Sequence[str]) -> "Zoo":
        """The zoo of these sources, their copies and all independents; of all sources if none is named."""
        for name in sources:
            if name not in {model.name for model in self.of("source")}:
                names = ", ".join(model.name for model in self.of("source")[:20])
                raise UsageError(f"expected a source of the zoo among {names}, got '{name}'")
        kept = tuple(
            model
            for model in self.models
            if not sources or model.role == "independent" or (model.parent or model.name) in sources
        )
        return replace(self, models=kept)


def read_zoo(folder: Path) -> Zoo:
    """
    The zoo described by `zoo.json` in a folder (or by the file itself).

    Raises BadData, with the entry that is wrong, for a file that does not describe one.
    """
    path = folder if folder.suffix == ".json" else folder / "zoo.json"
    try:
        described = json.loads(read_file(path, "zoo"))
    except (ValueError, RecursionError) as error:
        raise BadData(
            f"expected JSON in {path}, got something else ({str(error)[:80]}); see the README on zoos"
        ) from None
    if not isinstance(described, dict) or not isinstance(described.get("models"), list):
        raise BadData(f"expected an object with 'input', 'pool' and 'models' in {path}; see the README on zoos")
    listed = described["models"]
    if len(listed) > MOST_MODELS:
        raise BadData(f"expected at most {MOST_MODELS} models in {path}, got {len(listed)}; split the zoo")
    models = tuple(_model(entry, i, path) for i, entry in enumerate(listed))
    _require_family(models, path)
    pool = _pool(described, path)

    return Zoo(path.parent, pool, models)


def _model(entry: Any, at: int, path: Path) -> ZooModel:
    where = f"model {at + 1} of {path}"
    if not isinstance(entry, dict):
        raise BadData(f"expected an object for {where}, got {type(entry).__name__}")
    known = {key: entry[key] for key in ZooModel.__dataclass_fields__ if entry.get(key) is not None}
    if not all(isinstance(value, str) for value in known.values()):
        raise BadData(f"expected text for every field of {where}; quote numbers")
    if not known.get("name") or not known.get("target"):
        raise BadData(f"expected a name and a target for {where}, got {sorted(known)}")
    if known.get("role") not in ROLES:
        raise BadData(f"expected the role source, derived or independent for {where}, got {known.get('role')!r}")
    model = ZooModel(**known)
    if model.role == "derived" and not model.parent:
        raise BadData(f"derived {where} names no parent; add the name of the source it was made from")
    if model.use not in ("test", "cohort"):
        raise BadData(f"expected the use test or cohort for {where}, got {model.use!r}")

    return replace(model, target=_within(model.target, path.parent.absolute()))


def _within(target: str, folder: Path) -> str:
    """A target whose file lies in the zoo's folder, named as it is from everywhere, a worker of a cluster included."""
    client, colon, where = target.rpartition(":")
    file = folder / where
    return f"{client}{colon}{file}" if where and not Path(where).is_absolute() and file.is_file() else target


def _require_family(models: tuple[ZooModel, ...], path: Path) -> None:
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadData(f"two models of {path} are called '{twice}'; names must differ")
    sources = {model.name for model in models if model.role == "source"}
    if not sources:
        raise BadData(f"expected at least one source in {path}, got none")
    for model in models:
        if model.role == "derived" and model.parent not in sources:
            raise BadData(f"'{model.name}' of {path} names the parent '{model.parent}', which is no source of this zoo")


def _pool(described: Mapping[str, Any], path: Path) -> Pool:
    file = described.get("pool")
    if not isinstance(file, str):
        raise BadData(f"expected the file name of a pool in {path}, got {file!r}")
    described_input = described.get("input", {})
    if not isinstance(described_input, dict):
        raise BadData(f"expected an object as 'input' in {path}, got {described_input!r}")
    number = described_input.get("output") == "number"  # measurements may all be whole
    pool = load_pool(path.parent / file, drop_duplicates=True, regression=number)
    if pool.y is None:
        raise BadData(f"the pool {file} of {path} has no labels; add y, peers are trained on it")
    spec = _spec(described_input, pool.spec, path)

    return replace(pool, spec=spec)


def _spec(described: Mapping[str, Any], spec: InputSpec, path: Path) -> InputSpec:
    """The pool's own input, with the kind and the bounds that the zoo states."""
    shape = described.get("shape")
    if shape is not None and tuple(shape) != spec.shape:
        raise BadData(f"expected a pool of shape {tuple(shape)} as {path} says, got {spec.shape}; correct one of them")
    kind = described.get("kind", spec.kind)
    if kind != spec.kind and {kind, spec.kind} != {"image", "tabular"}:
        raise BadData(f"expected a pool of {kind} inputs as {path} says, got {spec.kind}; correct one of them")
    if kind != spec.kind:
        spec = replace(spec, kind=kind)
    bounds = described.get("bounds")
    if bounds is None or kind == "text":
        return spec
    try:
        low, high = (tuple(np.ravel(np.asarray(bound, float)).tolist()) for bound in bounds)
    except (TypeError, ValueError):
        raise BadData(
            f"expected bounds as lowest and highest in {path}, numbers or one per feature, got {str(bounds)[:80]}"
        ) from None
    return replace(spec, low=low, high=high)
