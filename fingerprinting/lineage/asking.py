"""
What models are asked, and honest models to judge by, where there is a pool and no database.

The probes are pool rows and points between the references' classes where a reference differs from honest models and
keeps its answer when its input is shaken, as lightly changed copies keep it; suspects choose nothing. The honest models
are trained on the pool's true labels: of all classes, and for each reference some of its own class and on its own rows,
which are the ones most easily taken for its kin.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from probe_match.fingerprinting import exploring, learners, residuals
from probe_match.fingerprinting.collect import Asked, Client, Progress, ask, collect, require_fit
from probe_match.fingerprinting.disguises import NOISES, noisy
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.joining import together
from probe_match.fingerprinting.kin import find_kin
from probe_match.fingerprinting.panels import join, train_panel
from probe_match.fingerprinting.plans import Inputs, plan_peers
from probe_match.fingerprinting.probing import expected_of
from probe_match.fingerprinting.records import Access, Panel, Pool, ProbeSuite, Responses

from .members import Models

PEERS: Final = 120  # honest models to train in all, and at least EACH for a reference
NETWORK_PEERS: Final = 24  # networks for images cost seconds each
EACH: Final = 16
MOST_TAUGHT: Final = 16  # references that peers are trained for
MOST_HELD: Final = 1000  # pool rows considered as probes
BETWEEN: Final = 40  # points between classes, of each reference
Generate = Callable[..., ProbeSuite]


class Prepared(NamedTuple):
    """suite: to be asked of every model, most telling first. honest: models of the pool, on those probes."""

    suite: ProbeSuite
    honest: Models


def prepare(
    references: Sequence[Client],
    pool: Pool,
    *,
    probes: int,
    between: Generate | None = None,
    given: ProbeSuite | None = None,
    peers: int | None = None,
    seed: int = 0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Prepared:
    """
    A suite of at most `probes` for the pool's models, and honest models that answered it.

    between: the generator of points between classes (`midpoints`), where installed. given: a suite to ask instead.
    peers: honest models to train. Raises BadData for a pool without labels, or a suite of another input.
    """
    if pool.y is None:
        raise BadData("honest models are trained on true labels and the pool has none; add y to the pool")
    images = learners.image_networks(pool.spec)
    total = peers or (NETWORK_PEERS if images else PEERS)
    taught = references[:MOST_TAUGHT]
    each = max(4 if images else EACH, round(total / max(len(taught), 1)))
    order = np.random.default_rng(seed).permutation(len(pool))
    size = min(max(len(pool) // 3, min(len(pool) // 2, exploring.ROWS_TO_PROBE)), MOST_HELD)
    held, train = pool.take(order[:size]), pool.take(order[size:])
    number = pool.spec.output == "number"
    parts: list[Inputs] = [held.x]
    if given is not None:
        if not pool.spec.accepts(given.spec):
            raise BadData(f"suite '{given.name}' takes {given.spec.shape}, the pool's inputs are {pool.spec.shape}")
        parts.append(given.inputs)
    for i, client in enumerate(taught if between is not None and given is None and not number else ()):
        require_fit(client, pool.spec)
        try:
            parts.append(between(client, held, n=BETWEEN, seed=seed + i).inputs)  # type: ignore[misc]
        except BadData:  # a reference may have no boundary in a small pool
            continue
    candidates = together(parts)
    own = [ask(client, candidates, pool.spec, classes=pool.classes) for client in taught]
    rng = np.random.default_rng([seed, 4])
    panels = [
        _honest(client, train, held, candidates, each, answers, seed + i, jobs, progress)
        for i, (client, answers) in enumerate(zip(taught, own, strict=True))
    ]
    panel = join(panels)
    if given is not None:
        return Prepared(given, honest_of(panel.columns(len(held) + np.arange(len(given)))))
    if number:
        rows = np.asarray(residuals.spread(residuals.values_of(panel)[:, : len(held)], probes))
    else:
        moved = [[noisy(candidates, pool.spec, strength, rng) for strength in NOISES] for _ in taught]
        steady = [
            np.mean([ask(client, some, pool.spec, classes=pool.classes).labels == answers.labels for some in given], 0)
            for client, answers, given in zip(taught, own, moved, strict=True)
        ]
        rows = telling(panel.labels.astype(int), np.stack([a.labels for a in own]), np.stack(steady), probes)
    origin = np.array(["uniform"] * len(held) + ["midpoints"] * (len(candidates) - len(held)))
    suite = exploring.suite_from("lineage", pool.spec, pool.classes, candidates, origin, rows, None, seed)

    return Prepared(suite, honest_of(panel.columns(rows)))


def honest_of(panel: Panel) -> Models:
    """The peers of a panel as honest models."""
    rows = panel.rows("peer")
    scores = None if panel.scores is None else panel.scores[rows].astype(np.float32)
    return Models(tuple(panel.names[i] for i in rows), panel.labels[rows].astype(np.int64), scores)


def answers_of(
    clients: Sequence[Client],
    suite: ProbeSuite,
    *,
    budget: int,
    access: Access | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Responses]:
    """Every model's answers to the first `budget` probes of a suite."""
    rows = np.arange(min(budget, len(suite)))
    rng = np.random.default_rng(seed)

    return [collect(client, suite, rows=rows, access=access, rng=rng, progress=progress) for client in clients]


def models_of(names: Sequence[str], responses: Sequence[Responses]) -> Models:
    """Collected answers as models; scores only where all gave them, for the same classes."""
    scores = [one.score for one in responses]
    widths = {None if some is None else some.shape[1] for some in scores}
    whole = len(widths) == 1 and None not in widths

    return Models(
        tuple(names),
        np.stack([one.label for one in responses]),
        np.stack([some for some in scores if some is not None]) if whole else None,
    )


def _honest(
    client: Client,
    train: Pool,
    held: Pool,
    candidates: Inputs,
    count: int,
    answers: Asked,
    seed: int,
    jobs: int,
    progress: Progress | None,
) -> Panel:
    """Peers of one reference on the candidates, whose first rows are the held ones."""
    material = exploring.material_for(client, train, held, None, seed)
    first, rest = plan_peers(material, count, seed)
    early = train_panel(material, first, candidates, jobs=jobs, progress=progress)
    number = train.spec.output == "number"
    theirs = residuals.values_of(early) if number else early.labels
    kin = find_kin(material, first, theirs[:, : len(held)], expected_of(answers, train.spec)[: len(held)])

    return join([early, train_panel(material, rest(kin), candidates, jobs=jobs, progress=progress)])


def telling(honest: np.ndarray, own: np.ndarray, steady: np.ndarray, probes: int) -> np.ndarray:
    """
    Probes on which each reference stands alone, and stands fast; int (at most probes,), best first.

    honest: int (models, c). own: int (references, c), their labels. steady: float (references, c), how often a
    reference keeps its label when its input is shaken. References take their share: a probe is worth less to one that
    has many.
    """
    alone = np.stack([(honest != labels).mean(0) for labels in own])
    worth = steady * alone
    have = np.zeros(len(own))
    left = np.ones(worth.shape[1], bool)
    chosen: list[int] = []
    while len(chosen) < min(probes, worth.shape[1]):
        gain = np.where(left, np.sqrt(have[:, None] + worth).sum(0), -np.inf)
        best = int(gain.argmax())
        chosen.append(best)
        left[best] = False
        have += worth[:, best]

    return np.array(chosen, int)
