"""`claim key · commit · run · reveal · verify`: exit codes, files and refusals, by small cases of models at hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from claims_world import OTHER_PEM, PEM, POOL
from click.testing import CliRunner, Result
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.errors import ProbeMatchError

MINE, STOLEN, OTHER = (f"function:claims_world:{name}" for name in ("mine", "stolen", "other"))
SECRET = "07" * 32  # fixed, so that the case is the same in every run
PULSE = {"source": "dice", "round": 3, "value": "0f" * 32}


def claim(*words: object, **environment: str) -> Result:
    return CliRunner().invoke(cli, ["claim", *map(str, words)], env=environment)


def reveal(at: Path, output: str, *words: object) -> Result:
    return claim(
        "reveal",
        at / "case.mfpb",
        "--owner-key",
        at / "owner.key",
        "--seal",
        at / "seal.pem",
        "-o",
        at / output,
        *words,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A case that was committed to and run against a copy, with eight honest models and one at hand."""
    at = tmp_path_factory.mktemp("claim")
    np.savez(at / "pool.npz", x=POOL.x, y=POOL.y)
    (at / "seal.pem").write_bytes(PEM)
    (at / "pulse.json").write_text(json.dumps(PULSE))
    (at / "owner.key").write_text(SECRET)
    (at / "owner.key").chmod(0o600)
    assert commit(at).exit_code == 0
    assert run(at, STOLEN, at / "case.mfpb").exit_code == 3
    return at


def commit(at: Path, *words: object) -> Result:
    return claim(
        "commit", MINE, "--pool", at / "pool.npz", "--book", at / "cases.jsonl", "--owner-key", at / "owner.key",
        "--seal", at / "seal.pem", "--ways", 48, "--candidates", 192, "--peers", 8, "--peer", OTHER,
        *(words or ("--beacon", "dice:3")),
    )  # fmt: skip


def run(at: Path, suspect: str, output: Path, *words: object) -> Result:
    return claim(
        "run", suspect, "--source", MINE, "--pool", at / "pool.npz", "--book", at / "cases.jsonl", "--beacon",
        at / "pulse.json", "--peer", OTHER, "--owner-key", at / "owner.key", "--seal", at / "seal.pem", "-o", output,
        "--jobs", 1, *words,
    )  # fmt: skip


def test_a_case_goes_its_way(folder: Path) -> None:
    """Revealed whole it is valid, exit code 0, with what so few honest models can show; the private part is private."""
    shown = reveal(folder, "opened.mfpb")
    checked = claim("verify", folder / "opened.mfpb", "--source", MINE, "--retrain", "--jobs", 1)
    told = json.loads(claim("verify", folder / "opened.mfpb", "--json").output)

    assert (shown.exit_code, checked.exit_code) == (0, 0)
    assert "inconclusive: function:claims_world:stolen" in checked.output
    assert "trained again give 100.0% of the recorded readings" in checked.output
    assert told["result"]["finding"]["hits"] > told["result"]["finding"]["nearest_hits"]
    assert (folder / "case.mfpb.private").stat().st_mode & 0o777 == 0o600


def test_what_is_not_opened_is_incomplete(folder: Path) -> None:
    """A closed case, and one of which a leaf was opened, are valid with exit code 3."""
    only = reveal(folder, "1.mfpb", "--only", 2)

    assert only.exit_code == 0
    assert claim("verify", folder / "case.mfpb").exit_code == claim("verify", folder / "1.mfpb").exit_code == 3


def test_what_was_changed_is_invalid(folder: Path) -> None:
    """Exit code 1 for a changed case and for another owner, and an error for what is none."""
    data = (folder / "case.mfpb").read_bytes()
    (folder / "changed.mfpb").write_bytes(data.replace(b'"audits":1', b'"audits":0'))
    (folder / "none.mfpb").write_bytes(b"nothing")

    with pytest.raises(ProbeMatchError, match="no bundle"):
        raise_from(claim("verify", folder / "none.mfpb"))
    with pytest.raises(ProbeMatchError, match="was changed"):  # the zip's own sum is wrong already
        raise_from(claim("verify", folder / "changed.mfpb"))
    assert claim("verify", folder / "case.mfpb", "--owner", "00" * 32).exit_code == 1


def raise_from(result: Result) -> None:
    assert result.exception is not None
    raise result.exception


def test_other_owners_models_are_told_apart(folder: Path) -> None:
    """A case whose places are not those of the model that is shown is invalid."""
    reveal(folder, "opened.mfpb")

    assert claim("verify", folder / "opened.mfpb", "--source", OTHER).exit_code == 1
    assert claim("verify", folder / "opened.mfpb", "--honest", OTHER, "--again", STOLEN).exit_code == 0
    assert claim("verify", folder / "opened.mfpb", "--again", OTHER).exit_code == 3
    assert claim("verify", folder / "opened.mfpb", "--retrain").exit_code == 2


def test_without_trusted_times_nobody_was_first(folder: Path) -> None:
    """Two cases on one model without timestamps are ambiguous, which a person must look at."""
    reveal(folder, "opened.mfpb")
    told = claim("verify", folder / "opened.mfpb", "--against", folder / "case.mfpb")

    assert told.exit_code == 3
    assert "committed to first: neither" in told.output


def test_hand_picked_lists_are_refused(folder: Path) -> None:
    """No list of probes is taken, wherever it comes from."""
    refused = commit(folder, "--beacon", "dice:3", "--suite", "best.npz")

    assert refused.exit_code == 2
    assert "picked by hand" in refused.output


def test_a_case_is_run_once(folder: Path) -> None:
    """A case that was run, or followed by another, is not run again, and a book takes one owner's seal."""
    (folder / "other.pem").write_bytes(OTHER_PEM)
    again = run(folder, STOLEN, folder / "again.mfpb")
    foreign = commit(folder, "--beacon", "dice:3", "--seal", folder / "other.pem")

    assert again.exit_code == 2
    assert "no case to run" in again.output
    with pytest.raises(ProbeMatchError, match="one owner"):
        raise_from(foreign)
    assert not (folder / "again.mfpb").exists()


def test_a_beacon_is_waited_for(folder: Path) -> None:
    """A commitment names a round to come, or says that there is none; a run takes that round alone."""
    assert commit(folder, "--retries", 0).exit_code == 2
    assert commit(folder, "--beacon", "dice").exit_code == 2
    assert commit(folder, "--beacon", "dice:4", "--no-beacon").exit_code == 2


def test_a_new_key_is_written_once(tmp_path: Path) -> None:
    """`claim key` writes a secret that only its owner can read, shows its hash alone, and replaces nothing."""
    made = claim("key", tmp_path / "owner.key")

    assert made.exit_code == 0
    assert (tmp_path / "owner.key").read_text().strip() not in made.output
    with pytest.raises(ProbeMatchError, match="there already"):
        raise_from(claim("key", tmp_path / "owner.key"))


def test_the_key_comes_from_the_environment(folder: Path) -> None:
    """PROBE_MATCH_OWNER_KEY stands for the file, and neither is ever shown."""
    words = ("reveal", folder / "case.mfpb", "--seal", folder / "seal.pem", "-o", folder / "env.mfpb")
    shown = claim(*words, PROBE_MATCH_OWNER_KEY=SECRET)

    assert shown.exit_code == 0
    assert SECRET not in shown.output
    with pytest.raises(ProbeMatchError, match="PROBE_MATCH_OWNER_KEY"):
        raise_from(claim(*words))
