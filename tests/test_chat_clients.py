"""Clients of language models against a scripted server: every dialect, and every way an endpoint misbehaves."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import Asked, Said, Script, Scripted, completion, error, scripted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from probe_match.clients import _keys, _openai_wire, _patience, _sse, anthropic, ollama, openai, replay, tgi
from probe_match.clients._chat import without_thoughts
from probe_match.clients._transport import Reply
from probe_match.fingerprinting.chat import keeping, transcripts
from probe_match.fingerprinting.chat.records import Answer, Bank, ChatClient, Price, Question, Sampling, Transcript
from probe_match.fingerprinting.errors import BadData, TargetError, UsageError
from probe_match.fingerprinting.targets import open_chat, open_target

SECRET = "sk-canary-77e1"
KEYS = (
    "choices", "message", "content", "delta", "text", "logprobs", "top_logprobs", "token", "logprob", "usage", "error",
    "details", "top_tokens", "completion_tokens_details", "finish_reason", "type", "refusal", "prefill", "index",
)  # fmt: skip
NUMBER = Question(
    "number/en", "one-word", "A number?", "number", system="One word.", sampling=Sampling(1.0, 16, seed=3)
)
RAW = Question("raw/en", "open", "Once upon", raw=True, sampling=Sampling(0.7, 8, logprobs=2))


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (_keys.OWN, *_keys.PROVIDERS.values()):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def asks() -> Callable[..., tuple[list[Answer], Scripted, openai.OpenAIChat]]:
    """Puts questions to a scripted OpenAI server."""

    def ask(script: Script, *questions: Question, **options: Any) -> Any:
        with scripted(script) as server:
            client = openai.connect(f"{server.url}/v1#m", timeout=5, **options)
            try:
                return client.chat(questions or (NUMBER,)), server, client
            finally:
                client.close()

    return ask


def always(body: Any, status: int = 200, **headers: str) -> Script:
    return lambda asked: Said(body, status, headers)


def test_a_chat_is_put_and_read(asks: Any) -> None:
    """System prompt, settings and limits go out as the question says; text, model, usage and finish come back."""
    (answer,), server, client = asks(always(completion("42")))

    assert server.asked[0].path == "/v1/chat/completions"
    assert server.bodies() == [
        {
            "model": "m",
            "messages": [{"role": "system", "content": "One word."}, {"role": "user", "content": "A number?"}],
            "temperature": 1.0,
            "max_tokens": 16,
            "seed": 3,
        }
    ]
    assert replace(answer, seconds=0) == Answer("42", "valid", "stop", "m-1", 11, 2)
    assert (client.sent, client.notes, client.target) == (1, (), f"openai:{server.url}/v1#m")
    assert isinstance(client, ChatClient)


def test_raw_text_is_continued_without_a_chat(asks: Any) -> None:
    """A raw question goes to /completions, whose log-probabilities are dictionaries."""
    tops = [{" a": -0.5, " the": -1.25}, {" time": -0.1, " day": -9999.0}]
    body = {
        "model": "m-1",
        "choices": [{"text": " a time", "finish_reason": "length", "logprobs": {"top_logprobs": tops}}],
    }
    (answer,), server, client = asks(always(body), RAW)

    assert server.asked[0].path == "/v1/completions"
    assert (server.bodies()[0]["prompt"], server.bodies()[0]["logprobs"]) == ("Once upon", 2)
    assert (answer.text, answer.status, answer.prompt_tokens) == (" a time", "truncated", -1)
    assert answer.logprobs == (((" a", -0.5), (" the", -1.25)), ((" time", -0.1),))
    assert client.access == "logprobs"


def test_log_probabilities_of_a_chat_are_read_and_distrusted(asks: Any) -> None:
    """Alternatives come best first; a server that only pretends to have them has none, and the client says so."""
    question = replace(NUMBER, sampling=Sampling(logprobs=3, bias=((5, -100.0),)))

    def tops(*values: float) -> dict[str, Any]:
        places = [{"token": str(i), "logprob": value} for i, value in enumerate(values)]
        return {"content": [{"token": "0", "logprob": values[0], "top_logprobs": places}]}

    (answer,), server, client = asks(always(completion("1", logprobs=tops(-2.0, -0.25, -3.0))), question)
    (pretended,), _, poor = asks(always(completion("1", logprobs=tops(0.0, -9999.0, -9999.0))), question)

    assert answer.logprobs == ((("1", -0.25), ("0", -2.0), ("2", -3.0)),)
    assert server.bodies()[0]["logit_bias"] == {"5": -100.0}
    assert (client.access, client.notes) == ("logprobs", ())
    assert pretended.logprobs == ()
    assert (poor.access, poor.notes) == ("text", ("gives no log-probabilities",))


def test_answers_come_in_the_order_asked_however_they_finish(asks: Any) -> None:
    """Several questions are under way at once, and each answer is given to its own question."""
    texts = [str(i) for i in range(12)]

    def script(asked: Asked) -> Said:
        text = asked.body["messages"][-1]["content"]
        time.sleep(0.002 * (12 - int(text)))
        return Said(completion(text))

    started = time.monotonic()
    answers, _, client = asks(script, *(replace(NUMBER, text=text) for text in texts), concurrency=6)

    assert [answer.text for answer in answers] == texts
    assert client.sent == 12
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("refusal", "field", "value"),
    [
        (
            "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            "max_completion_tokens",
            16,
        ),
        ("Unrecognized request argument supplied: seed", "seed", None),
        (
            "[{'type': 'extra_forbidden', 'loc': ['body', 'seed'], 'msg': 'Extra inputs are not permitted'}]",
            "seed",
            None,
        ),
        ("Unsupported value: 'temperature' does not support 1.0 with this model.", "temperature", None),
    ],
    ids=["limit", "seed", "422", "temperature"],
)
def test_what_a_server_refuses_is_learnt_once(asks: Any, refusal: str, field: str, value: Any) -> None:
    """A field it will not take is renamed or left out from then on, and the client says what it left out."""

    def script(asked: Asked) -> Said:
        fine = asked.body.get(field) == value
        return Said(completion("7")) if fine else error(refusal)

    answers, server, client = asks(script, NUMBER, NUMBER, NUMBER, concurrency=1)

    assert [answer.text for answer in answers] == ["7", "7", "7"]
    assert client.sent == len(server.asked) == 4
    assert client.notes == (() if value else (f"takes no {field}",))


def test_a_temperature_that_is_refused_is_never_replaced(asks: Any) -> None:
    """A question at another temperature than asked would be another question."""
    cold = replace(NUMBER, sampling=Sampling(0.0))
    (answer,), _, _ = asks(lambda asked: error("'temperature' does not support 0.0 with this model."), cold)

    assert answer.status == "failed"
    assert "temperature" in answer.error


def test_a_server_that_only_streams_is_read(asks: Any) -> None:
    """Chunks become one answer with its usage and log-probabilities, whether streaming was asked for or not."""

    def chunk(**delta: Any) -> str:
        return json.dumps({"model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})

    last = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = json.dumps({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})
    lines = [chunk(role="assistant", content=""), chunk(content="4"), chunk(content="2"), last, usage, "[DONE]"]
    stream = "".join(f"data: {line}\r\n\r\n" for line in [": ping", *lines][1:]).encode()

    def demands(asked: Asked) -> Said:
        if not asked.body.get("stream"):
            return error("This model only supports streaming; set stream=true")
        return Said(stream, headers={"Content-Type": "text/event-stream"})

    for script in (demands, always(b": hello\n\n" + stream, **{"Content-Type": "text/event-stream"})):
        (answer,), _, _ = asks(script)

        assert replace(answer, seconds=0) == Answer("42", "valid", "stop", "m-1", 5, 2)


def test_a_stream_that_breaks_off_is_truncated(asks: Any) -> None:
    """What came is kept, and is not taken for all there was."""
    stream = b'data: {"choices": [{"delta": {"content": "half an"}}]}\n\n'
    (answer,), _, _ = asks(always(stream, **{"Content-Type": "text/event-stream"}))

    assert (answer.text, answer.status) == ("half an", "truncated")


@pytest.mark.parametrize(
    ("body", "text", "status"),
    [
        (completion("", "length"), "", "empty"),
        (completion(None), "", "empty"),
        (completion("  \n"), "  \n", "empty"),
        (completion("cut off in the", "length"), "cut off in the", "truncated"),
        (completion("", "content_filter"), "", "filtered"),
        (completion(None, message={"refusal": "I can't."}), "I can't.", "refused"),
        (completion(None, message={"content": [{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]}),
         "in parts", "valid"),
        ({"choices": [], "prompt_filter_results": [1]}, "", "filtered"),
        ({"error": {"message": "upstream is down", "code": 502}}, "", "failed"),
        (completion("Ответ: 7"), "Ответ: 7", "valid"),
    ],
    ids=["nothing", "null", "blank", "cut", "filter", "refusal", "parts", "prompt filter", "error in 200", "russian"],
)  # fmt: skip
def test_what_an_answer_is_worth_is_said(asks: Any, body: Any, text: str, status: str) -> None:
    """Nothing, a part, a refusal and a filter are told apart from an answer."""
    (answer,), _, _ = asks(always(body))

    assert (answer.text, answer.status) == (text, status)


def test_a_filter_that_refuses_the_question_is_no_failure(asks: Any) -> None:
    """Azure's filter answers with status 400."""
    (answer,), _, _ = asks(lambda asked: error("The response was filtered", 400, "content_filter"))

    assert answer.status == "filtered"


