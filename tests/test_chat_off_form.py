"""Answers that are not of the form asked count as one answer more, where one reader read both sides."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chat_models import Habits
from probe_match.fingerprinting.chat import asking, judging, keeping, off_form, prepared, reading, shelf, single_token
from probe_match.fingerprinting.chat import known as knowing
from probe_match.fingerprinting.chat.importing import read_references
from probe_match.fingerprinting.chat.records import (
    OFF_FORM,
    Answer,
    Bank,
    ChatReference,
    Question,
    Transcript,
)  # fmt: skip
from probe_match.fingerprinting.chat.tallies import all_rows, rows_of, tabulate
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.lineage import spoken as spoken_trees
from probe_match.fingerprinting.records import About, Verdict
from probe_match.probes import chat_words

BANK = chat_words.generate(n=8, seed=0, languages=("en",))
HEDGE = "Well, nobody ever wanted something like that from somebody like myself!"
PROMPTS = {
    "temperature": 1.0,
    "max_tokens": 16,
    "system": {"en": "One word only."},
    "tasks": {"number": {"normalize": "integer", "prompts": {"en": "Name a number from 1 to 9."}}},
}
RAW = ["7"] * 8 + ["I cannot answer that, as an AI.", "hmm", ""]
CLASSES = ["valid"] * 8 + ["refusal", "invalid", "empty"]
LINE = {"model": "a/one", "task_id": "number", "lang": "en", "temperature": 1.0}
SHAPES = {
    "x.counts.json": {"models": {"a/one": {"number/en": {"counts": {"7": 8}, "off_format": 2, "valid": 8}}}},
    "responses.jsonl": [LINE | {"raw": raw} for raw in RAW],
    "normalized.jsonl": [LINE | {"normalized": "7", "answer_class": kind} for kind in CLASSES],
    "distributions.json": {
        "distributions": [LINE | {"n_valid": 8, "validity_rate": 0.8, "dist": {"7": 1.0}}],
    },
}


def hedging(name: str, share: float, repeats: int, seed: int = 0, reader: str = off_form.READER) -> ChatReference:
    """A model that gives a share of answers off the form, and else answers as a model of that name does."""
    drawn = Habits(seed).reference(name, BANK, repeats)
    hedged = {cell: round(share * repeats) for cell in drawn.counts}
    return replace(drawn, off_form=hedged if reader else {}, reader=reader)


def spoken(reference: ChatReference) -> Transcript:
    """A transcript with those answers."""
    said = {
        question.cell: tuple(
            Answer(text)
            for text, n in [
                *reference.counts[question.cell].items(),
                (
                    HEDGE,
                    reference.off_form.get(question.cell, 0),
                ),
            ]
            for _ in range(n)
        )
        for question in BANK.questions
    }
    return Transcript("function:m", said, BANK.digest, sent=sum(map(len, said.values())))


@pytest.mark.parametrize("name", list(SHAPES))
def test_every_published_shape_tells_how_many_answers_were_of_another_form(tmp_path: Path, name: str) -> None:
    """Refused and unreadable answers are kept beside the counts, which stay as they were; empty ones are not."""
    told = SHAPES[name]
    text = "\n".join(map(json.dumps, told)) if isinstance(told, list) else json.dumps(told)
    (tmp_path / name).write_text(text)
    (tmp_path / "q.json").write_text(json.dumps(PROMPTS))
    (reference,) = read_references(tmp_path / name, tmp_path / "q.json")

    assert reference.counts == {"number/en": {"7": 8}}
    assert reference.off_form == {"number/en": 2}
    assert reference.asked == {"number/en": 10}
    assert not off_form.told([reference])  # another reader's


@pytest.mark.parametrize(("told", "reader"), [({"off_format": 0}, "single-token-2026"), ({}, "")])
def test_whoever_tells_of_none_is_not_whoever_does_not_tell(tmp_path: Path, told: dict[str, int], reader: str) -> None:
    """A model that keeps to the form is known to; a file that says nothing about that leaves it unknown."""
    cell = {"counts": {"7": 8}} | told
    (tmp_path / "x.counts.json").write_text(json.dumps({"models": {"a/one": {"number/en": cell}}}))
    (tmp_path / "q.json").write_text(json.dumps(PROMPTS))
    (reference,) = read_references(tmp_path / "x.counts.json", tmp_path / "q.json")

    assert (reference.off_form, reference.reader) == ({}, reader)


@pytest.mark.parametrize("many", [-1, 1.5, "3", True, None, [], 0.0, False, 1 << 40])
def test_numbers_of_such_answers_that_are_none_are_refused(tmp_path: Path, many: object) -> None:
    """A file that tells a negative or half an answer is broken, as is one that tells more than anybody asked."""
    cell = {"counts": {"7": 8}, "off_format": many}
    (tmp_path / "x.counts.json").write_text(json.dumps({"models": {"a/one": {"number/en": cell}}}))
    (tmp_path / "q.json").write_text(json.dumps(PROMPTS))
    with pytest.raises(BadData):
        read_references(tmp_path / "x.counts.json", tmp_path / "q.json")


@pytest.mark.parametrize("rate", [-1, 2, 1e-300, 5e-324, float("nan"), float("inf"), None])
def test_shares_of_readable_answers_that_are_none_are_refused(tmp_path: Path, rate: float | None) -> None:
    """As is one so small that nobody can have asked as often."""
    told = {"distributions": [LINE | {"n_valid": 8, "validity_rate": rate, "dist": {"7": 1.0}}]}
    (tmp_path / "distributions.json").write_text(json.dumps(told))
    (tmp_path / "q.json").write_text(json.dumps(PROMPTS))
    with pytest.raises(BadData):
        read_references(tmp_path / "distributions.json", tmp_path / "q.json")


@pytest.mark.parametrize("parser", sorted(reading.PARSERS))
def test_nobody_gives_their_mark_as_an_answer(parser: str) -> None:
    """Neither an endpoint, whatever its answer is read as, nor a stored reference or a file of counts."""
    question = Question("n", "one-word", "Which?", parser, choices=(OFF_FORM, "b"))
    for text in (OFF_FORM, OFF_FORM * 2, f"a{OFF_FORM}", f"{OFF_FORM} "):
        assert reading.read(question, Answer(text)).value != OFF_FORM


def test_stored_references_and_files_do_not_give_their_mark_as_an_answer(tmp_path: Path) -> None:
    """It would be printed, and would count where such answers do not."""
    value = keeping.to_json(hedging("known-1", 0.0, 10))
    with pytest.raises(BadData):
        keeping.from_json(ChatReference, value | {"reader": None}, "pack")
    value["counts"][BANK.questions[0].cell][OFF_FORM] = 7
    with pytest.raises(BadData):
        keeping.from_json(ChatReference, value, "pack")
    lines = [LINE | {"normalized": said, "answer_class": "valid"} for said in ["7"] * 8 + [OFF_FORM]]
    files = {
        "x.counts.json": json.dumps({"models": {"a/one": {"number/en": {"counts": {"7": 8, OFF_FORM: 1}}}}}),
        "normalized.jsonl": "\n".join(map(json.dumps, lines)),
    }
    (tmp_path / "q.json").write_text(json.dumps(PROMPTS))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(BadData):
            read_references(tmp_path / name, tmp_path / "q.json")


def test_a_transcript_counts_refused_and_unreadable_answers_alone() -> None:
    """Not those that failed, were filtered or stayed empty, and none where any text is an answer."""
    bank = Bank("b", (Question("n", "one-word", "Name a number.", "number"), Question("t", "open", "Tell me.")))
    answers = (
        *(Answer(text) for text in ("7", "None that I know of", "I'm sorry, but I cannot help with naming it.")),
        *(Answer("", status) for status in ("empty", "filtered", "failed")),
    )
    said = Transcript("m", {"n": answers, "t": (Answer("I cannot help with that."), Answer("So it is."))})

    assert reading.count(bank, said) == {"n": {"7": 1}, "t": {"So it is.": 1}}
    assert reading.count(bank, said, off_form=True) == {"n": {"7": 1, OFF_FORM: 2}, "t": {"So it is.": 1}}


def test_what_is_enrolled_tells_them_and_is_read_back(tmp_path: Path) -> None:
    """Enrolling from a transcript, and a database, keep how many there were; what tells none is stored as ever."""
    made = asking.reference_of(spoken(hedging("known-1", 0.25, 20)), BANK, name="one", about=About())
    plain = replace(made, off_form={}, reader="")
    with open_db(tmp_path / "r.db", create=True) as db:
        shelf.add(db, [made])
        back = shelf.get(db, "one")

    assert set(made.off_form.values()) == {5}
    assert back == made
    assert off_form.told([back])
    assert set(keeping.to_json(made)) - set(keeping.to_json(plain)) == {"off_form", "reader"}


def test_models_that_differ_in_them_alone_are_told_apart() -> None:
    """Verification finds a model that hedges once in six times, whose counts are spread as the reference's are."""
    known = {f"known-{i}": hedging(f"known-{i}", 0.2 * (i == 4), 30) for i in range(12)}
    score = prepared.scorer(known, alpha=0.01)

    def verdict(name: str, share: float) -> Verdict:
        said = spoken(hedging(name, share, 30, seed=5))
        return judging.verify(said, BANK, known[name], score, alpha=0.01, seed=0)

    assert [verdict("known-3", 0.0).decision, verdict("known-4", 0.2).decision] == ["match", "match"]
    for other in (verdict("known-3", 0.2), verdict("known-4", 0.0)):
        assert (other.decision, other.relation) == ("no match", "modified")


