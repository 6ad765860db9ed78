"""
False and true claims of ownership, on models whose descent is known.

    python -m benchmarks.claims FOLDER --output benchmarks/claims.json

FOLDER holds what `benchmarks.claims_answers` measured. A claim is accepted by the rule of `claim run`: registered bits,
corrected p at most 1e-6 beside the worst of 200 honest models trained for the case, rank at most 1 % among a hundred of
either kind. Attacks are those of a claimant who holds all keys: optimised probes, cherry-picked ones, ground keys.
Intervals are Wilson's, 95 %; a source's models are counted one by one, though those of one task are alike.
"""

import argparse
import datetime
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from probe_match.fingerprinting.bench.measures import wilson
from probe_match.fingerprinting.claims import deciding
from probe_match.fingerprinting.claims.deciding import Finding, Rule
from probe_match.fingerprinting.claims.segments import Generator, Statistic
from probe_match.fingerprinting.evidence import timestamps
from probe_match.fingerprinting.evidence.timestamps import Stamp

from benchmarks.claims_answers import finished

Answers = Mapping[str, np.ndarray]
WAYS: Final = (256, 512, 1024, 2048)  # questions of registered bits; crossings ask both sides of half as many ways
# Kinds of copies that keep a source's weights, more or less, or change its outputs; not those trained on its answers,
# nor noise on inputs, which is a wrapper's.
WEIGHTS: Final = (
    "copy", "round-1", "round-2", "temperature", "quantise-8bit", "quantise-2bit", "prune-30", "prune-60",
    "prune-leaves", "warm-start", "quantise-4", "quantise-8", "prune-80", "finetune-last", "finetune-all", "adv-train",
)  # fmt: skip
CHANGED: Final = WEIGHTS[4:]
KEYS: Final = 100_000
PICKED: Final = 50  # of the OFFERED probes
OFFERED: Final = 5000
VERIFIERS: Final = 20  # honest models that who verifies has


def decided(
    found: Answers, generator: Generator, beacon: bool = True, shared: float | None = None
) -> dict[str, list[Any]]:  # fmt: skip
    """The finding on every model under test; in the order of `names`. shared: None for what is assumed usually."""
    n, hits = counted(found, generator)
    kin = found["roles"] == "kin peer"
    theirs = hits(found["peers"])
    rule = rule_of(generator, usually(found) if shared is None else shared)
    times = deciding.factor(1, 1, beacon)
    findings = [deciding.decide(int(k), n, 1.0, theirs, kin, times, rule) for k in hits(found["models"])]

    return {"findings": findings, "theirs": [theirs], "kin": [kin]}


def usually(found: Answers) -> float:
    """The share of common boundaries that a case assumes of honest models."""
    return deciding.assumed(float(found["taught"])) if found["version"] > 1 else deciding.SHARED


def rule_of(generator: Generator, shared: float) -> Rule:
    """The usual rule. shared: share of boundaries that honest models are assumed to have in common with the source."""
    return Rule(deciding.floor(generator.statistic == "targeted", shared))


def counted(found: Answers, generator: Generator) -> tuple[int, Any]:
    """How many ways are asked about, and what counts the hits of models by their readings, int (…, 2 m)."""
    bits = found["bits"][: generator.ways]
    n, m = len(bits), len(found["bits"])

    def hits(readings: np.ndarray) -> np.ndarray:
        before, after = readings[..., :n], readings[..., m : m + n]
        if generator.statistic == "targeted":
            return np.asarray((np.where(bits == 1, after, before) == bits).sum(-1))
        return np.asarray(((before == 0) & (after == 1)).sum(-1))

    return n, hits


def accepted(findings: list[Finding]) -> np.ndarray:
    """Bool (models,): which are matches."""
    return np.array([finding.outcome == "match" for finding in findings], bool)


def share(hit: np.ndarray) -> dict[str, Any]:
    """How many of how many, with Wilson's interval."""
    if len(hit) == 0:
        return {"accepted": 0, "of": 0}
    got = wilson(int(hit.sum()), len(hit))
    return {"accepted": int(hit.sum()), "of": len(hit), "interval": [round(got.low, 4), round(got.high, 4)]}


