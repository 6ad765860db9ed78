"""
Ollama by its own API, which says more of a model than its OpenAI-compatible one: `ollama:MODEL` on this machine, or
`ollama:http://host:11434#MODEL`. https://github.com/ollama/ollama/blob/main/docs/api.md
"""

from typing import Any, Final

from probe_match.fingerprinting.chat.records import Answer, Question
from probe_match.fingerprinting.errors import TargetError, UsageError

from . import _json
from ._chat import MAX_REPLY, PATIENCE, HttpChat, alternatives, count, read_text, refuses, site_and_model
from ._transport import Transport

HOME: Final = "http://localhost:11434"


class OllamaChat(HttpChat):
    """One model."""

    def __init__(self, site: str, model: str, transport: Transport, concurrency: int) -> None:
        super().__init__(f"ollama:{site}#{model}", transport, concurrency)
        self.model = model
        self._site = site
        self._switch = True  # takes `think`

    def answer(self, question: Question) -> Answer:
        """One answer. Raises TargetError where the endpoint cannot be used."""
        sampling = question.sampling
        given = {"temperature": sampling.temperature, "num_predict": sampling.max_tokens, "top_p": sampling.top_p,
                 "seed": sampling.seed}  # fmt: skip
        options = {name: value for name, value in given.items() if value is not None}
        body: dict[str, Any] = {"model": self.model, "stream": False, "options": options}
        if sampling.bias:
            self.note("takes no logit bias")
        if sampling.logprobs:
            body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
        if question.raw:
            text = f"{question.system}\n{question.text}" if question.system else question.text
            body |= {"prompt": text, "raw": True}
        else:
            system = [{"role": "system", "content": question.system}] if question.system else []
            body["messages"] = [*system, {"role": "user", "content": question.text}]
            if sampling.reasoning == "off" and self._switch:
                body["think"] = False
        reply = self.post(f"{self._site}/api/{'generate' if question.raw else 'chat'}", body)
        if reply.status == 400 and "think" in body and "think" in _json.told(reply.body):
            self._switch = False
            self.note("does not let reasoning be switched off")
            return self.answer(question)
        if not reply.ok:
            error = refuses(self.transport, reply, self.model, lambda: names(self.transport, self._site))
            if error is not None:
                raise error
            return self.failed(reply)

        return read(reply.json(), question, reply.url)


def read(value: Any, question: Question, source: str) -> Answer:
    """The answer in a reply. Raises TargetError where it is none."""
    message = value.get("message") if isinstance(value, dict) else None
    said = message.get("content") if isinstance(message, dict) else None
    said = value.get("response") if said is None and isinstance(value, dict) else said
    if not isinstance(said, str):
        raise TargetError(f"expected a message from {source}, got {_json.printable(str(value), 80)}")
    positions = [
        [(top.get("token", ""), top.get("logprob")) for top in _json.objects(place.get("top_logprobs")) or [place]]
        for place in _json.objects(value.get("logprobs"))
    ]

    return read_text(
        said,
        str(value.get("done_reason") or ""),
        model=_json.printable(str(value.get("model") or ""), 100),
        prompt_tokens=count(value, "prompt_eval_count"),
        answer_tokens=count(value, "eval_count"),
        logprobs=alternatives(positions, question.sampling.logprobs),
    )


def names(transport: Transport, site: str) -> list[str]:
    """Models that are installed there; none where it does not say."""
    try:
        reply = transport.get(f"{site}/api/tags")
        listed = reply.json() if reply.ok else None
    except TargetError:
        return []
    entries = _json.objects(listed.get("models") if isinstance(listed, dict) else None)

    return [_json.printable(str(entry.get("name")), 100) for entry in entries][:200]


def connect(where: str, *, timeout: float = 60.0, concurrency: int = 2) -> OllamaChat:
    """The model of that name, or the only one installed. Asks nothing that counts as a question."""
    site, model = site_and_model(where, HOME)
    transport = Transport(timeout=timeout, most=MAX_REPLY, site=site, patience=PATIENCE)
    try:
        if not model:
            installed = names(transport, site)
            if len(installed) != 1:
                which = f"it has {', '.join(installed[:12])}" if installed else "it does not list its models"
                raise UsageError(f"expected ollama:{site}#MODEL, got no MODEL; {which}")
            model = installed[0]
        return OllamaChat(site, model, transport, concurrency)
    except BaseException:
        transport.close()
        raise
