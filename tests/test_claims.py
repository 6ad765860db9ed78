"""Ownership claims: what key and beacon give, how hits decide, and what a commitment binds."""

import hashlib
import hmac
import json
import os
from pathlib import Path

import numpy as np
import pytest
from claims_world import KEY, POOL, client, commit, nearest
from probe_match.fingerprinting.claims import asking, beacons, cases, commitments, deciding, keys, levels, segments
from probe_match.fingerprinting.claims.asking import Attempt
from probe_match.fingerprinting.claims.deciding import Rule
from probe_match.fingerprinting.claims.segments import Generator
from probe_match.fingerprinting.collect import Asked
from probe_match.fingerprinting.errors import BadData, UsageError
from probe_match.fingerprinting.records import InputSpec, Pool
from scipy.stats import binom, binomtest

TARGETED = Rule(floor=0.5)
KIN = np.arange(200) % 2 == 0


def test_seeds_are_those_of_the_rfc() -> None:
    """HKDF-SHA256 as RFC 5869 writes it, by hand."""
    salt = b"s" * 32
    extracted = hmac.new(salt, bytes(range(32)), hashlib.sha256).digest()
    expected = hmac.new(extracted, b"probe-match/probes/1\1", hashlib.sha256).digest()

    assert KEY.seed(salt, "probes") == expected


def test_draws_are_the_documented_macs() -> None:
    """The first eight bytes of HMAC-SHA256 over name, zero and counter; below a bound by the upper half."""
    drawn = keys.draws(b"k" * 32, "bit", 3)
    third = hmac.new(b"k" * 32, b"bit\0" + (2).to_bytes(8, "big"), hashlib.sha256).digest()

    assert int(drawn[2]) == int.from_bytes(third[:8], "big")
    assert keys.below(drawn, 10)[2] == int.from_bytes(third[:4], "big") * 10 >> 32


def test_a_key_is_secret(tmp_path: Path) -> None:
    """A new key is for its owner alone, never shown, never overwritten, and refused once others could read it."""
    path = tmp_path / "owner.key"
    made = keys.make(path)
    secret = path.read_text().strip()

    assert path.stat().st_mode & 0o777 == 0o600
    assert keys.read(path).hash == made.hash == keys.read(None, secret).hash
    assert secret not in repr(made)
    with pytest.raises(BadData, match="there already"):
        keys.make(path)
    path.chmod(0o644)
    with pytest.raises(BadData, match="0600"):
        keys.read(path)
    with pytest.raises(UsageError, match="claim key"):
        keys.read(None)
    with pytest.raises(BadData, match="64 hex digits") as told:
        keys.of_hex(secret[:-1], "the environment")
    assert secret[:-1] not in str(told.value)


def test_pulses_are_read_by_their_shape(tmp_path: Path) -> None:
    """Pulses of drand, of NIST and plain ones are read; randomness that is not the signature's digest is not."""
    signature = os.urandom(48)
    drand = {"round": 9, "signature": signature.hex(), "randomness": hashlib.sha256(signature).hexdigest()}
    nist = {"pulse": {"pulseIndex": 4, "outputValue": "AB" * 64, "timeStamp": "2026-01-01T00:00:00.000Z"}}
    plain = {"source": "dice", "round": 1, "value": "0f" * 32}
    bad = [drand | {"randomness": "00" * 32}, drand | {"round": "9"}, {"round": 9}, [], plain | {"value": "0f"}]

    assert beacons.read(written(tmp_path, drand), "drand") == beacons.Beacon("drand", 9, drand["randomness"])
    assert beacons.read(written(tmp_path, nist), "nist").value == "ab" * 64
    assert beacons.read(written(tmp_path, plain), "dice").round == 1
    with pytest.raises(BadData, match="dice"):
        beacons.read(written(tmp_path, plain), "drand")
    for pulse in bad:
        with pytest.raises(BadData, match=r"pulse|beacon"):
            beacons.read(written(tmp_path, pulse), "drand")


def written(folder: Path, value: object) -> Path:
    (folder / "pulse.json").write_text(json.dumps(value))
    return folder / "pulse.json"