def test_reasoning_is_switched_off_or_kept_out_of_the_answer(asks: Any) -> None:
    """The first switch that works is kept; where none works, thoughts are cut out and the client says so."""

    def obeys(asked: Asked) -> Said:
        quiet = asked.body.get("chat_template_kwargs") == {"enable_thinking": False}
        return Said(completion("8" if quiet else "<think>Hm. 3?</think>\n\n8"))

    def stubborn(asked: Asked) -> Said:
        if "thinking" in asked.body or "reasoning_effort" in asked.body:
            return error(
                "Unrecognized request argument supplied: "
                + ("thinking" if "thinking" in asked.body else "reasoning_effort")
            )
        return Said(completion("8", message={"reasoning_content": "Let me see"}))

    answers, _, client = asks(obeys, NUMBER, NUMBER, concurrency=1)
    kept, _, other = asks(stubborn, NUMBER, NUMBER, concurrency=1)
    free, server, _ = asks(obeys, replace(NUMBER, sampling=Sampling(reasoning="default")))

    assert ([answer.text for answer in answers], client.sent, client.notes) == (["8", "8"], 3, ())
    assert [answer.text for answer in kept] == ["8", "8"]
    assert "reasons before it answers" in other.notes[-1]
    assert (free[0].text, len(server.asked)) == ("8", 1)