@pytest.mark.parametrize("reader", ["", "single-token-2026"])
def test_verdicts_beside_published_counts_are_as_they_were(reader: str) -> None:
    """Whether the published counts tell such answers or not, and whether the target gives any that count."""
    plain = {f"known-{i}": hedging(f"known-{i}", 0.0, 30, reader="") for i in range(12)}
    told = {name: hedging(name, 0.2, 30, reader=reader) for name in plain}
    said = spoken(hedging("known-3", 0.25, 12, seed=5))

    def verdicts(known: dict[str, ChatReference]) -> list[Verdict]:
        score = prepared.scorer(known, alpha=0.01)
        named = judging.identify(said, BANK, known, score, alpha=0.01)
        return [named, judging.verify(said, BANK, known["known-3"], score, alpha=0.01, seed=0)]

    assert [(verdict.decision, verdict.relation) for verdict in verdicts(plain)] == [
        ("match", "family"), ("match", "identical")
    ]  # fmt: skip
    assert verdicts(told) == verdicts(plain)


@pytest.mark.parametrize("reader", ["", off_form.READER])
def test_trees_tell_targets_by_them_where_all_references_do(reader: str) -> None:
    """What is taken from the targets changes a tree there alone; where one reference tells none, it is taken anyway."""
    known = {f"known-{i}": hedging(f"known-{i}", 0.4 * (i == 4), 30) for i in range(12)}
    known["known-11"] = hedging("known-11", 0.0, 30, reader=reader)
    suspects = {
        f"{name} hedging {share}": reading.count(BANK, spoken(hedging(name, share, 30, seed=5)), off_form=True)
        for name, share in (("known-3", 0.0), ("known-3", 0.4), ("known-4", 0.4), ("known-4", 0.0))
    }
    plain = {name: off_form.without(some) for name, some in suspects.items()}
    tree = spoken_trees.grow(known, suspects, resamples=20)

    p = {link.child: link.p for link in tree.links}

    assert (tree.links == spoken_trees.grow(known, plain, resamples=20).links) == (not reader)
    if reader:
        assert 5 * p["known-3 hedging 0.0"] < p["known-3 hedging 0.4"]
        assert 5 * p["known-4 hedging 0.4"] < p["known-4 hedging 0.0"]


