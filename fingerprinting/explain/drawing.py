"""Plots of an explanation as inline SVG; they take their colours from the page's style sheet."""

from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np
from probe_match.fingerprinting.report import printable

from .explaining import Explanation, Feature

OUTPUTS: Final = 4  # classes whose curves are drawn


def bars(explanation: Explanation, ranked: Sequence[Feature]) -> str:
    """Linear and nonlinear parts of the features given, one line each, with intervals."""
    own = {f.name: f for f in explanation.features}
    shown = [own[f.name] for f in ranked]
    widest = max((f.linear.mean[2] + f.nonlinear.mean[2] for f in shown), default=0.0) or 1.0
    left, right, step = 150, 14, 26
    width = 640 - left - right

    def x(value: float) -> float:
        return left + value / widest * width

    parts = [f'<svg viewBox="0 0 640 {step * len(shown) + 26}" role="img" aria-label="contribution of each feature">']
    for i, f in enumerate(shown):
        y = i * step + 6
        linear, nonlinear = f.linear.mean, f.nonlinear.mean
        parts.append(f'<text class="name" x="{left - 8}" y="{y + 12}">{_short(f.name, 20)}</text>')
        parts.append(f'<rect class="linear" x="{left}" y="{y}" width="{x(linear[0]) - left:.1f}" height="14" rx="2"/>')
        start = x(linear[0])
        length = x(linear[0] + nonlinear[0]) - start
        parts.append(f'<rect class="nonlinear" x="{start:.1f}" y="{y}" width="{length:.1f}" height="14" rx="2"/>')
        low, high = x(linear[1] + nonlinear[1]), x(linear[2] + nonlinear[2])
        parts.append(f'<line class="interval" x1="{low:.1f}" y1="{y + 7}" x2="{high:.1f}" y2="{y + 7}"/>')
    bottom = step * len(shown) + 8
    parts += [
        f'<text class="tick" x="{min(x(value), 620):.1f}" y="{bottom + 12}">{value:.3g}</text>'
        for value in (0.0, widest / 2, widest)
    ]

    return "".join([*parts, "</svg>"])


def heat_map(explanation: Explanation, most: int) -> str:
    """Pairs as a triangle of squares, darker the more they do together; empty where no pair was looked at."""
    if not explanation.pairs:
        return ""
    names = list(dict.fromkeys(name for pair in explanation.pairs for name in (pair.a, pair.b)))[:most]
    values = {
        frozenset((pair.a, pair.b)): pair.interaction.mean[0]
        for pair in explanation.pairs
        if pair.a in names and pair.b in names
    }
    highest = max(values.values(), default=0.0) or 1.0
    left, cell = 150, min(60, 480 // len(names))
    height = cell * len(names) + 40
    parts = [f'<svg viewBox="0 0 640 {height}" role="img" aria-label="interaction of pairs of features">']
    for i, name in enumerate(names):
        parts.append(f'<text class="name" x="{left - 8}" y="{i * cell + cell / 2 + 4:.0f}">{_short(name, 20)}</text>')
        middle = left + i * cell + cell / 2
        parts.append(
            f'<text class="tick" x="{middle:.0f}" y="{len(names) * cell + 16}">{_short(name, max(4, cell // 7))}</text>'
        )
        for j, other in enumerate(names[:i]):
            value = values.get(frozenset((name, other)))
            at = f'x="{left + j * cell + 1}" y="{i * cell + 1}" width="{cell - 2}" height="{cell - 2}" rx="3"'
            if value is None:
                parts.append(f'<rect class="unasked" {at}><title>not looked at</title></rect>')
                continue
            title = f"{escape(printable(name))} × {escape(printable(other))}: {value:.3g}"
            parts.append(
                f'<rect class="heat" {at} fill-opacity="{0.08 + 0.92 * value / highest:.2f}">'
                f"<title>{title}</title></rect>"
            )
            if cell >= 40:
                strong = " strong" if value > 0.6 * highest else ""
                spot = f'x="{left + j * cell + cell / 2:.0f}" y="{i * cell + cell / 2 + 4:.0f}"'
                parts.append(f'<text class="value{strong}" {spot}>{value:.2g}</text>')

    return "".join([*parts, "</svg>"])


def shown_outputs(explanation: Explanation) -> list[str]:
    """The outputs whose curves are drawn: those that move most, in the order of the model."""
    return [explanation.outputs[i] for i in _moving(explanation)]


def curves(features: Sequence[Feature], models: Sequence[Explanation]) -> str:
    """
    One feature's effect, a line for each output that is drawn; of a second model dashed.

    One scale holds for all features of all models, so that a flat curve looks flat.
    """
    chosen = _moving(models[0])
    every = np.concatenate([f.curve[:, chosen].ravel() for model in models for f in model.features])
    low, high = float(every.min()), float(every.max())
    span = (high - low) or 1.0
    width, height, edge = 300, 120, 10
    grid = features[0].grid
    if features[0].ordered:
        across = (grid - grid[0]) / ((grid[-1] - grid[0]) or 1.0)
    else:
        across = np.linspace(0, 1, len(grid)) if len(grid) > 1 else np.zeros(1)
    parts = [
        f'<svg viewBox="0 0 {width} {height + 18}" role="img" '
        f'aria-label="effect of {escape(printable(features[0].name))}">'
    ]
    zero = edge + (high - min(max(0.0, low), high)) / span * (height - 2 * edge)
    parts.append(f'<line class="axis" x1="{edge}" y1="{zero:.1f}" x2="{width - edge}" y2="{zero:.1f}"/>')
    for m, feature in enumerate(features):
        for place, output in enumerate(chosen):
            y = edge + (high - feature.curve[:, output]) / span * (height - 2 * edge)
            points = " ".join(f"{edge + a * (width - 2 * edge):.1f},{b:.1f}" for a, b in zip(across, y, strict=True))
            parts.append(f'<polyline class="curve c{place}{" second" if m else ""}" points="{points}"/>')
    if features[0].ordered:
        for anchor, value, at in (("start", grid[0], edge), ("end", grid[-1], width - edge)):
            parts.append(
                f'<text class="end" x="{at}" y="{height + 12}" style="text-anchor: {anchor}">{value:.4g}</text>'
            )

    return "".join([*parts, "</svg>"])


def _moving(explanation: Explanation) -> list[int]:
    if len(explanation.outputs) == 2:
        return [1]  # the other is its mirror image
    moves = sum(np.ptp(feature.curve, axis=0) for feature in explanation.features)
    return sorted(np.argsort(-np.asarray(moves), kind="stable")[:OUTPUTS].tolist())


def _short(name: str, most: int) -> str:
    shown = printable(name)
    return escape(shown if len(shown) <= most else shown[: most - 1] + "…")
