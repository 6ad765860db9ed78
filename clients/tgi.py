"""
Text Generation Inference, where it differs from OpenAI: `/generate` continues raw text and gives several tokens a
place.

`tgi:http://host:8080`. One server holds one model. Chats go to its `/v1/chat/completions`.
https://huggingface.co/docs/text-generation-inference/reference/api_reference
"""

from typing import Any

from probe_match.fingerprinting.chat.records import Answer, Question
from probe_match.fingerprinting.errors import TargetError

from . import _json
from ._chat import MAX_REPLY, PATIENCE, alternatives, count, read_text, site_and_model
from ._transport import Transport
from .openai import OpenAIChat, raise_unusable

MOST_ALTERNATIVES = 5  # TGI's own limit


class TGIChat(OpenAIChat):
    """The model of one server. model: as /info names it."""

    def __init__(self, site: str, model: str, transport: Transport, concurrency: int) -> None:
        super().__init__(f"{site}/v1", "tgi", transport, concurrency)
        self.target: str = f"tgi:{site}"
        self._site = site
        self._named = model

    def answer(self, question: Question) -> Answer:
        """One answer. Raises TargetError where the endpoint cannot be used."""
        if not question.raw:
            return super().answer(question)
        sampling = question.sampling
        drawn = sampling.temperature > 0  # it refuses a temperature of 0
        parameters: dict[str, Any] = {
            "max_new_tokens": sampling.max_tokens,
            "do_sample": drawn,
            "temperature": sampling.temperature if drawn else None,
            "top_p": sampling.top_p if sampling.top_p != 1 else None,  # and a top_p of 1
            "seed": sampling.seed,
            "details": True,
            "decoder_input_details": True,
            "top_n_tokens": min(sampling.logprobs, MOST_ALTERNATIVES) or None,
        }
        text = f"{question.system}\n{question.text}" if question.system else question.text
        url = f"{self._site}/generate"
        told = {name: value for name, value in parameters.items() if value is not None}
        reply = self.post(url, {"inputs": text, "parameters": told})
        if not reply.ok:
            raise_unusable(self, reply, self._named, f"{self._site}/v1")
            return self.failed(reply)

        return read(reply.json(), sampling.logprobs, self._named, url)


def read(value: Any, wanted: int, model: str, source: str) -> Answer:
    """The answer in a generation. Raises TargetError where it is none."""
    value = value[0] if isinstance(value, list) and value else value
    if not isinstance(value, dict) or not isinstance(value.get("generated_text"), str):
        raise TargetError(f"expected a generated_text from {source}, got {_json.printable(str(value), 80)}")
    details = value.get("details")
    details = details if isinstance(details, dict) else {}
    prefill, tops = details.get("prefill"), details.get("top_tokens")
    positions = [
        [(top.get("text", ""), top.get("logprob")) for top in _json.objects(place)]
        for place in (tops if isinstance(tops, list) else ())
    ]

    return read_text(
        value["generated_text"],
        str(details.get("finish_reason") or ""),
        model=model,
        prompt_tokens=len(prefill) if isinstance(prefill, list) and prefill else -1,
        answer_tokens=count(details, "generated_tokens"),
        logprobs=alternatives(positions, wanted),
    )


def connect(where: str, *, timeout: float = 60.0, concurrency: int = 4) -> TGIChat:
    """The server at a URL. Asks which model it holds."""
    site, _ = site_and_model(where, "http://localhost:8080")
    transport = Transport(timeout=timeout, most=MAX_REPLY, site=site, patience=PATIENCE)
    try:
        reply = transport.get(f"{site}/info")
        info = reply.json() if reply.ok else None
        if not isinstance(info, dict) or "model_id" not in info:
            raise TargetError(f"{site} is no Text Generation Inference server (status {reply.status} for /info)")
        return TGIChat(site, _json.printable(str(info["model_id"]), 100), transport, concurrency)
    except BaseException:
        transport.close()
        raise