@pytest.mark.parametrize("stored", [False, True])
def test_they_do_not_count_where_one_reference_was_read_by_another(tmp_path: Path, stored: bool) -> None:
    """With one reference that tells none, scores are as if the target's had never been read, in memory or not."""
    told = [hedging(f"known-{i}", 0.2, 20) for i in range(11)]
    mixed = [*told, hedging("known-11", 0.0, 20, reader="")]
    with_, without = (
        reading.count(BANK, spoken(hedging("known-3", 0.3, 6, seed=5)), off_form=o) for o in (True, False)
    )
    with open_db(tmp_path / "r.db", create=True) as db:
        shelf.add(db, mixed)
        held = shelf.of_bank(db, BANK.digest) if stored else {one.name: one for one in mixed}
        score = prepared.scorer(held, alpha=0.01)
        scored, plain = score(with_), score(without)
        shelf.remove(db, "known-11")
        held = shelf.of_bank(db, BANK.digest) if stored else {one.name: one for one in told}
        score = prepared.scorer(held, alpha=0.01)
        among, fewer, again = score(with_), score(without), score(with_)

    assert any(OFF_FORM in some for some in with_.values())
    assert scored.evidence == plain.evidence
    assert among.evidence != fewer.evidence
    assert again.evidence == among.evidence  # from what is kept beside the database
    assert among.evidence[0].reference == "known-3"