def test_ways_lead_to_another_label_and_sides_lie_about_the_boundary() -> None:
    """The owner's model changes its label between the two sides, at the place that bisection by hand finds."""
    assert isinstance(POOL.x, np.ndarray)
    mine = nearest(0)
    ways = segments.draw(b"s" * 32, mine(POOL.x), 200)
    places = segments.locate(mine, POOL.spec, POOL.x, ways)
    at = places / (1 << segments.STEPS)
    step = 1 / (1 << segments.STEPS)

    assert (mine(POOL.x[ways.first]) != mine(POOL.x[ways.second])).all()
    assert (mine(segments.points(POOL.spec, POOL.x, ways, at)) == ways.base).all()
    assert (mine(segments.points(POOL.spec, POOL.x, ways, at + step)) != ways.base).all()
    assert 0.35 < ways.bits.mean() < 0.65


def test_what_reads_the_same_on_both_sides_hits_by_chance() -> None:
    """A model whose labels do not change across the gap hits on half of the registered bits, whoever made the rest."""
    ways = segments.Ways(*(np.zeros(20_000, np.int64),) * 3, segments.draw(b"s" * 32, np.arange(9) % 3, 20_000).bits)
    chosen = np.arange(20_000)
    reads = np.random.default_rng(0).integers(0, 2, 20_000)
    found = segments.hits(Generator("targeted"), ways, chosen, reads).sum()

    assert binomtest(int(found), 20_000).pvalue > 0.001


def test_ways_that_choosing_peers_cross_are_passed_over() -> None:
    """Ways the source does not cross, repeated inputs, and ways that many peers cross come last or not at all."""
    own = np.array([[[0, 0, 0, 1]], [[1, 1, 1, 1]]])
    peers = np.array([[[[0, 0, 0, 0]], [[1, 0, 0, 1]]], [[[0, 0, 0, 0]], [[1, 0, 1, 1]]]])
    inputs, nobody = np.arange(8, dtype=np.float32)[:, None], np.zeros((0, 2, 1, 4), int)

    assert segments.choose(own, [peers], nobody, inputs, 2).ways.tolist() == [1, 2]
    inputs[5] = inputs[0]  # way 1 ends where way 0 began
    assert segments.choose(own, [peers], nobody, inputs, 2).ways.tolist() == [2, 0]
    with pytest.raises(UsageError, match="fewer --ways"):
        segments.choose(own, [peers], nobody, inputs, 3)


def test_sides_lie_where_copies_cross_and_peers_do_not() -> None:
    """Of two offsets either way, the pair of sides is taken that all copies cross and no peer does."""
    near, far = 0, 1
    own = np.array([[[0], [0]], [[1], [1]]])
    copies = np.array([[[[1], [0]], [[1], [1]]]] * 8)  # their boundary lies before the near side
    peers = np.array([[[[0], [0]], [[0], [1]]]] * 8)  # theirs between the near side behind it and the far one
    chosen = segments.choose(own, [peers], copies, np.arange(4, dtype=np.float32)[:, None], 1)

    assert (chosen.before.tolist(), chosen.after.tolist()) == ([far], [2 + near])
    assert segments.choose(own, [peers], peers, np.arange(4, dtype=np.float32)[:, None], 1).before.tolist() == [near]


def test_between_two_texts_lie_spliced_ones() -> None:
    """By words, from the second's beginning on, or by characters where there are few words; the ends are the rows."""
    texts = np.array(["a  b c d", "p q r s", "甲乙丙丁", "子丑寅卯"], object)
    there, here = np.array([1, 1, 1, 3]), np.array([0, 0, 0, 2])
    ways = segments.Ways(here, there, np.zeros(4, int), np.zeros(4, int))
    found = segments.points(InputSpec("text"), texts, ways, np.array([0, 0.5, 1, 0.25]))

    assert found.tolist() == ["a  b c d", "p q c d", "p q r s", "子乙丙丁"]


def test_numbers_are_labelled_by_the_quartiles_of_the_pool() -> None:
    """Of true values 0 to 8 the levels are 2, 4 and 6; no number is no label, and labels are left as they are."""
    spec = InputSpec("tabular", (1,), output="number")
    pool = Pool(spec, np.zeros((9, 1), np.float32), np.arange(9.0))
    asked = Asked(np.zeros(5, int), np.array([[-3.0], [2.0], [5.9], [60.0], [np.nan]]), np.ones(5, bool))

    assert levels.labels_of(asked, pool).tolist() == [0, 1, 2, 3, -1]
    assert levels.labels_of(asked, POOL) is asked.labels


