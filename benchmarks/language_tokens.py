"""Figures of one-word answers: telling models apart by split halves of their counts."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import twins
from language_measures import equal_error, interval
from probe_match.fingerprinting.bench.measures import roc_auc
from probe_match.fingerprinting.chat import known as knowing
from probe_match.fingerprinting.chat import single_token, tallies
from probe_match.fingerprinting.chat.records import Counts
from probe_match.fingerprinting.chat.single_token import Suspect
from probe_match.fingerprinting.chat.standing import stand_out
from token_models import vendor

SIZES: Final = (8, 16, 40)
PERCENT: Final = ("EER %", "EER %, odd half")
MEASURED: Final = (
    *PERCENT, "TPR at 1 %", "top-1 of 164", "top-1, twins as one", "AUROC, model out", "AUROC, twins out",
    "AUROC, vendor out",
)  # fmt: skip
HEADS: Final = "cells|method|" + "|".join(MEASURED)


def measure(
    counts: Mapping[str, Counts], splits: int, say: Callable[[str], None], sizes: tuple[int, ...] = SIZES
) -> list[dict[str, Any]]:
    """Split halves of the counts, the suspect's true model in no cohort: a row for each size and method."""
    cells, names = sorted({cell for given in counts.values() for cell in given}), list(counts)
    makers = np.array([vendor(name) for name in names])
    who = np.arange(len(names))
    same = twins.twins(counts, names)
    rows = []
    for many in sizes:
        found: dict[str, dict[str, list[float]]] = {}
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
                "likelihood": closed,
                "ours": ours,
                "ours, closed set": np.array(
                    [single_token.closed_set(m, within, mine) for m, mine in zip(met, own_repeats, strict=True)]
                ),
            }
            off, strangers = ~np.eye(len(names), dtype=bool), makers[:, None] != makers
            for name, scores in methods.items():
                out = np.where(off, scores, -np.inf).max(1)
                far = np.where(strangers, scores, -np.inf).max(1)
                gone = np.where(same, -np.inf, scores).max(1)
                named = float(same[who, scores.argmax(1)].mean())
                best = scores.max(1)
                eer, tpr, top = equal_error(scores, who)
                aurocs = [roc_auc(best, other) for other in (out, gone, far)]
                values = (eer, equal_error(scores, who[1::2])[0], tpr, top, named, *aurocs)
                for measured, value in zip(MEASURED, values, strict=True):
                    found.setdefault(name, {}).setdefault(measured, []).append(round(float(value), 6))
        rows += [{"cells": many, "method": name, "splits": splits, "values": values} for name, values in found.items()]
        say(f"{many} cells")
    return rows


def rendered(row: Mapping[str, Any]) -> list[str]:
    """The cells of a row of the table, see HEADS."""
    values = row["values"]
    shown = [interval(values[m], 2, True) if m in PERCENT else interval(values[m]) for m in MEASURED]
    return [str(row["cells"]), row["method"], *shown]


def meet(counts: Any, table: Any) -> single_token.Meeting:
    """One model's counts beside all of a table's."""
    return single_token.meet(Suspect(*tallies.rows_of(table, counts)), table)
