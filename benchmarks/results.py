"""
One table out of several benchmarks: means over zoos of one kind, ours beside the best published scheme.

    probe-match bench zoos/digits --methods all --json digits-1.json   (and so on, zoo by zoo and seed by seed)
    python benchmarks/results.py digits-1.json digits-2.json wine-1.json wine-2.json … > table.md

Files of one zoo are repetitions with other seeds: a cell is the mean over them. Behind the mean over zoos stands, where
there are repetitions, half the width of its 95 % interval: Student's t over the repetitions' own means.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

Row = Mapping[str, Any]
Zoos = Mapping[str, Sequence[Mapping[str, Any]]]  # by name, one file's content for each repetition
KINDS = ("hard attacks", "easy attacks", "all attacks")


def main() -> None:
    """Read the files that `bench --json` wrote and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    zoos: dict[str, list[Mapping[str, Any]]] = {}
    for file in parser.parse_args().files:
        data = json.loads(file.read_text())
        zoos.setdefault(data["zoo"], []).append(data)
    print(tables(zoos))


def tables(zoos: Zoos) -> str:
    """Markdown: detection, zoo by zoo and in the mean, then calibration, sequential and open-set figures."""
    parts = []
    for access, given in (("label", "labels only"), ("scores", "probabilities given")):
        rows = {name: [_rows(data, "detection", access) for data in runs] for name, runs in zoos.items()}
        rows = {name: runs for name, runs in rows.items() if any(runs)}
        if not rows:
            continue
        budgets = sorted({row["budget"] for runs in rows.values() for own in runs for row in own})
        for kind in KINDS:
            parts += [
                f"**TPR at 5 % FPR, {kind}, {given}, at {_slash(budgets)} questions**",
                _methods(rows, kind, budgets),
            ]
    parts += ["**TPR at 5 % and at 1 % FPR by attack, ours, labels only**", _attacks(zoos)]
    parts += ["**Honest models accused, labels only, all zoos together**", _calibration(zoos)]
    parts += ["**Asked until the answer is clear (alpha 1 %, at most the largest budget)**", _sequential(zoos)]
    parts += ["**Among all sources, and with a copy's own source left out**", _identified(zoos)]
    parts += ["**Cost**", _cost(zoos)]
    return "\n\n".join(parts)


def _rows(data: Mapping[str, Any], what: str, access: str | None = None) -> list[Row]:
    return [row for row in data["summary"][what] if access is None or row["access"] == access]


def _methods(rows: Mapping[str, list[list[Row]]], kind: str, budgets: list[int]) -> str:
    methods = list(dict.fromkeys(row["method"] for runs in rows.values() for own in runs for row in own))
    body, means, widths = [], {}, {}
    for method in methods:
        cells, every = [], []
        for runs in rows.values():
            found = np.array([[_found(own, method, kind, budget) for budget in budgets] for own in runs])
            every.append(found)
            cells.append(_slash(_two(value) for value in found.mean(0)))
        means[method] = np.mean([found.mean(0) for found in every], axis=0)
        widths[method] = _width([found for found in every if not np.isnan(found).any()])
        shown = _slash(_two(m) for m in means[method])
        shown += "" if widths[method] is None else f" ± {_slash(_two(w) for w in widths[method])}"
        body.append([f"**{method}**" if method == "relative" else method, *cells, shown])
    published = np.array([mean for method, mean in means.items() if method != "relative"])
    if len(published) and "relative" in means:
        ahead = 100 * (means["relative"] - np.nanmax(published, 0))
        body.append(["ahead of the best published, points", *[""] * len(rows), _slash(f"{a:+.0f}" for a in ahead)])
    return _table(["method", *rows, "mean"], body)


def _found(own: list[Row], method: str, kind: str, budget: int) -> float:
    cell = (r["tpr_5"] for r in own if (r["method"], r["attack"], r["budget"]) == (method, kind, budget))
    value = next(cell, None)
    return np.nan if value is None else float(value)


def _width(every: Sequence[np.ndarray]) -> np.ndarray | None:
    """Half of the 95 % interval of the mean over zoos; float64 (budgets,), None without equal repetitions."""
    repetitions = {len(found) for found in every}
    if len(repetitions) != 1 or (n := repetitions.pop()) < 2:
        return None
    means = np.mean(every, axis=0)

    return np.asarray(student.ppf(0.975, n - 1) * means.std(0, ddof=1) / np.sqrt(n))


