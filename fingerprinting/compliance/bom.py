"""
A report as a CycloneDX 1.6 bill of materials: one machine-learning model behind each endpoint.

A component's licence is the concluded one where there is a conclusion, else the declared one, and says which it is. A
p-value is no confidence, so it stands among the properties and not as one.
"""

from typing import Any, Final

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.license import LicenseAcknowledgement, LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion

from .records import Judged, Report
from .words import plain

FORMAT: Final = SchemaVersion.V1_6


def to_bom(report: Report) -> str:
    """JSON text."""
    about = report.about
    bom = Bom()
    bom.metadata.component = Component(
        name="probe-match audit", version=about["tool"]["version"], type=ComponentType.APPLICATION, bom_ref="audit"
    )
    for name, value in (("outcome", report.outcome), ("settings", about["settings"]),
                        ("references", about["references"]["digest"])):  # fmt: skip
        bom.metadata.properties.add(_property(name, value))
    for i, endpoint in enumerate(report.endpoints):
        bom.components.add(_component(endpoint, i))
    bom.register_dependency(bom.metadata.component, list(bom.components))

    return str(make_outputter(bom, OutputFormat.JSON, FORMAT).output_as_string(indent=1))


def _component(judged: Judged, number: int) -> Component:
    examined = judged.examined
    verdict = examined.verdict
    licence, word = (judged.concluded, LicenseAcknowledgement.CONCLUDED) if judged.concluded else (
        judged.declared, LicenseAcknowledgement.DECLARED)  # fmt: skip
    told: dict[str, Any] = {
        "endpoint": judged.name, "target": examined.endpoint.target, "outcome": judged.outcome,
        "declared": judged.declared, "decision": verdict.decision if verdict else "not identified",
        "relation": (verdict.relation if verdict else "") or "",
        "p-value": f"{verdict.matches[0].p_value:.3g}" if verdict and verdict.matches else "",
    }  # fmt: skip
    known = verdict is not None and verdict.reference is not None

    return Component(
        name=plain(verdict.reference if known and verdict else f"unknown model behind {judged.name}"),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"endpoint-{number}",
        licenses=[LicenseExpression(licence, acknowledgement=word)] if licence else [],
        pedigree=Pedigree(
            ancestors=[
                Component(name=plain(name), type=ComponentType.MACHINE_LEARNING_MODEL, bom_ref=f"endpoint-{number}-{i}")
                for i, name in enumerate(judged.line[1:], 1)
            ]
        )
        if len(judged.line) > 1
        else None,
        properties=[_property(name, value) for name, value in told.items() if value],
    )


def _property(name: str, value: object) -> Property:
    return Property(name=f"probe-match:{name}", value=plain(value))
