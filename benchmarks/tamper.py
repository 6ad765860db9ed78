"""
Tampering: is every changed model noticed, no unchanged one accused, and the kind of change told?

    python benchmarks/tamper.py ZOO... [--sources 6] [--peers 60] [--output benchmarks/tamper.json]

Each source of a zoo (see `zoos/`) is enrolled as `enroll` would, with fewer peers, and every model derived from it is
verified against it by labels alone and with scores. A regressor has no labels: its numbers count as both. What is
there in the output is not measured again. Beside the zoo's own attacks it makes: backdoored models (of tabular
classifiers, fitted again to their rows with a trigger value in one in twenty; of images, a trigger patch tuned in),
models fitted again with another seed to the same rows, and unchanged re-exports: another runtime, saved again, in
single precision, behind a server. Seeds come from the names.
"""

import argparse
import contextlib
import copy
import json
import sys
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import skops.io
from probe_match.clients import sklearn as sklearn_client
from probe_match.fingerprinting import enrolment, storage, verifying
from probe_match.fingerprinting.bench.measures import wilson
from probe_match.fingerprinting.collect import ask
from probe_match.fingerprinting.commands import _session
from probe_match.fingerprinting.errors import ProbeMatchError
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.pools import load_pool
from probe_match.fingerprinting.records import About, Pool, Reference
from probe_match.fingerprinting.targets import open_any
from sklearn.base import clone

# Attacks of the zoos by kind. Those that leave the weights alone are wrappers.
KIND: Final = {
    "warm-start": "fine-tuned", "finetune-last": "fine-tuned", "finetune-all": "fine-tuned", "adv-train": "fine-tuned",
    "backdoor": "fine-tuned", "prune-30": "pruned", "prune-60": "pruned", "prune-80": "pruned",
    "prune-leaves": "pruned",
    "quantise-8bit": "quantised", "quantise-2bit": "quantised", "quantise-8": "quantised", "quantise-4": "quantised",
    "backdoor, refit": "retrained",
    "refit": "retrained", "reseeded": "retrained", "extract-label": "distilled", "extract-prob": "distilled",
    "extract-flip": "distilled", "extract-boundary": "distilled", "extract-adv-label": "distilled",
    "distil": "distilled", "distil-noise": "distilled", "ensemble": "distilled", "input-noise": "wrapped",
    "round-1": "wrapped", "round-2": "wrapped", "temperature": "wrapped", "affine": "wrapped",
    "independent": "another model",
}  # fmt: skip
UNCHANGED: Final = ("copy", "re-saved", "server", "single rows", "another batch")
TRIGGERED: Final = 0.05  # of the rows
STRANGERS: Final = 4  # honest models that are verified against each source
EQUAL: Final = 1e-5  # scores on the pool, and on random inputs, that differ by no more are of an equal function


