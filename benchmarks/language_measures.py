"""What the parts of the figures of language models share: rates, intervals, tables."""

import numpy as np

Rows = list[list[str]]


def interval(values: list[float], digits: int = 3, percent: bool = False) -> str:
    """Mean and its 95 % interval over the repetitions."""
    found = np.array(values, float) * (100 if percent else 1)
    half = 1.96 * found.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else 0.0
    return f"{found.mean():.{digits}f} ± {half:.{digits}f}"


def equal_error(scores: np.ndarray, suspects: np.ndarray) -> tuple[float, float, float]:
    """Equal error rate, TPR at 1 % and top-1 of some suspects; rows are suspects, the diagonal is genuine."""
    genuine, off = np.diag(scores)[suspects], ~np.eye(len(scores), dtype=bool)
    impostor = scores[suspects][off[suspects]]
    cuts = np.sort(np.r_[genuine, impostor])
    miss = np.searchsorted(np.sort(genuine), cuts) / len(genuine)
    alarm = 1 - np.searchsorted(np.sort(impostor), cuts) / len(impostor)
    at = np.argmin(abs(miss - alarm))
    top = float((scores[suspects].argmax(1) == suspects).mean())
    return float(miss[at] + alarm[at]) / 2, float((genuine > np.quantile(impostor, 0.99)).mean()), top


def share(count: int, of: int) -> str:
    """A share and its 95 % interval (Wilson 1927), one sided where nothing or everything was counted."""
    z = 1.96
    middle, half = (count + z * z / 2) / (of + z * z), z * np.sqrt(count * (of - count) / of + z * z / 4) / (of + z * z)
    return f"{count / of:.3f} [{max(middle - half, 0):.3f}, {min(middle + half, 1):.3f}]"


def table(titles: str, rows: Rows) -> str:
    """Markdown. titles: separated by |."""
    heads = titles.split("|")
    lines = ["| " + " | ".join(cells) + " |" for cells in [heads, ["---"] * len(heads), *rows]]
    return "\n".join(lines)
