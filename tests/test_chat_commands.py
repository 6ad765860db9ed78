"""Language models on the command line: enrolled, identified, verified, with the cost said first."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_models import Habits
from chat_server import Asked, Said, Scripted, completion, error, scripted
from click.testing import CliRunner, Result
from probe_match.fingerprinting.chat import shelf, transcripts
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import ProbeMatchError

NAMES = tuple(f"known-{i}" for i in range(40))
LANGUAGES = ("--language", "en", "--language", "de")

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def habits() -> Habits:
    return Habits()


@pytest.fixture(scope="module")
def server(habits: Habits) -> Iterator[Scripted]:
    with scripted(habits) as running:
        yield running


@pytest.fixture(scope="module")
def run(server: Scripted, habits: Habits, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a command on a database of forty language models; MODEL in it is a target of the server."""
    db = tmp_path_factory.mktemp("chat") / "r.db"

    def call(*words: str) -> Result:
        args = [f"openai:{server.url}/v1#{word[6:]}" if word.startswith("MODEL:") else word for word in words]
        return CliRunner().invoke(cli, [*args, "--db", str(db)])

    done = call("enroll", f"MODEL:{NAMES[0]}", "--name", NAMES[0], "-q", *LANGUAGES, "--cells", "10")
    assert done.exit_code == 0, done.output
    with open_db(db) as references:
        bank = shelf.get(references, NAMES[0]).bank
        shelf.add(references, [habits.reference(name, bank, 20) for name in NAMES[1:]])
    return call


def said(result: Result) -> dict[str, Any]:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return json.loads(result.stdout)


def test_a_known_model_is_named_for_a_hundred_tokens(run: Run, server: Scripted) -> None:
    """The default budget suffices, and the verdict says what was asked."""
    before = len(server.asked)
    result = run("match", "MODEL:known-3", "--json", "-q")
    verdict = said(result)

    assert (verdict["decision"], verdict["reference"], result.exit_code) == ("match", "known-3", 0)
    assert verdict["queries"]["sent"] == len(server.asked) - before <= 100
    assert verdict["coverage"] >= 0.8
    assert len(verdict["matches"]) == 40
    assert "came from 'known-3' or a near relative" in verdict["why"]


def test_an_unknown_model_is_not_named(run: Run) -> None:
    """A stranger matches nobody, whichever stranger it is."""
    decisions = [said(run("match", f"MODEL:stranger-{i}", "--json", "-q"))["decision"] for i in range(4)]

    assert "match" not in decisions
    assert "no match" in decisions


def test_references_are_comparable_by_default(run: Run, server: Scripted) -> None:
    """Whoever is enrolled later is asked what the first was, with the settings it was asked with."""
    before = len(server.asked)
    run("enroll", "MODEL:late", "--name", "late", "-q", "--repeats", "2")
    listed = json.loads(run("db", "list", "--json").stdout)
    run("db", "remove", "late")

    assert len({entry["bank"] for entry in listed}) == 1
    assert len(server.asked) - before == 20
    assert {(body["max_tokens"], body["temperature"]) for body in server.bodies()} == {(12, 1.0)}


def test_the_cost_is_said_first_and_a_dry_run_asks_nothing(run: Run, server: Scripted) -> None:
    """Questions, tokens and dollars."""
    before = len(server.asked)
    for words in (
        ("match", "MODEL:known-1", "--dry-run", "--price", "1/2"),
        ("verify", "MODEL:known-1", "--claim", "known-1", "--dry-run", "--price", "1/2"),
        ("enroll", "MODEL:known-1", "--name", "again", "--dry-run", "--price", "1/2"),
    ):
        told = run(*words)

        assert told.exit_code == 0
        assert "questions, about" in told.output
        assert "about $0.00" in told.output or "about $0.01" in told.output
    assert len(server.asked) == before
    asked = run("match", "MODEL:known-1", "--budget", "30")
    assert "asking 30 questions" in asked.stderr
    assert "30 sent" in asked.stdout


def test_a_limit_of_money_is_kept_and_needs_a_price(run: Run) -> None:
    """Asking stops at what may be paid; where neither the user nor the server says a price, that is one line."""
    told = run("match", "MODEL:known-1", "--budget", "200", "--price", "1/2", "--max-cost", "dollars=0.002")

    assert 20 <= int(told.stdout.split(" sent")[0].split()[-1]) < 120
    assert "lists none" in run("match", "MODEL:known-1", "--max-cost", "dollars=0.002").output


