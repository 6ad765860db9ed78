"""Row 2, continued: servers that refuse requests at random, and what of their answers is paid for twice."""

import contextlib
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from probe_match.clients import oip
from probe_match.fingerprinting import collect
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.errors import TargetError
from probe_match.fingerprinting.guards import GuardedClient
from probe_match.fingerprinting.ledger import open_ledger
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.records import InputSpec

SHARES = (0.5, 0.7, 0.9)
FEATURES = 4


class _Moody:
    """A model that refuses a share of the requests, and what it was sent. most: rows that it takes at once."""

    def __init__(self, share: float, most: int, seed: int) -> None:
        self.again = 0
        self._share, self._most = share, most
        self._rng, self._lock = np.random.default_rng(seed), threading.Lock()
        self._answered: set[bytes] = set()

    def answer(self, x: np.ndarray) -> np.ndarray:
        """Two scores per row, or ValueError, which the server makes a 500 of."""
        if x.any():  # the server itself asks about zeros once
            with self._lock:
                rows = [row.tobytes() for row in x]
                self.again += sum(row in self._answered for row in rows)
                if len(x) > self._most or self._rng.random() < self._share:
                    raise ValueError("not now")
                self._answered.update(rows)
        return np.stack([1 - x[:, 0], x[:, 0]], 1)


def refusals(runs: int = 40, number: int = 120) -> dict[str, Any]:
    """Rows that a 2xx answered and that were sent again, with batches learnt on the way; plainly and with a ledger."""
    found: dict[str, dict[str, int]] = {}
    for share in SHARES:
        again = given_up = 0
        for seed in range(runs):
            model = _Moody(share, (1000, 40, 7)[seed % 3], seed)
            x = np.random.default_rng(seed).uniform(0.1, 0.9, (number, FEATURES)).astype(np.float32)
            with serve({"m": model.answer}, (FEATURES,)) as url:
                given_up += not _asked(f"{url}/v2/models/m", x, concurrency=(0, 1, 4)[(seed + seed // 3) % 3])
            again += model.again
        found[f"{share:.0%} refused"] = {"runs": runs, "rows_again": again, "given_up": given_up}
    return {"random_refusals": found, "rows_again": sum(one["rows_again"] for one in found.values()),
            "given_up": sum(one["given_up"] for one in found.values())}  # fmt: skip


def _asked(url: str, x: np.ndarray, concurrency: int) -> bool:
    """Whether the rows could be asked without an error. concurrency: 0 asks without a ledger."""
    client = oip.connect(url)
    client.batch = 64
    spec = InputSpec("tabular", (FEATURES,))
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(client):
        audit = Audit(open_ledger(Path(folder) / "a", target=client.target))
        try:
            collect.ask(GuardedClient(client, audit, concurrency=concurrency) if concurrency else client, x, spec,
                        partly=True)  # fmt: skip
        except TargetError:
            return False
        finally:
            audit.close()

    return True