def honest_claims(cases: dict[str, Answers]) -> dict[str, Any]:
    """Owners' own claims: copies that are accepted, by kind and source, and honest models that are."""
    told: dict[str, Any] = {}
    rules = (("as claimed", None), ("nothing assumed of honest models", 0.0))
    for statistic, questions, (rule, shared) in product(("targeted", "crossings"), WAYS, rules):
        by_kind: dict[str, list[bool]] = defaultdict(list)
        by_source: dict[str, list[bool]] = defaultdict(list)
        nearer: list[bool] = []
        changed: list[bool] = []
        for name, found in cases.items():
            hit = accepted(decided(found, generator_of(statistic, questions), shared=shared)["findings"])
            nearer += hit[nearer_than_honest(found)].tolist()
            changed += hit[nearer_than_honest(found) & np.isin(found["kinds"], CHANGED)].tolist()
            for kind, yes in zip(found["kinds"], hit, strict=True):
                by_kind[str(kind)].append(bool(yes))
                if kind in WEIGHTS:
                    by_source[name].append(bool(yes))
        weights = np.array([yes for kind in WEIGHTS for yes in by_kind[kind]], bool)
        strangers = np.array([yes for kind, some in by_kind.items() if kind.startswith("honest") for yes in some])
        told[f"{statistic}, {questions} questions, {rule}"] = {
            "weight-level copies": share(weights), "honest models": share(strangers),
            "weight-level copies nearer to the source than every honest model": share(np.array(nearer, bool)),
            "of these, copies with changed weights": share(np.array(changed, bool)),
            "by kind": {kind: share(np.array(some, bool)) for kind, some in sorted(by_kind.items())},
            "weight-level copies by source": {name: share(np.array(some)) for name, some in by_source.items()},
        }  # fmt: skip

    return told


def nearer_than_honest(found: Answers) -> np.ndarray:
    """
    Bool (models,): weight-level copies that say what their source says on more rows of the pool than any honest model.

    The others are told from honest models of the source's class and rows by nothing that ordinary rows show.
    """
    honest = np.array([str(kind).startswith("honest") for kind in found["kinds"]])
    if "alike" not in found:
        return np.zeros(len(honest), bool)
    return np.isin(found["kinds"], WEIGHTS) & (found["alike"] > found["alike"][honest].max())


