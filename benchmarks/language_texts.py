"""Figures of free text: who writes so, asked about other prompts, and who derives from whom, by the same prompts."""

import json
import lzma
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import lineage_pairs
import numpy as np
from language_measures import equal_error, interval
from probe_match.fingerprinting.bench.measures import roc_auc, tpr_at
from probe_match.fingerprinting.chat import same_prompts, style_space
from sklearn.feature_extraction.text import TfidfVectorizer

FILE: Final = "alpaca-eval-outputs.json.xz"
PROMPTS: Final = 400
FOLD: Final = 40  # prompts of the half that nothing was chosen on, which suspects are asked about
ENROLLED: Final = (100, 200, 300, PROMPTS - FOLD)  # of the others, by which models are enrolled, the first half's first
STYLE: Final = ("top-1 of 100", "EER %", "TPR at 1 %", "AUROC, 50 unknown")
STYLE_HEADS: Final = "answers|enrolled by|method|" + "|".join(STYLE)
LINEAGE: Final = ("AUC", "TPR at 1 %")
LINEAGE_HEADS: Final = "prompts|method|related / foreign pairs|" + "|".join(LINEAGE)
Texts = list[list[str]]  # by model, in the order of names, and prompt


def read(folder: Path) -> tuple[list[str], Texts]:
    """Names of the models and their answers to the prompts, "" where there is none."""
    told = json.loads(lzma.decompress((folder / FILE).read_bytes()))["outputs"]
    names = sorted(told)
    return names, [[told[name][p] or "" for p in range(PROMPTS)] for name in names]


