"""Histories as text for people, JSON for machines (schema `probe-match/history/1`), and a page."""

from typing import Any, Final

import numpy as np
from probe_match.fingerprinting import pages
from probe_match.fingerprinting.report import printable

from .history import History, Step

SCHEMA: Final = "probe-match/history/1"


def to_json(history: History) -> dict[str, Any]:
    """A history as plain values; agreement from 0 to 1, contributions in units of the answers."""
    return {
        "schema": SCHEMA,
        "name": history.name,
        "probes": history.probes,
        "honest": history.honest,
        "access": history.access,
        "versions": [
            {
                "name": version.name,
                "date": version.about.date,
                "parent": version.about.parent,
                "role": version.about.role,
                "fingerprint": version.fingerprint or None,
                "step": None if version.step is None else _step(version.step),
            }
            for version in history.versions
        ],
    }


def to_text(history: History) -> str:
    """One version after another, with what changed."""
    count = len(history.versions)
    lines = [
        f"{count} version{'s' * (count != 1)} on {history.probes} probes, {history.honest} honest models beside them"
    ]
    for version in history.versions:
        lines.append(
            f"{version.about.date or 'no date':<10}  {printable(version.name)}  {version.fingerprint}".rstrip()
        )
        if (step := version.step) is not None:
            lines.append(f"            {told(step)}")
            if step.moved:
                lines.append(f"            features that moved: {', '.join(map(_moved, step.moved))}")
    return "\n".join(lines)


def to_html(history: History) -> str:
    """A page: versions from old to new, how alike each is to the one before, and the features that moved."""
    environment = pages.environment("probe_match.fingerprinting.lineage", printable)
    most = max((max(m.before, m.after) for v in history.versions if v.step for m in v.step.moved), default=1.0)
    return environment.get_template("history.html.j2").render(history=history, told=told, most=most or 1.0)


def told(step: Step) -> str:
    """A step in words."""
    chance = "" if np.isnan(step.p) else f", p = {step.p:.2g}"
    return f"{step.kind} since {printable(step.earlier)}: alike on {step.agreement:.0%}{chance}"


def _step(step: Step) -> dict[str, Any]:
    return {
        "since": step.earlier,
        "kind": step.kind,
        "agreement": round(step.agreement, 6),
        "p_value": None if np.isnan(step.p) else float(f"{step.p:.6g}"),
        "moved": [{"feature": m.feature, "before": round(m.before, 6), "after": round(m.after, 6)} for m in step.moved],
    }


def _moved(moved: Any) -> str:
    return f"{printable(moved.feature)} {moved.before:.3g} → {moved.after:.3g}"
