"""
OpenAI and every server that speaks as it does: vLLM, SGLang, llama.cpp, transformers serve, LiteLLM, OpenRouter, Azure.

`openai:https://host/v1#MODEL`, or `openai:MODEL` for OpenAI itself. The key comes from PROBE_MATCH_API_KEY, or from the
provider's own variable where the host is that provider's. https://platform.openai.com/docs/api-reference/chat
"""

from typing import Any, Final

from probe_match.fingerprinting.chat.records import Answer, Price, Question
from probe_match.fingerprinting.errors import TargetError, UsageError

from . import _json, _openai_wire
from ._chat import MAX_REPLY, PATIENCE, HttpChat, refuses, site_and_model
from ._openai_wire import Form
from ._sse import completion, is_stream
from ._transport import Reply, Transport, checked

HOME: Final = "https://api.openai.com/v1"
LESSONS: Final = 10  # refused forms of one question before it is given up


class OpenAIChat(HttpChat):
    """One model of one server, and the form in which that server wants to be asked."""

    def __init__(self, base: str, model: str, transport: Transport, concurrency: int) -> None:
        super().__init__(f"openai:{base}#{model}", transport, concurrency)
        self.model = model
        self._base = base
        self._form = Form()
        self._thinks = False  # whatever switch is tried

    def answer(self, question: Question) -> Answer:
        """One answer, asked again as long as a refusal teaches how to ask. Raises TargetError."""
        url = f"{self._base}/{'completions' if question.raw else 'chat/completions'}"
        for _ in range(LESSONS):
            form = self._form
            body = _openai_wire.request(question, self.model, form)
            reply = self.post(url, body)
            if not reply.ok:
                if not self._learnt(form, reply, body):
                    raise_unusable(self, reply, self.model, self._base)
                    return self.failed(reply)
                continue
            answer, thought = _openai_wire.read(_value(reply), question, url)
            if not (thought and question.sampling.reasoning == "off") or not self._switched(form):
                return answer

        raise TargetError(f"{url} refuses every form of a question ({_json.told(reply.body)})")

    def price(self) -> Price | None:
        """What the server's list of models says of this one, as OpenRouter does; None where it says nothing."""
        return _openai_wire.price(_listed(self.transport, self._base), self.model)

    def _learnt(self, form: Form, reply: Reply, body: dict[str, Any]) -> bool:
        """Whether a refusal taught a form to ask again in, this thread or another."""
        if reply.status not in (400, 415, 422, 500, 501):
            return False
        with self.lock:
            if self._form != form:
                return True
        learnt = _openai_wire.learn(form, _json.told(reply.body), body)
        if learnt is None:
            return False
        for field in sorted(learnt.without - form.without - {"stream_options"}):
            self.note(f"takes no {field}")
        with self.lock:
            self._form = learnt
        if learnt.switch < form.switch:
            self._give_up_switches()
        return True

    def _switched(self, form: Form) -> bool:
        """Whether there is another way to switch reasoning off, after an answer that came with reasoning."""
        with self.lock:
            if self._thinks or self._form != form:
                return not self._thinks
            learnt = _openai_wire.next_switch(form)
            self._form = learnt or form._replace(switch=0)
        if learnt is None:
            self._give_up_switches()
        return not self._thinks

    def _give_up_switches(self) -> None:
        self._thinks = True
        self.note("reasons before it answers, and does not let that be switched off")


def raise_unusable(client: HttpChat, reply: Reply, model: str, base: str) -> None:
    """Raise TargetError where a refusal is of the endpoint and not of the question."""
    error = refuses(client.transport, reply, model, lambda: models(client.transport, base))
    if error is not None:
        raise error


def models(transport: Transport, base: str) -> list[str]:
    """Names that the server lists, at most 200; none where it lists none."""
    names = [entry.get("id", entry.get("name")) for entry in _listed(transport, base)]

    return [_json.printable(name, 100) for name in names if isinstance(name, str) and name][:200]


def _listed(transport: Transport, base: str) -> list[dict[str, Any]]:
    """What a server lists of its models; nothing where it lists none."""
    try:
        reply = transport.get(f"{base}/models")
        listed = reply.json() if reply.ok else None
    except TargetError:
        return []

    return _json.objects(listed.get("data", listed.get("models")) if isinstance(listed, dict) else listed)


def connect(where: str, *, timeout: float = 60.0, concurrency: int = 4) -> OpenAIChat:
    """The model at a URL, or the only model of a server. Asks nothing that counts as a question."""
    base, model = site_and_model(where, HOME)
    azure = ".openai.azure.com" in base
    transport = Transport(
        timeout=timeout,
        most=MAX_REPLY,
        site=base,
        patience=PATIENCE,
        key_header="api-key" if azure else "Authorization",
    )
    try:
        return OpenAIChat(base, model or only_model("openai", transport, base), transport, concurrency)
    except BaseException:
        transport.close()
        raise


def detect(url: str, *, timeout: float = 30.0) -> str | None:
    """What follows `openai:` for a bare URL, or None where the server speaks something else."""
    base = checked(url.rstrip("/"))
    transport = Transport(timeout=timeout, most=MAX_REPLY, site=base)
    try:
        for found in dict.fromkeys((base, f"{base.removesuffix('/v1')}/v1")):
            reply = transport.get(f"{found}/models")
            if reply.status in (401, 403):
                raise transport.complaint(reply)
            listed = _json.maybe(reply.body) if reply.ok else None
            if isinstance(listed, dict) and listed.get("object") == "list" and isinstance(listed.get("data"), list):
                return found
    finally:
        transport.close()
    return None


def only_model(client: str, transport: Transport, base: str) -> str:
    """The one model that a server lists. Raises UsageError where there is no single one."""
    names = models(transport, base)
    if len(names) != 1:
        which = f"it serves {', '.join(names[:12])}" if names else "it does not list its models"
        raise UsageError(f"expected {client}:{base}#MODEL, got no MODEL; {which}")
    return names[0]


def _value(reply: Reply) -> Any:
    return completion(reply) if is_stream(reply) else reply.json()
