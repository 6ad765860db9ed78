"""
How often bets against the mixture of all other known models name a missing one: why `match` is stopped by rank.

    PYTHONPATH=benchmarks python benchmarks/bets.py FOLDER      # a minute; even half of the models, for development
"""

import sys
from pathlib import Path
from typing import Final

import numpy as np
import token_models
from language_measures import table
from language_tokens import meet
from probe_match.fingerprinting.chat import single_token, tallies
from scipy.special import logsumexp

ALPHA, CELLS, DRAWS, SEED = 0.01, 16, 6, 500
ROUNDS: Final = (1, 3, 6, 12)


def main(folder: Path) -> str:
    """The table: share of models named rightly, and wrongly where they or their vendor are missing."""
    counts = dict(list(token_models.often_asked(folder).items())[::2])
    makers = np.array([token_models.vendor(name) for name in counts])
    everyone, rows = np.arange(len(counts)), []
    for many in ROUNDS:
        named = []
        for seed in range(SEED, SEED + DRAWS):
            rng = np.random.default_rng(seed)
            used = sorted(rng.choice(sorted({c for some in counts.values() for c in some}), CELLS, replace=False))
            parts = {name: tallies.thin(given, dict.fromkeys(used, many), rng) for name, given in counts.items()}
            known = tallies.tabulate({name: tallies.without(counts[name], parts[name]) for name in counts}, used)
            for i, part in enumerate(parts.values()):
                nats = single_token.evidence(meet(part, known))
                kept = everyone >= 0, everyone != i, makers != makers[i]
                named.append([_bet(nats[some]) for some in kept])
                named[-1][0] &= int(nats.argmax()) == i
        rows.append([str(many), str(len(named)), *(f"{share:.3f}" for share in np.mean(named, 0))])
    return table("answers to 16 questions|n|in the database, rightly|left out, wrongly|vendor left out, wrongly", rows)


def _bet(nats: np.ndarray) -> bool:
    """Whether the likeliest model gains 1/alpha on the mixture of the others, corrected for the search."""
    best = int(nats.argmax())
    rest = logsumexp(np.delete(nats, best)) - np.log(len(nats) - 1)
    return bool(nats[best] - rest > np.log(len(nats) / ALPHA))


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
