"""Cases: run in a small world, closed, opened and recomputed; and everything a claimant could try is refused."""

import contextlib
import copy
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import claims_world as w
import numpy as np
import pytest
from claims_world import GENERATOR, KEY, POOL, World, client
from probe_match.clients import oip, sklearn
from probe_match.fingerprinting import storage, weight_changes
from probe_match.fingerprinting.claims import (
    again,
    books,
    cases,
    commitments,
    files,
    keys,
    opening,
    running,
    segments,
    verifying,
)
from probe_match.fingerprinting.claims.beacons import Beacon
from probe_match.fingerprinting.claims.cases import Case
from probe_match.fingerprinting.claims.verifying import Opened
from probe_match.fingerprinting.errors import BadData, InputRefused
from probe_match.fingerprinting.ledger import read_ledger
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.records import InputSpec, Panel, Pool
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

Claim = dict[str, Any]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A case in which a copy with coarser weights was accused, beside a known copy and an honest model at hand."""
    peer = client(900, "honest")
    committed = w.commit(at_hand=[peer])
    suspect, copy = client(0, "stolen", rounded=True), client(0, "known copy", rounded=True)
    return w.run(tmp_path_factory.mktemp("case"), suspect, (peer, "peer"), (copy, "copy"), committed=committed)


@pytest.fixture(scope="module")
def whole(found: World) -> Opened:
    """The same case, opened whole and verified."""
    whole = verifying.verify(w.opened(found)).whole
    assert whole is not None
    return whole


def outcome(world: World) -> str:
    return str(cases.conclude(world.case, world.probes)["finding"]["outcome"])


def test_a_copy_is_found_and_the_case_recomputed(found: World) -> None:
    """A copy of the weights is a match, and whoever gets the opened case comes to the same from it alone."""
    checked = verifying.verify(w.opened(found))

    assert outcome(found) == "match"
    assert checked.result["finding"]["outcome"] == "match"
    assert checked.leaves == (len(found.case.leaves()),) * 2
    assert [c["as_expected"] for c in checked.result["controls"]] == [True] * 3
    assert checked.result["finding"]["p_corrected"] <= 1e-6


def test_honest_models_are_not_accused(tmp_path: Path) -> None:
    """Another model of the same rows is no match."""
    assert outcome(w.run(tmp_path, client(950, "other"))) in ("no match", "inconclusive")


def test_the_same_case_gives_the_same_bytes(found: World, tmp_path: Path) -> None:
    """A case written twice is one file, and read back it is what was written."""
    opened = w.opened(found)
    files.write(tmp_path / "a.mfpb", opened)
    files.write(tmp_path / "b.mfpb", dict(reversed(opened.items())))

    assert (tmp_path / "a.mfpb").read_bytes() == (tmp_path / "b.mfpb").read_bytes()
    assert files.read(tmp_path / "a.mfpb") == opened


def test_a_closed_case_tells_no_probe(found: World) -> None:
    """Neither key nor probes are in what is handed over before the reveal, and it is valid without them."""
    closed = b"".join(found.closed.values())

    assert KEY.reveal().encode() not in closed
    assert not any(name.encode() in closed for name in found.probes.names)
    assert verifying.verify(found.closed).whole is None


def test_single_leaves_can_be_opened(found: World) -> None:
    """Opened leaves lead to the sealed root, a changed one does not, and the key stays secret."""
    some = opening.reveal(found.closed, found.private, KEY, [3, len(found.case.leaves()) - 1])
    forged = some | {files.SOME: some[files.SOME].replace(b'"outcome":"answered"', b'"outcome":"failed"')}

    assert verifying.verify(some).leaves[0] == 2
    assert KEY.reveal().encode() not in b"".join(some.values())
    assert forged != some
    with pytest.raises(BadData, match=r"does not lead to the root|holds label"):
        verifying.verify(forged)


def test_every_changed_byte_of_a_closed_case_is_noticed(found: World) -> None:
    """No byte of the book or the result can be another one."""
    for name in files.CLOSED:
        data = found.closed[name]
        for place in range(0, len(data), 17):
            changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            with pytest.raises(BadData):
                verifying.verify(found.closed | {name: changed})


def hand_picked(case: Case) -> Case:
    """Probes other than those drawn: the suspect's easiest, say, in the place of the last."""
    return w.with_attempts(case, "suspect", lambda made: [*made[:-1], made[-1]._replace(input="sha256:" + "0" * 64)])


