"""Figures of free text: who writes so, asked about other prompts, and who derives from whom, by the same prompts."""

import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lineage_pairs
import numpy as np
from language_measures import Rows, equal_error, interval
from probe_match.fingerprinting.bench.measures import roc_auc, tpr_at
from probe_match.fingerprinting.chat import same_prompts, style_space
from sklearn.feature_extraction.text import TfidfVectorizer


def texts(folder: Path, draws: int, say: Callable[[str], None]) -> tuple[Rows, Rows]:
    """Prompt-disjoint identification by style, and same-prompt lineage."""
    told = json.loads(lzma.decompress((folder / "alpaca-eval-outputs.json.xz").read_bytes()))["outputs"]
    names = sorted(told)
    rng = np.random.default_rng(0)
    order = rng.permutation(400)
    known = np.sort(rng.permutation(len(names))[:100])
    style = _style(told, names, order[:200], order[200:], known, draws, say)
    style += _style(told, names, order[:320], order[320:], known, draws, say, alone="ours, by 320 answers")

    return sorted(style, key=lambda row: int(row[0])), _lineage(told, names, draws, say)


def _style(
    told: Any,
    names: list[str],
    learn: np.ndarray,
    test: np.ndarray,
    known: np.ndarray,
    draws: int,
    say: Any,
    alone: str = "",
) -> Rows:
    """alone: what our method is called where nothing else is measured."""
    space = style_space.fit({names[i]: [told[names[i]][p] or "" for p in learn] for i in known})
    writers = [style_space.enroll([told[n][p] or "" for p in learn], space) for n in names]
    placed = [style_space.place([told[n][p] or "" for p in test], space) for n in names]
    weigh = TfidfVectorizer(sublinear_tf=True, min_df=3, max_features=20_000, dtype=np.float32)
    weigh.fit([told[names[i]][p] or "" for i in known for p in learn])
    centres = np.vstack([weigh.transform([told[n][p] or "" for p in learn]).mean(0) for n in names])
    centres = np.asarray(centres) / np.linalg.norm(centres, axis=1, keepdims=True)
    words = [weigh.transform([told[n][p] or "" for p in test]) for n in names]
    say("style")
    everyone, unknown = np.arange(len(names)), np.setdiff1d(np.arange(len(names)), known)
    rows = []
    for many in (1, 8, 32):
        found: dict[str, list[Any]] = {}
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            picked = [rng.choice(len(test), many, replace=False) for _ in names]
            suspects = [style_space.Writer(placed[i][picked[i]].mean(0), many) for i in everyone]
            mean = np.array([suspect.mean for suspect in suspects])
            spread = np.linalg.norm(mean[:, None] - np.array([w.mean for w in writers]), axis=2)
            text = np.vstack([np.asarray(words[i][picked[i]].mean(0)) for i in everyone])
            ratios = np.array([style_space.log_ratio(suspect, writers, space) for suspect in suspects])
            nearest = text @ centres.T / np.maximum(np.linalg.norm(text, axis=1, keepdims=True), 1e-9)
            methods = {
                "TF-IDF nearest neighbour": nearest,
                "nearest centroid, as LLMmap decides (our features)": -spread,
                "ours": ratios,
            }
            methods = {alone: ratios} if alone else methods
            for name, scores in methods.items():
                eer, tpr, _ = equal_error(scores, everyone)
                among = scores[:, known]
                top = float((among[known].argmax(1) == np.arange(len(known))).mean())
                found.setdefault(name, []).append((top, eer, tpr, roc_auc(among[known].max(1), among[unknown].max(1))))
        for name, values in found.items():
            top, eer, tpr, auc = map(list, zip(*values, strict=True))
            rows.append([str(many), name, interval(top), interval(eer, 2, True), interval(tpr), interval(auc)])
    return rows


def _lineage(told: Any, names: list[str], draws: int, say: Any) -> Rows:
    alike = same_prompts.similarities([[told[n][p] or "" for p in range(400)] for n in names])
    say("lineage")
    pairs = [(i, j) for i in range(len(names)) for j in range(i)]
    i, j = np.array(pairs).T
    related = lineage_pairs.related()
    families = np.array([lineage_pairs.family(name) for name in names])
    is_kin = np.array([tuple(sorted((names[a], names[b]))) in related for a, b in pairs])
    foreign = (families[i] != families[j]) & (families[i] >= 0) & (families[j] >= 0) & ~is_kin
    rows = []
    for many in (8, 16, 32, 64):
        found: dict[str, list[Any]] = {}
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            mean = alike[rng.choice(400, many, replace=False)].mean(0).astype(float)
            for name, scores in (("TF-IDF cosine", mean), ("ours", same_prompts.lineage(mean))):
                values = scores[i, j]
                auc, tpr = roc_auc(values[is_kin], values[foreign]), tpr_at(values[is_kin], values[foreign], 0.01)
                found.setdefault(name, []).append((auc, tpr))
        for name, values in found.items():
            auc, tpr = map(list, zip(*values, strict=True))
            pairs_ = f"{is_kin.sum()} / {foreign.sum()}"
            rows.append([str(many), name, pairs_, interval(auc), interval(tpr)])
    return rows
