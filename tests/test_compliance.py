"""What a policy makes of an endpoint's answers: licences, lineage, obligations, exceptions, and leave to ask."""

import datetime as dt
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from probe_match.fingerprinting import network
from probe_match.fingerprinting.compliance import auditing, authority, settings
from probe_match.fingerprinting.compliance.judging import Known, judge, line_of, standing
from probe_match.fingerprinting.compliance.records import Examined, Finding, Judged, Report
from probe_match.fingerprinting.compliance.settings import Endpoint, Policy, Retention, Settings, Waiver
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import ProbeMatchError, UsageError
from probe_match.fingerprinting.records import Match, Verdict

TODAY = dt.date(2026, 11, 25)
KNOWN = {
    "llama": Known("LicenseRef-scancode-llama-3.1-license-2024", None),
    "tuned": Known("MIT", "llama"),
    "open": Known("Apache-2.0", None),
    "bare": Known(None, None),
    "orphan": Known("MIT", "nobody-knows"),
}
POLICY = Policy(
    allow=("Apache-2.0", "MIT"), deny=("category:non-commercial", "LicenseRef-scancode-llama-3.1-license-2024")
)


def verdict(reference: str | None, *, p: float = 0.001, relation: Any = "modified", decision: Any = None) -> Verdict:
    """A verdict in which one reference leads."""
    decision = decision or ("match" if reference else "no match")
    matches = (Match(reference or "open", 5.0, 9.0, p, p, relation),)
    return Verdict(
        target="t", decision=decision, reference=reference, relation=relation if reference else None, alpha=0.01,
        method="relative", suite="sha256:0", access="label", matches=matches, sent=20, answered=20, saved=30,
        coverage=1.0, cohort=48, nearest_peer=None, why="because",
    )  # fmt: skip


def judged(found: Verdict | None, policy: Policy = POLICY, **endpoint: Any) -> Judged:
    """An endpoint with that verdict."""
    told = Examined(Endpoint("e", "onnx:x.onnx", **endpoint), found, "unanswered", "silent")
    return judge(told, KNOWN, policy, today=TODAY)


def rules(one: Judged, kind: str) -> set[str]:
    return {finding.rule for finding in one.findings if finding.kind == kind}


def test_a_permitted_model_that_is_what_it_is_said_to_be_is_compliant() -> None:
    """The licence is allowed, declared as it is, and the name is right."""
    one = judged(verdict("open", relation="identical"), declared="apache", model="open")

    assert (one.outcome, one.declared, one.concluded) == ("compliant", "Apache-2.0", "Apache-2.0")


def test_an_ancestors_licence_reaches_what_was_made_from_it() -> None:
    """A fine-tuned model under MIT is denied where its base model is, and owes what that asks for."""
    one = judged(verdict("tuned"), declared="MIT", model="Tuned by us")

    assert one.line == ("tuned", "llama")
    assert one.concluded == "MIT AND LicenseRef-scancode-llama-3.1-license-2024"
    assert rules(one, "fail") == {"licence-denied", "misdeclared", "obligation"}
    assert any("begins with “Llama”" in finding.says for finding in one.findings if finding.kind == "fail")


def test_below_the_threshold_nothing_is_more_than_a_review() -> None:
    """A finding that rests on an identity is no surer than that is; the p-value stands with it."""
    one = judged(
        verdict("tuned", p=0.005), Policy(allow=POLICY.allow, deny=POLICY.deny, threshold=0.001), declared="MIT"
    )

    assert one.outcome == "review"
    assert {finding.p_value for finding in one.findings if finding.licence} == {0.005}


def test_what_answers_do_not_tell_from_another_model_is_judged_for_both() -> None:
    """A denied model and a permitted one that look alike are a review, whichever leads; two denied ones a violation."""

    def beside(first: str, second: str, policy: Policy = POLICY) -> Judged:
        told = verdict(first, relation=None)
        return judged(replace(told, matches=(*told.matches, Match(second, 4.0, 8.0, 0.002, 0.002, None))), policy)

    both = Policy(deny=("Apache-2.0", "LicenseRef-scancode-llama-3.1-license-2024"))

    assert beside("llama", "open").outcome == "review"
    assert beside("open", "llama").outcome == "review"
    assert rules(beside("llama", "open", both), "fail") == {"licence-denied"}
    assert beside("open", "bare").outcome == "review"


@pytest.mark.parametrize("decision", ["inconclusive", "evasion suspected"])
def test_an_unclear_identity_is_for_a_person(decision: str) -> None:
    """Neither a violation nor compliance follows from answers that tell nothing."""
    assert rules(judged(verdict(None, decision=decision), model="open"), "review") == {"unclear"}


def test_no_match_is_not_compliance_unless_the_policy_says_so() -> None:
    """An unknown model is a review by default, and a claim to be a known one is then doubted."""
    assert judged(verdict(None)).outcome == "review"
    assert judged(verdict(None), Policy(unknown="pass")).outcome == "compliant"
    assert rules(judged(verdict(None), model="open"), "review") == {"unknown-model", "misnamed"}


