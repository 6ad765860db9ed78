"""Small models compute in one thread: they lose more to waiting for each other's threads than they gain."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Literal

import sklearn.ensemble  # noqa: F401 - brings the libraries whose threads are limited
from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all that is loaded, which takes milliseconds: once will do


def one_thread(api: Literal["blas"] | None = None) -> AbstractContextManager[Any]:
    """
    In the block, BLAS and OpenMP use one thread, or BLAS alone.

    Products of matrices add up in another order with each number of threads, so that an answer's last digits would
    depend on the machine; trees and boosting, of OpenMP, give the same with any.
    """
    return _libraries().limit(limits=1, user_api=api)