def other_places(case: Case) -> Case:
    return replace(case, places=(case.places + 1) % (1 << segments.STEPS))


def dropped_peer(case: Case) -> Case:
    return replace(case, peers=case.peers[:-1])


def weaker_peers(case: Case) -> Case:
    """Peers that choose are passed off as peers that calibrate."""
    return replace(case, peers=tuple(p._replace(use="calibrate") for p in case.peers))


FORGED: dict[str, tuple[Callable[[Case], Case], str]] = {
    "hand-picked probe": (hand_picked, "what key and beacon do not give"),
    "other places": (other_places, "ways on which|do not give"),
    "dropped attempt": (lambda c: w.with_attempts(c, "suspect", lambda made: made[1:]), "none may be skipped"),
    "answer asked for again": (
        lambda c: w.with_attempts(c, "suspect", lambda made: [*made, made[0]._replace(attempt=1)]), "committed to",
    ),
    "better answers": (
        lambda c: w.with_attempts(c, "suspect", lambda made: [a._replace(label=(a.label + 1) % 3) for a in made]),
        "not what the leaves give",
    ),
    "dropped peer": (dropped_peer, "number of honest models"),
    "peers in other uses": (weaker_peers, "number of honest models"),
    "peer at hand left out": (lambda c: replace(c, asked=tuple(m for m in c.asked if m.role != "peer")), "at hand"),
    "source left out": (lambda c: replace(c, asked=tuple(m for m in c.asked if m.role != "source")), "source"),
    "other labels of the source": (lambda c: replace(c, labels=(c.labels + 1) % 3), "labels of the source"),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_what_a_claimant_forges_is_refused(found: World, what: str) -> None:
    """A claimant who holds all keys, changes the case and seals it anew, is refused for what he changed."""
    forge, why = FORGED[what]

    with pytest.raises(BadData, match=why):
        verifying.verify(w.forged(found, forge(found.case)))


def test_strange_values_are_refused_in_one_line(found: World) -> None:
    """Whatever a forger seals, huge, nested or of another type, is an error of ours, or what nothing follows from."""
    rng = np.random.default_rng(0)
    strange = [10**30, -5, 2**31, None, [], {}, "x", "1" * 5000, 0.5, True, [[1]], "0" * 96]
    leaves, hits = found.case.leaves(), cases.conclude(found.case, found.probes)["finding"]["hits"]
    for value in strange:
        for _ in range(4):
            place = int(rng.integers(len(leaves)))
            leaf = json.loads(leaves[place])
            leaf[str(rng.choice(sorted(leaf)))] = value
            changed = [*leaves[:place], storage.canonical_json(leaf), *leaves[place + 1 :]]
            with contextlib.suppress(BadData):
                checked = verifying.verify(w.forged(found, found.case, leaves=changed))
                assert checked.result["finding"]["hits"] == hits
        for name in ("searched", "audits", "floor", "suspect", "controls", "nearest", "questions", "beacon"):
            refused(w.forged(found, found.case, **{name: value}))


def refused(given: files.Files) -> None:
    with pytest.raises(BadData):
        verifying.verify(given)


def test_leaves_are_bound_by_the_root(found: World) -> None:
    """Leaves reordered, dropped, doubled or changed after the seal do not have its root."""
    opened = w.opened(found)
    lines = opened[files.LEAVES].splitlines(keepends=True)
    for changed in (lines[::-1], lines[:-1], [*lines, lines[-1]], [*lines[:-1], lines[-1].replace(b"label", b"lebal")]):
        with pytest.raises(BadData, match="root that was sealed"):
            verifying.verify(opened | {files.LEAVES: b"".join(changed)})


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 1e-7}, {"generator": GENERATOR._replace(statistic="crossings")}, {"retries": 1},
        {"peers": 130}, {"alpha": 0.005}, {"beacon": ("drand", 8)},
    ],
    ids=["threshold", "statistic", "retry rule", "panel", "alpha", "beacon"],
)  # fmt: skip
def test_nothing_committed_to_can_be_swapped(found: World, change: dict[str, Any]) -> None:
    """A case is of its own commitment: run under another threshold, statistic or rule it has other probes or none."""
    swapped = found.case.commitment._replace(**change)
    book = books.extended(w.Book([], [], None), swapped.to_json(), w.PEM)
    beacon = None if swapped.beacon is None else Beacon(*swapped.beacon, "5a" * 32)

    with pytest.raises(BadData):
        verifying.verify(w.forged(found, replace(found.case, commitment=swapped, beacon=beacon), book))