def test_another_models_name_is_a_violation_and_a_relatives_a_review() -> None:
    """Who says `open` and serves a fine-tuned model lies; who names its base model may mean well."""
    free = Policy(unlisted="pass", unseen="note")

    assert rules(judged(verdict("tuned"), free, model="open"), "fail") >= {"misnamed"}
    assert rules(judged(verdict("tuned"), free, model="llama"), "review") == {"misnamed"}
    assert rules(judged(verdict("open"), free, model="our brand"), "note") >= {"misnamed"}


def test_what_is_not_known_is_said() -> None:
    """A model without a licence, and an ancestor that nobody enrolled, are reviews."""
    assert rules(judged(verdict("bare")), "review") == {"licence-unknown"}
    assert rules(judged(verdict("orphan")), "review") == {"lineage"}
    assert line_of("a", {"a": Known(None, "b"), "b": Known(None, "a")}) == ["a", "b"]


def test_an_operators_word_is_judged_without_any_identity() -> None:
    """A denied licence that the operator names himself is a violation, a text that is no licence a review."""
    assert rules(judged(None, declared="CC-BY-NC-4.0"), "fail") == {"declared-denied"}
    assert rules(judged(None, declared="free as in beer"), "review") == {"declared-review", "unanswered"}


def test_one_may_choose_among_licences_and_must_keep_all_that_bind() -> None:
    """OR stands as its best licence does and AND as its worst; a name outranks its category."""
    named = Policy(allow=("MIT", "CC-BY-NC-4.0"), deny=("category:non-commercial", "GPL-3.0-only"))

    assert standing("MIT OR GPL-3.0-only", named) == "pass"
    assert standing("MIT AND GPL-3.0-only", named) == "fail"
    assert standing("CC-BY-NC-4.0", named) == "pass"
    assert standing("CC-BY-NC-SA-4.0", named) == "fail"
    assert standing("LicenseRef-theirs", named) == "review"


def test_facts_decide_obligations_and_what_nobody_looked_for_is_not_compliance() -> None:
    """What was seen keeps or breaks an obligation; what would show and was not looked for is a review."""
    policy = Policy(unlisted="pass")
    unseen = judged(verdict("llama", relation="identical"), policy)
    seen = judged(verdict("llama", relation="identical"), policy, facts={"texts": ["Built with Llama"]})
    large = judged(verdict("llama", relation="identical"), policy, facts={"monthly_users": 10**9, "texts": ["x"]})
    answers = judged(verdict("llama", relation="derived"), policy, model="acme", seen={"built-with": True})

    assert rules(unseen, "review") == {"obligation"}
    assert seen.outcome == "compliant"
    assert [f.about for f in large.findings if f.kind == "fail"] == ["built-with", "user-limit"]
    assert [f.about for f in answers.findings if f.kind == "fail"] == ["name-prefix"]


def test_an_exception_excuses_until_its_last_day_and_never_a_lie() -> None:
    """It turns violations of its licence into excused ones; afterwards they count again, and it is said why."""
    until = Waiver("LicenseRef-scancode-llama-3.1-license-2024", "e*", "contract 12", TODAY)
    excusing = Policy(allow=POLICY.allow, deny=POLICY.deny, exceptions=(until,))
    told = Examined(Endpoint("e", "onnx:x.onnx", declared="MIT"), verdict("llama", relation="identical"))
    during = judge(told, KNOWN, excusing, today=TODAY)
    after = judge(told, KNOWN, excusing, today=TODAY + dt.timedelta(1))

    assert rules(during, "fail") == {"misdeclared"}
    assert "licence-denied" in rules(during, "excepted")
    assert "licence-denied" in rules(after, "fail")
    assert "exception-expired" in rules(after, "note")


@pytest.mark.parametrize(
    ("kinds", "code"), [(["pass", "note"], 0), (["pass", "review"], 3), (["review", "fail"], 1), (["excepted"], 0)]
)
def test_the_worst_finding_is_the_exit_code(kinds: list[Any], code: int) -> None:
    """0 compliant, 1 violation, 3 a person must look; a violation outranks a review."""
    told = Examined(Endpoint("e", "x"), None)
    report = Report(tuple(Judged(told, (Finding("licence-denied", kind, ""),)) for kind in kinds), {})

    assert report.exit == code


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("openai:https://API.example.com/v1#m", "api.example.com"), ("oip:http://127.0.0.1:8/v2/models/m", "127.0.0.1"),
        ("http://[::1]:8/v1", "::1"), ("model.onnx", None), ("onnx:a/b.onnx", None), ("sagemaker:eu/x", "sagemaker"),
        ("anthropic:claude", "api.anthropic.com"), ("ollama:llama3", "127.0.0.1"),
        ("oip:https://user:pw@evil.example/v2", "evil.example"),
        ("oip:http://127.0.0.1@evil.example/", "evil.example"), ("http://[::1", "http://[::1"),
        ("anthropic:m http://127.0.0.1/", "api.anthropic.com"), ("openai:m#http://127.0.0.1/", "api.openai.com"),
        ("rest:litserve@http://evil.example/@http://127.0.0.1", "evil.example"),
        ("rest:litserve@http://127.0.0.1:8/predict", "127.0.0.1"), ("tgi:http://127.0.0.1:8", "127.0.0.1"),
        ("sagemaker:eu-west-1/x#http://127.0.0.1/", "sagemaker"),
    ],
)  # fmt: skip
def test_a_target_says_which_host_is_asked(target: str, host: str | None) -> None:
    """Files are asked nowhere, addresses at their host, a provider's bare model at the provider."""
    assert authority.host_of(target) == host
    assert authority.is_loopback(host) == (host in (None, "127.0.0.1", "::1"))


