"""Families from a reference database: stored answers to the public suite, and what suspects answer to it now."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting.calibration import corrected
from probe_match.fingerprinting.collect import Client
from probe_match.fingerprinting.database import ReferenceDB
from probe_match.fingerprinting.errors import BadData, DatabaseError, UsageError
from probe_match.fingerprinting.explain.signature import Described, describe
from probe_match.fingerprinting.matching import match_one
from probe_match.fingerprinting.records import About, Access, InputSpec, Panel, ProbeSuite, Responses

from . import trees
from .asking import answers_of, honest_of, models_of
from .members import Family, Models

MOST_HONEST: Final = 300
MOST_READ: Final = 40  # references whose peers are read
PUBLIC_SHARE: Final = 0.4  # of the questions to a suspect, to find the reference it is nearest to


class Stored(NamedTuple):
    """
    The references of one input. abouts: one per reference; honest: their peers on the public suite, None where no
    reference was enrolled with a pool.
    """

    suite: ProbeSuite
    models: Models
    abouts: tuple[About, ...]
    honest: Models | None


def stored(db: ReferenceDB, shape: tuple[int, ...] | None, only: Sequence[str] = ()) -> Stored:
    """
    The references that answered the public suite of one input. shape: of that input, None for the only one there is.

    only: names of the references to draw, all if empty. Raises DatabaseError where there are none, UsageError where the
    database holds several inputs and no target says which.
    """
    groups = db.inputs(shape, only)
    if not groups:
        raise DatabaseError(f"no reference in {db.name} takes such inputs; enroll one that does, or give a --pool")
    if len(groups) > 1:
        raise UsageError(
            f"the references of {db.name} take {len(groups)} different inputs; name those to draw with --reference"
        )
    spec, names = groups[0]
    suite = db.public_suite(spec)
    if suite is None:
        raise DatabaseError(f"no public suite in {db.name}; enroll the references again with --replace")
    known, labels = db.public_labels(spec)
    rows = [i for i, name in enumerate(known) if name in set(names)]
    told = db.public_scores(spec)
    scores = [told.get(known[i]) for i in rows]
    widths = {None if some is None else some.shape[1] for some in scores}
    whole = np.stack([s for s in scores if s is not None]) if len(widths) == 1 and None not in widths else None
    models = Models(tuple(known[i] for i in rows), labels[rows].astype(np.int64), whole)
    headers = {header["name"]: header for header in db.headers()}
    abouts = tuple(About(**{key: headers[name][key] for key in ("role", "parent", "date")}) for name in models.names)

    return Stored(suite, models, abouts, _honest(db, spec, models.names, headers))


def family_of(
    known: Stored,
    honest: Models,
    suspects: Sequence[tuple[str, Responses]],
) -> Family:
    """References and suspects as one family on the probes that the suspects were asked; scores where all give them."""
    m, s = len(known.models), len(suspects)
    asked = models_of([name for name, _ in suspects], [r for _, r in suspects]) if suspects else known.models.of([])
    labels = np.concatenate([known.models.labels, asked.labels])
    scores = None
    some = [known.models.scores, asked.scores] if suspects else [known.models.scores]
    if all(one is not None for one in some) and len({one.shape[2] for one in some if one is not None}) == 1:
        scores = np.concatenate([np.asarray(one, np.float32) for one in some if one is not None])
    if scores is not None and (honest.scores is None or honest.scores.shape[2] != scores.shape[2]):
        scores = None
    return Family(
        Models(known.models.names + asked.names, labels, scores),
        known.abouts + (About(role="derived"),) * s,
        np.arange(m + s) < m,
        honest,
        known.suite.spec.output == "number",
        described=described(known.suite),
    ).asked()


def described(suite: ProbeSuite) -> Described | None:
    """What contributions are read by; None where no feature varies."""
    try:
        return describe(suite.spec, suite.inputs)
    except BadData:
        return None


def asked(
    db: ReferenceDB, known: Stored, honest: Models, clients: Sequence[Client], *, budget: int, alpha: float,
    access: Access | None, seed: int,
) -> Family:  # fmt: skip
    """
    References and suspects, each asked at most `budget`: the public suite, and then the nearest reference's own probes,
    on which its copies and honest models differ most.
    """
    different = {client.target: client for client in clients}
    own = {name for name in known.models.names if db.get(name).panel is not None} if clients else set()
    first = round(PUBLIC_SHARE * budget) if own else budget
    answers = answers_of(list(different.values()), known.suite, budget=first, access=access, seed=seed)
    family = family_of(known, honest, list(zip(different, answers, strict=True)))
    near = trees.grow(family, resamples=0).standing
    confirmed = {}
    for i, client in enumerate(different.values()):
        suspect = len(known.models) + i
        best = int(near[suspect, : len(known.models)].argmax())
        if known.models.names[best] in own:
            reference = db.get(known.models.names[best])
            left = min(budget - answers[i].sent, len(reference.suite))
            verdict = match_one(
                client, reference, budget=left, alpha=alpha, access=access, seed=seed, stop_early=False, screen="never"
            )
            p = verdict.matches[0].p_value if verdict.decision == "match" else 1.0
            confirmed[suspect, best] = corrected(p, len(known.models))

    return replace(family, confirmed=confirmed)


def _honest(db: ReferenceDB, spec: InputSpec, names: Sequence[str], headers: dict[str, dict]) -> Models | None:  # type: ignore[type-arg]
    """Peers of the references, as many of each; they were trained on purpose, so that they descend from none."""
    taught = [name for name in names if headers[name]["peers"] and headers[name]["public"]]
    taught = [taught[i] for i in np.linspace(0, len(taught) - 1, min(len(taught), MOST_READ)).astype(int)]
    panels: list[Panel] = []
    for name in taught:
        panel = db.get(name).public_panel
        if panel is not None:
            panels.append(panel)
    if not panels:
        return None
    each = max(8, MOST_HONEST // len(panels))
    parts = [
        some.of(np.linspace(0, len(some) - 1, min(each, len(some))).astype(int)) for some in map(honest_of, panels)
    ]
    widths = {None if part.scores is None else part.scores.shape[2] for part in parts}
    whole = len(widths) == 1 and None not in widths

    return Models(
        tuple(name for part in parts for name in part.names),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([np.asarray(part.scores) for part in parts]) if whole else None,
    )
