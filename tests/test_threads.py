"""Small models compute in one thread, and nobody else does."""

from probe_match.fingerprinting.threads import one_thread
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