def test_a_swapped_commitment_under_the_old_seal_is_refused(found: World) -> None:
    """What was sealed cannot be another commitment, and links of two owners are no book."""
    other = found.case.commitment._replace(threshold=1e-7).to_json()
    mine = books.extended(w.Book([], [], None), other, w.PEM).envelopes[0]
    lines = found.closed[files.BOOK].splitlines(keepends=True)
    foreign = books.extended(w.Book([], [], None), found.case.commitment.to_json(), w.OTHER_PEM).envelopes[0]

    with pytest.raises(BadData, match="does not follow"):
        verifying.verify(found.closed | {files.BOOK: files.joined([mine]) + lines[1]})
    with pytest.raises(BadData, match="one owner"):
        verifying.verify(found.closed | {files.BOOK: files.joined([foreign]) + lines[1]})


def test_a_stale_case_cannot_be_run() -> None:
    """Only the last commitment is run, once: earlier ones, those run, and those of another book are stale."""
    first, book = w.commit()
    second, book = w.commit(book)
    stranger, _ = w.commit(retries=1)

    commitments.require_last(book.links, second)
    for stale in (first, stranger):
        with pytest.raises(BadData, match="stale"):
            commitments.require_last(book.links, stale)
    assert (second.serial, second.previous) == (2, first.digest)


def test_a_case_put_away_stays_in_the_book(tmp_path: Path) -> None:
    """A second commitment is corrected for two audits, and a book that lacks the first is refused."""
    _, book = w.commit()
    world = w.run(tmp_path, client(0, "stolen", rounded=True), committed=w.commit(book))
    lines = world.closed[files.BOOK].splitlines(keepends=True)

    assert verifying.verify(w.opened(world)).result["finding"]["factor"] == 2.0
    with pytest.raises(BadData, match="dropped or changed"):
        verifying.verify(world.closed | {files.BOOK: b"".join(lines[1:])})
    with pytest.raises(BadData, match="corrected for 1 audits, the case book holds 2"):
        verifying.verify(w.forged(world, world.case, audits=1))


def test_without_a_beacon_keys_could_be_ground(tmp_path: Path) -> None:
    """No beacon: p-values are corrected for 2^40 keys, and who verifies is told."""
    world = w.run(tmp_path, client(0, "stolen"), committed=w.commit(beacon=None))
    checked = verifying.verify(w.opened(world))

    assert checked.result["finding"]["factor"] == 2.0**40
    assert any("no beacon" in note for note in checked.notes)


