"""
Family trees as text for people, JSON for machines (schema `probe-match/lineage/1`), Newick, GraphML, and a page.
"""

import math
import xml.etree.ElementTree as ET
from typing import Any, Final

from probe_match.fingerprinting import pages
from probe_match.fingerprinting.report import printable

from . import drawing
from .growing import Lineage, Link

SCHEMA: Final = "probe-match/lineage/1"
GRAPHML: Final = "http://graphml.graphdrawing.org/xmlns"
MOST_ALONE: Final = 40  # unrelated models named in text
READ: Final = {"label": "labels", "scores": "labels and scores", "text": "the spread of answers"}


def to_json(lineage: Lineage) -> dict[str, Any]:
    """A family tree as plain values."""
    known = dict(zip(lineage.names, lineage.known.tolist(), strict=True))
    return {
        "schema": SCHEMA,
        "access": lineage.access,
        "probes": lineage.probes,
        "honest": lineage.honest,
        "alpha": lineage.alpha,
        "seed": lineage.seed,
        "models": [{"name": name, "known": known[name]} for name in lineage.names],
        "links": [
            {
                "parent": link.parent,
                "child": link.child,
                "directed": link.directed,
                "stated": link.stated,
                "direction": _round(link.direction),
                "support": _round(link.support),
                "p_value": _round(link.p),
                "distance": _round(link.distance),
                "contributions": None if math.isnan(link.contributions) else _round(link.contributions),
            }
            for link in lineage.links
        ],
        "second_parents": [
            {"parent": mix.parent, "child": mix.child, "p_value": _round(mix.p)} for mix in lineage.mixes
        ],
        "roots": [name for name in lineage.roots if name not in alone(lineage)],
        "unrelated": alone(lineage),
    }


def alone(lineage: Lineage) -> list[str]:
    """Models that are related to no other."""
    linked = {name for link in lineage.links for name in (link.parent, link.child)}
    return [name for name in lineage.names if name not in linked]


def to_text(lineage: Lineage) -> str:
    """The trees, indented, and who is related to nobody."""
    lines = [judged(lineage)]
    below = drawing.children(lineage)
    for root in lineage.roots:
        if root in below:
            lines.append(printable(root))
            lines += _branches(below, root, "")
    if any(not link.directed for link in lineage.links):
        lines.append("─? either may be the parent of the other")
    for mix in lineage.mixes:
        lines.append(f"{printable(mix.child)} also descends from {printable(mix.parent)} (p = {mix.p:.2g})")
    if single := alone(lineage):
        names = ", ".join(printable(name) for name in single[:MOST_ALONE])
        more = f" and {len(single) - MOST_ALONE} more" if len(single) > MOST_ALONE else ""
        lines.append(f"related to none of the others as far as these probes tell: {names}{more}")

    return "\n".join(lines)


def judged(lineage: Lineage) -> str:
    """What the trees were drawn from, and against whom, in one line."""
    many = f"{len(lineage.names)} models by {READ[lineage.access]} on {lineage.probes} probes"
    if lineage.access == "text":
        return f"{many}, judged against how near {lineage.honest} of them come to models of other families"
    return f"{many}, judged against {lineage.honest} honest models"


def to_newick(lineage: Lineage) -> str:
    """
    One tree a line; a parent is the label of the node above its children, lengths are shares of answers that differ,
    support stands in comments. Second parents do not fit into the format.
    """
    below = drawing.children(lineage)
    lines = []
    for root in lineage.roots:
        done: dict[str, str] = {}
        order = [root]
        for name in order:
            order += [link.child for link in below.get(name, [])]
        for name in reversed(order):
            parts = [
                f"{done[link.child]}:{link.distance:.4f}[support={link.support:.2f}]" for link in below.get(name, [])
            ]
            done[name] = (f"({','.join(parts)})" if parts else "") + _quoted(name)
        lines.append(f"{done[root]};")

    return "\n".join(lines)


def to_graphml(lineage: Lineage) -> str:
    """All models and links as GraphML; a link that may go either way is an undirected edge."""
    root = ET.Element("graphml", xmlns=GRAPHML)
    keys = (("known", "node", "boolean"), ("support", "edge", "double"), ("p_value", "edge", "double"),
            ("distance", "edge", "double"), ("second", "edge", "boolean"))  # fmt: skip
    for name, of, kind in keys:
        ET.SubElement(root, "key", {"id": name, "for": of, "attr.name": name, "attr.type": kind})
    graph = ET.SubElement(root, "graph", id="lineage", edgedefault="directed")
    for name, known in zip(lineage.names, lineage.known, strict=True):
        _data(ET.SubElement(graph, "node", id=printable(name)), known=str(bool(known)).lower())
    for link in lineage.links:
        ends = {"source": printable(link.parent), "target": printable(link.child)}
        edge = ET.SubElement(graph, "edge", ends if link.directed else {**ends, "directed": "false"})
        _data(edge, support=f"{link.support:.4f}", p_value=f"{link.p:.4g}", distance=f"{link.distance:.4f}")
    for mix in lineage.mixes:
        edge = ET.SubElement(graph, "edge", source=printable(mix.parent), target=printable(mix.child))
        _data(edge, p_value=f"{mix.p:.4g}", second="true")
    ET.indent(root)

    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def to_html(lineage: Lineage) -> str:
    """A page: the trees, every link with its figures, and the unrelated."""
    environment = pages.environment("probe_match.fingerprinting.lineage", printable)
    return environment.get_template("lineage.html.j2").render(
        lineage=lineage, judged=judged(lineage), drawn=drawing.svg(lineage), alone=alone(lineage)
    )


def _branches(below: Any, name: str, margin: str) -> list[str]:
    lines = []
    links = below.get(name, [])
    for i, link in enumerate(links):
        last = i == len(links) - 1
        mark = "─ " if link.directed else "─?"
        lines.append(f"{margin}{'└' if last else '├'}{mark}{printable(link.child)}  {_figures(link)}")
        lines += _branches(below, link.child, margin + ("   " if last else "│  "))
    return lines


def _figures(link: Link) -> str:
    stated = "stated, " if link.stated else ""
    return f"{stated}support {link.support:.0%}, {link.distance:.0%} apart, p = {link.p:.2g}"


def _quoted(name: str) -> str:
    return "'" + printable(name).replace("'", "''") + "'"


def _data(element: ET.Element, **values: str) -> None:
    for key, value in values.items():
        ET.SubElement(element, "data", key=key).text = value


def _round(value: float) -> float:
    return float(f"{float(value):.6g}")
