"""Plots as inline SVG, drawn from a verdict's own numbers; they take their colours from the page's style sheet."""

import math
from collections.abc import Sequence
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 74
MARGIN: Final = 16
LONGEST_LINE: Final = 500  # rounds


def score_strip(
    honest: Sequence[float], derived: Sequence[float], suspect: float, decision: str, *, width: int = WIDTH
) -> str:
    """
    One suspect's score on a line with its cohort: dots are honest models, triangles copies made on purpose.

    Scores are standard deviations above the mean honest model. Empty without a cohort. width: of the drawing,
    to which its marks have the same size.
    """
    if not honest:
        return ""
    low = min(-3.0, *honest, suspect)
    high = max(4.0, *honest, suspect, *(sorted(derived)[-1:] or [4.0]))

    def x(score: float) -> float:
        return MARGIN + (min(max(score, low), high) - low) / (high - low) * (width - 2 * MARGIN)

    parts = [
        f'<svg class="strip" viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="score {suspect:.1f} among '
        f'{len(honest)} honest models, the highest of which scores {max(honest):.1f}">',
        f'<line class="axis" x1="{MARGIN}" y1="44" x2="{width - MARGIN}" y2="44"/>',
    ]
    most = max(4, 12 * width // WIDTH)  # ticks
    scale = 10 ** max(0, math.floor(math.log10((high - low) / most)) + 1)  # scores know no bounds, a plot does
    step = next(step for step in (scale // 10, scale // 5, scale // 2, scale) if step and (high - low) / step <= most)
    for tick in range(int(low) // step * step, int(high) + 1, step):
        if low <= tick <= high:
            parts.append(f'<line class="axis" x1="{x(tick):.1f}" y1="44" x2="{x(tick):.1f}" y2="48"/>')
            parts.append(f'<text class="tick" x="{x(tick):.1f}" y="62">{tick:g}</text>')
    for i, score in enumerate(sorted(honest)):
        parts.append(f'<circle class="honest" cx="{x(score):.1f}" cy="{38 - 5 * (i % 3)}" r="3.2"/>')
    for i, score in enumerate(sorted(derived)):
        cx, cy = x(score), 18 - 6 * (i % 2)
        points = f"{cx - 4:.1f},{cy + 3} {cx + 4:.1f},{cy + 3} {cx:.1f},{cy - 4}"
        parts.append(f'<polygon class="derived" points="{points}"/>')
    cx = x(suspect)
    parts.append(f'<line class="suspect {decision.replace(" ", "-")}" x1="{cx:.1f}" y1="6" x2="{cx:.1f}" y2="50"/>')
    parts.append(f'<circle class="suspect {decision.replace(" ", "-")}" cx="{cx:.1f}" cy="44" r="6"/></svg>')

    return "".join(parts)


def evidence_line(evidence: Sequence[float], needed: float, *, width: int = WIDTH) -> str:
    """
    The evidence of a watch, round after round, below the line at which it becomes an alarm. Empty without rounds.

    evidence: logs of the e-process, nats. needed: where that line is.
    """
    if not evidence:
        return ""
    shown = list(evidence)[-LONGEST_LINE:]
    low, high = min(0.0, *shown), max(needed * 1.15, *shown)

    def y(value: float) -> float:
        return 8 + (high - value) / (high - low) * (HEIGHT - 16)

    step = (width - 2 * MARGIN) / max(1, len(shown) - 1)
    points = " ".join(f"{MARGIN + i * step:.1f},{y(value):.1f}" for i, value in enumerate(shown))
    tone = "match" if max(shown) >= needed else "no-match"

    return (
        f'<svg class="strip" viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="evidence after each of '
        f'{len(shown)} rounds, the last {shown[-1]:.1f}; an alarm from {needed:.1f}">'
        f'<line class="axis needed" x1="{MARGIN}" y1="{y(needed):.1f}" x2="{width - MARGIN}" y2="{y(needed):.1f}"/>'
        f'<line class="axis" x1="{MARGIN}" y1="{y(0):.1f}" x2="{width - MARGIN}" y2="{y(0):.1f}"/>'
        f'<polyline class="evidence {tone}" points="{points}"/>'
        f'<circle class="suspect {tone}" cx="{MARGIN + (len(shown) - 1) * step:.1f}" cy="{y(shown[-1]):.1f}" r="4"/>'
        "</svg>"
    )
