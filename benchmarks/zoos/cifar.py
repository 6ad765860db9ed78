"""
The image model zoo: three source networks, 15 copies that thieves make of each, and 30 honest networks of others.

    python benchmarks/zoos/cifar.py --data FILE [--output DIR] [--seed 0] [--threads 2] [--figures]
    python benchmarks/zoos/cifar.py --small --output DIR

FILE holds images of CIFAR-10 (Krizhevsky 2009): x_train, x_test uint8 (n, 32, 32, 3), y_train, y_test (n,). The folder
is what `probe-match bench` reads: zoo.json, pool.npz and a .pt2 program per model. What is there already is not trained
again, so an interrupted build goes on where it stopped. Each network's seed comes from its name and --seed, which also
decides the split of the images. It takes 16 minutes of processor time in all.
"""

import argparse
import json
import sys
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import cifar_models as models
import cifar_networks as networks
import numpy as np
from joblib import Parallel, delayed
from probe_match.clients import torch as client
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.errors import BadData, ProbeMatchError
from tqdm import tqdm

DEFAULT_OUTPUT: Final = Path(__file__).parents[2] / ".cache" / "zoos" / "cifar"


def build(settings: models.Settings, threads: int) -> None:
    """Make what is missing. threads: networks trained side by side, each in a process of one thread."""
    folder = Path(settings.output)
    given = models.images(settings)
    folder.mkdir(parents=True, exist_ok=True)
    _require_same(settings, given.pool)
    buffer = BytesIO()
    np.savez(buffer, x=given.pool.x, y=given.pool.y, trained=given.trained)
    storage.write_file(folder / "pool.npz", buffer.getvalue())
    wanted = models.plan(settings)
    _write_zoo(settings, wanted)
    missing = [model for model in wanted if not (folder / model.file).exists()]
    bar = tqdm(total=len(wanted), initial=len(wanted) - len(missing), desc=folder.name, unit="model", mininterval=1)
    with bar, Parallel(threads, return_as="generator_unordered", pre_dispatch="n_jobs") as side_by_side:
        for wave in ("source",), ("derived", "independent"):  # the second reads the files of the first
            work = [delayed(models.make)(model, settings) for model in missing if model.role in wave]
            for model, seconds in side_by_side(work):
                bar.write(
                    f"{model.name:8} {model.attack or model.role:18} {model.learner:9} {seconds:5.1f} s", sys.stderr
                )
                bar.update()
                _write_zoo(settings, wanted)


def figures(settings: models.Settings) -> list[dict[str, Any]]:
    """
    Per model its accuracy on test images that no one was trained on, and its agreement with sources there.

    agreement: with the parent, else with the source it agrees with most.
    """
    rest = models.images(settings).rest
    x = networks.as_images(rest.x).numpy()
    present = _present(settings, models.plan(settings))
    labels = {}
    for model in tqdm(present, desc="asking", disable=not sys.stderr.isatty()):
        answers = client.connect(str(Path(settings.output) / model.file)).ask(x)
        assert answers.scores is not None
        labels[model.name] = answers.scores.argmax(1)
    sources = [model.name for model in present if model.role == "source"]

    return [
        {
            "name": model.name,
            "kind": model.attack or (f"independent, {model.data} data" if model.data else "source"),
            "learner": model.learner,
            "accuracy": float((labels[model.name] == rest.y).mean()),
            "agreement": max(
                float((labels[model.name] == labels[name]).mean())
                for name in ([model.parent] if model.parent else sources)
            ),
        }
        for model in present
    ]


def _require_same(settings: models.Settings, pool: models.Part) -> None:
    """Refuse a folder that holds a zoo of other images or another seed, whose models would be taken for ours."""
    path = Path(settings.output) / "pool.npz"
    if not path.exists():
        return
    before = storage.read_npz(storage.read_file(path, "pool"), f"pool {path}")
    if any(name not in before or not np.array_equal(before[name], ours) for name, ours in pool._asdict().items()):
        raise BadData(f"{settings.output} holds a zoo of other images or of another seed; choose another --output")


def _present(settings: models.Settings, wanted: list[models.Model]) -> list[models.Model]:
    return [model for model in wanted if (Path(settings.output) / model.file).exists()]


def _write_zoo(settings: models.Settings, wanted: list[models.Model]) -> None:
    entries = [
        {"target": f"torch:{model.file}"} | {key: value for key, value in asdict(model).items() if value is not None}
        for model in _present(settings, wanted)
    ]
    zoo = {
        "input": {"kind": "image", "shape": [3, 32, 32], "bounds": [0, 1]},
        "classes": networks.CLASSES,
        "pool": "pool.npz",
        "models": entries,
    }
    storage.write_file(Path(settings.output) / "zoo.json", (json.dumps(zoo, indent=1) + "\n").encode())


def _print(rows: list[dict[str, Any]]) -> None:
    print(f"{'':26} models  accuracy (least to most)  agreement with source (least to most)")
    for kind in dict.fromkeys(row["kind"] for row in rows):
        accuracy, agreement = (
            np.array([row[what] for row in rows if row["kind"] == kind]) for what in ("accuracy", "agreement")
        )
        spans = "  ".join(f"{a.mean():9.3f} ({a.min():.3f} to {a.max():.3f})" for a in (accuracy, agreement))
        print(f"{kind:26} {len(accuracy):6}  {spans}")


def main(arguments: list[str] | None = None) -> int:
    """Build the zoo; 2 where the images are missing or the folder holds another."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--data", type=Path, metavar="FILE", help="images of CIFAR-10, .npz")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="networks trained side by side")
    parser.add_argument("--figures", action="store_true", help="measure accuracy and agreement when all is built")
    parser.add_argument("--small", action="store_true", help="eight models of made-up images, for tests")
    given = parser.parse_args(arguments)
    try:
        if given.data is None and not given.small:
            raise BadData("expected images of CIFAR-10, got none; pass --data FILE, or --small for made-up images")
        settings = models.Settings(None if given.small else str(given.data), str(given.output), given.seed)
        build(settings, given.threads)
        if given.figures:
            rows = figures(settings)
            storage.write_file(given.output / "figures.json", (json.dumps(rows, indent=1) + "\n").encode())
            _print(rows)
    except ProbeMatchError as error:
        print(f"cifar: {error}", file=sys.stderr)
        return 2

    return 0


if __name__ == "__main__":
    sys.exit(main())
