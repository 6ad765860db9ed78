"""Evidence from counts of one-word answers."""

import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from probe_match.fingerprinting.chat import known as knowing
from probe_match.fingerprinting.chat import scoring, single_token, tallies
from probe_match.fingerprinting.chat.importing import read_references
from probe_match.fingerprinting.chat.known import Honest, Known
from probe_match.fingerprinting.chat.single_token import Meeting, Suspect
from probe_match.fingerprinting.chat.standing import beyond, levels, stand_out
from probe_match.fingerprinting.errors import BadData, NoAnswers
from probe_match.fingerprinting.verdicts import Evidence, deciding_p
from scipy.spatial.distance import jensenshannon
from scipy.special import gammaln

REAL = Path(__file__).parents[1] / ".." / "shared" / "data" / "single-token-2026.counts.json.gz"
CELLS = tuple(f"cell-{c}" for c in range(12))
Model = dict[str, dict[str, int]]


def model(rng: np.random.Generator, habit: np.ndarray, n: int = 30) -> Model:
    """So many answers a cell of a model with these odds per cell: float (cells, answers)."""
    drawn = [rng.multinomial(n, odds) for odds in habit]
    return {c: {f"a{v}": int(k) for v, k in enumerate(row) if k} for c, row in zip(CELLS, drawn, strict=True)}


def meet(counts: Model, table: tallies.Table) -> Meeting:
    return single_token.meet(Suspect(*tallies.rows_of(table, counts)), table)


@pytest.fixture(scope="module")
def habits() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    common = rng.dirichlet(np.full(9, 0.6), size=len(CELLS))
    return {
        f"m{i:02d}": np.array([rng.dirichlet(3 * odds + 0.02) for odds in common]) for i in range(40)
    }  # fmt: skip


@pytest.fixture(scope="module")
def known(habits: dict[str, np.ndarray]) -> dict[str, Model]:
    rng = np.random.default_rng(1)
    return {name: model(rng, habit) for name, habit in habits.items()}


def test_a_known_model_is_named_first_and_an_unknown_one_stands_out_less(
    habits: dict[str, np.ndarray], known: dict[str, Model]
) -> None:
    """Fresh answers of a model lead to it; with it left out of the database no other stands out as much."""
    rng = np.random.default_rng(2)
    for name in ("m03", "m17", "m30"):
        suspect = model(rng, habits[name], 10)
        scores = scoring.score_counts(suspect, known, alpha=0.01)
        rest = scoring.score_counts(suspect, {n: c for n, c in known.items() if n != name}, alpha=0.01)

        assert scores.evidence[0].reference == name
        assert scores.evidence[0].beats_all
        assert scores.evidence[0].llr > 5
        assert scores.evidence[0].p.predictive < 0.01 < rest.evidence[0].p.predictive * 39
        assert len(scores.evidence) == len(known) == scores.searched
        assert scores.cells == len(CELLS)


def test_honest_p_values_keep_their_promise(habits: dict[str, np.ndarray], known: dict[str, Model]) -> None:
    """Models left out of the database are matched at most about as often as alpha says."""
    rng = np.random.default_rng(3)
    below = 0
    for name in list(known)[::2]:
        rest = {n: c for n, c in known.items() if n != name}
        best = scoring.score_counts(model(rng, habits[name], 6), rest, alpha=0.05).evidence[0]
        below += 1 - (1 - best.p.conformal) ** len(rest) <= 0.05

    assert below <= 3  # of 20, at 5 %


def test_divergence_is_scipys(known: dict[str, Model]) -> None:
    """The published statistic is the squared Jensen-Shannon distance in bits, averaged over cells."""
    table = tallies.tabulate(known)
    answers = [f"a{v}" for v in range(9)]
    expected = []
    for name in ("m00", "m01", "m02"):
        both = [[[given[c].get(a, 0) for a in answers] for given in (known["m00"], known[name])] for c in CELLS]
        expected.append(np.mean([jensenshannon(p, q, base=2) ** 2 for p, q in both]))

    assert np.allclose(single_token.divergence(meet(known["m00"], table))[:3], expected)