def test_hidden_reasoning_is_seen_in_the_usage(asks: Any) -> None:
    """A server that hides its thoughts still counts them, and gives no answer where they took all tokens."""
    usage = {"completion_tokens": 16, "completion_tokens_details": {"reasoning_tokens": 16}}
    (answer,), _, client = asks(always(completion("", "length", usage=usage)))

    assert (answer.status, answer.answer_tokens) == ("empty", 16)
    assert "reasons before it answers" in client.notes[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>\nno\n</think>\n\nyes", "yes"),
        ("so, hm</think>yes", "yes"),
        ("<think>and on and on", ""),
        ("a < b", "a < b"),
        ("<Reasoning>x</Reasoning>y <b>z</b>", "y <b>z</b>"),
    ],
)
def test_thoughts_are_cut_out_however_they_are_marked(text: str, said: str) -> None:
    """Closed, left open, or opened by the template."""
    assert without_thoughts(text) == said


def test_a_missing_key_names_the_variable_and_a_wrong_one_is_not_shown(asks: Any, monkeypatch: Any) -> None:
    """One line, raised at once, and never with the key in it."""

    def script(asked: Asked) -> Said:
        return error(f"Incorrect API key provided: {asked.headers.get('authorization')}", 401)

    with pytest.raises(TargetError, match=r"wants a key; set PROBE_MATCH_API_KEY \(401"):
        asks(script)
    monkeypatch.setenv("PROBE_MATCH_API_KEY", SECRET)
    with pytest.raises(TargetError, match="refuses the key in PROBE_MATCH_API_KEY") as raised:
        asks(script)
    assert SECRET not in str(raised.value)


def test_a_providers_key_goes_to_that_provider_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint under suspicion is never handed the key of a provider it is not."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-other")

    assert _keys.key_for("https://api.openai.com/v1") == ("OPENAI_API_KEY", SECRET)
    assert _keys.key_for("https://api.openai.com.evil.example/v1") == ("PROBE_MATCH_API_KEY", None)
    assert _keys.key_for("https://mine.openai.azure.com/openai/v1").variable == "AZURE_OPENAI_API_KEY"
    assert SECRET not in repr(_keys.key_for("https://api.openai.com/v1"))
    monkeypatch.setenv("PROBE_MATCH_API_KEY", "mine")
    assert _keys.key_for("https://api.openai.com/v1").value == "mine"


