"""Small models compute in one thread, and nobody else does."""

import warnings

import numpy as np
from probe_match.clients import sklearn
from probe_match.fingerprinting.threads import one_thread
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_info, threadpool_limits


def test_one_thread_in_the_block_and_as_many_as_before_after_it() -> None:
    """BLAS and OpenMP both, each time anew."""
    with threadpool_limits(2):
        for _ in range(2):
            with one_thread():
                inside = {library["user_api"]: library["num_threads"] for library in threadpool_info()}
            after = {library["num_threads"] for library in threadpool_info()}

            assert inside == {"blas": 1, "openmp": 1}
            assert after == {2}


def test_answers_are_the_same_with_any_number_of_threads() -> None:
    """To the last bit, where the model itself, of wide layers, adds up in another order."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 96)).astype(np.float32), rng.integers(0, 10, 400)
    model = MLPClassifier((512, 384), max_iter=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two rounds do not converge
        client = sklearn.wrap(model.fit(x, y))
    asked = []
    for threads in (1, 2):
        with threadpool_limits(threads, "blas"):
            asked.append(client.ask(x).scores)

    assert np.array_equal(*asked)
