"""An evidence report for people: lines of text, or a page of one file, no script, in light and dark; it prints."""

from typing import Any, Final

from probe_match.fingerprinting import pages
from probe_match.fingerprinting.report import printable

TONES: Final = {"match": "match", "no match": "clear", "inconclusive": "open"}


def to_html(told: dict[str, Any]) -> str:
    """HTML text of a report that `telling.tell` gave."""
    environment = pages.environment("probe_match.fingerprinting.evidence", printable)
    environment.filters["figure"] = figure
    rates = [rate | {"scale": bar(rate)} for rate in told["rates"]]

    return environment.get_template("evidence.html.j2").render(
        told=told, rates=rates, tone=TONES[told["outcome"]["word"]]
    )


def bar(rate: dict[str, Any]) -> tuple[float, float, float] | None:
    """Where a share and its interval lie on a scale of 0 to 100, None of what is no share."""
    if rate["of"] is None or rate["value"] is None:
        return None
    return 100 * rate["low"], 100 * rate["value"], 100 * rate["high"]


def figure(rate: dict[str, Any]) -> str:
    """A rate in words: a share with its interval, or a small probability."""
    if rate["value"] is None:
        return "none measured"
    if rate["of"] is None:
        return f"{rate['value']:.2g}"
    return f"{rate['value']:.1%} of {rate['of']} ({rate['low']:.1%} to {rate['high']:.1%})"


def to_text(told: dict[str, Any]) -> str:
    """The same in lines."""
    claim, outcome, checked = told["claim"], told["outcome"], told["checked"]
    lines = [
        f"claim    {printable(claim['says'])}",
        f"outcome  {outcome['word']}: {printable(outcome['why'])}",
        f"owner    {claim['owner']}, case {claim['case']}",
    ]
    for one in told["times"]:
        said = f"by {one['by']}, say {', '.join(one['authorities'])}"
        when = said if one["by"] else "at a time nobody trusted vouches for"
        lines.append(f"time     {one['what']} {printable(when)}")
    lines += [f"rule     {printable(one)}" for one in told["rule"]["says"]]
    lines += [f"rate     {one['what']}: {figure(one)}" for one in told["rates"]]
    for control in told["controls"]:
        held = "as expected" if control["as_expected"] else "NOT as expected"
        lines.append(f"control  {printable(control['of'])} ({control['role']}): {control['hits']} hits, {held}")
    lines += [f"or else  {one['what']}: {one['says']}" for one in told["alternatives"]]
    lines += [f"limit    {one}" for one in told["limits"]]
    lines += [f"note     {printable(one)}" for one in checked["not_checked"]]

    return "\n".join(lines)