def test_what_a_bit_tells_is_the_expected_log_likelihood_ratio() -> None:
    """All of three copies and none of three peers cross: hits with 15/16 and 9/16; by hand."""
    copies, peers = np.ones((3, 1), bool), np.zeros((3, 1), bool)
    by_hand = 15 / 16 * np.log(15 / 9) + 1 / 16 * np.log(1 / 7)

    assert segments.told_by(copies, [peers]).tolist() == pytest.approx([by_hand])
    assert segments.told_by(peers, [peers, copies])[0] < 0  # the kind that crosses most counts


@pytest.mark.parametrize("version", [1, 2])
def test_generators_are_read_as_they_were_written(version: int) -> None:
    """Either version, and nothing with a field of the other, an unknown number or an offset that cannot be."""
    made = segments.symmetric("targeted") if version == 1 else Generator("targeted")
    told = made.to_json()

    assert segments.checked(told) == made
    for change in ({"version": 3}, {"version": 3 - version}, {"offsets": [0.0]}, {"gap": 3.0}, {"ways": 4}):
        with pytest.raises(BadData, match="no list"):
            segments.checked(told | change)


@pytest.mark.parametrize(("hits", "n"), [(0, 50), (5, 50), (49, 50), (50, 50)])
def test_bounds_and_tails_are_scipys(hits: int, n: int) -> None:
    """The Clopper-Pearson bound of one side, and the binomial tail, against scipy's."""
    high = binomtest(hits, n, alternative="less").proportion_ci(0.99, "exact").high

    assert deciding.upper_bound(hits, n, 0.99) == pytest.approx(high)
    assert deciding.tail(hits, n, 0.3) == pytest.approx(binom.sf(hits - 1, n, 0.3), rel=1e-9)


def test_a_match_needs_both_p_values() -> None:
    """Many hits beside enough honest models of both kinds are a match; beside few models they are inconclusive."""
    peers = np.full(200, 560)
    decided = deciding.decide(1000, 1024, 1.0, peers, KIN, 1.0, TARGETED)
    few = deciding.decide(1000, 1024, 1.0, peers[:50], KIN[:50], 1.0, TARGETED)

    assert (decided.outcome, decided.p_model) == ("match", pytest.approx(1 / 101))
    assert (few.outcome, few.peers) == ("inconclusive", {"kin": 25, "others": 25})


def test_the_worst_honest_model_sets_the_rate() -> None:
    """One honest model that hits often takes the match away, however the others answer."""
    peers = np.full(200, 560)
    peers[3] = 980

    assert deciding.decide(1000, 1024, 1.0, peers, KIN, 1.0, TARGETED).outcome != "match"


def test_honest_models_are_assumed_to_share_boundaries() -> None:
    """Peers that hit nothing, having learnt nothing, do not make three hits in four a finding."""
    nothing, rule = np.zeros(200, int), Rule(deciding.floor(targeted=True))

    assert (deciding.floor(targeted=True), deciding.floor(targeted=False)) == (0.75, 0.5)
    assert deciding.decide(780, 1024, 1.0, nothing, KIN, 1.0, rule).bound == 0.75
    assert deciding.decide(780, 1024, 1.0, nothing, KIN, 1.0, rule).outcome == "no match"
    assert deciding.decide(780, 1024, 1.0, nothing, KIN, 1.0, TARGETED).outcome == "match"


@pytest.mark.parametrize(("taught", "shared"), [(1.0, 0.7), (0.4, 0.7), (0.2, 0.85), (0.0, 1.0)])
def test_more_is_assumed_where_copies_choose_and_labels_teach_little(taught: float, shared: float) -> None:
    """By the second version of the generator alone; cases of the first are verified by what they were committed to."""
    first, second = segments.symmetric("targeted", 96, 256), segments.Generator("targeted", 96, 256)

    assert cases.assumed(second, taught) == pytest.approx(shared)
    assert cases.assumed(first, taught) == deciding.SHARED