def test_evidence_is_the_ratio_of_dirichlet_multinomials(known: dict[str, Model]) -> None:
    """Only shared answers are summed, and the result is that of summing over all answers."""
    table = tallies.tabulate(known)
    suspect = Suspect(*tallies.rows_of(table, known["m05"]))
    row = np.zeros(len(table.base))
    row[suspect.columns] = suspect.times
    alpha, prior = single_token.PRIOR * table.base, single_token.PRIOR

    def marginal(counts: np.ndarray) -> float:
        totals = np.bincount(table.cell, counts, len(table.cells))
        whole = gammaln(prior) - gammaln(prior + totals)
        return float(whole.sum() + (gammaln(counts + alpha) - gammaln(alpha)).sum())

    other = table.by_model[7].toarray()[0]

    assert single_token.evidence(meet(known["m05"], table))[7] == pytest.approx(
        marginal(row + other) - marginal(row) - marginal(other)
    )


def test_discrepancy_is_that_of_all_pairs_of_answers(known: dict[str, Model]) -> None:
    """The statistic from counts is the mean over pairs of answers, none paired with itself."""
    table = tallies.tabulate(known)
    within = np.array([single_token.repeats(*tallies.all_rows(known[n], table.cells)) for n in known])
    found = single_token.discrepancy(meet(known["m02"], table), within, within[2])

    def pairs(a: list[str], b: list[str]) -> float:
        same = sum(x == y for x in a for y in b)
        return (same - len(a)) / (len(a) * (len(a) - 1)) if a is b else same / (len(a) * len(b))

    expected = []
    for cell in CELLS:
        x, y = ([a for a, n in known[m][cell].items() for _ in range(n)] for m in ("m02", "m08"))
        expected.append(pairs(x, x) + pairs(y, y) - 2 * pairs(x, y))

    assert found[8] == pytest.approx(np.mean(expected))


def test_what_one_shares_with_oneself_is_full_likeness(known: dict[str, Model]) -> None:
    """A model's own counts have likeness 1 to it, and nobody else's has more."""
    table = tallies.tabulate(known)
    own = np.array([single_token.own_evidence(*tallies.rows_of(table, known[n]), table) for n in known])
    likeness = single_token.likeness(meet(known["m09"], table), own)

    assert likeness[9] == pytest.approx(1)
    assert likeness.argmax() == 9


def test_a_trial_knows_neither_itself_nor_the_truth() -> None:
    """The both-sided normalisation agrees with leaving rows and columns out one by one."""
    rng = np.random.default_rng(0)
    near, cohort, who = rng.normal(size=(6, 6)), rng.normal(size=(6, 6)), np.arange(6)
    scores = stand_out(near, cohort, who, who)
    for i, j in ((0, 0), (1, 4), (5, 2)):
        others = [k for k in range(6) if k not in (i, j)]
        sides = cohort[others, j], near[i, others]

        assert scores[i, j] == pytest.approx(np.mean([(near[i, j] - s.mean()) / s.std() for s in sides]), rel=1e-4)
    assert np.allclose(beyond(near[0], levels(cohort, who)), stand_out(near[:1], cohort, who)[0], rtol=1e-4)


def test_halves_are_parts_of_the_whole(known: dict[str, Model]) -> None:
    """A drawn part and what is left add up, and no cell gives more than was asked of it."""
    part = tallies.thin(known["m00"], dict.fromkeys(CELLS, 7), np.random.default_rng(0))
    rest = tallies.without(known["m00"], part)

    for cell in CELLS:
        assert sum(part[cell].values()) == 7
        assert {a: part[cell].get(a, 0) + rest[cell].get(a, 0) for a in known["m00"][cell]} == known["m00"][cell]


def test_parts_of_growing_size_hold_each_other(known: dict[str, Model]) -> None:
    """Drawn from one state of the generator, five answers a cell are among the nine, and all are all."""
    table = tallies.tabulate(known)
    five, nine, every = (
        tallies.thin_row(table, 3, np.full(len(CELLS), n), np.random.default_rng(5)) for n in (5, 9, 1000)
    )
    columns, times, _ = tallies.row(table, 3)

    assert (five <= nine).all()
    assert (every == times).all()
    assert (np.bincount(table.cell[columns], five) == 5).all()
    other = tallies.thin_row(table, 3, np.full(len(CELLS), 5), np.random.default_rng(6))
    assert (other != five).any()