def generator_of(statistic: str, questions: int) -> Generator:
    """A generator that asks so many questions."""
    known: Statistic = "targeted" if statistic == "targeted" else "crossings"
    return Generator(known, questions if known == "targeted" else questions // 2)


def attack(cases: dict[str, Answers]) -> dict[str, Any]:
    """
    Claims of an attacker's own model or pool against honest models: as he claims, and as a verifier comes to who counts
    20 honest models of his own (of those under test, which are then not accused), or 200 trained on data of his own.
    """
    told = {}
    for statistic in ("targeted", "crossings"):
        generator = generator_of(statistic, 1024)
        results: dict[str, list[np.ndarray]] = defaultdict(list)
        for found in cases.values():
            known = decided(found, generator)
            n, hits = counted(found, generator)
            usual, none = rule_of(generator, usually(found)), rule_of(generator, 0.0)
            tested, trained, kin = hits(found["models"]), known["theirs"][0], known["kin"][0]
            mine = np.arange(len(tested)) % max(len(tested) // VERIFIERS, 2) == 0
            second = hits(found["second peers"])
            panels = {
                "as claimed": (trained, kin, usual),
                "as claimed, were nothing assumed of honest models": (trained, kin, none),
                f"with {VERIFIERS} honest models of the verifier's": (
                    np.concatenate([trained, tested[mine]]), np.concatenate([kin, np.zeros(int(mine.sum()), bool)]),
                    usual,
                ),
                "with honest models trained on the verifier's pool, and nothing assumed": (
                    np.concatenate([trained, second]), np.concatenate([kin, found["second roles"] == "kin peer"]), none,
                ),
            }  # fmt: skip
            for name, (peers, its_kin, rule) in panels.items():
                again = [deciding.decide(int(k), n, 1.0, peers, its_kin, 1.0, rule) for k in tested[~mine]]
                results[name].append(accepted(again))
        told[statistic] = {name: share(np.concatenate(some)) for name, some in results.items()}

    return told


def cherry_picking(cases: dict[str, Answers]) -> dict[str, Any]:
    """
    The best 50 of 5,000 probes against each honest model: what a list would prove, and what the derivation makes of it.

    A list is refused unless it is the derived one; picking fifty of the sides asked is no such list in any case.
    """
    naive, refused, total = [], 0, 0
    rng = np.random.default_rng(0)
    for found in cases.values():
        honest = np.array([str(kind).startswith("honest") for kind in found["kinds"]])
        m = len(found["bits"])
        own = np.repeat([0, 1], m)
        offered = rng.permutation(2 * m)[:OFFERED]
        same = found["models"][honest][:, offered] == own[offered]
        rate = same.mean(1)
        naive += [deciding.tail(int(min(k, PICKED)), PICKED, r) for k, r in zip(same.sum(1), rate, strict=True)]
        bits = found["bits"][:1024].astype(int)  # of a small pool fewer ways are left
        derived = set((np.arange(len(bits)) + m * bits).tolist())
        for row in same:
            picked = set(offered[np.flatnonzero(row)[:PICKED]].tolist())
            refused += picked != derived
            total += 1

    return {
        "naive p-value at most 1e-6, were a list taken": share(np.array(naive) <= 1e-6),
        "median naive p-value": float(np.median(naive)), "lists refused": {"refused": refused, "of": total},
    }  # fmt: skip


def grinding(cases: dict[str, Answers], models: int) -> dict[str, Any]:
    """
    The best of 100,000 keys against each honest model, without a beacon: bits drawn anew for every key.

    The ways are held fixed: what a key may gain by bits alone, on the ways of which the fewest peers cross.
    """
    generator = generator_of("targeted", 1024)
    rng = np.random.default_rng(0)
    single, final, reserved = [], [], []
    for found in cases.values():
        n, m = min(generator.ways, len(found["bits"])), len(found["bits"])
        honest = np.array([str(kind).startswith("honest") for kind in found["kinds"]])
        rows = found["models"][honest][: models // len(cases) + 1]
        kin = found["roles"] == "kin peer"
        before = (rows[:, :n] == 0).astype(np.float32)
        after = (rows[:, m : m + n] == 1).astype(np.float32)
        best, bits_of = np.full(len(rows), -1.0), np.zeros((len(rows), n), np.int8)
        for _ in range(KEYS // 2000):
            bits = rng.integers(0, 2, (2000, n)).astype(np.float32)
            hits = bits @ after.T + (1 - bits) @ before.T
            top = hits.argmax(0)
            better = hits[top, np.arange(len(rows))] > best
            best = np.maximum(best, hits.max(0))
            bits_of[better] = bits[top[better]]
        peers = found["peers"]
        for k, bits in zip(best, bits_of, strict=True):
            theirs = (np.where(bits == 1, peers[:, m : m + n], peers[:, :n]) == bits).sum(1)
            for times, shared, into in ((1.0, 0.0, single), (deciding.RESERVE, usually(found), final)):
                rule = rule_of(generator, shared)
                into.append(deciding.decide(int(k), n, 1.0, theirs, kin, times, rule))
        copies = decided(found, generator, beacon=False)["findings"]
        reserved += [f.outcome == "match" for f, kind in zip(copies, found["kinds"], strict=True) if kind in WEIGHTS]

    return {
        "keys": KEYS, "least p-value of all, corrected for nothing": min(f.p_query for f in single),
        "accepted if keys were not corrected for and nothing assumed of honest models": share(accepted(single)),
        "accepted": share(accepted(final)),
        "weight-level copies accepted without a beacon": share(np.array(reserved)),
    }  # fmt: skip


def ambiguity(trials: int = 1000) -> dict[str, Any]:
    """Two claims on one model, each with trusted times: the earlier wins, and equal times never make a winner."""
    rng = np.random.default_rng(0)
    right: dict[Literal["earlier", "equal"], int] = {"earlier": 0, "equal": 0}
    for _ in range(trials):
        first = stamps(sorted(rng.integers(1_700_000_000, 1_800_000_000, 2).tolist()))
        latest = first[1].time.timestamp()
        second = stamps([latest + 3 + int(rng.integers(1_000_000)), latest + 2_000_000])
        swap = bool(rng.integers(2))
        won = timestamps.earlier(*((second, first) if swap else (first, second)))
        right["earlier"] += won == ("second" if swap else "first")
        right["equal"] += timestamps.earlier(first, first) == "ambiguous"

    return {"trials": trials, "earlier trusted time wins": right["earlier"], "equal times ambiguous": right["equal"]}


def stamps(seconds: Sequence[float]) -> list[Stamp]:
    """What authorities say at these seconds since 1970, each within a second."""
    times = [datetime.datetime.fromtimestamp(at, datetime.timezone.utc) for at in seconds]
    return [Stamp(str(i), at, datetime.timedelta(seconds=1), str(i), i, "1.2") for i, at in enumerate(times)]


def read(folder: Path, kind: str) -> dict[str, Answers]:
    """What was measured whole, by task and source; the zoo's seed stays in the name."""
    found = {}
    for file in sorted(folder.glob(f"*-{kind}.npz")):
        answers = dict(np.load(file))
        if finished(answers, kind):
            found[file.stem.removesuffix(f"-{kind}")] = answers

    return found


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    honest = read(options.folder, "honest")
    told: dict[str, Any] = {
        "generator": Generator("targeted").to_json(), "sources": sorted(honest),
        "claims of owners": honest_claims(honest), "cherry-picking": cherry_picking(honest),
        "grinding": grinding(honest, 300), "ambiguity": ambiguity(),
    }  # fmt: skip
    for kind, name in (("surrogates", "optimised on five surrogates"), ("mislabelled", "mislabelled pool")):
        measured = read(options.folder, kind)
        if measured:
            told[name] = {"sources": sorted(measured), **attack(measured)}
    options.output.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
