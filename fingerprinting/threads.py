"""Small models compute in one thread: they lose more to waiting for each other's threads than they gain."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import sklearn.ensemble  # noqa: F401 - brings the libraries whose threads are limited
from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all that is loaded, which takes milliseconds: once will do


def one_thread() -> AbstractContextManager[Any]:
    """BLAS and OpenMP use one thread in the block."""
    return _libraries().limit(limits=1)