def test_looking_often_accuses_no_more_strangers(habits: dict[str, np.ndarray], known: dict[str, Model]) -> None:
    """Models left out are named less often than by looking thrice without regard to it; known ones are named early."""
    rng = np.random.default_rng(8)
    rounds, early, wrong, careless = (3, 6, 12), 0, 0, 0
    whole = remembering()
    everybody = knowing.know(known)
    for name in list(known)[::4]:
        drawn = [rng.choice(9, 12, p=odds) for odds in habits[name]]
        seen = [
            {c: dict(Counter(f"a{v}" for v in some[:k])) for c, some in zip(CELLS, drawn, strict=True)} for k in rounds
        ]
        others, ready = knowing.know({n: c for n, c in known.items() if n != name}), remembering()
        p, alone = [], []
        for i in range(len(rounds)):
            looks = scoring.Looks(seen[:i], [dict.fromkeys(CELLS, k) for k in rounds[i + 1 :]])
            stranger = scoring.score(seen[i], others, alpha=0.05, prepare=ready, looks=looks)
            p.append(deciding_p(stranger.evidence[0], 39, 0.05)[0])
            by_itself = scoring.score(seen[i], others, alpha=0.05, prepare=ready)
            alone.append(deciding_p(by_itself.evidence[0], 39, 0.05)[0])
        looks = scoring.Looks([], [dict.fromkeys(CELLS, k) for k in rounds[1:]])
        best = scoring.score(seen[0], everybody, alpha=0.05, prepare=whole, looks=looks).evidence[0]
        wrong += min(p) <= 0.05
        careless += min(alone) <= 0.05
        early += best.reference == name and deciding_p(best, 40, 0.05)[0] <= 0.05

    assert wrong <= careless <= 5  # of 10, at 5 %, in a world where three answers accuse too many at any look
    assert early >= 6


def test_the_highest_over_all_looks_is_ranked_among_such_highest(known: dict[str, Model]) -> None:
    """Two looks, each on its own scale: the p-value is that of the suspect's peak among the honest models' peaks."""
    everybody = knowing.know(known)
    looked = (3, 6)
    seen = [tallies.thin(known["m08"], dict.fromkeys(CELLS, k), np.random.default_rng(2)) for k in looked]
    honest = [knowing.honest(everybody, np.full(len(CELLS), k)) for k in looked]

    def scaled(values: np.ndarray, look: int) -> np.ndarray:
        middle = np.median(honest[look].best)
        return np.asarray((values - middle) / (np.quantile(honest[look].best, 0.9) - middle))

    alone = [scoring.score(some, everybody, alpha=0.01).evidence for some in seen]
    reached = [next(e.score for e in some if e.reference == "m08") for some in alone]
    peak = max(scaled(np.array([score]), i)[0] for i, score in enumerate(reached))
    peaks = np.maximum(*(scaled(one.best, i) for i, one in enumerate(honest)))
    both = scoring.score(seen[1], everybody, alpha=0.01, looks=scoring.Looks(seen[:1])).evidence
    first = scoring.score(seen[0], everybody, alpha=0.01, looks=scoring.Looks([], [dict.fromkeys(CELLS, 6)])).evidence

    def p(evidence: list[Evidence]) -> float:
        return deciding_p(next(e for e in evidence if e.reference == "m08"), len(known), 0.01)[0]

    assert p(both) == pytest.approx(scoring.tail_of_best(np.array([peak]), peaks)[0])
    at_first = scaled(np.array([reached[0]]), 0)
    assert p(first) == pytest.approx(scoring.tail_of_best(at_first, peaks)[0])


