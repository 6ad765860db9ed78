"""
Which key goes to which host: from the environment alone, never shown, and a provider's key to that provider alone.

A key meant for one provider would otherwise be handed to whoever runs the endpoint under suspicion. PROBE_MATCH_API_KEY
is the user's word that this key is for this target, and goes before all others.
"""

import os
from base64 import b64encode
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from probe_match.fingerprinting.errors import UsageError

OWN: Final = "PROBE_MATCH_API_KEY"
PROXY: Final = "PROBE_MATCH_PROXY"  # its URL; the only place for a proxy's user name and password
# Host, or the end of one, and the variable that its users keep its key in.
PROVIDERS: Final = {
    "api.openai.com": "OPENAI_API_KEY",
    "api.anthropic.com": "ANTHROPIC_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    "api.groq.com": "GROQ_API_KEY",
    "api.together.xyz": "TOGETHER_API_KEY",
    "api.fireworks.ai": "FIREWORKS_API_KEY",
    "api.x.ai": "XAI_API_KEY",
    "generativelanguage.googleapis.com": "GEMINI_API_KEY",
    "router.huggingface.co": "HF_TOKEN",
    ".openai.azure.com": "AZURE_OPENAI_API_KEY",
}


class Key(NamedTuple):
    """A key and the variable it came from, or would come from. The value is never shown."""

    variable: str
    value: str | None

    def __repr__(self) -> str:
        return f"Key({self.variable}, {'set' if self.value else 'not set'})"


def key_for(url: str) -> Key:
    """The key for a target. Raises UsageError for one that cannot be a header."""
    host = (urlsplit(url).hostname or "").lower()
    named = [name for end, name in PROVIDERS.items() if host == end or (end.startswith(".") and host.endswith(end))]
    for variable in (OWN, *named):
        value = os.environ.get(variable, "").strip()
        if not (value.isascii() and value.isprintable() and " " not in value):
            raise UsageError(f"expected a key of printable ASCII characters in {variable}")  # and never the key itself
        if value:
            return Key(variable, value)

    return Key(named[0] if named else OWN, None)


class KeyHeader:
    """Puts a key into its header field at the last moment; `requests` calls it with each request."""

    def __init__(self, field: str, key: str | None) -> None:
        self._field = field
        self._value = f"Bearer {key}" if key and field == "Authorization" else key

    def __bool__(self) -> bool:
        return self._value is not None

    def __repr__(self) -> str:
        return f"KeyHeader({self._field}, {'set' if self else 'not set'})"

    def __call__(self, request: Any) -> Any:
        """The request with the key, where there is one."""
        request.headers.update(self.fields())
        return request

    def fields(self) -> dict[str, str]:
        """The field with the key in it, where there is one."""
        return {} if self._value is None else {self._field: self._value}


class Proxies(dict[str, str]):
    """A proxy by the scheme it serves, as `requests` wants it; its password is not shown."""

    def __repr__(self) -> str:
        return f"Proxies({', '.join(self)})"


class Secrets:
    """What must never be shown or stored, in the forms in which a server may send it back."""

    def __init__(self, key: str | None, proxy: str | None) -> None:
        parts = urlsplit(proxy or "")
        plain = [key, unquote(parts.password) if parts.password else None, parts.password]
        forms = {
            form
            for secret in plain
            if secret
            for form in (
                secret,
                secret.replace("/", "\\/"),
                quote(secret, safe=""),
                b64encode(secret.encode()).decode(),
            )
        }
        self._forms = sorted(forms, key=len, reverse=True)

    def __repr__(self) -> str:
        return f"Secrets({len(self._forms)} forms)"

    def struck(self, text: str) -> str:
        """A text with *** for every secret."""
        for form in self._forms:
            text = text.replace(form, "***")
        return text

    def struck_bytes(self, data: bytes, *, keep_length: bool = False) -> bytes:
        """The same for bytes; keep_length: as many asterisks as the secret has bytes."""
        for form in self._forms:
            if form.encode() in data:
                data = data.replace(form.encode(), b"*" * (len(form) if keep_length else 3))
        return data


def proxy_for(named: str | None) -> str | None:
    """The proxy to use: the one that was named, else that of PROBE_MATCH_PROXY. Raises UsageError; never shows it."""
    told = named or os.environ.get(PROXY, "").strip() or None
    if told is None:
        return None
    try:
        parts = urlsplit(told)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and told.isprintable()
    except ValueError:
        sound = False
    if not sound:
        raise UsageError(f"expected the proxy as http(s)://host:port in --proxy or {PROXY}")
    if named and "@" in parts.netloc:
        raise UsageError(f"expected --proxy without user name and password; a proxy that wants them goes into {PROXY}")

    return told
