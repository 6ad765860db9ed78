"""
Chat and text completions as OpenAI-compatible servers want and give them; and what their refusals teach.

Servers agree on the shape and differ on the fields: one wants `max_completion_tokens`, one refuses `seed`, one answers
only in streams, one thinks unless told not to in a field of its own. A Form is what has been learnt of one server.
"""

import re
from typing import Any, Final, NamedTuple

from probe_match.fingerprinting.chat.records import Answer, Price, Question
from probe_match.fingerprinting.errors import BadData, TargetError

from . import _json
from ._chat import alternatives, count, read_text
from ._sse import THOUGHTS

# Ways to say "do not think first", each understood by some servers and ignored or refused by others.
SWITCHES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"chat_template_kwargs": {"enable_thinking": False}},  # vLLM, SGLang, llama.cpp
    {"reasoning_effort": "none"},
    {"reasoning_effort": "minimal"},  # OpenAI's earlier reasoning models
    {"reasoning": {"enabled": False}},  # OpenRouter
    {"thinking": {"type": "disabled"}},  # DeepSeek, GLM
)
OPTIONAL: Final = (
    "stream_options", "seed", "top_logprobs", "logprobs", "chat_template_kwargs", "reasoning_effort", "reasoning",
    "thinking",
)  # fmt: skip


class Form(NamedTuple):
    """How one server wants to be asked. limit: the field for the most tokens. switch: index into SWITCHES."""

    limit: str = "max_tokens"
    stream: bool = False
    switch: int = 0
    without: frozenset[str] = frozenset()


def request(question: Question, model: str, form: Form) -> dict[str, Any]:
    """The body that puts a question."""
    sampling = question.sampling
    body: dict[str, Any] = {"model": model, "temperature": sampling.temperature, form.limit: sampling.max_tokens}
    if question.raw:
        body["prompt"] = f"{question.system}\n{question.text}" if question.system else question.text
    else:
        system = [{"role": "system", "content": question.system}] if question.system else []
        body["messages"] = [*system, {"role": "user", "content": question.text}]
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.logprobs:
        body |= (
            {"logprobs": sampling.logprobs} if question.raw else {"logprobs": True, "top_logprobs": sampling.logprobs}
        )
    if sampling.bias:
        body["logit_bias"] = {str(token): by for token, by in sampling.bias}
    if form.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if sampling.reasoning == "off" and not question.raw:
        body |= SWITCHES[form.switch]

    return {key: value for key, value in body.items() if key not in form.without}


def learn(form: Form, said: str, body: dict[str, Any]) -> Form | None:
    """The form that a refusal asks for, or None where it is about something else. said: the server's words."""
    words = said.lower()
    if form.limit in body and "max_completion_tokens" in words:
        other = "max_tokens" if form.limit == "max_completion_tokens" else "max_completion_tokens"
        return form._replace(limit=other)
    if not form.stream and re.search(
        r"stream\w*\b.*\b(must|only|required|true|enable)|(only|enable|requires?) .*stream", words
    ):
        return form._replace(stream=True)
    named: list[str] = [field for field in OPTIONAL if field in body and re.search(rf"\b{field}\b", words)]
    if not named and "think" in words and form.switch:
        named = [next(iter(SWITCHES[form.switch]))]
    if named:
        field = named[0]
        if field in SWITCHES[form.switch]:
            return next_switch(form) or form._replace(switch=0)
        also = {"top_logprobs"} if field == "logprobs" else set()
        return form._replace(without=form.without | {field} | also)
    if body.get("temperature") == 1 and "temperature" in words:
        return form._replace(without=form.without | {"temperature"})  # 1 is what it draws at anyway

    return None


def next_switch(form: Form) -> Form | None:
    """The next way to switch reasoning off, or None where all have been tried."""
    return form._replace(switch=form.switch + 1) if form.switch + 1 < len(SWITCHES) else None


def read(value: Any, question: Question, source: str) -> tuple[Answer, bool]:
    """
    The answer in a completion, and whether the model thought before it. Raises TargetError where it is none.

    A completion that holds an error, as gateways send with status 200, is a failed answer.
    """
    if isinstance(value, dict) and value.get("error"):
        told = value["error"]
        message = told.get("message", told) if isinstance(told, dict) else told
        return Answer("", "failed", error=_json.printable(str(message), 200)), False
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or (choices and not isinstance(choices[0], dict)):
        raise TargetError(f"expected a completion with choices from {source}, got {_json.printable(str(value), 80)}")
    usage = value.get("usage")
    known: dict[str, Any] = {
        "model": _json.printable(str(value.get("model") or ""), 100),
        "prompt_tokens": count(usage, "prompt_tokens", "input_tokens"),
        "answer_tokens": count(usage, "completion_tokens", "output_tokens"),
    }
    if not choices:
        filtered = "filter" in str(value)
        return Answer("", "filtered" if filtered else "empty", **known), False
    choice = choices[0]
    message = choice.get("message")
    message = message if isinstance(message, dict) else {"content": choice.get("text")}
    finish = str(choice.get("finish_reason") or "")
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        return Answer(message["refusal"], "refused", finish, **known), False
    answer = read_text(
        message.get("content"), finish, **known, logprobs=_logprobs(choice.get("logprobs"), question.sampling.logprobs)
    )
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    said = message.get("content")
    thought = (
        any(isinstance(message.get(key), str) and message[key].strip() for key in THOUGHTS)
        or count(details, "reasoning_tokens") > 0
        or (isinstance(said, str) and len(answer.text) < len(said.strip("\n")))
    )

    return answer, thought


def _logprobs(given: Any, wanted: int) -> Any:
    """Alternatives per token out of a chat's list or an older completion's dictionaries."""
    if not isinstance(given, dict) or not wanted:
        return ()
    content, older = given.get("content"), given.get("top_logprobs")
    positions: list[list[tuple[Any, Any]]] = []
    if isinstance(content, list):
        for place in _json.objects(content):
            tops = _json.objects(place.get("top_logprobs")) or [place]  # some give only the token that was drawn
            positions.append([(top.get("token", ""), top.get("logprob")) for top in tops])
    elif isinstance(older, list):
        positions = [list(place.items()) for place in older if isinstance(place, dict)]

    return alternatives(positions, wanted)


def price(listed: list[dict[str, Any]], model: str) -> Price | None:
    """
    What a list of models says that one takes, None where it says nothing or nothing definite.

    Dollars a token as `{"prompt": "0.0000002", "completion": …}` (OpenRouter), or a million of them as
    `{"input": 0.2, "output": …}` (Together). Routers that pick a model themselves list -1.
    """
    stated = next((entry.get("pricing") for entry in listed if entry.get("id") == model), None)
    if not isinstance(stated, dict):
        return None
    names, unit = (("prompt", "completion"), 1e6) if "prompt" in stated else (("input", "output"), 1.0)
    try:
        return Price(*(float(stated[name]) * unit for name in names))
    except (TypeError, KeyError, ValueError, BadData):
        return None
