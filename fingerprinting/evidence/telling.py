"""
A claim in plain words: what was claimed, when, by which rule, how often the rule errs, what else could explain it.

Everything is said from what was checked. Where a figure rests on few models its interval says so; where something could
not be checked it is listed. No conclusion of law is drawn, and none about who holds which weights.
"""

import datetime
from typing import Any, Final

from probe_match.fingerprinting.claims import deciding

from .checking import Checked

SCHEMA: Final = "probe-match/evidence-report/1"
LEVEL: Final = 0.95
WORDS: Final = {
    "match": "answers as a model derived from the source does",
    "no match": "does not answer as a model derived from the source does",
    "inconclusive": "nothing can be said",
}
ALTERNATIVES: Final = (
    ("relay", "The endpoint passes the questions on to the owner's own service. The answers are then the source's, and "
     "no weights were copied. Ask whether the owner's service saw these questions at that time."),
    ("same base", "Both models come from a third, published one. The rule compares with honest models of the source's "
     "class and rows, not with other descendants of a common base; if there is one, it belongs among the honest "
     "models."),
    ("distillation", "The model was trained on answers of the source. It then descends from its behaviour and not from "
     "its weights; whether that was allowed is a question of terms."),
    ("the other way round", "The source descends from the suspect, or both from what the suspect's owner published "
     "earlier. Of two claims the one that was sealed earlier by trusted time counts; this one names its own."),
    ("chance", "An honest model answers so by accident. That is what the figures above bound."),
)  # fmt: skip
LIMITS: Final = (
    "It is shown where the recorded answers lead, not that they came from the endpoint named: whoever doubts it asks "
    "the endpoint again with the opened probes.",
    "The p-value assumes that an honest model hits as often as the worst one measured may. Answers of models that "
    "learnt the same rows depend on each other, so the rank among honest models stands beside it and both must hold.",
    "The rank cannot be less than one in the number of honest models and one; more models would be needed to say more.",
    "A model changed heavily after it was taken may not be found. No match is no proof of innocence.",
    "Nothing here is a conclusion of law.",
)
Row = dict[str, Any]


def tell(checked: Checked) -> dict[str, Any]:
    """A report as plain values, schema `probe-match/evidence-report/1`. Raises nothing: the bundle was checked."""
    result, commitment, found = checked.claim.result, checked.claim.commitment, checked.claim.result["finding"]
    sealed = [{"what": what, "by": None if time is None else time.isoformat(), "authorities": _who(checked, link)}
              for what, time, link in _moments(checked)]  # fmt: skip
    return {
        "schema": SCHEMA,
        "claim": {
            "says": f"{result['suspect']} descends from {commitment.source}",
            "suspect": result["suspect"], "source": commitment.source, "weights": commitment.weights,
            "owner": checked.claim.owner, "case": commitment.serial, "commitment": commitment.digest,
        },
        "outcome": {"word": found["outcome"], "says": WORDS[found["outcome"]], "why": found["why"]},
        "checked": {
            "whole": checked.claim.whole is not None, "timed": checked.timed and bool(checked.bundle.tokens),
            "leaves_open": checked.claim.leaves[0], "leaves": checked.claim.leaves[1],
            "not_checked": list(checked.notes),
        },
        "times": sealed,
        "rule": _rule(checked),
        "rates": rates(found, commitment.threshold),
        "honest": {"nearest": result["nearest"], "hits": found["nearest_hits"], "of": found["ways"],
                   "kin": found["peers"]["kin"], "others": found["peers"]["others"]},
        "controls": result["controls"],
        "alternatives": [{"what": what, "says": says} for what, says in ALTERNATIVES],
        "limits": list(LIMITS),
        "custody": [{name: line[name] for name in ("time", "who", "what", "why")} for line in checked.bundle.custody],
    }  # fmt: skip


def rates(found: dict[str, Any], threshold: float) -> list[Row]:
    """
    How often what was seen is seen, with exact intervals of LEVEL (Clopper and Pearson, 1934). found: of the result.

    How many honest models hit as often as the suspect is read back from the rank, (1 + those) / (1 + all) of a kind.
    """
    peers = found["peers"]["kin"] + found["peers"]["others"]
    ranked = {count: found["p_model"] * (count + 1) for count in found["peers"].values() if count}
    decisive = min(ranked, key=lambda count: abs(ranked[count] - round(ranked[count])), default=0)
    alike = round(ranked.get(decisive, 1.0)) - 1
    return [
        _rate("questions on which the suspect hits", found["hits"], found["ways"]),
        _rate("questions on which the nearest honest model hits", found["nearest_hits"], found["ways"]),
        _rate("honest models of the decisive kind that hit as often as the suspect", alike, decisive),
        {"what": "chance of as many hits for a model like the worst honest one", "value": found["p_query"],
         "low": None, "high": None, "of": None},
        {"what": f"the same, times the chances the claimant had ({found['factor']:.3g}); to be at most {threshold:g}",
         "value": found["p_corrected"], "low": None, "high": None, "of": None},
        {"what": f"rank among {peers} honest models, in the worse of their kinds", "value": found["p_model"],
         "low": None, "high": None, "of": None},
    ]  # fmt: skip


def _rate(what: str, count: int, of: int) -> Row:
    """A share and its exact two-sided interval."""
    if not of:
        return {"what": what, "value": None, "low": 0.0, "high": 1.0, "of": 0}
    side = 1 - (1 - LEVEL) / 2
    low = 1 - deciding.upper_bound(of - count, of, side)
    return {"what": what, "value": count / of, "low": max(low, 0.0), "high": deciding.upper_bound(count, of, side),
            "of": of}  # fmt: skip


def _rule(checked: Checked) -> dict[str, Any]:
    c, result = checked.claim.commitment, checked.claim.result
    beacon = None if c.beacon is None else f"round {c.beacon[1]} of {c.beacon[0]}"
    where = "registered bits" if c.generator.statistic == "targeted" else "both sides of the boundary, for screening"
    return {
        "says": [
            f"{result['questions']} questions near the source's decision boundary ({where}), drawn from the owner's "
            f"secret key and {beacon or 'no beacon'}; none picked, none skipped.",
            f"A match needs a p-value of at most {c.threshold:g} after correction for models searched "
            f"({result['searched']}) and cases in the owner's book ({result['audits']})"
            f"{'' if beacon else ', and for 2^40 keys, as no beacon was waited for'}, and a rank of at most "
            f"{c.alpha:g} among honest models of either kind.",
            f"A question without an answer is asked again {_times(c.retries)}; at least "
            f"{deciding.COVERAGE:.0%} must be answered.",
            f"{c.peers} honest models were trained from seeds that key and beacon draw.",
        ],
        "statistic": c.generator.statistic, "threshold": c.threshold, "alpha": c.alpha, "confidence": c.confidence,
        "retries": c.retries, "beacon": beacon, "generator": c.generator.digest, "version": c.generator.version,
    }  # fmt: skip


def _times(retries: int) -> str:
    return {0: "at no time", 1: "once at most"}.get(retries, f"{retries} times at most")


def _moments(checked: Checked) -> list[tuple[str, datetime.datetime | None, int]]:
    links = len(checked.bundle.lines)
    return [("committed to", checked.committed, links - 1), ("run", checked.run, links)]


def _who(checked: Checked, link: int) -> list[str]:
    return [stamp.authority for stamp in checked.stamps.get(link, ())]