def test_key_and_beacon_are_those_committed_to(found: World) -> None:
    """Another key, and another round, give no seed."""
    made = found.case.commitment
    with pytest.raises(BadData, match="the key with hash"):
        cases.seed(made, keys.OwnerKey(b"x" * 32), w.BEACON, "probes")
    with pytest.raises(BadData, match="round 7 of drand"):
        cases.seed(made, KEY, Beacon("drand", 8, "5a" * 32), "probes")


def test_a_run_is_of_what_was_committed_to(tmp_path: Path) -> None:
    """Another source, pool or honest model than was committed to is refused before anybody is asked."""
    made, _ = w.commit()
    models = [
        running.Model(client(1, "mine"), "source", tmp_path / "a"),
        running.Model(client(0, "s"), "suspect", tmp_path / "b"),
    ]
    with pytest.raises(BadData, match="the source of this run"):
        running.run(made, KEY, w.BEACON, POOL, models, audits=1, train=w.honest)
    models[0] = models[0]._replace(client=client(0, "mine"))
    with pytest.raises(BadData, match="the pool of this run"):
        running.run(made, KEY, w.BEACON, POOL.take(np.arange(399, -1, -1)), models, audits=1, train=w.honest)
    models.append(running.Model(client(5, "late"), "peer", tmp_path / "c"))
    with pytest.raises(BadData, match="the honest models of this run"):
        running.run(made, KEY, w.BEACON, POOL, models, audits=1, train=w.honest)


def test_a_failed_control_voids_the_case(tmp_path: Path) -> None:
    """A copy that is not found, or an honest model that looks derived, leaves nothing to conclude."""
    twin = client(0, "said to be honest")
    void = w.run(tmp_path / "a", client(0, "stolen"), (twin, "peer"), committed=w.commit(at_hand=[twin]))
    lost = w.run(tmp_path / "b", client(0, "stolen"), (client(3, "no copy"), "copy"))

    assert "control failed: function:said to be honest" in cases.conclude(void.case, void.probes)["finding"]["why"]
    assert "control failed: function:no copy" in cases.conclude(lost.case, lost.probes)["finding"]["why"]
    assert outcome(void) == outcome(lost) == "inconclusive"


def test_an_honest_model_of_the_verifier_counts(whole: Opened) -> None:
    """Whoever verifies may add honest models; one that answers as the source does takes the match away."""
    assert again.with_others(whole, [client(800, "theirs")])["finding"]["outcome"] == "match"
    assert again.with_others(whole, [client(0, "theirs")])["finding"]["outcome"] == "inconclusive"


def test_a_verifiers_pool_teaches_honest_models(whole: Opened) -> None:
    """Honest models trained on a verifier's rows join the peers; a pool of another input is refused."""
    few = whole._replace(case=replace(whole.case, commitment=whole.case.commitment._replace(peers=8)))
    peers = again.trained_on(few, client(0, "mine"), POOL)
    counted = again.with_others(whole, [], peers)
    narrow = replace(POOL, spec=InputSpec("tabular", (3,)), x=POOL.x[:, :3])  # type: ignore[call-overload]

    assert len(peers) == 8
    assert sum(counted["finding"]["peers"].values()) == len(peers) + 201
    assert counted["finding"]["nearest_hits"] >= max(peer_hits(whole, peer.readings) for peer in peers)
    with pytest.raises(BadData, match="a pool of the case's input"):
        again.trained_on(few, client(0, "mine"), narrow)


def peer_hits(whole: Opened, readings: str) -> int:
    bits = whole.probes.ways.bits[whole.probes.chosen]
    return sum(int(reading) == bit for reading, bit in zip(readings, bits.tolist(), strict=True))


def test_models_can_be_asked_again(whole: Opened) -> None:
    """The owner's model gives the recorded labels, places and readings, the suspect its answers; others do not."""
    other = again.source_says(whole, client(1, "another"))

    assert set(again.source_says(whole, client(0, "mine")).values()) == {1.0}
    assert min(other.values()) < again.ENOUGH
    assert again.suspect_says(whole, client(0, "stolen", rounded=True)) == 1.0
    assert again.suspect_says(whole, client(3, "another")) < again.ENOUGH


