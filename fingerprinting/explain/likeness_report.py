"""How a target decides beside a known model: lines of text, JSON, and a section of the verdict's page."""

from html import escape
from typing import Any, Final, NamedTuple

import numpy as np
from probe_match.fingerprinting import pages
from probe_match.fingerprinting.report import printable

from .likeness import Figures, Likeness, Shared

LISTED: Final = 3  # features named in text
SHOWN: Final = 8  # features drawn
CAUTION: Final = (
    "Honest models trained on the same data contribute alike, too: this explains a verdict, and is no evidence."
)


class Unexplained(NamedTuple):
    """why there is nothing to show, in one sentence."""

    why: str


def to_json(found: Likeness | Unexplained) -> dict[str, Any]:
    """The object `explanation` of a verdict's JSON; contributions in units of the answers."""
    if isinstance(found, Unexplained):
        return {"missing": found.why}
    linear, nonlinear, pairwise = map(_round, found.parts)
    return {
        "reference": found.reference,
        "queries": found.queries,
        "probes": found.probes,
        "access": found.access,
        "alike": _round(found.alike),
        "contributions": {
            "cosine": _round(found.cosine), "linear": linear, "nonlinear": nonlinear, "pairwise": pairwise,
        },
        "honest": [_round(value) for value in found.honest],
        "features": [
            {
                "name": f.name,
                "reference": {what: _round(value) for what, value in f.reference._asdict().items()},
                "target": {what: _round(value) for what, value in f.target._asdict().items()},
                "difference_interval": [_round(f.low), _round(f.high)],
            }
            for f in found.features
        ],
    }  # fmt: skip


def to_text(found: Likeness | Unexplained) -> str:
    """A few lines below a verdict."""
    if isinstance(found, Unexplained):
        return f"  explained not: {printable(found.why)}"
    linear, nonlinear, pairwise = found.parts
    return "\n".join(
        [
            f"  explained {found.queries} more questions: decides as {printable(found.reference)} on {found.alike:.0%} "
            f"of {found.probes} probes",
            f"            features contribute alike to {found.cosine:.2f} (linear {linear:.2f}, nonlinear "
            f"{nonlinear:.2f}, pairwise {pairwise:.2f}){_beside(found)}",
            f"            {_features(found)}",
            f"            {CAUTION}",
        ]
    )


def to_html(found: Likeness | Unexplained) -> str:
    """A section of a page; its colours are those of `report.html.j2`."""
    environment = pages.environment("probe_match.fingerprinting.explain", printable)
    told = isinstance(found, Likeness)
    return environment.get_template("likeness.html.j2").render(
        found=found,
        told=told,
        bars=_bars(found.features[:SHOWN]) if isinstance(found, Likeness) else "",
        strip=_strip(found) if isinstance(found, Likeness) and found.honest else "",
        features=_features(found) if isinstance(found, Likeness) else "",
        shown=SHOWN,
        caution=CAUTION,
    )


def _beside(found: Likeness) -> str:
    """What the figure is to be read against."""
    if not found.honest:
        return ""
    middle, most = float(np.median(found.honest)), max(found.honest)
    return f"; {len(found.honest)} honest models to {middle:.2f} in the middle, {most:.2f} at most"


def _features(found: Likeness) -> str:
    """By what both decide, and where they part."""
    leading = ", ".join(printable(f.name) for f in found.features[:LISTED])
    parting = sorted((f for f in found.features if f.apart), key=lambda f: -abs(f.target.total - f.reference.total))
    if not parting:
        return f"the reference decides most by {leading}; no feature sets the two apart beyond chance"
    names = ", ".join(
        f"{printable(f.name)} ({f.reference.total:.2g} there, {f.target.total:.2g} here)" for f in parting[:LISTED]
    )
    return f"the reference decides most by {leading}; apart most by {names}"


def _bars(features: tuple[Shared, ...]) -> str:
    """Two bars a feature, the reference's above the target's, each of three parts."""
    left, width, step = 160, 466, 40
    widest = max((side.total for f in features for side in (f.reference, f.target)), default=0.0) or 1.0
    drawn = [
        f'<svg viewBox="0 0 640 {step * len(features) + 22}" role="img" aria-label="contributions of both models">'
    ]
    for i, f in enumerate(features):
        y = i * step + 4
        name = printable(f.name)
        shown = name if len(name) <= 20 else name[:19] + "…"
        drawn.append(f'<text class="name" x="{left - 10}" y="{y + 19}">{escape(shown)}</text>')
        drawn += [_bar(side, left, y + 15 * at, width / widest, at) for at, side in enumerate((f.reference, f.target))]
    bottom = step * len(features) + 14
    for value, anchor in ((0.0, "start"), (widest / 2, "middle"), (widest, "end")):
        at = left + value / widest * width
        drawn.append(f'<text class="tick" style="text-anchor:{anchor}" x="{at:.1f}" y="{bottom}">{value:.2g}</text>')

    return "".join([*drawn, "</svg>"])


def _bar(side: Figures, left: float, y: float, scale: float, at: int) -> str:
    x, drawn, whose = float(left), "", " target" if at else ""
    for what, value in side._asdict().items():
        width = value * scale
        drawn += f'<rect class="{what}{whose}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="13"/>'
        x += width
    return drawn


def _strip(found: Likeness) -> str:
    """How alike honest models contribute, and the target among them; from the least of all to 1."""
    least = min(*found.honest, found.cosine)
    low = min(np.floor(least * 10) / 10, 0.9)

    def x(value: float) -> float:
        return 14 + (value - low) / (1 - low) * 612

    dots = "".join(f'<circle class="honest" cx="{x(value):.1f}" cy="20" r="4"/>' for value in found.honest)
    ticks = "".join(
        f'<text class="tick" x="{x(value):.1f}" y="50">{value:.2g}</text>' for value in np.linspace(low, 1, 3)
    )
    return (
        '<svg class="strip" viewBox="0 0 640 54" role="img" aria-label="how alike honest models and the target '
        f'contribute"><line class="axis" x1="14" y1="34" x2="626" y2="34"/>{dots}{ticks}'
        f'<line class="itself" x1="{x(found.cosine):.1f}" y1="6" x2="{x(found.cosine):.1f}" y2="34"/>'
        f'<circle class="itself" cx="{x(found.cosine):.1f}" cy="20" r="5.5"/></svg>'
    )


def _round(value: float) -> float:
    return float(f"{float(value):.6g}")
