"""The page of figures on language models is written from what was measured, and from nothing else."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def models() -> ModuleType:
    """The script, whose parts import each other as scripts do."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import language_models
    finally:
        sys.path.remove(str(BENCHMARKS))
    return language_models


def test_the_page_says_what_was_measured(models: ModuleType) -> None:
    """What is committed is what the script writes from the measured rows."""
    held = json.loads(models.MEASURED.read_text(encoding="utf-8"))

    assert models.language_page.page(held) == models.PAGE.read_text(encoding="utf-8")


def test_parts_that_are_not_measured_again_stay_as_they_are(models: ModuleType, tmp_path: Path) -> None:
    """Without a folder of data the page alone is written; a part that nobody measured has no section."""
    measured, page = tmp_path / "measured.json", tmp_path / "page.md"
    values = {name: [0.98, 1.0] for name in models.language_texts.LINEAGE}
    rows = [{"prompts": 32, "method": "ours", "pairs": "38 / 8248", "draws": 2, "values": values}]
    measured.write_text(json.dumps({"lineage": rows}), encoding="utf-8")
    before = measured.read_bytes()
    models.main(["--measured", str(measured), "--page", str(page)], standalone_mode=False)
    said = page.read_text(encoding="utf-8")

    assert measured.read_bytes() == before
    assert "| 32 | ours | 38 / 8248 | 0.990 ± 0.020 | 0.990 ± 0.020 |" in said
    assert "| lineage, TPR at 1 % at least .85 | 0.990 ± 0.020 | yes |" in said
    assert "## Verdicts" not in said


def test_wrong_names_are_counted_by_whom_they_name(models: ModuleType) -> None:
    """Another model named as itself is wrong whoever it is; as family only a stranger is."""
    said = {"right, as itself": 5, "same vendor, as itself": 2, "same vendor, as family": 9, "descent, as family": 3,
            "stranger, as family": 4, "stranger, as itself": 1, "no match": 76}  # fmt: skip
    row = {"cells": 16, "answers": 3, "references": "all", "suspects": "left out", "draws": 1, "said": said}
    cells = models.language_verdicts.rendered(row)

    assert models.language_verdicts.wrong(said) == (3, 5)
    assert cells[:5] == ["16 x 3", "all", "left out", "1", "100"]
    assert [cell.split(" ")[0] for cell in cells[-2:]] == ["0.030", "0.050"]
    assert models.token_models.descent("deepcogito/cogito-v2.1-671b", "deepseek/deepseek-v3.2")
    assert not models.token_models.descent("qwen/qwen3-8b", "deepseek/deepseek-v3.2")