def _attacks(zoos: Zoos) -> str:
    rows = [
        row
        for runs in zoos.values()
        for data in runs
        for row in _rows(data, "detection", "label")
        if row["method"] == "relative"
    ]
    budgets = sorted({row["budget"] for row in rows})
    body = []
    for attack in sorted({row["attack"] for row in rows}, key=lambda name: (name not in KINDS, name)):
        own = [row for row in rows if row["attack"] == attack]
        cells = [
            _slash(_two(float(np.mean([r[what] for r in own if r["budget"] == b]))) for b in budgets)
            for what in ("tpr_5", "tpr_1", "auc")
        ]
        body.append([attack, str(sum(r["pairs"] for r in own if r["budget"] == budgets[0])), *cells])
    return _table(["attack", "pairs", "TPR@5 %", "TPR@1 %", "AUC"], body)


def _calibration(zoos: Zoos) -> str:
    rows = [row for runs in zoos.values() for data in runs for row in _rows(data, "calibration", "label")]
    keys = list(dict.fromkeys((r["group"], r["budget"]) for r in rows))
    body = []
    for group, budget in keys:
        line = [group, str(budget)]
        for nominal in (0.01, 0.05):
            own = [r for r in rows if (r["group"], r["budget"], r["nominal"]) == (group, budget, nominal)]
            pairs = sum(r["pairs"] for r in own)
            line.append(f"{sum(r['realised'] * r['pairs'] for r in own) / pairs:.2%}")
        body.append([*line, str(pairs)])
    return _table(["honest models", "questions", "at nominal 1 %", "at nominal 5 %", "pairs"], body)


def _sequential(zoos: Zoos) -> str:
    body = []
    for name, runs in zoos.items():
        for access in ("label", "scores"):
            rows = [row for data in runs for row in _rows(data, "sequential", access)]
            if rows:
                found, accused, derived, honest = (
                    float(np.mean([row[what] for row in rows]))
                    for what in ("found", "accused", "queries_derived", "queries_honest")
                )
                body.append([name, access, f"{found:.0%}", f"{accused:.2%}", f"{derived:.1f}", f"{honest:.1f}"])
    return _table(
        ["zoo", "access", "copies found", "honest accused", "questions to a copy", "to an honest model"], body
    )


def _identified(zoos: Zoos) -> str:
    body = []
    for name, runs in zoos.items():
        rows = [row for data in runs for row in _rows(data, "identification")]
        for budget, attacks in dict.fromkeys((row["budget"], row["attacks"]) for row in rows):
            own = [row for row in rows if (row["budget"], row["attacks"]) == (budget, attacks)]
            first, named, auc, strangers = (
                float(np.mean([row[what] for row in own]))
                for what in ("first", "named", "open_set_auc", "strangers_named")
            )
            body.append([name, str(budget), attacks, f"{first:.0%}", f"{named:.0%}", f"{auc:.3f}", f"{strangers:.1%}"])
    head = ["zoo", "questions", "attacks", "source first", "named", "open-set AUC", "wrongly named"]
    return _table(head, body)


def _cost(zoos: Zoos) -> str:
    body = []
    for name, runs in zoos.items():
        models = [
            sum(data["summary"]["models"][role] for data in runs) for role in ("source", "derived", "independent")
        ]
        costs = [data["summary"]["cost"] for data in runs]
        mean = np.mean([cost["enrol_seconds"] for cost in costs])
        most = max(cost["enrol_seconds_most"] for cost in costs)
        memory = max(cost["memory_mib"] for cost in costs)
        body.append([name, *map(str, models), f"{mean:.0f}", f"{most:.0f}", f"{memory:.0f}"])
    return _table(["zoo", "sources", "derived", "independent", "s to enrol", "at most", "MiB"], body)


def _two(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.2f}".replace("0.", ".", 1)


def _slash(values: Iterable[object]) -> str:
    return "/".join(str(value) for value in values)


def _table(head: list[str], body: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *body])


if __name__ == "__main__":
    main()