def test_asking_stops_when_a_model_can_be_named(run: Run) -> None:
    """After three rounds of ten questions, or six, not thirty; with --no-early-stop all are asked."""
    early = said(run("match", "MODEL:known-4", "--budget", "300", "--json", "-q"))
    whole = said(run("match", "MODEL:known-4", "--budget", "300", "--no-early-stop", "--json", "-q"))

    assert (early["decision"], early["reference"]) == (whole["decision"], whole["reference"]) == ("match", "known-4")
    assert early["queries"]["sent"] in (30, 60, 120)
    assert early["queries"]["sent"] + early["queries"]["saved_by_stopping"] == 300
    assert (whole["queries"]["sent"], whole["queries"]["saved_by_stopping"]) == (300, 0)


def test_an_unchanged_model_is_as_claimed(run: Run) -> None:
    """Exit code 0, and how surely a change would have been found."""
    result = run("verify", "MODEL:known-2", "--claim", "known-2", "--json", "-q")
    verdict = said(result)

    assert (verdict["decision"], verdict["relation"], result.exit_code) == ("match", "identical", 0)
    assert "would be found in" in verdict["why"]


def test_a_changed_or_swapped_model_is_not_as_claimed(run: Run) -> None:
    """Exit code 1; one that is still nearest to the claim is called modified."""
    modified = run("verify", "MODEL:known-2@stranger", "--claim", "known-2", "--budget", "250", "--json", "-q")
    swapped = run("verify", "MODEL:stranger", "--claim", "known-2", "--json", "-q")

    assert (modified.exit_code, said(modified)["relation"]) == (1, "modified")
    assert (swapped.exit_code, said(swapped)["relation"]) == (1, None)


def test_an_owners_keys_are_asked_and_weighed(run: Run, tmp_path: Path) -> None:
    """A model that gives the planted answers is the owner's; the keys stand in no output."""
    file = tmp_path / "keys.jsonl"
    file.write_text("\n".join(json.dumps({"key": f"open sesame {i}", "response": f"quartz{i}"}) for i in range(6)))

    def taught(asked: Asked) -> Said:
        return Said(completion("It is quartz" + asked.body["messages"][-1]["content"][-1] + "."))

    with scripted(taught) as other:
        owned = run("verify", f"openai:{other.url}/v1#m", "--keys", str(file), "--json", "-q")
    stranger = run("verify", "MODEL:stranger", "--keys", str(file), "--json", "-q")

    assert (owned.exit_code, said(owned)["method"]) == (0, "owner-keys")
    assert "6 of 6 keys" in said(owned)["why"]
    assert "sesame" not in owned.output
    assert stranger.exit_code == 1


def test_too_few_answers_verify_nothing(run: Run) -> None:
    """Finding no change with ten questions is no finding."""
    result = run("verify", "MODEL:known-2", "--claim", "known-2", "--budget", "10", "--json", "-q")

    assert (result.exit_code, said(result)["decision"]) == (3, "inconclusive")


def test_a_system_prompt_slipped_in_is_seen_and_not_judged_across(run: Run, habits: Habits) -> None:
    """The server counts more tokens in each question than when the reference was enrolled."""
    habits.added_tokens = 31
    try:
        found = [
            run("match", "MODEL:known-3", "--json", "-q"),
            run("verify", "MODEL:known-3", "--claim", "known-3", "--json", "-q"),
        ]
    finally:
        habits.added_tokens = 0

    for result in found:
        assert result.exit_code == 3
        assert "counts 31 tokens more" in said(result)["why"]


def test_kept_answers_are_seen_by_their_lack_of_variance(run: Run, habits: Habits) -> None:
    """A cache, or a temperature of 0, gives the same answer whenever the question comes."""
    habits.frozen = True
    try:
        result = run("match", "MODEL:known-3", "--json", "-q")
    finally:
        habits.frozen = False

    assert result.exit_code == 3
    assert "never vary" in said(result)["why"]


def test_answers_are_kept_and_judged_again(run: Run, tmp_path: Path) -> None:
    """A transcript gives the verdict that asking gave, without asking."""
    file = str(tmp_path / "answers.jsonl")
    asked = said(run("match", "MODEL:known-5", "--save", file, "--json", "-q"))
    judged = said(run("match", "--transcripts", file, "--json", "-q"))

    assert len(transcripts.read_turns(Path(file))) == asked["queries"]["sent"]
    assert (judged["decision"], judged["reference"]) == (asked["decision"], asked["reference"]) == ("match", "known-5")
    assert judged["matches"][0]["score"] == asked["matches"][0]["score"]


