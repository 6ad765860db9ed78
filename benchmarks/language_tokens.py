"""Figures of one-word answers: telling models apart by split halves of their counts, and what is said of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import twins
from language_measures import Rows, equal_error, interval, share
from probe_match.fingerprinting.bench.measures import roc_auc
from probe_match.fingerprinting.chat import known as knowing
from probe_match.fingerprinting.chat import scoring, single_token, tallies
from probe_match.fingerprinting.chat.equality import QUICK, change_p
from probe_match.fingerprinting.chat.importing import read_references
from probe_match.fingerprinting.chat.judging import UNEQUAL, _identified
from probe_match.fingerprinting.chat.single_token import Suspect
from probe_match.fingerprinting.chat.standing import stand_out

SIZES = ((16, 3), (40, 1), (16, 6), (16, 15))  # the first is asked by default
ALPHA = 0.01
KINDS = (
    *(f"{whom}, as {how}" for whom in ("right", "same vendor", "other vendor") for how in ("itself", "family")),
    "no match",
    "inconclusive",
)


def single_tokens(
    folder: Path, splits: int, say: Callable[[str], None], sizes: tuple[int, ...] = (8, 16, 40)
) -> tuple[Rows, np.ndarray]:
    """Split halves of the counts, the suspect's true model in no cohort; and which models are twins."""
    counts = often_asked(folder)
    cells, names = sorted({cell for given in counts.values() for cell in given}), list(counts)
    makers = np.array([vendor(name) for name in names])
    who = np.arange(len(names))
    same = twins.twins(counts, names)
    rows = []
    for many in sizes:
        found: dict[str, list[Any]] = {}
        for seed in range(splits):
            rng = np.random.default_rng(seed)
            used = sorted(rng.choice(cells, many, replace=False)) if many < len(cells) else cells
            given = {n: {c: counts[n][c] for c in used if c in counts[n]} for n in names}
            half = {n: {c: sum(a.values()) // 2 for c, a in given[n].items()} for n in names}
            suspects = {n: tallies.thin(given[n], half[n], rng) for n in names}
            known = {n: tallies.without(given[n], suspects[n]) for n in names}
            table = tallies.tabulate(known, used)
            own, within = single_token.all_own_evidence(table), single_token.all_repeats(table)
            met = [meet(suspects[n], table) for n in names]
            like = np.array([single_token.likeness(m, own) for m in met])
            cohort = [single_token.likeness(meet(known[n], table), own) for n in names]
            own_repeats = [single_token.repeats(*tallies.all_rows(suspects[n], used)) for n in names]
            mmd = -np.array([
                single_token.discrepancy(m, within, mine) for m, mine in zip(met, own_repeats, strict=True)
            ])  # fmt: skip
            out_both = stand_out(like, np.array(cohort), who, who)
            ours = out_both + knowing.LIKENESS * like
            ours += np.array([[knowing.discrepancy_weight(m.suspect.asked)] for m in met]) * mmd
            jsd = -np.nan_to_num(np.array([single_token.divergence(m) for m in met]), nan=1.0)
            closed = np.array([single_token.likelihood(m) for m in met])
            methods = {
                "mean JSD (published; what the npm tool compares)": jsd,
                "MMD (Model Equality Testing)": mmd,
                "likeness, both-sided cohort": out_both,
                "mean JSD, both-sided cohort": stand_out(jsd, jsd, who, who),
                "likelihood (closed-set rule)": closed,
                "ours": ours,
            }
            off, strangers = ~np.eye(len(names), dtype=bool), makers[:, None] != makers
            for name, scores in methods.items():
                out = np.where(off, scores, -np.inf).max(1)
                far = np.where(strangers, scores, -np.inf).max(1)
                gone = np.where(same, -np.inf, scores).max(1)
                named = float(same[who, scores.argmax(1)].mean())
                found.setdefault(name, []).append(
                    (*equal_error(scores, who), equal_error(scores, who[1::2])[0], named,
                     roc_auc(scores.max(1), out), roc_auc(scores.max(1), gone), roc_auc(scores.max(1), far))
                )  # fmt: skip
        for name, values in found.items():
            eer, tpr, top, odd, named_, *aurocs = map(list, zip(*values, strict=True))
            rows.append(
                [str(many), name, interval(eer, 2, True), interval(odd, 2, True),
                 *(interval(some) for some in (tpr, top, named_, *aurocs))]
            )  # fmt: skip
        say(f"{many} cells")
    return rows, same


def verdicts(folder: Path, draws: int, say: Callable[[str], None], sizes: tuple[tuple[int, int], ...] = SIZES) -> Rows:
    """
    What is said at alpha 1 % of suspects in the database, of every fifth model left out of it, in turn, and of every
    fifth left out with all models of its vendor; some draws of cells and answers. References hold all other answers.
    """
    counts = often_asked(folder)
    cells, names = sorted({cell for given in counts.values() for cell in given}), list(counts)
    same = twins.twins(counts, names)
    rows = []
    for many, times in sizes:
        told: dict[str, list[str]] = {"in the database": [], "left out": [], "vendor left out": []}
        for seed in range(draws):
            rng = np.random.default_rng(1000 + seed)
            used = sorted(rng.choice(cells, many, replace=False))
            suspects = {n: tallies.thin(counts[n], dict.fromkeys(used, times), rng) for n in names}
            known = {n: tallies.without(counts[n], suspects[n]) for n in names}
            everybody = knowing.know(known)
            asked = np.array([times if cell in used else 0 for cell in everybody.table.cells])
            trials = [("in the database", names, everybody)]
            for n in names[seed % 5 :: 5]:
                trials.append(("left out", [n], only(everybody, known, lambda other, n=n: other != n)))
                trials.append(
                    ("vendor left out", [n], only(everybody, known, lambda other, n=n: vendor(other) != vendor(n)))
                )
            for where, some, ready in trials:
                honest = knowing.honest(ready, asked)
                told[where] += [said(suspects[n], known, ready, honest, n, names, same) for n in some]
        for where, found in told.items():
            plain = sum(kind.endswith("itself") for kind in found if kind.startswith(("same", "other")))
            family = sum(kind.startswith("other") for kind in found)
            rows.append(
                [f"{many} x {times}", where, str(len(found)), *(share(found.count(kind), len(found)) for kind in KINDS),
                 share(plain, len(found)), share(family, len(found))]
            )  # fmt: skip
        say(f"verdicts at {many} x {times}")
    return rows


def only(everybody: knowing.Known, known: Mapping[str, Any], kept: Callable[[str], bool]) -> knowing.Known:
    """What is known of some models alone, but for who is whose relative, which is told once a draw."""
    rows = np.array([i for i, name in enumerate(everybody.table.names) if kept(name)])
    table = tallies.tabulate({everybody.table.names[i]: known[everybody.table.names[i]] for i in rows})
    kin, same = (pairs[np.ix_(rows, rows)] for pairs in (everybody.kin, everybody.same))

    return knowing.Known(
        table, single_token.all_own_evidence(table), single_token.all_repeats(table), np.arange(len(rows)), kin, same
    )


def vendor(name: str) -> str:
    """Who a model's name says it is from."""
    return name.split("/")[0]


def often_asked(folder: Path) -> dict[str, Any]:
    """Counts of the models that answered at least 30 cells 20 times."""
    counts = {known.name: known.counts for known in read_references(folder / "single-token-2026.counts.json.gz")}
    return {n: c for n, c in counts.items() if sum(sum(some.values()) >= 20 for some in c.values()) >= 30}


def said(
    suspect: Any, known: Any, ready: knowing.Known, honest: knowing.Honest, truth: str, names: list[str], same: Any
) -> str:
    """The verdict in a few words: whom a match names, and whether as the model itself or as a near relative of it."""
    scores = scoring.score(suspect, ready, alpha=ALPHA, prepare=lambda _, __: honest)
    decision, _ = _identified(scores, 1000, ALPHA)
    named = scores.evidence[0].reference
    if decision != "match":
        return decision
    how = "family"
    if change_p(suspect, known[named], np.random.default_rng(0), QUICK) > UNEQUAL and scores.relative <= ALPHA:
        how = "itself"
    if same[names.index(truth), names.index(named)]:
        return f"right, as {how}"
    return f"{'same' if vendor(named) == vendor(truth) else 'other'} vendor, as {how}"


def meet(counts: Any, table: Any) -> single_token.Meeting:
    """One model's counts beside all of a table's."""
    return single_token.meet(Suspect(*tallies.rows_of(table, counts)), table)