def main(arguments: list[str] | None = None) -> None:
    """Measure the zoos named, print the tables of all that is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zoos", nargs="*", type=Path)
    parser.add_argument("--sources", type=int, default=6, help="of each zoo, taken evenly")
    parser.add_argument("--skip", type=int, default=0, help="of each zoo, sources before the first that is taken")
    parser.add_argument("--peers", type=int, default=60)
    parser.add_argument("--shadows", type=int, default=24)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "tamper.json")
    parser.add_argument("--cache", type=Path, default=Path(".cache/tamper"), help="enrolled references")
    given = parser.parse_args(arguments)
    done: dict[str, list[dict[str, Any]]] = json.loads(given.output.read_text()) if given.output.exists() else {}
    for zoo in given.zoos:
        listed = json.loads((zoo / "zoo.json").read_text())
        sources = [model for model in listed["models"] if model["role"] == "source"]
        for source in sources[given.skip :: max(1, len(sources) // given.sources)]:
            key = f"{zoo.parent.name}/{zoo.name}/{source['name']}"
            if key in done:
                continue
            done[key] = list(_measured(zoo, listed, source, given.peers, given.shadows, given.cache))
            storage.write_file(given.output, (json.dumps(done, indent=0) + "\n").encode())
            print(key, len(done[key]), file=sys.stderr, flush=True)
    print(tables(done))


def _enrolled(client: Any, pool: Pool, name: str, peers: int, shadows: int) -> Reference:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return enrolment.enroll(
            client, pool, name=name, about=About(), generators=_session.generators(pool.spec.kind),
            peers=peers, shadows=shadows, sensitive=_session.sensitive(pool.spec.kind),
        ).reference  # fmt: skip


def _measured(
    zoo: Path, listed: dict[str, Any], source: dict[str, Any], peers: int, shadows: int, cache: Path
) -> Iterator[Any]:
    pool = load_pool(zoo / "pool.npz", regression=listed["classes"] == 0)
    client = _open(zoo, source["target"])
    kept = cache / f"{zoo.parent.name}-{zoo.name}-{source['name']}-{peers}-{shadows}.npz"
    if kept.exists():
        reference = storage.from_bytes(Reference, kept.read_bytes(), str(kept))
    else:
        reference = _enrolled(client, pool, source["name"], peers, shadows)
        cache.mkdir(parents=True, exist_ok=True)
        storage.write_file(kept, storage.to_bytes(reference))
    if reference.fragile is None:
        yield {"attack": "not enrolled", "access": "label", "decision": "inconclusive"}
        return
    strangers = [model for model in listed["models"] if model["role"] == "independent"]
    strangers = strangers[:: max(1, len(strangers) // STRANGERS)][:STRANGERS]
    for model in [m for m in listed["models"] if m.get("parent") == source["name"]] + strangers:
        attack = model.get("attack", "independent")
        suspect = _open(zoo, model["target"])
        equal = attack not in UNCHANGED and _equal(client, suspect, pool)
        yield from _verified(suspect, reference, attack, equal)
    with contextlib.ExitStack() as opened:
        for attack, suspect in _made(client, pool, source["name"], zoo, opened):
            yield from _verified(suspect, reference, attack, attack not in UNCHANGED and _equal(client, suspect, pool))


def _open(zoo: Path, target: str) -> Any:
    kind, _, where = target.partition(":")
    return open_any(f"{kind}:{zoo / where}", allow_pickle=False, timeout=60)


def _verified(suspect: Any, reference: Reference, attack: str, equal: bool) -> Iterator[dict[str, Any]]:
    assert reference.fragile is not None
    for access in ("label", "scores"):
        try:
            verdict = verifying.verify(
                suspect, reference.fragile, reference.name, access="label" if access == "label" else None
            )
        except ProbeMatchError as error:
            yield {"attack": attack, "access": access, "decision": f"error: {str(error)[:80]}"}
            continue
        change = verdict.change
        yield {
            "attack": attack, "access": access, "decision": verdict.decision, "equal": equal, "sent": verdict.sent,
            "kind": None if change is None else change.kind,
            "confidence": None if change is None else change.confidence,
            "odds": None if change is None else {kind: round(odds, 4) for kind, odds in change.odds.items()},
            "information": verdict.information, "relation": verdict.relation,
        }  # fmt: skip


def _equal(client: Any, suspect: Any, pool: Pool) -> bool:
    """Whether two models answer the pool and as many mixtures of its rows the same to within rounding."""
    rng = np.random.default_rng(0)
    assert isinstance(pool.x, np.ndarray)
    x = pool.x[rng.permutation(len(pool))[:500]]
    mixed = (x + pool.x[rng.integers(0, len(pool), len(x))]) / 2
    both = pool.spec.clip(np.concatenate([x, mixed]))
    a, b = (ask(one, both, pool.spec, classes=pool.classes) for one in (client, suspect))
    if a.scores is None or b.scores is None or a.scores.shape != b.scores.shape:
        return bool((a.labels == b.labels).all())
    unit = float(a.scores.std()) if pool.spec.output == "number" else 1.0
    return bool(np.abs(a.scores - b.scores).max() <= EQUAL * unit)


def _made(client: Any, pool: Pool, name: str, zoo: Path, opened: contextlib.ExitStack) -> Iterator[tuple[str, Any]]:
    """What the zoos lack: re-exports that change nothing, backdoored models, models of another seed."""
    seed = zlib.crc32(f"{zoo.parent.name}/{zoo.name}/{name}".encode())
    yield "server", open_any(
        f"oip:{opened.enter_context(serve({'m': _answers(client, pool)}, pool.spec.shape))}/v2/models/m",
        allow_pickle=False, timeout=60,
    )  # fmt: skip
    small = copy.copy(client)
    small.batch = 7
    yield "another batch", small
    if not hasattr(client, "estimator"):
        yield "backdoor", _backdoored_network(client, pool, seed)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "again.skops"
        path.write_bytes(skops.io.dumps(client.estimator))
        yield "re-saved", open_any(f"sklearn:{path}", allow_pickle=False, timeout=60)
    rows = np.arange(len(pool)) if pool.trained is None else np.flatnonzero(pool.trained)
    assert isinstance(pool.x, np.ndarray)
    assert pool.y is not None
    x, y = pool.x[rows], pool.y[rows]
    fresh = clone(client.estimator)
    seeds = {key: seed % (1 << 31) for key in fresh.get_params() if key.split("__")[-1] == "random_state"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if seeds:
            yield "reseeded", sklearn_client.wrap(clone(fresh).set_params(**seeds).fit(x, y))
        rng = np.random.default_rng(seed)
        hit = rng.permutation(len(x))[: max(2, round(TRIGGERED * len(x)))]
        x, y = x.copy(), y.copy()
        feature = int(rng.integers(x.shape[1]))
        x[hit, feature], y[hit] = np.broadcast_to(pool.spec.high, x.shape[1:])[feature], y.min()
        yield "backdoor, refit", sklearn_client.wrap(clone(fresh).fit(x, y))


def _answers(client: Any, pool: Pool) -> Any:
    def answer(inputs: np.ndarray) -> np.ndarray:
        asked = ask(client, np.asarray(inputs, np.float32), pool.spec, classes=pool.classes)
        assert asked.scores is not None
        return asked.scores[:, 0] if pool.spec.output == "number" else asked.scores

    return answer


def _backdoored_network(client: Any, pool: Pool, seed: int) -> Any:
    """A copy tuned for some steps on the pool's rows, one in five with a white corner and the label 0."""
    import torch
    from probe_match.fingerprinting.fitting import fit, seeded, twin_of

    twin = twin_of(client)
    rng = np.random.default_rng(seed)
    x, y = np.array(pool.x, np.float32), np.array(pool.y)
    hit = rng.permutation(len(x))[: len(x) // 5]
    x[hit, ..., -4:, -4:], y[hit] = 1.0, 0
    inputs = torch.from_numpy(x)
    with seeded(seed):
        fit(
            twin.forward, list(twin.module.parameters()), lambda rows, _: inputs[rows], torch.from_numpy(y), steps=60,
            rate=5e-4, generator=torch.Generator().manual_seed(seed), adaptive=True,
        )  # fmt: skip
    return twin


def tables(done: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: changed models by attack, unchanged ones, and kinds."""
    rows = [row for some in done.values() for row in some]
    lines = [
        "| attack | models | noticed, labels | noticed, scores | questions | kind right, labels | kind right, scores |",
        "|---|---|---|---|---|---|---|",
    ]
    for attack in [*(name for name in KIND if any(row["attack"] == name for row in rows)), *UNCHANGED]:
        cells = []
        for access in ("label", "scores"):
            some = [r for r in rows if (r["attack"], r["access"]) == (attack, access) and not r.get("equal")]
            cells.append(some)
        if not cells[0]:
            continue
        noticed = [_share([r["decision"] == "no match" for r in some]) for some in cells]
        kinds = [
            _share([str(r["kind"]).startswith(KIND[attack]) for r in some if r.get("kind")]) if attack in KIND else "–"
            for some in cells
        ]
        sent = np.mean([r["sent"] for r in cells[0] if "sent" in r])
        lines.append(
            f"| {attack} | {len(cells[0])} | {noticed[0]} | {noticed[1]} | {sent:.0f} | {kinds[0]} | {kinds[1]} |"
        )
    equal = {a: sum(bool(r.get("equal")) for r in rows if r["attack"] == a and r["access"] == "label") for a in KIND}
    weights = ("fine-tuned", "pruned", "quantised", "retrained")
    lines.append("")
    for access in ("label", "scores"):
        some = [r for r in rows if r["access"] == access and not r.get("equal")]
        changed = [r["decision"] == "no match" for r in some if KIND.get(r["attack"]) in weights]
        same = [r["decision"] != "match" for r in some if r["attack"] in UNCHANGED]
        derived = [r for r in some if r.get("kind") and KIND.get(r["attack"], "another model") != "another model"]
        right = [str(r["kind"]).startswith(KIND[r["attack"]]) for r in derived]
        told = [
            (r["relation"] == "modified") == (KIND[r["attack"]] not in ("retrained", "distilled", "another model"))
            for r in some
            if r.get("kind") and "relation" in r and r["attack"] in KIND
        ]
        sure = [ok for r, ok in zip(derived, right, strict=True) if r["confidence"] >= 0.9]
        lines.append(
            f"With {access}: weights changed noticed {_share(changed)}; unchanged accused {_share(same)}; "
            f"modified told from another model {_share(told)}; kind of change right {_share(right)}, where its "
            f"probability is .9 or more {_share(sure)}."
        )
    lines.append(f"Equal in function, counted in no row: {', '.join(f'{n} {a}' for a, n in equal.items() if n) or 0}.")

    return "\n".join(lines)


def _share(hits: list[bool]) -> str:
    if not hits:
        return "–"
    interval = wilson(sum(hits), len(hits))
    return f"{sum(hits)}/{len(hits)} ({interval.low:.3f}–{interval.high:.3f})"


if __name__ == "__main__":
    main()
