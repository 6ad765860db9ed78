"""
The plots of a benchmark: copies found against questions, ROC curves, and whether p-values keep their promise.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from .measures import roc_curve
from .scoring import DEFAULT
from .summary import Pairs, Run

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "probe-match"  # the same figures give the same file
# Okabe and Ito's palette, which most colour-blind readers can tell apart; the default method is black.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999", "#b2a100", "#7a4fbf")


def draw(summary: Mapping[str, Any], runs: Sequence[Run], folder: Path) -> list[Path]:
    """SVG files in a folder, which is made if need be: queries.svg, roc.svg and calibration.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in (("queries", _queries(summary)), ("roc", _roc(runs)), ("calibration", _calibration(runs))):
        if figure is not None:
            file = folder / f"{name}.svg"
            figure.savefig(file, metadata={"Date": None})
            files.append(file)

    return files


def _colours(methods: Sequence[str]) -> dict[str, str]:
    published = [method for method in methods if method != DEFAULT]
    return {DEFAULT: "#000000", **{m: COLOURS[i % len(COLOURS)] for i, m in enumerate(published)}}


def _queries(summary: Mapping[str, Any]) -> Figure | None:
    rows = summary["detection"]
    accesses = list(dict.fromkeys(row["access"] for row in rows))
    kinds = [kind for kind in ("hard attacks", "easy attacks") if any(row["attack"] == kind for row in rows)]
    if not accesses or not kinds:
        return None
    colours = _colours(list(dict.fromkeys(row["method"] for row in rows)))
    figure = Figure(figsize=(4.2 * len(kinds) + 1.4, 3.2 * len(accesses)), layout="constrained")
    axes = figure.subplots(len(accesses), len(kinds), squeeze=False, sharex=True, sharey=True)
    for line, access in zip(axes, accesses, strict=True):
        for ax, kind in zip(line, kinds, strict=True):
            for method, colour in colours.items():
                cells = [r for r in rows if (r["access"], r["attack"], r["method"]) == (access, kind, method)]
                cells.sort(key=lambda row: row["budget"])
                if not cells:
                    continue
                x, y = [row["budget"] for row in cells], [row["tpr_5"] for row in cells]
                own = method == DEFAULT
                ax.plot(x, y, color=colour, lw=2.2 if own else 1.2, marker="o", ms=4, label=method)
                if own:
                    low, high = zip(*(row["tpr_5_interval"] for row in cells), strict=True)
                    ax.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
            ax.set_title(f"{kind}, {'labels only' if access == 'label' else 'probabilities'}", fontsize=10)
            ax.set_ylim(-0.02, 1.02)
            ax.grid(alpha=0.25, lw=0.6)
            ax.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("questions", fontsize=10)
    figure.supylabel("copies found at 5 % false accusations", fontsize=10)
    named = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(list(named.values()), list(named), loc="outside right center", fontsize=9, frameon=False)

    return figure


def _roc(runs: Sequence[Run]) -> Figure | None:
    """True positives, a mean over sources, at the largest budget; false positives on a log axis."""
    blocks = [(run, block) for run in runs for block in run.blocks if block.access == runs[0].blocks[0].access]
    if not blocks:
        return None
    budget = max(block.budget for _, block in blocks)
    grid = np.logspace(-3, 0, 200)
    curves: dict[str, list[np.ndarray]] = {}
    for run, block in blocks:
        if block.budget == budget:
            pairs, scored = Pairs(run), ~np.isnan(block.score)
            related = block.score[pairs.related(block.subject) & scored]
            honest = block.score[pairs.independent(block.subject) & scored]
            if len(related) and len(honest):
                false, true = roc_curve(related, honest)
                curves.setdefault(block.method, []).append(true[np.searchsorted(false, grid, side="right") - 1])
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    ax = figure.subplots()
    for method, colour in _colours(list(curves)).items():
        if method in curves:
            ax.plot(grid, np.mean(curves[method], 0), color=colour, lw=2.2 if method == DEFAULT else 1.2, label=method)
    ax.set(xscale="log", xlabel="false accusations", ylabel="copies found", ylim=(-0.02, 1.02), xlim=(1e-3, 1))
    ax.set_title(f"all attacks, {budget} questions", fontsize=10)
    ax.grid(alpha=0.25, lw=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", fontsize=9, frameon=False)

    return figure


def _calibration(runs: Sequence[Run]) -> Figure | None:
    """Share of honest models whose p-value is at most x, against x, both on log axes."""
    figure = Figure(figsize=(4.6, 4.0), layout="constrained")
    ax = figure.subplots()
    budgets = sorted({block.budget for run in runs for block in run.blocks if block.method == DEFAULT})
    access = runs[0].blocks[0].access if runs[0].blocks else "label"
    for budget, colour in zip(budgets, COLOURS, strict=False):
        p = [
            block.p[Pairs(run).independent(block.subject)]
            for run in runs
            for block in run.blocks
            if block.method == DEFAULT and block.budget == budget and block.access == access
        ]
        values = np.sort(np.concatenate(p))
        values = values[~np.isnan(values)]
        if len(values):
            ax.step(values, np.arange(1, len(values) + 1) / len(values), where="post", color=colour, label=f"{budget}")
    if not ax.lines:
        return None
    ax.plot([1e-3, 1], [1e-3, 1], color="#000000", lw=0.8, ls="--")
    ax.set(xscale="log", yscale="log", xlim=(5e-3, 1), ylim=(1e-3, 1.1))
    ax.set(xlabel="p-value promised", ylabel="honest models at or below it")
    ax.legend(title="questions", fontsize=9, frameon=False)
    ax.grid(alpha=0.25, lw=0.6)
    ax.spines[["top", "right"]].set_visible(False)

    return figure