def test_an_unknown_model_is_one_line_with_those_there_are() -> None:
    """By a 404, by a code, or by the words of a server that holds one model only."""
    listed = Said({"data": [{"id": "a"}, {"id": "b"}]})
    for said in (
        error("The model `m` does not exist or you do not have access to it.", 404, "model_not_found"),
        error("Server is pinned to 'a@main'; model 'm' is not served"),
        Said({"detail": "Invalid model: m"}, 422),
    ):
        with scripted(lambda asked, said=said: listed if asked.body is None else said) as server:
            client = openai.connect(f"{server.url}/v1#m", timeout=5)
            with pytest.raises(TargetError, match=r"no model 'm' at .*it serves a, b"):
                client.chat([NUMBER])
            with pytest.raises(UsageError, match=r"got no MODEL; it serves a, b"):
                openai.connect(f"{server.url}/v1", timeout=5)
            client.close()


def test_an_address_without_a_chat_api_is_one_line() -> None:
    """A web page, a missing /v1 and a dead port say what to give instead."""
    with scripted(always(b"<html><h1>Not Found</h1></html>", 404)) as server:
        client = openai.connect(f"{server.url}#m", timeout=5)
        with pytest.raises(TargetError, match=r"Not Found.*"):
            client.chat([NUMBER])
        client.close()
    client = openai.connect(f"{server.url}/v1#m", timeout=5)
    with pytest.raises(TargetError, match="connection refused; is the server running"):
        client.chat([NUMBER])
    client.close()


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>hello</html>", b"[1]", b'{"choices": 3}', b'{"choices": [3]}', b"data: {broken\n\n", b"\xff\xfe"],
)
def test_nonsense_is_one_line_at_first_and_a_failed_answer_later(asks: Any, body: bytes) -> None:
    """Before the first answer it is the user's to mend; after it, what was paid for is kept."""

    def later(asked: Asked) -> Said:
        return Said(completion("fine")) if asked.body["messages"][-1]["content"] == "first" else Said(body)

    with pytest.raises(TargetError, match=r"expected (JSON|a completion|chunks)"):
        asks(always(body))
    answers, _, _ = asks(later, replace(NUMBER, text="first"), NUMBER, concurrency=1)

    assert [answer.status for answer in answers] == ["valid", "failed"]
    assert "\n" not in answers[1].error


def test_a_server_that_is_too_busy_is_waited_for_as_it_says(asks: Any) -> None:
    """With Retry-After as long as it says, in any of its forms; the question is asked again and nothing is lost."""
    told = [{"Retry-After": "0.05"}, {"retry-after-ms": "40"}, {"llm_provider-retry-after": "0.03"}]
    left = [*told]

    def script(asked: Asked) -> Said:
        return error("slow down", 429, **left.pop()) if left else Said(completion("7"))

    started = time.monotonic()
    (answer,), server, _ = asks(script)

    assert (answer.text, len(server.asked)) == ("7", 4)
    assert 0.12 <= time.monotonic() - started < 2


def test_a_server_that_does_not_say_how_long_is_waited_for_ever_longer(asks: Any, monkeypatch: Any) -> None:
    """Without Retry-After waits double, and end where the limit would be passed."""
    monkeypatch.setattr(_patience, "FIRST_WAIT", 0.01)
    monkeypatch.setattr("probe_match.clients.openai.PATIENCE", 0.1)
    with pytest.raises(TargetError, match=r"asked too fast or its quota is spent \(429: You exceeded"):
        asks(lambda asked: error("You exceeded your quota", 429))

    monkeypatch.setattr("probe_match.clients.openai.PATIENCE", 30.0)
    started = time.monotonic()
    with pytest.raises(TargetError, match="429"):
        asks(lambda asked: error("come back tomorrow", 429, **{"Retry-After": "86400"}))
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(("status", "code"), [(429, "insufficient_quota"), (402, None)])
def test_whoever_has_no_money_left_is_told_so_at_once(asks: Any, status: int, code: str | None) -> None:
    """No waiting mends it, so nothing is asked twice."""
    started = time.monotonic()
    with pytest.raises(TargetError, match=rf"no money left for this key \({status}: Add credits\); top up its account"):
        asks(lambda asked: error("Add credits", status, code))

    assert time.monotonic() - started < 1


