"""
What holds when servers are hostile, machines die and money is at stake: each promise with its figure.

    python -m benchmarks.reliability [--rows crashes budgets …] [--quick] [--output benchmarks/reliability.json]

Rows that are there already are replaced one by one, so that a run may be cut short. Needs Linux; `disk faults` needs
a C compiler. Times depend on the machine and what else it does; compare ratios.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final

from benchmarks.reliability_rows import bodies, crashes, load, refusing, wire

Row = Callable[[bool], dict[str, Any]]
# What is measured, True for a quick look, and what is promised.
ROWS: Final[dict[str, tuple[Row, str]]] = {
    "crashes": (
        lambda quick: crashes.kills(8 if quick else 200),
        "1: 200 SIGKILLs over audits of 600 probes: none sent twice, no recorded answer lost, in doubt at most what "
        "was under way",
    ),
    "crashes, asked again": (
        lambda quick: crashes.kills(8 if quick else 200, wish="resend"),
        "1: --in-doubt resend with Idempotency-Key: each billed exactly once",
    ),
    "retries": (
        lambda quick: _retries(6 if quick else 60),
        "2: nothing is sent again after a 2xx, of requests refused at random neither; tries are bounded, a Retry-After "
        "of a day is not waited for",
    ),
    "budgets": (
        lambda quick: load.budgets(40 if quick else 1000),
        "3: no limit is passed in 1,000 random runs at concurrency 32",
    ),
    "deadlines": (lambda quick: wire.deadlines(2 if quick else 20), "4: every request is over by its deadline + .5 s"),
    "memory": (
        lambda quick: wire.memory(64 if quick else 512),
        "5: bombs of 512 MiB, floods and endless bodies cost at most 64 MiB",
    ),
    "origins": (
        lambda quick: wire.origins(),
        "6: no byte of a key at a second origin, no connection to a private address, no second POST",
    ),
    "at rest": (lambda quick: wire.at_rest(), "7: no key in the ledger, the log beside it, messages or repr"),
    "bodies": (
        lambda quick: bodies.bodies(300 if quick else 10_000),
        "8: 10,000 hostile bodies: each an answer or one of our errors, with the same bytes in the ledger",
    ),
    "silence": (
        lambda quick: _silence(60 if quick else 120),
        "9: too few answers are always inconclusive, and missing answers never no match",
    ),
    "load": (
        lambda quick: load.load(1000 if quick else 10_000),
        "10: 10,000 probes of a 20 ms server with the ledger on: 500 a second, 256 MiB, none lost",
    ),
    "soak": (
        lambda quick: load.soak(5000 if quick else 200_000),
        "11: 200,000 exchanges: at most 1 MiB more for 10,000, no more files and threads",
    ),
    "disk faults": (
        lambda quick: crashes.faults(12 if quick else 200),
        "14: every disk operation from the Nth on fails: never half a file, and the next run finishes",
    ),
    "throughput": (
        lambda quick: load.throughput(1, 600) if quick else load.throughput(),
        "with the ledger on at least .9 of bare requests at the same concurrency and batch",
    ),
}


def _retries(runs: int) -> dict[str, Any]:
    scripted, random = wire.retries(), refusing.refusals(runs)
    return {**scripted, **random, "holds": scripted["holds"] and not random["rows_again"] and not random["given_up"]}


def _silence(peers: int) -> dict[str, Any]:
    from benchmarks.reliability_rows import silent  # scikit-learn, whose memory is none of the other rows'

    return silent.silence(peers)


def main() -> None:
    """Measure rows and write them beside those that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    parser.add_argument("--quick", action="store_true", help="small counts, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/reliability.json"))
    options = parser.parse_args()
    failed = 0
    found = json.loads(options.output.read_text()) if options.output.exists() else {}
    for name in options.rows:
        measure, promise = ROWS[name]
        if len(options.rows) > 1:  # a process of its own for each, so that none measures another's memory
            again = ["--rows", name, "--output", str(options.output), *(["--quick"] if options.quick else [])]
            failed |= subprocess.run([sys.executable, "-m", "benchmarks.reliability", *again], check=False).returncode
            continue
        started = time.monotonic()
        row = measure(options.quick)
        failed |= row["holds"] is False
        found[name] = {"promise": promise, **row, "took_seconds": round(time.monotonic() - started, 1)}
        found[name]["measured"] = {
            "on": date.today().isoformat(), "python": platform.python_version(), "processors": os.cpu_count(),
            "load": os.getloadavg()[0], "quick": options.quick,
        }  # fmt: skip
        options.output.write_text(json.dumps(_rounded(found), indent=1) + "\n")
        print(f"{name}: {'holds' if row['holds'] else 'DOES NOT HOLD'} ({found[name]['took_seconds']} s)")
    sys.exit(bool(failed))


def _rounded(value: Any) -> Any:
    """Figures to four digits."""
    if isinstance(value, dict):
        return {name: _rounded(some) for name, some in value.items()}
    if isinstance(value, list):
        return [_rounded(some) for some in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
