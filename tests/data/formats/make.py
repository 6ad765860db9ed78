"""
Makes one file of every format that is read again. Run it with the version whose files are to be kept:

    python tests/data/formats/make.py FOLDER

and add what is of a new version. Files that are here are never made anew: they stand for those that people have.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from probe_match.clients import function, replay
from probe_match.fingerprinting import packs, schema, storage
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.chat import history, sentinels, transcripts
from probe_match.fingerprinting.chat.records import Answer, Bank, Question, Transcript
from probe_match.fingerprinting.collect import collect
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.guards import GuardedClient
from probe_match.fingerprinting.ledger import open_ledger
from probe_match.fingerprinting.records import InputSpec
from probe_match.fingerprinting.weights import digests
from probe_match.fingerprinting.weights.marks import Mark
from probe_match.fingerprinting.weights.tensors import Tensor
from samples import make_reference, make_suite


def brightness(x: np.ndarray) -> np.ndarray:
    """Labels 0 to 3, a model that needs no training."""
    return (x.reshape(len(x), -1).mean(1) * 4).astype(int)


def make(folder: Path) -> None:
    """All of them, named NAME-VERSION."""
    folder.mkdir(parents=True, exist_ok=True)
    public = make_suite(99, n=8)
    table = InputSpec(
        "tabular", (2,), low=(0.0, 0.0), high=(9.0, 1.0), features=("age", "sex"), categories=((), ("f", "m"))
    )
    storage.write_file(folder / "suite-1.npz", storage.to_bytes(make_suite(1, spec=table)))
    with open_db(folder / f"references-{schema.SCHEMA}.sqlite", create=True) as db:
        db.set_public_suite(public)
        db.add(make_reference("s0", 0, public, license="MIT"))
        db.add(make_reference("s1", 1, public, license="Apache-2.0", parent="s0"))
        packs.write(db, folder / "references-1.pmpack")
    audit = Audit(open_ledger(folder / "answers-1.ledger", target="function:brightness"))
    answers = collect(GuardedClient(function.wrap(brightness), audit), public)
    audit.close()
    replay.record(folder / "answers-1.jsonl", public, answers)
    bank = Bank(
        "two",
        (Question("coin", "chat-words", "Heads or tails?", "word"), Question("n", "chat-words", "A digit?", "number")),
    )
    said = Transcript(
        "openai:https://host/v1#m", {"coin": (Answer("heads"), Answer("tails")), "n": (Answer("7"),)}, bank.digest, 3
    )
    transcripts.write(folder / "transcript-1.jsonl", bank, said)
    past = history.History(folder / "history-1.sqlite")
    watch = past.begin(said.target, bank, sentinels.Plan(words=1, baseline=2), 5, 0)
    past.note(past.open_round(watch, "baseline"), 0, [(bank.questions[0], Answer("heads"))])
    past.close()
    tensors = [Tensor("layer.weight", "F32", (2, 2), memoryview(np.arange(4, dtype="<f4").tobytes()))]
    (folder / "weights-1.json").write_text(json.dumps(digests.digest(tensors).to_json(), indent=1) + "\n")
    mark = Mark("spread", (("layer.weight", (2, 2)),), "0f" * 16)
    (folder / "mark-1.json").write_text(json.dumps(mark.to_json(), indent=1) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
