"""How good and how alike the models of a tabular zoo are, measured on rows that none of them was trained on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx_graphs as graphs
import onnxruntime
import skops.io
from tabular_tasks import SEEDS, Task


def ask(path: Path, x: np.ndarray) -> np.ndarray:
    """What a model file answers: labels int (n,) or values float (n,)."""
    if path.suffix == ".skops":
        return np.asarray(skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path)).predict(x))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run([session.get_outputs()[0].name], {graphs.INPUT: x})[0]).reshape(-1)


def figures(task: Task, folder: Path) -> dict[str, Any]:
    """
    Means per group of models, on rows that none of them was trained on.

    quality: accuracy, or R2 for numbers; alike: agreement with the source's labels, or 1 - squared error / variance.
    Independents on the owner's rows are compared with every source.
    """

    def fits(given: np.ndarray, wanted: np.ndarray) -> float:
        same = given == wanted if task.classes else 1 - (given - wanted) ** 2 / np.var(wanted)
        return float(np.mean(same))

    models = json.loads((folder / "zoo.json").read_text())["models"]
    groups: dict[str, list[tuple[float, float]]] = {}
    sources: dict[str, np.ndarray] = {}
    for model in models:
        x, y = task.owner if model.get("data") == "other" else task.strangers
        answers = ask(folder / model["target"].split(":", 1)[1], x)
        if model["role"] == "source":
            sources[model["name"]] = answers
        against = [sources[model["parent"]]] if "parent" in model else list(sources.values())
        alike = (
            np.nan
            if model["role"] == "source" or model.get("data") == "other"
            else np.mean([fits(answers, source) for source in against])
        )
        group = model.get("attack") or " ".join(filter(None, (model["role"], model.get("data"))))
        for name in {group, f"{group} {model['learner']}" if "attack" not in model else group}:
            groups.setdefault(name, []).append((fits(answers, y), alike))
        if model.get("data") == "same":  # the hardest: the source's own class on the source's own rows
            own = [
                fits(answers, sources[f"{model['learner']}-{i}"]) for i in SEEDS if f"{model['learner']}-{i}" in sources
            ]
            if own:
                groups.setdefault("own class, same data", []).append((fits(answers, y), float(np.mean(own))))

    return {
        name: {"models": len(pairs), "quality": round(float(np.mean([q for q, _ in pairs])), 4)}
        | ({} if np.isnan(pairs[0][1]) else {"alike": round(float(np.mean([a for _, a in pairs])), 4)})
        for name, pairs in sorted(groups.items())
    }
