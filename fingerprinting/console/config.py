"""What the console is told when it starts, checked before it listens."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from probe_match.fingerprinting.compliance.authority import FILE as AUTHORIZATION
from probe_match.fingerprinting.compliance.authority import is_loopback
from probe_match.fingerprinting.errors import UsageError

TOKEN: Final = "PROBE_MATCH_CONSOLE_TOKEN"  # noqa: S105 - the name of the variable that holds it
SHORTEST_TOKEN: Final = 16  # characters
LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Config:
    """
    db: the reference database. folder: where jobs and their answers are kept. history: of watches. host, port: where
    the console listens. token: who knows it may use the console; "" asks nobody. names: by which the console may be
    called besides its own address. at_once: jobs run at once. days: that raw answers are kept. secure: it is reached
    by HTTPS.
    """

    db: str
    folder: Path
    history: Path
    authorization: Path = Path(AUTHORIZATION)
    host: str = "127.0.0.1"
    port: int = 8321
    token: str = field(default="", repr=False)
    names: tuple[str, ...] = ()
    at_once: int = 2
    days: int = 90
    secure: bool = False

    def __post_init__(self) -> None:
        if self.token and (
            len(self.token) < SHORTEST_TOKEN or not self.token.isascii() or not self.token.isprintable()
        ):
            raise UsageError(f"expected at least {SHORTEST_TOKEN} printable ASCII characters in {TOKEN}")
        if not is_loopback(self.host) and not self.token:
            raise UsageError(
                f"whoever reaches {self.host} could use this console; set {TOKEN} to a long random text, or leave "
                "--host at 127.0.0.1"
            )

    @property
    def called(self) -> frozenset[str]:
        """The names that a browser may have in its address bar, in lower case; any other is somebody else's trick."""
        return frozenset(name.casefold() for name in (*LOOPBACK_NAMES, self.host, *self.names))