def test_standing_out_from_versions_is_ranked_over_all_looks_too() -> None:
    """By hand: the suspect's peak among those of 110 models, versions of themselves included."""
    rng = np.random.default_rng(4)
    habits = [rng.dirichlet(np.full(9, 0.4), size=len(CELLS)) for _ in range(110)]
    many = {f"m{i:03d}": model(rng, habit, 120) for i, habit in enumerate(habits)}
    many["m000-v2"] = model(rng, 0.85 * habits[0] + 0.15 * habits[1], 120)
    everybody = knowing.know(many)
    looked = (3, 6)
    stranger = model(rng, rng.dirichlet(np.full(9, 0.4), size=len(CELLS)))
    seen = [tallies.thin(stranger, dict.fromkeys(CELLS, k), rng) for k in looked]
    honest = [knowing.honest(everybody, np.full(len(CELLS), k)) for k in looked]
    at = everybody.table.names.index("m000-v2")

    def peak(values: list[np.ndarray]) -> np.ndarray:
        return np.maximum(*(scoring._unit(one, h) for one, h in zip(values, honest, strict=True)))

    both = scoring.score(seen[1], everybody, alpha=0.01, looks=scoring.Looks(seen[:1]))
    best = both.evidence[0].reference
    alone = [scoring.score(some, everybody, alpha=0.01).evidence for some in seen]
    mine = peak([np.array([next(e.score for e in some if e.reference == best)]) for some in alone])
    others = peak([one.closest for one in honest])

    assert everybody.kin[0, at]
    assert not everybody.same[0, at]
    assert honest[1].closest[0] > honest[1].best[0]
    assert 0.05 < both.relative == (1 + (others >= mine).sum()) / (len(others) + 1)


def remembering() -> scoring.Prepare:
    made: dict[bytes, Honest] = {}

    def ready(known: Known, asked: np.ndarray) -> Honest:
        if asked.tobytes() not in made:
            made[asked.tobytes()] = knowing.honest(known, asked)
        return made[asked.tobytes()]

    return ready


def test_few_answers_and_few_references_decide_nothing(known: dict[str, Model]) -> None:
    """Below eight answers, or with fewer than three references, every p-value is 1."""
    few = {CELLS[0]: {"a1": 3}}
    two = {name: known[name] for name in ("m00", "m01")}

    assert scoring.score_counts(few, known, alpha=0.01).evidence[0].p.predictive == 1
    assert scoring.score_counts(known["m00"], two, alpha=0.01).evidence[0].p.predictive == 1
    assert scoring.score_counts(known["m00"], {"m00": known["m00"]}, alpha=0.01).evidence[0].reference == "m00"
    with pytest.raises(NoAnswers, match="share no answered question"):
        scoring.score_counts({"another": {"x": 9}}, known, alpha=0.01)
    with pytest.raises(BadData, match="counts from 1"):
        tallies.tabulate({"m": {"c": {"a": -1}}})


def test_thousands_of_references_are_compared_in_milliseconds(known: dict[str, Model]) -> None:
    """What is known beforehand is kept, so that one suspect against 2,000 references takes a moment."""
    many = {f"{name}-{i}": counts for i in range(50) for name, counts in known.items()}
    ready = knowing.know(many)
    honest = knowing.honest(ready, np.full(len(CELLS), 5))
    scoring.score(known["m00"], ready, alpha=0.01, prepare=lambda _, __: honest)
    start = time.perf_counter()
    scoring.score(known["m01"], ready, alpha=0.01, prepare=lambda _, __: honest)

    assert time.perf_counter() - start < 0.25  # some 10 ms on an idle core


@pytest.mark.skipif(not REAL.exists(), reason="the published counts are not here")
def test_published_counts_give_the_stated_error() -> None:
    """Split halves of 164 real models at 40 cells: an equal error rate below 0.6 % in one split."""
    counts = {one.name: one.counts for one in read_references(REAL)}
    names = [n for n in counts if sum(sum(c.values()) >= 20 for c in counts[n].values()) >= 30]
    rng = np.random.default_rng(0)
    half = {n: {c: sum(a.values()) // 2 for c, a in counts[n].items()} for n in names}
    parts = {n: tallies.thin(counts[n], half[n], rng) for n in names}
    rests = {n: tallies.without(counts[n], parts[n]) for n in names}
    table = tallies.tabulate(rests)
    own = np.array([single_token.own_evidence(*tallies.rows_of(table, rests[n]), table) for n in names])
    near, cohort = (np.array([single_token.likeness(meet(of[n], table), own) for n in names]) for of in (parts, rests))
    who = np.arange(len(names))
    scores = stand_out(near, cohort, who, who) + knowing.LIKENESS * near
    impostor = np.sort(scores[~np.eye(len(names), dtype=bool)])
    misses = [(np.diag(scores) <= cut).mean() for cut in np.quantile(impostor, [0.994])]

    assert len(names) == 164
    assert misses[0] <= 0.006
    assert json.dumps(sorted(names)[:1])