def style(texts: Texts, draws: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """
    Prompt-disjoint identification by style: a row for each number of enrolling answers, of answers and method.

    Every fold of the second half is asked about once, models being enrolled by other prompts; draws: of all folds.
    """
    rng = np.random.default_rng(0)
    order = rng.permutation(PROMPTS)
    known = np.sort(rng.permutation(len(texts))[:100])
    folds = [order[start : start + FOLD] for start in range(PROMPTS // 2, PROMPTS, FOLD)]
    rows: list[dict[str, Any]] = []
    for enrolled in ENROLLED:
        found = []
        for fold in folds:
            learn = order[~np.isin(order, fold)][:enrolled]
            found.append(_style(texts, learn, fold, known, max(1, draws // len(folds))))
            say(f"style by {enrolled} answers")
        rows += [_joined(some) for some in zip(*found, strict=True)]
    return rows


def _joined(folds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A row of all folds: their draws one after another."""
    values = {name: [one for fold in folds for one in fold["values"][name]] for name in folds[0]["values"]}
    return folds[0] | {"draws": sum(fold["draws"] for fold in folds), "values": values}


def style_rendered(row: Mapping[str, Any]) -> list[str]:
    """The cells of a row of the table, see STYLE_HEADS."""
    shown = [interval(row["values"][m], 2, True) if m == "EER %" else interval(row["values"][m]) for m in STYLE]
    return [str(row["answers"]), str(row["enrolled"]), row["method"], *shown]


def _style(texts: Texts, learn: np.ndarray, test: np.ndarray, known: np.ndarray, draws: int) -> list[dict[str, Any]]:
    taught, asked = ([[told[p] for p in prompts] for told in texts] for prompts in (learn, test))
    space = style_space.fit({str(i): taught[i] for i in known})
    writers = style_space.gather([style_space.enroll(told, space) for told in taught], space)
    placed = [style_space.place(told, space) for told in asked]
    weigh = TfidfVectorizer(sublinear_tf=True, min_df=3, max_features=20_000, dtype=np.float32)
    weigh.fit([text for i in known for text in taught[i]])
    centres = np.vstack([np.asarray(weigh.transform(told).mean(0)) for told in taught])
    centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    words = [weigh.transform(told) for told in asked]
    everyone, unknown = np.arange(len(texts)), np.setdiff1d(np.arange(len(texts)), known)
    rows = []
    for many in (1, 8, 32):
        found: dict[str, dict[str, list[float]]] = {}
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            picked = [rng.choice(len(test), many, replace=False) for _ in texts]
            chosen = [style_space.Placed(*(part[some] for part in p)) for p, some in zip(placed, picked, strict=True)]
            suspects = [style_space.writer(p) for p in chosen]
            mean = np.array([suspect.mean for suspect in suspects])
            spread = np.linalg.norm(mean[:, None] - writers.mean, axis=2)
            text = np.vstack([np.asarray(words[i][picked[i]].mean(0)) for i in everyone])
            methods = {
                "TF-IDF nearest neighbour": text @ centres.T / np.linalg.norm(text, axis=1, keepdims=True).clip(1e-9),
                "nearest centroid, as LLMmap decides (our features)": -spread,
                "ours": np.array([style_space.log_ratio(suspect, writers, space) for suspect in suspects]),
            }
            for name, scores in methods.items():
                eer, tpr, _ = equal_error(scores, everyone)
                among = scores[:, known]
                top = (among[known].argmax(1) == np.arange(len(known))).mean()
                _keep(found, name, STYLE, (top, eer, tpr, roc_auc(among[known].max(1), among[unknown].max(1))))
        rows += [
            {"answers": many, "enrolled": len(learn), "method": name, "draws": draws, "values": values}
            for name, values in found.items()
        ]
    return rows


def lineage(names: list[str], texts: Texts, draws: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Same-prompt lineage by the prompts that nothing was chosen on: a row for each number of prompts and method."""
    held_out = np.random.default_rng(0).permutation(PROMPTS)[PROMPTS // 2 :]
    alike, plain = (of([[told[p] for p in held_out] for told in texts]) for of in (same_prompts.similarities, _cosines))
    say("lineage")
    i, j = np.tril_indices(len(names), -1)
    related = lineage_pairs.related()
    families = np.array([lineage_pairs.family(name) for name in names])
    is_kin = np.array([tuple(sorted((names[a], names[b]))) in related for a, b in zip(i, j, strict=True)])
    foreign = (families[i] != families[j]) & (families[i] >= 0) & (families[j] >= 0) & ~is_kin
    rows = []
    for many in (8, 16, 32, 64):
        found: dict[str, dict[str, list[float]]] = {}
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            picked = rng.choice(len(held_out), many, replace=False)
            for name, scores in (
                ("TF-IDF cosine", plain[picked].mean(0)),
                ("ours", same_prompts.lineage(alike[picked])),
            ):
                values = scores[i, j]
                auc, tpr = roc_auc(values[is_kin], values[foreign]), tpr_at(values[is_kin], values[foreign], 0.01)
                _keep(found, name, LINEAGE, (auc, tpr))
        pairs = f"{is_kin.sum()} / {foreign.sum()}"
        rows += [
            {"prompts": many, "method": name, "pairs": pairs, "draws": draws, "values": values}
            for name, values in found.items()
        ]
    return rows


def _cosines(texts: Texts) -> np.ndarray:
    """Plain, of words and pairs of them; float32 (prompts, m, m)."""
    weigh = TfidfVectorizer(
        sublinear_tf=True, dtype=np.float32, ngram_range=(1, 2), token_pattern=r"(?u)\w+|[^\w\s]", min_df=2
    )
    rows: Any = weigh.fit_transform([text[: same_prompts.READ] for told in texts for text in told])
    prompts = len(texts[0])
    by_prompt = (rows[np.arange(len(texts)) * prompts + p] for p in range(prompts))

    return np.array([(mine @ mine.T).toarray() for mine in by_prompt])


def lineage_rendered(row: Mapping[str, Any]) -> list[str]:
    """The cells of a row of the table, see LINEAGE_HEADS."""
    return [str(row["prompts"]), row["method"], row["pairs"], *(interval(row["values"][m]) for m in LINEAGE)]


def _keep(found: dict[str, dict[str, list[float]]], name: str, measured: tuple[str, ...], values: Any) -> None:
    for what, value in zip(measured, values, strict=True):
        found.setdefault(name, {}).setdefault(what, []).append(round(float(value), 6))
