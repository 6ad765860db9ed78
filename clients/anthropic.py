"""
Anthropic's Messages, and the servers that speak them too (vLLM, gateways).

`anthropic:MODEL`, or `anthropic:https://host#MODEL`; the key comes from ANTHROPIC_API_KEY for Anthropic's own host,
else from PROBE_MATCH_API_KEY. It has no seed, no log-probabilities and no raw continuation, thinks only when told to,
and draws at temperatures up to 1. https://docs.anthropic.com/en/api/messages
"""

from typing import Any, Final

from probe_match.fingerprinting.chat.records import Answer, Question
from probe_match.fingerprinting.errors import TargetError

from . import _json
from ._chat import MAX_REPLY, PATIENCE, HttpChat, count, read_text, site_and_model
from ._transport import Transport
from .openai import only_model, raise_unusable

HOME: Final = "https://api.anthropic.com"
VERSION: Final = "2023-06-01"


class AnthropicChat(HttpChat):
    """One model."""

    def __init__(self, site: str, model: str, transport: Transport, concurrency: int) -> None:
        super().__init__(f"anthropic:{site}#{model}", transport, concurrency)
        self.model = model
        self._base = f"{site}/v1"
        self._warm = True  # takes a temperature; models that only draw at 1 refuse the field

    def answer(self, question: Question) -> Answer:
        """One answer. Raises TargetError where the endpoint cannot be used."""
        sampling = question.sampling
        if question.raw or sampling.temperature > 1:
            what = "continues no raw text" if question.raw else "draws at temperatures up to 1"
            return Answer("", "failed", error=f"{self.target} {what}")
        for line, wanted in (("takes no seed", sampling.seed is not None), ("takes no logit bias", sampling.bias)):
            if wanted:
                self.note(line)
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": sampling.max_tokens,
            "messages": [{"role": "user", "content": question.text}],
        }
        if self._warm or sampling.temperature != 1:
            body["temperature"] = sampling.temperature
        if question.system:
            body["system"] = question.system
        if sampling.top_p is not None:
            body["top_p"] = sampling.top_p
        reply = self.post(f"{self._base}/messages", body)
        if reply.status == 400 and sampling.temperature == 1 and self._warm and "temperature" in _json.told(reply.body):
            self._warm = False
            return self.answer(question)
        if not reply.ok:
            raise_unusable(self, reply, self.model, self._base)
            return self.failed(reply)

        return read(reply.json(), reply.url)


def read(value: Any, source: str) -> Answer:
    """The answer in a message. Raises TargetError where it is none."""
    if not isinstance(value, dict) or not isinstance(value.get("content"), list):
        raise TargetError(f"expected a message with content from {source}, got {_json.printable(str(value), 80)}")
    blocks = [block for block in value["content"] if isinstance(block, dict) and block.get("type") == "text"]
    usage = value.get("usage")
    cached = sum(max(0, count(usage, f"cache_{kind}_input_tokens")) for kind in ("read", "creation"))
    tokens = count(usage, "input_tokens")

    return read_text(
        blocks,
        str(value.get("stop_reason") or ""),
        model=_json.printable(str(value.get("model") or ""), 100),
        prompt_tokens=tokens + cached if tokens >= 0 else -1,
        answer_tokens=count(usage, "output_tokens"),
    )


def connect(where: str, *, timeout: float = 60.0, concurrency: int = 4) -> AnthropicChat:
    """The model of that name. Asks nothing that counts as a question."""
    site, model = site_and_model(where, HOME)
    site = site.removesuffix("/v1")
    transport = Transport(
        timeout=timeout, most=MAX_REPLY, site=site, patience=PATIENCE, key_header="x-api-key",
        headers={"anthropic-version": VERSION},
    )  # fmt: skip
    try:
        return AnthropicChat(site, model or only_model("anthropic", transport, f"{site}/v1"), transport, concurrency)
    except BaseException:
        transport.close()
        raise
