"""The default method: who may be kin is ranked among kin, and scores that come too near count."""

from dataclasses import replace

import numpy as np
import pytest
from probe_match.clients import function
from probe_match.fingerprinting.confirming import confirm
from probe_match.fingerprinting.looking import FIRST_LOOK
from probe_match.fingerprinting.methods import relative
from probe_match.fingerprinting.records import About, InputSpec, Panel, ProbeSuite, Reference, Responses

N, K = 40, 3  # probes, of which only kin and others answer the second half differently; classes
KIN, OTHERS = (0.6, 0.9), (0.1, 0.1)  # share that repeat the source's label on the first half, that say 1 on the second


def answers(rng: np.random.Generator, models: int, like: tuple[float, float]) -> np.ndarray:
    """Labels (models, N) of honest models, where the source says 0 on the first half and 0 on the second."""
    first = np.where(rng.random((models, N // 2)) < like[0], 0, 2)
    second = np.where(rng.random((models, N // 2)) < like[1], 1, 2)
    return np.concatenate([first, second], axis=1).astype(np.int16)


@pytest.fixture(scope="module")
def reference() -> Reference:
    """A source of zeros with a hundred kin and a hundred others that calibrate, ten each that fit, and ten copies."""
    rng = np.random.default_rng(0)
    suite = ProbeSuite("s", "relative", 0, InputSpec("tabular", (1,)), np.arange(N, dtype=np.float32)[:, None],
                       ("uniform",) * N, np.ones(N))  # fmt: skip
    labels = [answers(rng, 110, KIN), answers(rng, 110, OTHERS), np.zeros((10, N), np.int16)]
    uses = ("estimate",) * 10 + ("calibrate",) * 100
    roles = ("kin peer",) * 110 + ("peer",) * 110 + ("shadow",) * 10
    # Half are less sure than the source is, the others as sure, but spread the rest otherwise.
    scores = np.where(np.arange(230)[:, None] % 2, [0.9, 0.02, 0.08], [0.6, 0.2, 0.2])[:, None].repeat(N, 1)
    noisy = np.clip(scores + rng.normal(0, 0.01, scores.shape), 0, 1).astype(np.float16)
    known = np.tile(np.array([0.9, 0.08, 0.02], np.float32), (N, 1, 1))
    panel = Panel(tuple(f"m{i}" for i in range(230)), roles, (*uses, *uses, *("estimate",) * 10),
                  np.concatenate(labels), noisy)  # fmt: skip
    own = Responses(suite.digest, "s", "scores", np.zeros((N, 1), np.int64), known, np.full(N, np.nan, np.float32), N)
    return Reference("s", About(), suite, own, panel)


def test_kin_are_known_by_their_answers(reference: Reference) -> None:
    """New kin are held to be possible kin in all but some 5 % of cases, new strangers are not."""
    rng = np.random.default_rng(1)
    scale = relative.Scale(reference, np.arange(N), soft=False)
    kin, others = (scale.weigh(answers(rng, 200, like).astype(int)).kin for like in (KIN, OTHERS))

    assert 0.85 < kin.mean() < 1
    assert others.mean() < 0.02


def test_only_who_may_be_kin_is_ranked_among_kin(reference: Reference) -> None:
    """A stranger that agrees as much as kin do stands above all strangers, and is not excused as kin."""
    scale = relative.Scale(reference, np.arange(N), soft=False)
    stranger = np.where(np.arange(N) < N // 2, np.where(np.arange(N) % 2, 0, 2), 2)
    kin = np.where(np.arange(N) < N // 2, stranger, 1)
    seen = scale.weigh(np.stack([stranger, kin]))

    assert seen.kin.tolist() == [False, True]
    assert seen.conformal[0] <= 0.02
    assert seen.conformal[1] > 0.2


def test_scores_nearer_than_honest_ones_count_and_never_against(reference: Reference) -> None:
    """With the same labels, the source's own stand out, at another temperature too; farther ones cost nothing."""
    rng = np.random.default_rng(2)
    scale = relative.Scale(reference, np.arange(N), soft=True)
    assert reference.panel is not None
    labels = np.tile(answers(rng, 1, OTHERS).astype(int), (4, 1))
    own = np.asarray(reference.answers.score, float)
    warmer = own**0.5 / (own**0.5).sum(1, keepdims=True)
    usual, far = np.tile([0.9, 0.02, 0.08], (N, 1)), np.tile([0.9, 0.002, 0.098], (N, 1))
    copy, tempered, honest, strange = scale.weigh(labels, np.stack([own, warmer, usual, far])).score

    assert copy > honest + 3
    assert tempered > honest + 3
    assert strange >= honest - 0.5
    bare = replace(reference, panel=replace(reference.panel, scores=None))
    assert np.ptp(relative.Scale(bare, np.arange(N), soft=True).weigh(labels, np.stack([own] * 4)).score) == 0


def test_agreement_beyond_honest_models_counts_and_never_against(reference: Reference) -> None:
    """Labels that repeat the source more than honest ones do stand out beyond the ratio; fewer cost nothing."""
    scale = relative.Scale(reference, np.arange(N), soft=False)
    copy, honest = np.zeros(N, int), np.full(N, 2)
    answers = np.stack([copy, honest])
    seen = scale.weigh(answers)
    ratio = relative.standardise(scale._ratios(answers).typical, scale._peer_ratios.typical)

    assert seen.score[0] > ratio[0] + 0.5
    assert seen.score[1] == ratio[1]


def test_asking_ends_where_going_on_is_hopeless(reference: Reference) -> None:
    """Below all copies that are found, a suspect is let go at the first look, though the ratio has not yet said no."""
    half = function.wrap(lambda x: np.where(x[:, 0] % 10 < 7, 0, 2).astype(np.int64))
    result = confirm(half, reference, N, 1, 0.01, None, np.random.default_rng(0))

    assert result.responses.sent == FIRST_LOOK
    assert result.evidence.hopeless
    assert result.evidence.llr > np.log(0.01)