def test_ground_keys_and_tried_models_count() -> None:
    """p-values are multiplied by models tried, audits registered and, without a beacon, 2^40 keys."""
    peers = np.full(200, 512)
    hits = 640
    once = deciding.decide(hits, 1024, 1.0, peers, KIN, deciding.factor(1, 1, True), TARGETED)
    often = deciding.decide(hits, 1024, 1.0, peers, KIN, deciding.factor(5, 3, False), TARGETED)

    assert deciding.factor(5, 3, False) == 15 * 2.0**40
    assert often.p_corrected == pytest.approx(min(1.0, once.p_query * 15 * 2.0**40))
    assert often.outcome != "match"


def test_silence_decides_nothing() -> None:
    """Below four fifths of the probes answered, no number of hits or misses is a finding."""
    assert deciding.decide(10, 100, 0.79, np.full(200, 55), KIN, 1.0, TARGETED).outcome == "inconclusive"
    assert deciding.decide(50, 100, 0.81, np.full(200, 55), KIN, 1.0, TARGETED).outcome == "no match"


def test_a_rule_may_be_stricter_but_not_laxer() -> None:
    """A commitment to a threshold above a millionth, or to an unknown generator, is none."""
    made, _ = commit(threshold=1e-9)
    laxer = made.to_json() | {"threshold": 1e-3}
    picked = made.to_json() | {"generator": {"name": "list", "version": 1, "probes": [1, 2, 3]}}

    assert commitments.read(made.to_json()) == made
    with pytest.raises(BadData, match="no laxer"):
        commitments.read(laxer)
    with pytest.raises(BadData, match="no list of them"):
        commitments.read(picked)
    with pytest.raises(BadData, match=r"lacks a field|cannot be"):
        commitments.read(made.to_json() | {"extra": 1})


def test_a_pool_of_shuffled_labels_is_refused() -> None:
    """Honest models trained on labels that mean nothing would make every model look derived."""
    from dataclasses import replace

    from probe_match.fingerprinting.claims import running

    assert POOL.y is not None
    shuffled = replace(POOL, y=np.random.default_rng(0).permutation(POOL.y))

    with pytest.raises(BadData, match="kappa"):
        running.commit(client(0, "mine"), shuffled, KEY, Generator("targeted"), links=[], beacon=None)


def attempt(probe: int, nth: int, label: int, outcome: str = "answered") -> Attempt:
    return Attempt(probe, nth, f"probe {probe}", outcome, label, 1, 2, None)


SILENT = attempt(1, 0, -1, "failed")
BROKEN = {
    "never put": [attempt(0, 0, 2)],
    "none may be dropped": [attempt(0, 0, 2), attempt(1, 1, 1)],
    "may be dropped": [attempt(0, 0, 2), SILENT],
    "2 were committed to": [attempt(0, 0, 2), SILENT, attempt(1, 1, -1, "failed"), attempt(1, 2, 1)],
    "the first one counts": [attempt(0, 0, 2), attempt(0, 1, 1), attempt(1, 0, 1)],
    "nothing may be added": [attempt(0, 0, 2), attempt(1, 0, 1), attempt(2, 0, 1)],
    "do not give": [attempt(0, 0, 2), attempt(1, 0, 1)._replace(input="another")],
}


@pytest.mark.parametrize("why", BROKEN)
def test_attempts_that_break_the_retry_rule_are_refused(why: str) -> None:
    """Skipped probes, dropped or added attempts, too many of them, and asking again after an answer are refused."""
    with pytest.raises(BadData, match=why):
        asking.answers(BROKEN[why], ["probe 0", "probe 1"], 1, "the suspect")


def test_a_probe_without_an_answer_is_asked_again_as_committed() -> None:
    """The first answer counts; what the target did not take up is no attempt of its own; silence is no answer."""
    made = [attempt(0, 0, -1, "split"), attempt(0, 0, 2), SILENT, attempt(1, 1, 1)]
    silent = [attempt(0, 0, 2), SILENT, attempt(1, 1, -1, "failed")]

    assert asking.answers(made, ["probe 0", "probe 1"], 1, "s").tolist() == [2, 1]
    assert asking.answers(silent, ["probe 0", "probe 1"], 1, "s").tolist() == [2, -1]