def test_honest_models_can_be_trained_again(whole: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained again from the seeds they give the recorded readings; readings that were made up do not."""
    monkeypatch.setattr(again.panel, "train", w.honest)
    made_up = tuple(p._replace(readings="0" * len(p.readings)) for p in whole.case.peers)

    assert again.peers_say(whole, client(0, "mine")) == 1.0
    assert again.peers_say(whole._replace(case=replace(whole.case, peers=made_up)), client(0, "mine")) < again.ENOUGH


def test_changed_copies_of_the_owners_model_choose_among_the_ways(tmp_path: Path) -> None:
    """A network's copies are leaves like peers; a rounded one is found, and a case without copies is refused."""
    assert isinstance(POOL.x, np.ndarray)
    network = MLPClassifier((16,), max_iter=150, learning_rate_init=0.01, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.fit(POOL.x, POOL.y)
    source, thief = sklearn.wrap(network), copy.deepcopy(network)
    weight_changes.quantise(weight_changes.parts_of(thief), 6, "symmetric")
    made = running.generator_for(source, "targeted", 192, 768)
    committed = w.commit(generator=made, source=source)
    world = w.run(tmp_path, sklearn.wrap(thief, name="thief"), committed=committed, source=source)
    whole = verifying.verify(w.opened(world)).whole
    assert whole is not None
    copies = [peer for peer in world.case.peers if peer.use == "shadow"]
    without = replace(world.case, peers=tuple(p for p in world.case.peers if p.use != "shadow"))

    assert made.version == 2
    assert len(copies) == 32
    assert outcome(world) == "match"
    with pytest.raises(BadData, match="copies that choose"):
        verifying.verify(w.forged(world, without))
    with pytest.raises(BadData, match="--gap"):
        w.run(tmp_path / "b", client(1, "b"), committed=w.commit(generator=made))


def readers(count: int) -> Iterator[tuple[str, Any]]:
    """The texts that models of texts learn from, and models of other halves of them, each by its name."""
    words = np.array([f"word{i}" for i in range(60)])
    rng = np.random.default_rng(3)
    y = np.arange(300) % 2
    liking = np.exp(rng.normal(0, 0.6, (2, 60)))
    x = tuple(" ".join(rng.choice(words, 12, p=liking[k] / liking[k].sum())) for k in y)
    yield "pool", Pool(InputSpec("text"), x, y)
    for i in range(count):
        rows = np.random.default_rng([4, i]).permutation(300)[:80]
        model = make_pipeline(CountVectorizer(), LogisticRegression(C=5.0))
        yield f"peer {i}", model.fit([x[row] for row in rows], y[rows])


def test_a_claim_on_a_model_of_texts(tmp_path: Path) -> None:
    """Its ways are texts, its copies choose among them; an exact copy hits every bit and another's model does not."""
    (_, pool), (_, mine), *others = readers(14)
    source = sklearn.wrap(mine, name="mine")

    def train(source: Any, pool: Pool, inputs: np.ndarray, seed: bytes, count: int, **_: Any) -> Any:
        def some(inputs: np.ndarray, which: slice, use: str) -> Panel:
            named = others[which]
            labels = np.stack([running.answers_of(sklearn.wrap(m), pool, inputs) for _, m in named]).astype(np.int16)
            roles = tuple("peer" if i % 2 else "kin peer" for i in range(len(named)))
            return Panel(tuple(name for name, _ in named), roles, (use,) * len(named), labels)

        return some(inputs, slice(1, 7), "select"), lambda probes: some(probes, slice(7, 13), "calibrate")

    generator = running.generator_for(source, "targeted", 32, 128)
    another, thief = sklearn.wrap(others[0][1], name="another's"), sklearn.wrap(copy.deepcopy(mine), name="copy")
    commitment = running.commit(source, pool, KEY, generator, links=[], beacon=None, peers=12, at_hand=[another])
    roles = ((source, "source"), (another, "peer"), (thief, "suspect"))
    models = [running.Model(model, role, tmp_path / role) for model, role in roles]
    case, probes = running.run(commitment, KEY, None, pool, models, audits=1, train=train)
    result = cases.conclude(case, probes)
    hits = {control["of"]: control["hits"] for control in result["controls"]}

    assert result["finding"]["hits"] == hits["sklearn:mine"] == 32
    assert hits["sklearn:another's"] < 30
    assert all(isinstance(text, str) for text in probes.inputs)


def test_crossings_are_for_screening(tmp_path: Path) -> None:
    """Both sides of each way are asked, a copy is found with them, and who verifies is told what that rests on."""
    generator = segments.symmetric("crossings", 48, 256)
    world = w.run(tmp_path, client(0, "stolen", rounded=True), committed=w.commit(generator=generator))
    checked = verifying.verify(w.opened(world))

    assert (outcome(world), checked.result["questions"]) == ("match", 96)
    assert any("screening only" in note for note in checked.notes)


def test_failures_are_asked_again_and_recorded(tmp_path: Path) -> None:
    """A target that fails on every other input at first is asked again as committed, each attempt a leaf."""
    answer, seen = w.nearest(0), set()

    def flaky(inputs: np.ndarray) -> np.ndarray:
        fresh = [row.tobytes() for row in inputs if row.tobytes() not in seen and row[0] > 0.5]
        if fresh and len(inputs) == 1:
            seen.update(fresh)
        if fresh:
            raise InputRefused("not this one")
        return answer(inputs)

    suspect = w.function.wrap(flaky, name="flaky", shape=(4,))
    suspect.batch = 1  # type: ignore[attr-defined]
    world = w.run(tmp_path, suspect, committed=w.commit(retries=1))
    (asked,) = (model.attempts for model in world.case.asked if model.role == "suspect")
    outcomes = [a.outcome for a in asked]

    assert outcomes.count("failed") == sum(a.attempt for a in asked) > 5
    assert verifying.verify(w.opened(world)).result["finding"]["answered"] == GENERATOR.ways


def test_a_suspect_behind_a_server_leaves_its_bytes(tmp_path: Path) -> None:
    """Asked over real HTTP, a copy is found, and every leaf names the digest of the bytes that came."""
    with serve({"suspect": w.nearest(0, rounded=True)}, (4,), max_rows=32) as url:
        world = w.run(tmp_path, oip.connect(f"{url}/v2/models/suspect"))
    (asked,) = (model.attempts for model in world.case.asked if model.role == "suspect")
    ledger = read_ledger(tmp_path / "1.ledger")
    with ledger:
        came = {storage.sha256(entry.raw) for entry in ledger.entries() if entry.raw}

    assert outcome(world) == "match"
    assert {attempt.response for attempt in asked} == came
    assert len(came) == len({attempt.sent for attempt in asked}) >= GENERATOR.ways / 32


@pytest.mark.parametrize("name", ["../book.jsonl", ".book", "a/b/c"])
def test_strange_files_are_no_case(found: World, tmp_path: Path, name: str) -> None:
    """Members with other names, and files that are no zip, are unreadable; members too many are refused."""
    with zipfile.ZipFile(tmp_path / "x.mfpb", "w") as archive:
        for member, data in (found.closed | {name: b""}).items():
            archive.writestr(member, data)
    (tmp_path / "y.mfpb").write_bytes(b"PK\3\4 nothing")

    for file in ("x.mfpb", "y.mfpb"):
        with pytest.raises(BadData):
            files.read(tmp_path / file)
    with pytest.raises(BadData, match="differ"):
        verifying.verify(found.closed | {"notes.txt": b""})
