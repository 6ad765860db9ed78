"""Looking more than once: p-values hold at whatever look asking stops."""

import numpy as np
import pytest
from probe_match.fingerprinting.looking import Looks
from probe_match.fingerprinting.methods import relative

LOOKS = 5


class Scores:
    """A scale that knows nothing but what peers and copies score at one look."""

    def __init__(self, honest: np.ndarray, copies: np.ndarray) -> None:
        self.peer_scores = honest
        self.shadows = relative.Weighed(copies, copies, copies, copies, np.ones(len(copies), bool))

    def rank(self, scores: np.ndarray, honest: np.ndarray, kin: np.ndarray) -> np.ndarray:
        """Plain ranks."""
        return relative.ranks(scores, honest)


def walks(rng: np.random.Generator, models: int, drift: float) -> np.ndarray:
    """Scores (looks, models) that wander as a sum over answers does, standardised at each look."""
    steps = rng.normal(drift, 1, (LOOKS, models)).cumsum(0)
    return steps / np.sqrt(np.arange(1, LOOKS + 1))[:, None]


def path(rng: np.random.Generator, peers: int = 199, drift: float = 2.0) -> Looks:
    """Looks at so many honest peers and 20 copies."""
    honest, copies = walks(rng, peers, 0.0), walks(rng, 20, drift)
    return Looks([Scores(*some) for some in zip(honest, copies, strict=True)])  # type: ignore[misc]


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_the_rate_is_kept_whenever_asking_stops(alpha: float) -> None:
    """Of honest models, no more than alpha are small enough at the look that suits the accuser best."""
    rng = np.random.default_rng(0)
    least = []
    for _ in range(100):
        looks = path(rng)
        highest = np.maximum.accumulate(walks(rng, 50, 0.0), axis=0)
        least.append(np.min([looks.conformal(scores, np.ones(50, bool)) for scores in highest], axis=0))
    rate = np.mean(np.concatenate(least) <= alpha)

    assert 0.5 * alpha < rate < 1.3 * alpha


def test_one_look_alone_would_not_keep_it() -> None:
    """Ranked look by look among peers who are looked at once, twice as many are accused: the maximum is needed."""
    rng = np.random.default_rng(1)
    naive = []
    for _ in range(50):
        looks, suspects = path(rng), walks(rng, 50, 0.0)
        each = [relative.ranks(s, scale.peer_scores) for s, scale in zip(suspects, looks.scales, strict=True)]
        naive.append(np.min(each, axis=0))

    assert np.mean(np.concatenate(naive) <= 0.05) > 0.1


def test_asking_ends_where_no_copy_stands_so_low() -> None:
    """Far below all copies that are found going on is hopeless; among them, at the end, or with few, it is not."""
    rng = np.random.default_rng(2)
    looks = path(rng, drift=4.0)
    copies = looks.scales[2].shadows.score

    assert looks.hopeless(2, np.array([copies.min() - 20, copies.min(), copies.mean()]), 0.01).tolist() == [
        True, False, False,
    ]  # fmt: skip
    assert not looks.hopeless(LOOKS - 1, np.array([-20.0]), 0.01).any()
    assert not path(rng, drift=-4.0).hopeless(0, np.array([-20.0]), 0.01).any()
