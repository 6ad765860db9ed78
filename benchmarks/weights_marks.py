"""
Owners' marks in networks: bits lost to pruning, quantisation and fine-tuning, accuracy lost to the mark, clean models.

    python -m benchmarks.weights_marks --zoo /path/to/zoo [--seeds 1 2 3] [--zoo /path/to/another] --output marks.json

Two kinds of subjects: small convolutional networks trained here on scikit-learn's digits (all three ways), and the
sources of zoos of CIFAR networks (spread spectrum; the regulariser by fine-tuning), whose independent models are the
clean ones. Half of a zoo's pool fine-tunes, the other half measures accuracy.
"""

import argparse
import copy
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from probe_match.fingerprinting import programs
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.weights import checking, passport, regulariser, spread, training
from probe_match.fingerprinting.weights.marks import BITS, Mark
from sklearn.datasets import load_digits
from torch import nn

KEY = "benchmark owner's key, not a secret"
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def digits(seed: int) -> Split:
    """Two thirds to train, one third to measure."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32).reshape(-1, 1, 8, 8), y[order].astype(np.int64)
    return x[:1200], y[:1200], x[1200:], y[1200:]


def network(seed: int) -> nn.Sequential:
    """Three convolutions with 288 outputs, 114,000 weights."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


def accuracy(module: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    """Per cent right."""
    with torch.no_grad():
        found = torch.cat([module(part).argmax(1) for part in torch.from_numpy(x).split(500)])
    return float((found.numpy() == y).mean() * 100)


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    """Its floating-point tensors."""
    state = module.state_dict()
    return {n: t.detach().numpy().copy() for n, t in state.items() if t.is_floating_point()}


def load(module: nn.Module, found: dict[str, np.ndarray]) -> nn.Module:
    """A copy with these tensors."""
    other = copy.deepcopy(module)
    other.load_state_dict({n: torch.from_numpy(a) for n, a in found.items()}, strict=False)
    return other


def prune(found: dict[str, np.ndarray], share: float) -> dict[str, np.ndarray]:
    """The smallest weights of each matrix set to 0."""
    return {n: np.where(np.abs(a) < np.quantile(np.abs(a), share), 0, a).astype(a.dtype) if a.ndim > 1 else a
            for n, a in found.items()}  # fmt: skip


def quantise(found: dict[str, np.ndarray], bits: int = 8) -> dict[str, np.ndarray]:
    """Each matrix rounded to 2^bits levels, symmetric about 0."""
    levels = 2 ** (bits - 1) - 1
    steps = {n: np.abs(a).max() / levels or 1.0 for n, a in found.items()}
    return {n: (np.round(a / steps[n]) * steps[n]).astype(a.dtype) if a.ndim > 1 else a for n, a in found.items()}


def attacked(module: nn.Module, split: Split, seed: int) -> dict[str, tuple[dict[str, np.ndarray], float]]:
    """The model as it is and after each attack: its tensors and its accuracy."""
    x, y, fresh, truth = split
    found = arrays(module)
    tuned = copy.deepcopy(module)
    programs.set_mode(tuned, training=True)
    train_quietly(tuned, x, y, epochs=5, rate=5e-4, seed=seed + 1000)
    models = {
        "none": found,
        "prune 65 %": prune(found, 0.65),
        "8 bit": quantise(found),
        "fine-tune": arrays(tuned),
        "all three": quantise(prune(arrays(tuned), 0.65)),
    }
    return {n: (a, accuracy(load(module, a), fresh, truth)) for n, a in models.items()}


def train_quietly(module: nn.Module, x: np.ndarray, y: np.ndarray, **options: Any) -> None:
    """Train a module or an exported program, which has its modes in its graph."""
    programs.set_mode(module, training=True)
    if isinstance(module, torch.fx.GraphModule):
        module.train = module.eval = lambda *_: module  # type: ignore[method-assign]
    training.train(module, x, y, **options)
    programs.set_mode(module, training=False)


def row(way: str, subject: str, mark: Mark, base: float, module: nn.Module, split: Split, seed: int) -> dict[str, Any]:
    """One marked model: bit errors in per cent, p-value and accuracy, unattacked and after each attack."""
    tried = {}
    for name, (found, right) in attacked(module, split, seed).items():
        reading = checking.check(found, mark, KEY)
        tried[name] = {
            "bit_error": reading.errors / BITS * 100, "p_value": reading.p_value, "present": reading.present,
            "accuracy": right,
        }  # fmt: skip
    wrong = checking.check(arrays(module), mark, "somebody else's key, 16+")
    return {
        "way": way, "subject": subject, "seed": seed, "accuracy_clean": base,
        "loss": base - tried["none"]["accuracy"], "wrong_key_bit_error": wrong.errors / BITS * 100, "attacks": tried,
    }  # fmt: skip


def digit_rows(seed: int) -> list[dict[str, Any]]:
    """All three ways on digits, and clean networks of the same kind."""
    split = digits(seed)
    x, y, fresh, truth = split
    salt = f"{seed:032x}"
    clean = network(seed)
    training.train(clean, x, y, epochs=20, seed=seed)
    base = accuracy(clean, fresh, truth)
    found = arrays(clean)
    mark = spread.choose(found, salt)
    rows = [row("spread", "digits", mark, base, load(clean, spread.embed(found, mark, KEY)), split, seed)]
    held = regulariser.choose(found, "5.weight", salt)
    module = network(seed)
    training.train(
        module,
        x,
        y,
        epochs=20,
        seed=seed,
        weight=training.WEIGHTS["regulariser"],
        penalty=lambda: regulariser.penalty(module, held, KEY),
    )
    rows.append(row("regulariser", "digits", held, base, module, split, seed))
    other = network(seed)
    passed = passport.choose(other, ["2", "5"], salt)
    passport.install(other, passed, KEY)
    training.train(other, x, y, epochs=20, seed=seed, penalty=lambda: passport.penalty(other, passed, KEY))
    rows.append(row("passport", "digits", passed, base, other, split, seed))
    forged = network(seed)
    passport.install(forged, passed, "somebody else's key, 16+")
    forged.load_state_dict(other.state_dict())
    rows[-1]["accuracy_wrong_passport"] = accuracy(forged.eval(), fresh, truth)
    renamed = {name.replace(".weight", ".layer.weight"): a for name, a in found.items()}
    for one, tensors, used in zip(rows, (found, found, renamed), (mark, held, passed), strict=True):
        one["clean_bit_error"] = [checking.check(tensors, used, KEY).errors / BITS * 100]

    return rows


def zoo_rows(folder: Path) -> list[dict[str, Any]]:
    """Sources of a zoo, and its independent models of the same architecture as clean ones."""
    zoo = json.loads((folder / "zoo.json").read_text(encoding="utf-8"))
    pool = np.load(folder / "pool.npz", allow_pickle=False)
    x, y = pool["x"], pool["y"].astype(np.int64)
    x = x.astype(np.float32) / 255 if x.dtype == np.uint8 else x.astype(np.float32)
    half = len(x) // 2
    split = (x[:half], y[:half], x[half:], y[half:])
    independent = [m for m in zoo["models"] if m["role"] == "independent"]
    sources = [m for m in zoo["models"] if m["role"] == "source"] + independent[:8]
    rows = []
    for seed, source in enumerate(sources):
        module = program(folder / source["target"].removeprefix("torch:"))
        found = arrays(module)
        salt = f"{seed:032x}"
        base = accuracy(module, split[2], split[3])
        try:
            mark = spread.choose(found, salt)
        except BadData:
            continue  # too small, as a user would be told
        name = f"{folder.name}/{source['name']} ({source['learner']})"
        rows.append(row("spread", name, mark, base, load(module, spread.embed(found, mark, KEY)), split, seed))
        used: list[Mark] = [mark]
        inputs = {n: a[0].size for n, a in found.items() if a.ndim > 1 and len(a) > 10}
        if max(inputs.values()) >= regulariser.MIN_INPUTS:
            held = regulariser.choose(found, max(inputs, key=inputs.__getitem__), salt)
            plain, marked = copy.deepcopy(module), copy.deepcopy(module)
            train_quietly(plain, split[0], split[1], epochs=8, seed=seed)
            tune(marked, split, held, seed)
            tuned = accuracy(plain, split[2], split[3])
            rows.append(row("regulariser", name, held, tuned, marked, split, seed))
            used.append(held)
        clean = [m for m in independent if m["learner"] == source["learner"] and m is not source]
        others = [arrays(program(folder / m["target"].removeprefix("torch:"))) for m in clean[:6]]
        for one, held_mark in zip(rows[-len(used) :], used, strict=True):
            one["clean_bit_error"] = [bit_error(other, held_mark) for other in [found, *others]]

    return rows


def tune(module: nn.Module, split: Split, mark: Mark, seed: int) -> None:
    """Fine-tune with the regulariser."""
    term: Callable[[], torch.Tensor] = lambda: regulariser.penalty(module, mark, KEY)  # noqa: E731
    train_quietly(module, split[0], split[1], epochs=8, seed=seed, weight=training.WEIGHTS["regulariser"], penalty=term)


def bit_error(found: dict[str, np.ndarray], mark: Mark) -> float:
    """Per cent of the owner's bits that a model gets wrong."""
    return checking.check(found, mark, KEY).errors / BITS * 100


def program(path: Path) -> nn.Module:
    """An exported program as a module that can be trained."""
    return torch.export.load(path).module()


def summarise(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Per way and kind of subject: worst bit errors, mean loss of accuracy with a 95 % interval, clean models."""
    found: dict[str, Any] = {}
    for key in sorted({(r["way"], r["subject"].partition("/")[0]) for r in rows}):
        some = [r for r in rows if (r["way"], r["subject"].partition("/")[0]) == key]
        losses = [r["loss"] for r in some]
        spread_of = statistics.stdev(losses) if len(losses) > 1 else float("nan")
        clean = [e for r in some for e in r["clean_bit_error"]]
        found[" ".join(key)] = {
            "models": len(some),
            "worst_bit_error": {a: max(r["attacks"][a]["bit_error"] for r in some) for a in some[0]["attacks"]},
            "largest_p": {a: max(r["attacks"][a]["p_value"] for r in some) for a in some[0]["attacks"]},
            "loss_mean": statistics.mean(losses),
            "loss_interval": 1.96 * spread_of / len(losses) ** 0.5,
            "loss_worst": max(losses),
            "clean_models": len(clean), "clean_least": min(clean), "clean_most": max(clean),
        }  # fmt: skip

    return found


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3])
    parser.add_argument("--zoo", type=Path, action="append", default=[])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        rows += digit_rows(seed)
    for zoo in options.zoo:
        rows += zoo_rows(zoo)
    text = json.dumps({"summary": summarise(rows), "rows": rows}, indent=1)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")
    print(json.dumps(summarise(rows), indent=1))


if __name__ == "__main__":
    main()
