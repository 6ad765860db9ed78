"""
One table out of several benchmarks: means over zoos of one kind, ours beside the best published scheme.

    probe-match bench zoos/digits --methods all --json digits.json   (and so on, zoo by zoo)
    python benchmarks/results.py digits.json wine.json … > table.md
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Row = Mapping[str, Any]
KINDS = ("hard attacks", "easy attacks", "all attacks")


def main() -> None:
    """Read the files that `bench --json` wrote and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    zoos = {data["zoo"]: data for data in (json.loads(file.read_text()) for file in parser.parse_args().files)}
    print(tables(zoos))


def tables(zoos: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: detection, zoo by zoo and in the mean, then calibration, sequential and open-set figures."""
    parts = []
    for access, given in (("label", "labels only"), ("scores", "probabilities given")):
        rows = {name: [r for r in data["summary"]["detection"] if r["access"] == access] for name, data in zoos.items()}
        rows = {name: own for name, own in rows.items() if own}
        if not rows:
            continue
        budgets = sorted({row["budget"] for own in rows.values() for row in own})
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


def _methods(rows: Mapping[str, list[Row]], kind: str, budgets: list[int]) -> str:
    methods = list(dict.fromkeys(row["method"] for own in rows.values() for row in own))
    body = []
    means = {}
    for method in methods:
        cells, every = [], []
        for own in rows.values():
            at = {r["budget"]: r["tpr_5"] for r in own if r["method"] == method and r["attack"] == kind}
            cells.append(_slash(_two(at.get(b)) for b in budgets))
            every.append([at.get(b, np.nan) for b in budgets])
        means[method] = np.nanmean(np.array(every, float), 0)
        body.append(
            [f"**{method}**" if method == "relative" else method, *cells, _slash(_two(m) for m in means[method])]
        )
    published = np.array([mean for method, mean in means.items() if method != "relative"])
    if len(published) and "relative" in means:
        ahead = 100 * (means["relative"] - np.nanmax(published, 0))
        body.append(["ahead of the best published, points", *[""] * len(rows), _slash(f"{a:+.0f}" for a in ahead)])
    return _table(["method", *rows, "mean"], body)


def _attacks(zoos: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        {**row, "zoo": name}
        for name, data in zoos.items()
        for row in data["summary"]["detection"]
        if row["method"] == "relative" and row["access"] == "label"
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


def _calibration(zoos: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [r for data in zoos.values() for r in data["summary"]["calibration"] if r["access"] == "label"]
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


def _sequential(zoos: Mapping[str, Mapping[str, Any]]) -> str:
    body = [
        [
            name, r["access"], f"{r['found']:.0%}", f"{r['accused']:.2%}", f"{r['queries_derived']:.1f}",
            f"{r['queries_honest']:.1f}",
        ]
        for name, data in zoos.items()
        for r in data["summary"]["sequential"]
    ]  # fmt: skip
    return _table(
        ["zoo", "access", "copies found", "honest accused", "questions to a copy", "to an honest model"], body
    )


def _identified(zoos: Mapping[str, Mapping[str, Any]]) -> str:
    body = [
        [
            name, str(r["budget"]), r["attacks"], f"{r['first']:.0%}", f"{r['named']:.0%}", f"{r['open_set_auc']:.3f}",
            f"{r['strangers_named']:.1%}",
        ]
        for name, data in zoos.items()
        for r in data["summary"]["identification"]
    ]  # fmt: skip
    head = ["zoo", "questions", "attacks", "source first", "named", "open-set AUC", "wrongly named"]
    return _table(head, body)


def _cost(zoos: Mapping[str, Mapping[str, Any]]) -> str:
    body = []
    for name, data in zoos.items():
        cost, models = data["summary"]["cost"], data["summary"]["models"]
        body.append(
            [
                name, *(str(models[role]) for role in ("source", "derived", "independent")),
                f"{cost['enrol_seconds']:.0f}", f"{cost['enrol_seconds_most']:.0f}", f"{cost['memory_mib']:.0f}",
            ]
        )  # fmt: skip
    return _table(["zoo", "sources", "derived", "independent", "s to enrol", "at most", "MiB"], body)


def _two(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.2f}".replace("0.", ".", 1)


def _slash(values: Iterable[object]) -> str:
    return "/".join(str(value) for value in values)


def _table(head: list[str], body: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *body])


if __name__ == "__main__":
    main()
