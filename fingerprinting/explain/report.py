"""
Explanations as text for people, JSON for machines (schema `probe-match/explain/1`), and a page with plots.
"""

from typing import Any, Final

from probe_match.fingerprinting import pages
from probe_match.fingerprinting.report import printable

from . import drawing
from .comparing import Comparison
from .explaining import Contribution, Explanation, Feature

SCHEMA: Final = "probe-match/explain/1"
SHOWN: Final = 12  # features listed in text, and drawn


def to_json(explanation: Explanation, comparison: Comparison | None = None) -> dict[str, Any]:
    """An explanation as plain values, in units of the output; intervals are 95 %."""
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "target": explanation.target,
        "queries": explanation.queries,
        "access": explanation.access,
        "rows": explanation.rows,
        "seed": explanation.seed,
        "outputs": list(explanation.outputs),
        "features": [
            {"name": f.name, **_figures("linear", f.linear), **_figures("nonlinear", f.nonlinear)}
            for f in explanation.features
        ],
        "pairs": [{"a": p.a, "b": p.b, **_figures("interaction", p.interaction)} for p in explanation.pairs],
        "by_output": {
            name: {
                "features": [
                    {"name": f.name, "linear": _round(f.linear.value[i]), "nonlinear": _round(f.nonlinear.value[i])}
                    for f in explanation.features
                ],
                "pairs": [
                    {"a": p.a, "b": p.b, "interaction": _round(p.interaction.value[i])} for p in explanation.pairs
                ],
            }
            for i, name in enumerate(explanation.outputs)
        },
        "efficacy": None if explanation.efficacy is None else explanation.efficacy._asdict(),
    }
    if comparison is not None:
        data["against"] = to_json(comparison.other)
        data["comparison"] = {
            "alike": comparison.alike,
            "rows": len(comparison.other.asked),
            "rank_correlation": comparison.rank_correlation,
            "cosine": comparison.cosine,
            "gaps": [gap._asdict() for gap in comparison.gaps],
        }
    return data


def to_text(explanation: Explanation) -> str:
    """The features that contribute most, and the pairs, as a table."""
    ranked = explanation.ranked()[:SHOWN]
    width = max(7, *(len(printable(f.name)) for f in ranked))
    lines = [
        f"{printable(explanation.target)}: {explanation.queries} questions, answers read as {_unit(explanation)}",
        f"  {'feature':<{width}}  {'linear':>8} {'95 %':>17}   {'nonlinear':>9} {'95 %':>17}",
    ]
    lines += [
        f"  {printable(f.name):<{width}}  {f.linear.mean[0]:>8.3g} {_span(f.linear):>17}   "
        f"{f.nonlinear.mean[0]:>9.3g} {_span(f.nonlinear):>17}"
        for f in ranked
    ]
    if len(explanation.features) > SHOWN:
        lines.append(f"  … and {len(explanation.features) - SHOWN} features that contribute less; --json lists all")
    if explanation.pairs:
        lines.append("  pairs, beyond what each does alone")
        lines += [
            f"  {printable(p.a)} × {printable(p.b)}  {p.interaction.mean[0]:.3g}  {_span(p.interaction)}"
            for p in explanation.pairs
        ]
    if (good := explanation.efficacy) is not None:
        lines.append(
            f"  {good.measure} on the pool: lines {good.linear:.2f}, curves {good.nonlinear:+.2f}, pairs "
            f"{good.pairwise:+.2f}; the model itself {good.model:.2f} on {good.rows} rows"
        )
    return "\n".join(lines)


def compared(comparison: Comparison) -> str:
    """Where two models decide alike and where not, in a few lines."""
    lines = [
        f"against {printable(comparison.other.target)}: alike on {comparison.alike:.0%} of "
        f"{len(comparison.other.asked)} inputs; contributions correlate at {comparison.rank_correlation:.2f} (rank), "
        f"{comparison.cosine:.2f} (cosine)"
    ]
    lines += [
        f"  {printable(gap.feature)}: effects differ by up to {gap.most:.3g} at {gap.at:.4g}"
        for gap in comparison.gaps[:5]
    ]
    return "\n".join(
        [*lines, "Models honestly trained on the same data contribute alike, too: this is no evidence of theft."]
    )


def to_html(explanation: Explanation, comparison: Comparison | None = None) -> str:
    """A page: effects, pairs and curves, of one model or of two side by side."""
    environment = pages.environment("probe_match.fingerprinting.explain", printable)
    both = [explanation] if comparison is None else [explanation, comparison.other]
    ranked = explanation.ranked()[:SHOWN]
    paired = {f.name: [_of(one, f.name) for one in both] for f in ranked}
    return environment.get_template("explain.html.j2").render(
        title="How the model decides" if comparison is None else "Two models side by side",
        models=both,
        comparison=comparison,
        unit=_unit(explanation),
        bars=[drawing.bars(one, ranked) for one in both],
        maps=[drawing.heat_map(one, SHOWN) for one in both],
        curves=[(name, drawing.curves(features, both)) for name, features in paired.items()],
        outputs=drawing.shown_outputs(explanation),
        features=ranked,
        span=_span,
    )


def _of(explanation: Explanation, name: str) -> Feature:
    return next(f for f in explanation.features if f.name == name)


def _unit(explanation: Explanation) -> str:
    if explanation.outputs == ("number",):
        return "the model's number"
    return "probabilities" if explanation.access == "scores" else "labels, 1 where a class is named"


def _figures(name: str, part: Contribution) -> dict[str, Any]:
    value, low, high = part.mean
    return {name: _round(value), f"{name}_interval": [_round(low), _round(high)]}


def _span(part: Contribution) -> str:
    _, low, high = part.mean
    return f"{low:.3g} to {high:.3g}"


def _round(value: float) -> float:
    return float(f"{float(value):.6g}")