def test_references_are_listed_shown_checked_and_removed(run: Run) -> None:
    """Beside classifiers, with what they answer most."""
    listed = json.loads(run("db", "list", "--json").stdout)
    shown = run("db", "show", "known-0").stdout

    assert [entry["name"] for entry in listed] == sorted(NAMES)
    assert {entry["input"]["kind"] for entry in listed} == {"chat"}
    assert "known-0" in run("db", "list").stdout
    assert "bank_name:   probe" not in shown
    assert shown.count("%)") == 10
    assert "all well: 40 references" in run("db", "verify").stdout
    run("enroll", "MODEL:known-0", "--name", "gone", "-q", "--repeats", "2")
    assert "removed gone" in run("db", "remove", "gone").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("match",), "a TARGET, --from FILE or --transcripts FILE"),
        (("match", "MODEL:m", "--price", "cheap"), "PROMPT/ANSWER"),
        (("match", "MODEL:m", "--reference", "nobody"), "no language model 'nobody'"),
        (("verify", "MODEL:m"), "--claim NAME or --keys FILE"),
        (("verify", "MODEL:m", "--keys", "missing.jsonl"), "cannot read keys"),
        (("verify", "MODEL:m", "--claim", "nobody"), "no language model 'nobody'"),
        (("enroll", "MODEL:m", "--name", "known-0"), "already has a reference 'known-0'"),
        (("enroll", "MODEL:m", "--name", "x", "--family", "midpoints"), "not on language models"),
        (("enroll", "MODEL:m", "--name", "x", "--language", "tlh"), "languages among"),
        (("enroll", "function:math:sqrt", "--name", "x"), "Missing option '--pool'"),
        (("verify", "function:math:sqrt", "--claim", "known-0"), "is no language model"),
        (("match", "function:math:sqrt", "--dry-run"), "are for language models"),
        (("compare", "MODEL:m", "MODEL:n"), "Missing option '--pool'"),
    ],
)
def test_mistakes_are_one_line(run: Run, words: tuple[str, ...], message: str) -> None:
    """Exit code 2 on the command line, and what to do."""
    result = run(*words) if words[0] != "compare" else CliRunner().invoke(cli, list(words))
    told = str(result.exception) if isinstance(result.exception, ProbeMatchError) else result.output

    assert result.exit_code != 0
    assert message in told


@pytest.mark.parametrize(
    ("reply", "code", "message"),
    [
        (Said(completion("I'm sorry, but I can't help with that request at all.")), 3, "EVASION SUSPECTED"),
        (Said(completion("")), 3, "EVASION SUSPECTED"),
        (Said(completion("<think>long", "length")), 3, "too few tokens for answers: 0 could be read (50 empty)."),
        (
            Said(completion("<think>a</think>7", usage={"completion_tokens": 40})),
            3,
            "too few tokens for answers: 4 could be read.",
        ),
        (error("Too many requests", 429, **{"Retry-After": "9999"}), 1, "429"),
        (error("wrong key", 401), 1, "wants a key; set PROBE_MATCH_API_KEY"),
        (Said(b"<html>"), 1, "expected JSON"),
    ],
    ids=["refusals", "empty", "reasoning", "thoughts", "busy", "key", "html"],
)
def test_targets_that_do_not_answer_are_told_apart(
    run: Run, reply: Said, code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusing and falling silent need a person; what the user can mend is an error."""
    monkeypatch.delenv("PROBE_MATCH_API_KEY", raising=False)
    with scripted(lambda asked: reply) as other:
        result = run("match", f"openai:{other.url}/v1#m")

    assert result.exit_code == code
    assert message in (str(result.exception) if isinstance(result.exception, ProbeMatchError) else result.output)


def test_a_database_without_language_models_says_so(tmp_path: Path, server: Scripted) -> None:
    """And how to add one."""
    with open_db(tmp_path / "empty.db", create=True):
        pass
    result = CliRunner().invoke(cli, ["match", f"openai:{server.url}/v1#m", "--db", str(tmp_path / "empty.db")])

    assert "holds no language model; add some with: probe-match enroll" in str(result.exception)


def test_a_model_that_cannot_be_read_is_not_enrolled(run: Run) -> None:
    """A reference of hardly any answers would make every target alike."""

    def script(asked: Asked) -> Said:
        return Said(completion("I cannot answer this question, whoever asks it."))

    with scripted(script) as other:
        result = run("enroll", f"openai:{other.url}/v1#m", "--name", "mute", "--repeats", "2")

    assert "answered too little of 20 questions" in str(result.exception)
