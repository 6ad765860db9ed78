"""
A small OpenAI-compatible server on loopback for any ChatClient: chat and completions, log-probabilities, token counts.

For demonstrations, benchmarks and tests, so that a model in this process is asked through the real client. Requests
that arrive together are answered together, as servers with continuous batching do.
https://platform.openai.com/docs/api-reference/chat
"""

import contextlib
import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Final

from probe_match.fingerprinting.errors import ProbeMatchError
from probe_match.fingerprinting.loopback import Handler, Refused, Server

from .records import Answer, ChatClient, Question, Sampling

MAX_BODY: Final = 4 << 20
MOST_TOGETHER: Final = 256


@contextlib.contextmanager
def serve(models: Mapping[str, ChatClient], *, port: int = 0) -> Iterator[str]:
    """Serve clients by model name on 127.0.0.1 while the block runs; yields the base URL, `http://127.0.0.1:PORT/v1`."""
    server = _Server(models, port)
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True),
        threading.Thread(target=server.answer_waiting, daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.waiting.put(None)
        for thread in threads:
            thread.join()
        server.hang_up()
        server.server_close()


class _Server(Server):
    def __init__(self, models: Mapping[str, ChatClient], port: int) -> None:
        self.models = dict(models)
        self.waiting: queue.Queue[tuple[str, Question, Future[Answer]] | None] = queue.Queue()
        super().__init__(_Handler, port)

    def answer_waiting(self) -> None:
        """Answer what waits, all of one moment and model at once, until None comes."""
        while True:
            first = self.waiting.get()
            if first is None:
                return
            together = [first]
            with contextlib.suppress(queue.Empty):
                while len(together) < MOST_TOGETHER:
                    more = self.waiting.get(timeout=0.002)
                    if more is None:
                        self.waiting.put(None)
                        break
                    together.append(more)
            for name in dict.fromkeys(name for name, _, _ in together):
                mine = [(question, future) for model, question, future in together if model == name]
                try:
                    answers = self.models[name].chat([question for question, _ in mine])
                    for (_, future), answer in zip(mine, answers, strict=True):
                        future.set_result(answer)
                except (ProbeMatchError, ValueError, RuntimeError, LookupError) as error:
                    for _, future in mine:
                        future.set_exception(error)


class _Handler(Handler):
    server: _Server
    most = MAX_BODY

    def complaint(self, error: Refused) -> Any:
        return {"error": {"message": str(error), "type": "invalid_request_error"}}

    def get(self, path: str, _: bytes) -> Any:
        if path != "/v1/models":
            raise Refused(404, f"nothing at {path}")
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.models]}

    def post(self, path: str, body: bytes) -> Any:
        if path not in ("/v1/chat/completions", "/v1/completions"):
            raise Refused(404, f"nothing at {path}")
        raw = path == "/v1/completions"
        try:
            given = json.loads(body)
            name, question = given["model"], _question(given, raw=raw)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ProbeMatchError) as error:
            raise Refused(400, f"expected a chat or completion request ({error})") from error
        if name not in self.server.models:
            raise Refused(404, f"The model `{name}` does not exist; there are {', '.join(self.server.models)}")
        future: Future[Answer] = Future()
        self.server.waiting.put((name, question, future))
        try:
            answer = future.result()
        except (ProbeMatchError, ValueError, RuntimeError, LookupError) as error:
            raise Refused(500, f"model '{name}' failed: {error}") from error
        if answer.status == "failed":
            raise Refused(500, answer.error)
        return _chat_form(name, answer) if not raw else _completion_form(name, answer)


def _question(given: dict[str, Any], *, raw: bool) -> Question:
    if given.get("stream") or given.get("n", 1) != 1:
        raise ValueError("neither streams nor n above 1 are served")
    seed, top_p = given.get("seed"), given.get("top_p")
    sampling = Sampling(
        temperature=float(1.0 if given.get("temperature") is None else given["temperature"]),
        max_tokens=int(given.get("max_completion_tokens") or given.get("max_tokens") or 16),
        top_p=None if top_p is None else float(top_p),
        seed=None if seed is None else int(seed),
        logprobs=int(given.get("logprobs") or 0)
        if raw
        else int(given.get("top_logprobs") or bool(given.get("logprobs"))),
    )
    if raw:
        return Question("", "", str(given["prompt"]), sampling=sampling, raw=True)
    said = [(str(message["role"]), _text(message["content"])) for message in given["messages"]]
    system = " ".join(text for role, text in said if role in ("system", "developer"))
    users = [text for role, text in said if role == "user"]
    if len(users) != 1 or any(role == "assistant" for role, _ in said):
        raise ValueError("one message of the user is served, and a system prompt")

    return Question("", "", users[0], system=system or None, sampling=sampling)


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _chat_form(name: str, answer: Answer) -> dict[str, Any]:
    content = [
        {"token": likeliest[0][0], "logprob": likeliest[0][1], "bytes": None,
         "top_logprobs": [{"token": token, "logprob": p, "bytes": None} for token, p in likeliest]}
        for likeliest in answer.logprobs
    ]  # fmt: skip
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer.text},
        "finish_reason": answer.finish or "stop",
        "logprobs": {"content": content} if content else None,
    }

    return _whole("chat.completion", name, answer, choice)


def _completion_form(name: str, answer: Answer) -> dict[str, Any]:
    logprobs = {
        "tokens": [likeliest[0][0] for likeliest in answer.logprobs],
        "token_logprobs": [likeliest[0][1] for likeliest in answer.logprobs],
        "top_logprobs": [dict(likeliest) for likeliest in answer.logprobs],
    }
    choice = {
        "index": 0,
        "text": answer.text,
        "finish_reason": answer.finish or "stop",
        "logprobs": logprobs if answer.logprobs else None,
    }

    return _whole("text_completion", name, answer, choice)


def _whole(kind: str, name: str, answer: Answer, choice: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "id": f"cmpl-{time.monotonic_ns()}", "object": kind, "created": int(time.time()), "model": name,
        "choices": [choice],
    }  # fmt: skip
    if answer.prompt_tokens >= 0:
        total = answer.prompt_tokens + answer.answer_tokens
        whole["usage"] = {
            "prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.answer_tokens, "total_tokens": total
        }  # fmt: skip

    return whole