def test_the_closed_set_rule_joins_likelihood_and_discrepancy() -> None:
    """In their own deviations, and it tells models by answers of another form where nothing else differs."""
    rng = np.random.default_rng(0)
    cells = [f"c{i}" for i in range(20)]
    odds = {cell: rng.dirichlet(np.ones(6)) for cell in cells}
    shares = {"never": 0.0, "seldom": 0.1, "often": 0.4}

    def drawn(share: float) -> dict[str, dict[str, int]]:
        counts = {cell: rng.multinomial(15, [*(1 - share) * odds[cell], share]) for cell in cells}
        return {
            cell: {OFF_FORM if a == 6 else f"a{a}": int(n) for a, n in enumerate(some) if n}
            for cell, some in counts.items()
        }

    table = tabulate({name: drawn(share) for name, share in shares.items()}, cells)
    within = single_token.all_repeats(table)
    named = []
    for share in shares.values():
        suspect = drawn(share)
        met = single_token.meet(single_token.Suspect(*rows_of(table, suspect)), table)
        own = single_token.repeats(*all_rows(suspect, cells))
        near, apart = single_token.likelihood(met), single_token.discrepancy(met, within, own)
        rule = single_token.closed_set(met, within, own)
        by_hand = (near - near.mean()) / near.std()
        by_hand -= single_token.CLOSED_SHARE * (apart - apart.mean()) / apart.std()
        assert rule == pytest.approx(by_hand)
        named.append(table.names[int(rule.argmax())])

    assert named == list(shares)


def test_what_is_known_of_some_references_still_tells_them() -> None:
    """Taking references out of what is known keeps whether these answers count."""
    known = knowing.know({"a": {"c": {"x": 5}}, "b": {"c": {"y": 5}}, "d": {"c": {"z": 5}}}, off_form=True)

    assert knowing.comparable(known, np.array([0, 2])).off_form


def test_looks_at_a_target_count_them(tmp_path: Path) -> None:
    """Where asking may stop early, a target is read as at the end."""
    with open_db(tmp_path / "r.db", create=True) as db:
        shelf.add(db, [hedging(f"known-{i}", 0.2, 20) for i in range(12)])
        planned = asking.plan_identification(db, budget=120, stop_early=True)
        hedges = Answer(HEDGE)
        asked = Counter(question.cell for question in planned.questions)
        looks = asking._looks(Transcript("m", {cell: (hedges,) * n for cell, n in asked.items()}), planned)

    assert planned.looks
    assert [sum(some[OFF_FORM] for some in counts.values()) for counts in looks.earlier] == list(planned.looks)
