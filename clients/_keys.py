"""
Which key goes to which host: from the environment alone, never shown, and a provider's key to that provider alone.

A key meant for one provider would otherwise be handed to whoever runs the endpoint under suspicion. PROBE_MATCH_API_KEY
is the user's word that this key is for this target, and goes before all others.
"""

import os
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from probe_match.fingerprinting.errors import UsageError

OWN: Final = "PROBE_MATCH_API_KEY"
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
