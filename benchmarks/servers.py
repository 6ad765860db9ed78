"""
One model behind other people's servers: which of them ran, and what verdict each got from the same reference.

    PYTHONPATH=tests python -m benchmarks.servers [--install] [--servers NAME …] [--output benchmarks/servers.json]

Every server of tests/peers has the owner's model behind it, then an honest one of the same class and data, whose
verdict shows that the first is worth something. Servers that are not installed are left out and named; --install
installs them. Rows are written one by one beside those that are there, so that a run may be cut short.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import peers
import pytest
from probe_match.clients import sklearn
from probe_match.fingerprinting import matching, registry
from probe_match.fingerprinting.enrolment import enroll
from probe_match.fingerprinting.errors import ProbeMatchError
from probe_match.fingerprinting.pools import make_pool
from probe_match.fingerprinting.records import About, Reference
from probe_match.fingerprinting.targets import open_target
from sklearn.exceptions import ConvergenceWarning


def reference() -> Reference:
    """The owner's model, enrolled with honest ones of its data."""
    source, x, y = peers.model()
    generators = {"midpoints": registry.load("probes", "midpoints").generate}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return enroll(
            sklearn.wrap(source), make_pool(x[:900], y[:900]), name="ours", about=About(), generators=generators,
            log=x[900:1400], peers=48, shadows=8,
        ).reference  # fmt: skip


def behind(name: str, weights: Path, known: Reference) -> dict[str, Any]:
    """Verdicts on the model in `weights` behind one server, by each protocol that it speaks."""
    found: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp())
    try:
        with peers.running(name, folder, weights) as url:
            named = [t for t in peers.PEERS[name].targets if ":" in t.split("{")[0]]  # those that say the client
            for target in {t.partition(":{")[0]: t for t in reversed(named)}.values():
                client = open_target(target.format(url=url, grpc=url.grpc))
                try:
                    verdict = matching.match_one(client, known, seed=3)
                    found[target] = {
                        "decision": verdict.decision, "reference": verdict.reference, "relation": verdict.relation,
                        "information": verdict.information, "asked": verdict.sent,
                    }  # fmt: skip
                except ProbeMatchError as error:
                    found[target] = {"error": str(error)[:200]}
                finally:
                    client.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

    return found


def main() -> None:
    """Measure and write; the exit code is 1 where a server got another verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="install what is missing (10 GB in all)")
    parser.add_argument("--servers", nargs="+", choices=list(peers.PEERS), default=list(peers.PEERS), metavar="NAME")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/servers.json"))
    options = parser.parse_args()
    source, x, y = peers.model()
    known = reference()
    rows: dict[str, Any] = json.loads(options.output.read_text())["servers"] if options.output.exists() else {}
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        ours, honest = Path(folder) / "ours.npz", Path(folder) / "honest.npz"
        peers.save(source, ours)
        peers.save(peers.trained(107, x, y), honest)
        for name in options.servers:
            started, peer = time.monotonic(), peers.PEERS[name]
            if not options.install and not (peers.ENVIRONMENTS / name.partition("-")[0] / ".ready").exists():
                row: dict[str, Any] = {"ran": False, "why": "not installed"}
            else:
                try:
                    row = {"ran": True, "packages": peer.packages[0], "model": behind(name, ours, known),
                           "honest": behind(name, honest, known)}  # fmt: skip
                except (pytest.skip.Exception, pytest.fail.Exception) as error:
                    row = {"ran": False, "why": str(error)[-300:]}
            rows[name] = row | {"on": date.today().isoformat(), "seconds": round(time.monotonic() - started, 1)}
            print(name, json.dumps(rows[name])[:300], flush=True)
            told = told_of({name: rows[name] for name in peers.PEERS if name in rows})
            options.output.write_text(json.dumps(told, indent=1) + "\n")
    verdict = "one verdict" if told["one_verdict"] else "VERDICTS DIFFER"
    print(f"{told['ran']} servers, {told['protocols_asked']} targets: {verdict}")
    sys.exit(not (told["one_verdict"] and told["honest_cleared"]))


def told_of(rows: dict[str, Any]) -> dict[str, Any]:
    """The rows, and what they amount to."""
    verdicts = [verdict for row in rows.values() for verdict in row.get("model", {}).values()]
    others = [verdict for row in rows.values() for verdict in row.get("honest", {}).values()]

    return {
        "ran": len({name.partition("-")[0] for name, row in rows.items() if row["ran"]}),
        "protocols_asked": len(verdicts),
        "one_verdict": all(verdict.get("reference") == "ours" for verdict in verdicts),
        "honest_cleared": all(verdict.get("decision") in ("no match", "inconclusive") for verdict in others),
        "servers": rows,
    }


if __name__ == "__main__":
    main()
