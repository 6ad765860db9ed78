"""What `--explain N` adds to a verdict that stands: in how far target and reference decide alike."""

from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.errors import ProbeMatchError
from probe_match.fingerprinting.explain.likeness import Likeness, likeness
from probe_match.fingerprinting.explain.likeness_report import Unexplained
from probe_match.fingerprinting.ranking import References
from probe_match.fingerprinting.records import ProbeSuite, Reference, Verdict

from . import _session


def beside(
    client: Client, reference: Reference, public: ProbeSuite | None, *, budget: int, access: str, seed: int, quiet: bool
) -> Likeness | Unexplained:
    """The target beside one reference. What goes wrong here is told, and costs nobody the verdict."""
    if public is None:
        return Unexplained("there is no public suite to ask; enroll the reference again with --replace.")
    wanted = "label" if access == "label" else None
    try:
        with _session.progress("explaining", quiet=quiet, total=min(budget, len(public))) as count:
            return likeness(
                client, reference, public, budget=budget, access=wanted,  # type: ignore[arg-type]
                seed=seed, progress=count,
            )  # fmt: skip
    except ProbeMatchError as error:
        return Unexplained(f"{error}.")


def of_match(
    client: Client, references: References, verdict: Verdict, *, budget: int, access: str, seed: int, quiet: bool
) -> Likeness | Unexplained:
    """The target beside the reference that the verdict names; where it names none, nothing is asked."""
    if verdict.reference is None:
        return Unexplained("the verdict names no reference, so nothing more was asked.")
    known = references.get(verdict.reference)

    return beside(
        client, known, references.public_suite(known.suite.spec), budget=budget, access=access, seed=seed, quiet=quiet
    )
