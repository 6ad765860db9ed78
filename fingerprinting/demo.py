"""
The main job on shipped data: a digit classifier is stolen, put behind a real HTTP server, and found.

scikit-learn's 1,797 handwritten digits. An owner trains a small random forest on one half and sells its answers. A
thief asks it about the images of the other half, trains a neural network on the answers, and serves that. Five honest
models stand behind the same server: two trained on the owner's own half and three on the other, all on true labels.
The owner has its own half and the log of the questions its model was asked; it has never seen the thief's model.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from .collect import Client, Progress
from .enrolment import Enrolled, enroll
from .exploring import PEERS, SHADOWS
from .matching import match_one
from .oip_server import serve
from .records import About, InputSpec, Pool, Verdict

OWNER: Final = "digits-owner"
INTRO: Final = (
    "An owner's digit classifier was stolen by asking it, and the copy is served beside five honest models. Each "
    "endpoint was asked at most 50 questions over HTTP and compared with honest models and with copies made on purpose."
)
BUDGET: Final = 50


class Endpoint(NamedTuple):
    """One model behind the server: its name, what it really is, and the verdict reached without knowing that."""

    name: str
    role: str  # "thief" or "honest"
    story: str
    verdict: Verdict


def run(
    *,
    seed: int,
    wrap: Callable[[Any], Client],
    connect: Callable[[str], Client],
    generators: Mapping[str, Callable[..., Any]],
    alpha: float = 0.01,
    jobs: int = 1,
    training: Progress | None = None,
    asking: Progress | None = None,
) -> tuple[Enrolled, list[Endpoint]]:
    """
    Steal, serve, enrol and match. wrap: a live estimator as a client. connect: a client for an `oip` address.

    Everything is drawn from the seed: halves, models, the order of the endpoints and of the questions.
    """
    rng = np.random.default_rng(seed)
    images, digits = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    order = rng.permutation(len(images))
    ours, theirs = np.array_split(order, 2)

    owner = RandomForestClassifier(12, random_state=seed).fit(images[ours], digits[ours])
    suspects = _suspects(owner, images, digits, ours, theirs, seed)
    pool = Pool(InputSpec("tabular", (64,), (0.0,), (1.0,)), images[ours], digits[ours].astype(np.int64))
    enrolled = enroll(
        wrap(owner),
        pool,
        name=OWNER,
        about=About(source="demonstration", license="Apache-2.0"),
        generators=generators,
        log=images[theirs],
        peers=PEERS,
        shadows=SHADOWS,
        seed=seed,
        jobs=jobs,
        progress=training,
    )
    names = [f"vision-{i + 1}" for i in range(len(suspects))]
    shuffled = [suspects[i] for i in rng.permutation(len(suspects))]
    models = {name: model.predict for name, (_, _, model) in zip(names, shuffled, strict=True)}
    endpoints = []
    with serve(models, (64,)) as url:
        for name, (role, story, _) in zip(names, shuffled, strict=True):
            client = connect(f"{url}/v2/models/{name}")
            try:
                verdict = match_one(client, enrolled.reference, budget=BUDGET, alpha=alpha, seed=seed, progress=asking)
            finally:
                client.close()
            endpoints.append(Endpoint(name, role, story, verdict))

    return enrolled, endpoints


def _suspects(
    owner: Any, images: np.ndarray, digits: np.ndarray, ours: np.ndarray, theirs: np.ndarray, seed: int
) -> list[tuple[str, str, Any]]:
    """Role, story and fitted model of the thief and of the five honest ones."""
    stolen = owner.predict(images[theirs])
    network = MLPClassifier((64,), max_iter=2000, learning_rate_init=0.003, random_state=seed + 1)
    honest = [
        ("random forest, the owner's data", RandomForestClassifier(12, random_state=seed + 2), ours),
        (
            "neural network, the owner's data",
            MLPClassifier((64,), max_iter=2000, learning_rate_init=0.003, random_state=seed + 3),
            ours,
        ),
        ("random forest, other data", RandomForestClassifier(12, random_state=seed + 4), theirs),
        ("extra trees, other data", ExtraTreesClassifier(60, random_state=seed + 5), theirs),
        ("kernel machine, other data", make_pipeline(StandardScaler(), SVC(C=5.0)), theirs),
    ]
    return [
        ("thief", "neural network trained on the owner's answers", network.fit(images[theirs], stolen)),
        *(("honest", story, model.fit(images[rows], digits[rows])) for story, model, rows in honest),
    ]