def test_waits_are_read_from_every_form_of_the_header() -> None:
    """Seconds, milliseconds, a date, or nothing usable."""
    assert _patience.told_to_wait({"retry-after": "7"}) == 7
    assert _patience.told_to_wait({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5
    assert _patience.told_to_wait({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert _patience.told_to_wait({"retry-after": "soon"}) is None
    assert _patience.told_to_wait({"retry-after": "-5"}) is None
    assert _patience.told_to_wait({}) is None


def test_anthropic_messages_are_put_and_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and version in their headers, system apart, blocks joined, thoughts left out, usage with what was cached."""
    monkeypatch.setenv("PROBE_MATCH_API_KEY", SECRET)
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "4"}, {"type": "text", "text": "2"}]
    usage = {"input_tokens": 3, "cache_read_input_tokens": 8, "output_tokens": 5}
    body = {"type": "message", "model": "c-1", "content": blocks, "stop_reason": "end_turn", "usage": usage}
    with scripted(always(body)) as server:
        client = anthropic.connect(f"{server.url}#c", timeout=5)
        answers = client.chat([NUMBER, RAW, replace(NUMBER, sampling=Sampling(1.5))])
        client.close()

    assert (server.asked[0].path, server.asked[0].headers["x-api-key"]) == ("/v1/messages", SECRET)
    assert server.asked[0].headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in server.asked[0].headers
    assert server.bodies() == [
        {"model": "c", "max_tokens": 16, "temperature": 1.0, "system": "One word.",
         "messages": [{"role": "user", "content": "A number?"}]},
    ]  # fmt: skip
    assert replace(answers[0], seconds=0) == Answer("42", "valid", "end_turn", "c-1", 11, 5)
    assert [answer.status for answer in answers] == ["valid", "failed", "failed"]
    assert client.notes == ("takes no seed",)


def test_anthropics_refusals_and_errors_are_told_apart() -> None:
    """A refusal is an answer, an overload is waited for, a model without a temperature draws at 1."""
    said = [
        Said(
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 529, {"Retry-After": "0"}
        ),
        Said(
            {"type": "error", "error": {"type": "invalid_request_error", "message": "temperature is deprecated"}}, 400
        ),
        Said({"content": [], "stop_reason": "refusal"}),
        Said({"type": "error", "error": {"type": "not_found_error", "message": "model: c"}}, 404),
    ]
    with scripted(lambda asked: said.pop(0) if asked.body else Said({"data": [{"id": "d"}]})) as server:
        client = anthropic.connect(f"{server.url}/v1#c", timeout=5)
        refused = client.chat([NUMBER])[0]
        later = client.chat([NUMBER])[0]
        client.close()

    assert refused.status == "refused"
    assert "temperature" not in server.bodies()[2]
    assert (later.status, later.error.count("it serves d")) == ("failed", 1)


def test_ollama_is_asked_by_its_own_api() -> None:
    """Options in their place, thinking off, counts and log-probabilities read; raw text goes to /api/generate."""
    places = [
        {
            "token": "4",
            "logprob": -0.5,
            "top_logprobs": [{"token": "4", "logprob": -0.5}, {"token": "3", "logprob": -1}],
        }
    ]
    chat = {"model": "q:1b", "message": {"content": "4", "thinking": ""}, "done_reason": "stop", "prompt_eval_count": 9,
            "eval_count": 1, "logprobs": places}  # fmt: skip
    raw = {"model": "q:1b", "response": " a time", "done_reason": "length", "eval_count": 8}

    def script(asked: Asked) -> Said:
        if asked.body is None:
            return Said({"models": [{"name": "q:1b"}]})
        return Said(raw if asked.path == "/api/generate" else chat)

    with scripted(script) as server:
        client = ollama.connect(server.url, timeout=5)
        answers = client.chat([replace(NUMBER, sampling=Sampling(logprobs=2, seed=3)), RAW])
        client.close()
    put = {one.path: one.body for one in server.asked}["/api/chat"]

    assert (put["model"], put["think"], put["stream"], put["top_logprobs"]) == ("q:1b", False, False, 2)
    assert put["options"] == {"temperature": 1.0, "num_predict": 16, "seed": 3}
    assert replace(answers[0], seconds=0) == Answer("4", "valid", "stop", "q:1b", 9, 1, ((("4", -0.5), ("3", -1.0)),))
    assert (answers[1].text, answers[1].status) == (" a time", "truncated")
    with scripted(always({"error": "model 'x' not found"}, 404)) as server:
        client = ollama.connect(f"{server.url}#x", timeout=5)
        with pytest.raises(TargetError, match="no model 'x'"):
            client.chat([NUMBER])
        client.close()


def test_tgi_continues_raw_text_by_its_own_api() -> None:
    """/generate for raw text with its own names of the settings, the chat API for the rest."""
    details = {"finish_reason": "length", "generated_tokens": 2, "prefill": [{"text": "Once"}, {"text": " upon"}],
               "top_tokens": [[{"text": " a", "logprob": -0.5}, {"text": " the", "logprob": -1.0}]]}  # fmt: skip
    replies = {
        "/info": {"model_id": "org/model"},
        "/generate": {"generated_text": " a time", "details": details},
        "/v1/chat/completions": completion("42"),
    }
    with scripted(lambda asked: Said(replies[asked.path])) as server:
        client = tgi.connect(server.url, timeout=5)
        answers = client.chat([RAW, NUMBER])
        client.close()
    put = {one.path: one.body for one in server.asked}["/generate"]

    assert put["inputs"] == "Once upon"
    assert put["parameters"]["max_new_tokens"] == 8
    assert put["parameters"]["top_n_tokens"] == 2
    assert replace(answers[0], seconds=0) == Answer(
        " a time", "truncated", "length", "org/model", 2, 2, (((" a", -0.5), (" the", -1.0)),)
    )
    assert answers[1].text == "42"


def test_a_recording_gives_each_answer_once(tmp_path: Path) -> None:
    """Answers come by prompt, system prompt and temperature; drawn twice, one answer would count double."""
    bank = Bank("b", (NUMBER, replace(NUMBER, cell="cold", sampling=Sampling(0.0))))
    warm = tuple(Answer(text, prompt_tokens=11, logprobs=(((text, -0.1),),)) for text in ("4", "2"))
    path = tmp_path / "answers.jsonl"
    transcripts.write(path, bank, Transcript("t", {"number/en": warm, "cold": (Answer("", "refused"),)}))
    client = open_chat(f"replay:{path}")
    answers = client.chat([bank.questions[1], NUMBER, NUMBER, NUMBER, replace(NUMBER, system="Other.")])

    assert [answer.status for answer in answers] == ["refused", "valid", "valid", "failed", "failed"]
    assert answers[1:3] == list(warm)
    assert "no further answer" in answers[3].error
    with pytest.raises(UsageError, match="is a language model; this needs"):
        open_target(str(path))


def test_other_peoples_recordings_are_read(tmp_path: Path) -> None:
    """The least that JSON lines must say, and AlpacaEval's array."""
    lines = tmp_path / "a.jsonl"
    lines.write_text(
        '{"prompt": "p", "answer": "x", "usage": {"completion_tokens": 3}}\n\n{"prompt": "p", "answer": null}\n'
    )
    array = tmp_path / "a.json"
    array.write_text(json.dumps([{"instruction": "p", "output": "y", "generator": "g"}]))
    question = Question("p", "open", "p")

    assert [(a.text, a.status) for a in open_chat(str(lines)).chat([question] * 2)] == [("x", "valid"), ("", "empty")]
    assert replay.connect(str(array)).chat([question])[0].model == "g"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    ['{"prompt": 3, "answer": "x"}', '{"prompt": "p", "answer": "x", "usage": 3}', '{"prompt": "p", "answer"', ""],
)
def test_broken_recordings_are_one_line(tmp_path: Path, text: str) -> None:
    """The line that is wrong is named."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "p", "answer": "x"}\n' + text if text else "")
    with pytest.raises(BadData, match=r"line 2 of|holds no recorded answer"):
        transcripts.read_turns(path)


def test_language_models_are_named_by_target() -> None:
    """`client:where` and a URL with a model behind a # open a chat, and a classifier is not taken for one."""
    for target in ("openai:gpt-x", "https://host.example/v1#m", "anthropic:claude-x", "ollama:m"):
        client = open_chat(target)
        client.close()

        assert client.target.rpartition("#")[2] in target
    with pytest.raises(UsageError, match="is no language model"):
        open_chat("function:math:sqrt")


def test_a_bare_address_is_asked_whether_it_serves_language_models() -> None:
    """With or without /v1; the only model of a server needs no name, and a web page is none."""
    listed = {"object": "list", "data": [{"id": "only", "object": "model"}]}

    def script(asked: Asked) -> Said:
        return Said(listed) if asked.path == "/v1/models" else Said(b"<html>", 404)

    with scripted(script) as server:
        for url in (server.url, f"{server.url}/v1"):
            client = open_chat(url)
            client.close()

            assert client.target == f"openai:{server.url}/v1#only"
    with scripted(always(b"<html>hello</html>")) as server, pytest.raises(TargetError, match="does not say which"):
        open_chat(server.url)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(JSON)
def test_any_json_is_an_answer_or_one_of_our_errors(value: Any) -> None:
    """Whatever stands where an answer should, in every dialect, nothing else is raised."""
    question = replace(NUMBER, sampling=Sampling(logprobs=2))
    readers: list[Callable[[Any], Any]] = [
        lambda v: _openai_wire.read(v, question, "it")[0],
        lambda v: _openai_wire.read({"choices": [v], "usage": v}, question, "it")[0],
        lambda v: _openai_wire.read({"choices": [{"message": v, "logprobs": v, "finish_reason": v}]}, question, "it")[
            0
        ],
        lambda v: _openai_wire.read(_sse.completion(stream(v)), question, "it")[0],
        lambda v: _openai_wire.read(_sse.completion(stream({"choices": [v]})), question, "it")[0],
        lambda v: anthropic.read(v, "it"),
        lambda v: anthropic.read({"content": [v], "usage": v, "stop_reason": v}, "it"),
        lambda v: ollama.read(v, question, "it"),
        lambda v: ollama.read({"message": {"content": "x"}, "logprobs": v, "eval_count": v}, question, "it"),
        lambda v: tgi.read(v, 2, "m", "it"),
        lambda v: tgi.read({"generated_text": "x", "details": v}, 2, "m", "it"),
    ]
    for read in readers:
        try:
            answer = read(value)
        except TargetError:
            continue
        assert isinstance(answer, Answer)
        assert isinstance(answer.text, str)
        keeping.from_bytes(Transcript, keeping.to_bytes(Transcript("t", {"c": (answer,)})), "it")


def stream(value: Any) -> Reply:
    return Reply("it", 200, f"data: {json.dumps(value)}\n\n".encode(), {"content-type": "text/event-stream"})


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(JSON)
def test_any_json_is_a_recorded_answer_or_bad_data(value: Any) -> None:
    """A line of a stranger's recording becomes a turn or one clear error."""
    for entry in (value, {"prompt": "p", "answer": "a", "usage": value}, {"prompt": value, "answer": value}):
        try:
            turn = transcripts._turn(entry, "line 1")
        except BadData:
            continue
        assert isinstance(turn.prompt, str)
        assert isinstance(turn.answer.text, str)


@pytest.mark.parametrize("field", ["system", "temperature", "cell", "logprobs", "status", "finish"])
@pytest.mark.parametrize("value", [3, "x", [1], {"a": 1}, True, 1e300])
def test_any_field_of_a_recording_may_be_nonsense(field: str, value: Any) -> None:
    """It is read, or the line is named."""
    try:
        turn = transcripts._turn({"prompt": "p", "answer": "a", field: value}, "line 1")
    except BadData:
        return

    assert isinstance(turn.system, str | None)
    assert isinstance(turn.cell, str | None)


def test_prices_are_read_where_the_server_lists_them() -> None:
    """Dollars a token or a million of them; a router's -1, another model's price and no list are no price."""
    listed = [
        ({"prompt": "0.00000015", "completion": "0.0000006"}, Price(0.15, 0.6)),
        ({"input": 0.2, "output": 0.9}, Price(0.2, 0.9)),
        ({"prompt": "-1", "completion": "-1"}, None),
        ("free", None),
        (None, None),
    ]
    for pricing, expected in listed:
        entries = [{"id": "other", "pricing": {"input": 9, "output": 9}}, {"id": "m", "pricing": pricing}]
        with scripted(always({"data": entries})) as server:
            client = openai.connect(f"{server.url}/v1#m", timeout=5)
            found = client.price()
            client.close()

            assert (found is None) == (expected is None)
            assert expected is None or [found.prompt, found.answer] == pytest.approx([expected.prompt, expected.answer])
            assert client.sent == 0
