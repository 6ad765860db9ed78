"""Family trees as inline SVG, coloured by the page's style sheet, and as a file drawn by matplotlib."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

from probe_match.fingerprinting.errors import MissingPackage, UsageError
from probe_match.fingerprinting.report import printable

from .growing import Lineage, Link

STEP: Final = 26  # pixels from one line to the next
INDENT: Final = 180  # pixels from a parent to its children
NAME: Final = 26  # most characters of a name
FORMATS: Final = (".svg", ".png", ".pdf")


class Place(NamedTuple):
    """Where a model stands: depth below its root, and line, both from 0."""

    depth: int
    line: int


def layout(lineage: Lineage) -> dict[str, Place]:
    """Every model that has kin, trees one under the other, children under their parents."""
    places: dict[str, Place] = {}
    below = children(lineage)
    for root in lineage.roots:
        if root not in below:
            continue
        stack = [(root, 0)]
        while stack:
            name, depth = stack.pop()
            places[name] = Place(depth, len(places))
            stack += [(link.child, depth + 1) for link in reversed(below.get(name, []))]

    return places


def children(lineage: Lineage) -> Mapping[str, list[Link]]:
    """The links below each model that has any."""
    below: dict[str, list[Link]] = {}
    for link in lineage.links:
        below.setdefault(link.parent, []).append(link)
    return below


def svg(lineage: Lineage) -> str:
    """The trees; empty where nobody is related. Broken lines: no telling which end is the parent."""
    places = layout(lineage)
    if not places:
        return ""
    known = {name for name, its in zip(lineage.names, lineage.known, strict=True) if its}
    width = 240 + INDENT * max(place.depth for place in places.values())
    height = STEP * len(places) + 12
    parts = [f'<svg viewBox="0 0 {width} {height}" style="max-width: {width}px" role="img" aria-label="family trees">']
    for link in lineage.links:
        (x, y), (x2, y2) = (_at(places[name]) for name in (link.parent, link.child))
        kind = "edge" if link.directed else "edge either"
        parts.append(f'<path class="{kind}" d="M{x} {y + 6}V{y2}H{x2 - 7}"><title>{_told(link)}</title></path>')
        parts.append(f'<text class="support" x="{x2 - 12}" y="{y2 - 4}">{link.support:.0%}</text>')
    for second in lineage.mixes:
        (x, y), (x2, y2) = (_at(places.get(name, Place(0, len(places)))) for name in (second.parent, second.child))
        parts.append(f'<path class="edge second" d="M{x} {y}C{x - 40} {y} {x2 - 40} {y2} {x2} {y2}"/>')
    for name, place in places.items():
        x, y = _at(place)
        parts.append(f'<circle class="{"known" if name in known else "asked"}" cx="{x}" cy="{y}" r="6"/>')
        parts.append(f'<text class="model" x="{x + 12}" y="{y + 4}">{_short(name)}</text>')

    return "".join([*parts, "</svg>"])


def plot(lineage: Lineage, file: Path) -> None:
    """The same drawing as a file, .svg, .png or .pdf. Needs matplotlib."""
    if file.suffix.lower() not in FORMATS:
        raise UsageError(f"expected a plot as {', '.join(FORMATS)}, got '{file.name}'")
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingPackage("a plot needs matplotlib: pip install 'probe-match[plots]'") from error
    places = layout(lineage)
    deepest = max((place.depth for place in places.values()), default=0)
    figure = Figure(figsize=(4 + 2.4 * deepest, 1 + 0.3 * max(len(places), 1)), layout="constrained")
    axes = figure.add_subplot()
    known = {name for name, its in zip(lineage.names, lineage.known, strict=True) if its}
    for link in lineage.links:
        a, b = places[link.parent], places[link.child]
        style = "-" if link.directed else ":"
        axes.plot([a.depth, a.depth, b.depth], [a.line, b.line, b.line], style, color="0.45", lw=1, zorder=1)
        axes.text(b.depth - 0.08, b.line - 0.12, f"{link.support:.0%}", ha="right", size=6, color="0.35")
    for name, place in places.items():
        axes.plot(place.depth, place.line, "o", color="tab:blue" if name in known else "tab:orange", zorder=2)
        axes.text(place.depth + 0.07, place.line, _cut(printable(name)), va="center", size=8)
    if not places:
        axes.text(0.5, 0.5, "no two of these models are related", ha="center")
    axes.set_xlim(-0.2, deepest + 1.2)
    axes.invert_yaxis()
    axes.axis("off")
    figure.savefig(file, dpi=150)


def _at(place: Place) -> tuple[int, int]:
    return 14 + INDENT * place.depth, 18 + STEP * place.line


def _short(name: str) -> str:
    shown = printable(name)
    return escape(_cut(shown))


def _cut(name: str) -> str:
    return name if len(name) <= NAME else "…" + name[1 - NAME :]  # of a path the end says which


def _told(link: Link) -> str:
    names = f"{printable(link.parent)} – {printable(link.child)}"
    return escape(f"{names}: {link.distance:.0%} of answers differ, p = {link.p:.2g}")
