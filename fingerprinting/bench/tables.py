"""
The figures of a benchmark as Markdown tables.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from .scoring import DEFAULT


def to_markdown(summary: Mapping[str, Any], title: str) -> str:
    """A report of one zoo, for a file or a terminal."""
    models = summary["models"]
    cost = summary["cost"]
    parts = [
        f"## {title}",
        f"{models['source']} sources, {models['derived']} derived and {models['independent']} independent models, "
        f"a pool of {summary['pool']} rows. Enrolling a source took {cost['enrol_seconds']:.0f} s on average and "
        f"{cost['enrol_seconds_most']:.0f} s at most, {cost['memory_mib']:.0f} MiB at the peak.",
    ]
    for access in dict.fromkeys(row["access"] for row in summary["detection"]):
        parts += _detection(summary["detection"], access)
    parts += _calibration(summary["calibration"])
    parts += _sequential(summary["sequential"])
    parts += _identification(summary["identification"])
    for what, heading in (("failures", "Models that could not be asked"), ("refused", "Schemes without probes")):
        if summary[what]:
            parts += [f"### {heading}", "\n".join(f"- {name}: {why}" for name, why in sorted(summary[what].items()))]

    return "\n\n".join(parts) + "\n"


def _detection(rows: Iterable[Mapping[str, Any]], access: str) -> list[str]:
    rows = [row for row in rows if row["access"] == access]
    budgets = sorted({row["budget"] for row in rows})
    methods = list(dict.fromkeys(row["method"] for row in rows))
    at = {(row["method"], row["budget"], row["attack"]): row for row in rows}
    attacks = sorted({row["attack"] for row in rows}, key=lambda a: (not a.endswith(" attacks"), a))
    given = "labels only" if access == "label" else "probabilities given"
    asked = "/".join(str(budget) for budget in budgets)
    parts = [f"### Copies found at 5 % false accusations, {given}, at {asked} questions"]
    head = ["attack", "pairs", *(f"**{m}**" if m == DEFAULT else m for m in methods)]
    body = []
    for attack in attacks:
        pairs = max((row["pairs"] for row in rows if row["attack"] == attack), default=0)
        cells = ["/".join(_share(at.get((m, b, attack)), "tpr_5") for b in budgets) for m in methods]
        body.append([attack, str(pairs), *cells])
    parts.append(_table(head, body))
    parts.append(f"All attacks together, {given}:")
    head = ["method", *(f"{what} at {b}" for b in budgets for what in ("AUC", "TPR@1 %", "TPR@5 %"))]
    body = []
    for m in methods:
        line = [f"**{m}**" if m == DEFAULT else m]
        for b in budgets:
            row = at.get((m, b, "all attacks"))
            line += [_share(row, "auc"), _with_interval(row, "tpr_1"), _with_interval(row, "tpr_5")]
        body.append(line)
    parts.append(_table(head, body))

    return parts


def _calibration(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    body = [
        [
            row["access"],
            str(row["budget"]),
            row["group"],
            f"{row['nominal']:.0%}",
            f"{row['realised']:.2%} ({row['interval'][0]:.2%} to {row['interval'][1]:.2%})",
            str(row["pairs"]),
        ]
        for row in rows
    ]
    head = ["access", "questions", "honest models", "nominal", "realised", "pairs"]
    return ["### Honest models accused", _table(head, body)] if body else []


def _sequential(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    body = [
        [
            row["access"],
            str(row["budget"]),
            f"{row['found']:.1%}",
            f"{row['accused']:.2%} ({row['accused_interval'][0]:.2%} to {row['accused_interval'][1]:.2%})",
            f"{row['queries_derived']:.1f}",
            f"{row['queries_honest']:.1f}",
        ]
        for row in rows
    ]
    head = ["access", "budget", "copies found", "honest accused", "questions to a copy", "to an honest model"]
    return ["### Asked until the answer is clear", _table(head, body)] if body else []


def _identification(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    body = [
        [
            str(row["budget"]),
            row["attacks"],
            f"{row['first']:.1%}",
            f"{row['named']:.1%}",
            f"{row['open_set_auc']:.3f}",
            f"{row['strangers_named']:.2%} ({row['strangers_interval'][0]:.2%} to {row['strangers_interval'][1]:.2%})",
        ]
        for row in rows
    ]
    head = ["questions", "attacks", "source ranked first", "named as a match", "open set AUC", "wrongly named"]
    return ["### Among all sources, and with a copy's own source left out", _table(head, body)] if body else []


def _share(row: Mapping[str, Any] | None, what: str) -> str:
    return "–" if row is None else f"{row[what]:.2f}".replace("0.", ".", 1)


def _with_interval(row: Mapping[str, Any] | None, what: str) -> str:
    if row is None:
        return "–"
    low, high = row[f"{what}_interval"]
    return f"{_share(row, what)} ({low:.2f}–{high:.2f})"


def _table(head: list[str], body: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