LEAVE = """who = "Jane Doe, jane@acme.example"
basis = "contract 17, section 4"
hosts = ["*.acme.example"]
budget = 60
expires = 2026-12-31
"""


@pytest.mark.parametrize(
    ("change", "budget", "message"),
    [
        (("", ""), 30, None),
        (("2026-12-31", "2026-11-24"), 30, "expired on 2026-11-24"),
        (("*.acme", "*.other"), 30, "does not name api.acme.example"),
        (("60", "20"), 30, "allows 20"),
        (("", ""), None, "give it a budget"),
        (("basis", "hosts2"), 30, "has no"),
        (('"*.acme.example"', '"*"'), 30, "one pattern stands for every host"),
        ((LEAVE, ""), 30, "say who asks"),
    ],
)
def test_other_peoples_hosts_need_leave(
    tmp_path: Path, change: tuple[str, str], budget: int | None, message: str | None
) -> None:
    """Who, why, which hosts, how much, until when: where one is missing or over, one clear line and nothing asked."""
    file = tmp_path / "authorization.toml"
    file.write_text(LEAVE.replace(*change) if change[0] else LEAVE)
    endpoint = Endpoint("far", "openai:https://api.acme.example/v1#m", budget=budget)

    def ask() -> None:
        authority.require([endpoint], authority.read(file), file, today=TODAY)

    if message is None:
        ask()
    else:
        with pytest.raises(UsageError, match=message) as refused:
            ask()
        assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="there is no"):
        authority.require([endpoint], None, file, today=TODAY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected \\[\\[endpoint\\]\\]"),
        ("[[endpoint]]\nname='a'", "have a target"),
        ("[[endpoint]]\nname='a\x1b'\ntarget='x'", "cannot read"),
        ("[[endpoint]]\nname='<b>'\ntarget='x'", "have a name"),
        ("[[endpoint]]\nname='a'\ntarget='x'\n[[endpoint]]\nname='A'\ntarget='y'", "two endpoints"),
        ("[[endpoint]]\nname='a'\ntarget='x'\nbudget=-1", "budget"),
        ("[[endpoint]]\nname='a'\ntarget='http://127.0.0.1\\@evil.example'", "have a target"),
        ("[policy]\nallow=['nonsense']\n[[endpoint]]\nname='a'\ntarget='x'", "no SPDX licence"),
        ("[policy]\ndeny=['category:bad']\n[[endpoint]]\nname='a'\ntarget='x'", "no category"),
        ("[policy]\nthreshold=0.5\n[[endpoint]]\nname='a'\ntarget='x'", "threshold"),
        ("[[policy.exception]]\nlicence='MIT'\nreason='r'\n[[endpoint]]\nname='a'\ntarget='x'", "expires"),
        ("colour='red'\n[[endpoint]]\nname='a'\ntarget='x'", "has no “colour”"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    """A misspelt key, a policy that names nothing, and a hostile name are errors before anything is asked."""
    file = tmp_path / "audit.toml"
    file.write_text(text)
    with pytest.raises(ProbeMatchError, match=message) as refused:
        settings.read(file)

    assert str(refused.value).isprintable()


SPY = """from probe_match.fingerprinting import errors, network
seen = []
def connect(where):
    seen.append(network.current().proxy)
    raise errors.TargetError("nobody there")
"""


def test_an_audits_threads_ask_as_the_command_was_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy holds in the threads that ask, too, where each endpoint's client is made."""
    (tmp_path / "spying").mkdir()
    (tmp_path / "spying" / "client.py").write_text(SPY)
    monkeypatch.syspath_prepend(str(tmp_path))
    endpoints = tuple(Endpoint(f"e{i}", "spying.client:127.0.0.1") for i in range(3))
    proxy = "http://127.0.0.1:8888"
    with open_db(tmp_path / "known.db", create=True) as db, network.using(network.Network(proxy)):
        report = auditing.audit(Settings(Policy(), endpoints, Retention()), db)

    assert sys.modules["spying.client"].seen == [proxy] * 3
    assert {endpoint.outcome for endpoint in report.endpoints} == {"review"}
