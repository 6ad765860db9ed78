"""
Where work that runs in parallel is done: in processes of this machine, or on a Dask or Ray cluster, through joblib.

    with using("dask://scheduler:8786"):
        enroll(...)

A cluster runs what it is sent, as pickles: name only one of your own, whose workers have the same probe-match. Work
whose worker dies is done again by the cluster; results do not depend on where they were made.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from .errors import MissingPackage, TargetError, UsageError

PROCESSES: Final = "processes"
SECONDS: Final = 20  # to reach a cluster
RESTARTS: Final = 5  # of one worker of Ray
TURNS: Final = 4  # of each worker, at short work: few to send, and enough for those that are done early
CLUSTERS: Final = ("DaskDistributedBackend", "RayBackend")
OWN: Final = ("127.0.0.1:", "localhost:", "[::1]:")
_here: ContextVar[bool] = ContextVar("here", default=True)
_actors: ContextVar[Any] = ContextVar("actors", default=None)  # joblib's Parallel whose workers Ray has started


@contextmanager
def using(where: str | None) -> Iterator[None]:
    """
    Do the parallel work of the block there: `processes` (or None), `dask://HOST:PORT` or `ray://HOST:PORT`.

    Raises UsageError for another, MissingPackage without the cluster's package, TargetError where nobody answers.
    """
    kind, _, address = (where or PROCESSES).partition("://")
    token = _here.set(not address or address.startswith(OWN))
    try:
        with _opened(where, kind, address):
            yield
    finally:
        _here.reset(token)


@contextmanager
def _opened(where: str | None, kind: str, address: str) -> Iterator[None]:
    if kind == PROCESSES and not address:
        yield
    elif kind == "dask" and address:
        with _dask(address):
            yield
    elif kind == "ray" and address:
        with _ray(address):
            yield
    else:
        raise UsageError(f"expected processes, dask://HOST:PORT or ray://HOST:PORT as the backend, got '{where}'")


def is_cluster() -> bool:
    """Whether a cluster is in use."""
    return _kind() in CLUSTERS


def is_here() -> bool:
    """Whether the cluster in use was named by an address of this machine."""
    return _here.get()


def _kind() -> str:
    from joblib.parallel import get_active_backend

    return type(get_active_backend()[0]).__name__


def run(work: Sequence[Any], jobs: int, shared: Sequence[Any] = (), *, short: bool = False) -> Iterator[Any]:
    """
    Results of joblib's delayed calls, in their order, as they come where the backend can; elsewhere when all are there.

    jobs: processes, of this machine. shared: large arguments of every call, sent once to each worker of a cluster.
    short: calls take less than a second, so that a cluster is sent several at a time.
    """
    from joblib import Parallel, delayed, effective_n_jobs, parallel_config

    backend = _kind()
    if backend not in CLUSTERS:
        with _deaf_to_interrupts():  # Ctrl-C ends this process, which ends its workers; each would add a traceback
            return iter(Parallel(jobs, return_as="generator")(work))
    pieces = [delayed(_alone)(function, *args, **kwargs) for function, args, kwargs in work]
    together = max(1, len(pieces) // (TURNS * effective_n_jobs(-1))) if short else 1
    if backend == "DaskDistributedBackend":
        with parallel_config(backend="dask", scatter=list(shared)):  # to all: what one worker holds would die with it
            return iter(Parallel(n_jobs=-1, batch_size=together)(pieces))
    actors = _actors.get()
    actors.batch_size = together

    return iter(actors(pieces))


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that start while the block runs ignore Ctrl-C; so, for that moment, does this one."""
    if threading.current_thread() is not threading.main_thread():  # from others, handlers cannot be set
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _alone(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """On a worker: a piece of work is done there. Dask would send each tree of its forests round the cluster again."""
    from joblib import parallel_config

    with parallel_config(backend="sequential"):
        return function(*args, **kwargs)


@contextmanager
def _dask(address: str) -> Iterator[None]:
    from joblib import parallel_config

    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise MissingPackage("a Dask cluster needs distributed: pip install 'probe-match[dask]'") from error

    class Fresh(Client):  # type: ignore[misc]
        """Names what it sends anew each time: named by content, what is let go and sent again at once is lost."""

        def scatter(self, data: Any, **others: Any) -> Any:
            return super().scatter(data, **{"hash": False} | others)

    try:
        client = Fresh(f"tcp://{address}", timeout=SECONDS, set_as_default=True)
    except (OSError, ValueError) as error:
        why = " ".join(str(error).split())[:120]
        raise TargetError(f"no Dask scheduler answers at {address} ({why}); start one with: dask scheduler") from error
    with client, parallel_config(backend="dask"):
        yield


@contextmanager
def _ray(address: str) -> Iterator[None]:
    from joblib import Parallel, parallel_config

    try:
        import ray
        from ray.util.joblib import register_ray
    except ModuleNotFoundError as error:
        raise MissingPackage("a Ray cluster needs ray: pip install 'probe-match[ray]'") from error
    try:
        ray.init(address=address if address == "auto" else f"ray://{address}", log_to_driver=False)
    except (OSError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())[:120]
        raise TargetError(f"no Ray cluster answers at {address} ({why}); start one with: ray start --head") from error
    register_ray()
    try:
        # Not the default there: a worker that dies is started again, and its work is done again.
        again = {"max_restarts": RESTARTS, "max_task_retries": RESTARTS}
        # One set of workers for all that is run: each imports everything, which takes seconds.
        with parallel_config(backend="ray", ray_remote_args=again), Parallel(n_jobs=-1) as actors:
            token = _actors.set(actors)
            try:
                yield
            finally:
                _actors.reset(token)
    finally:
        ray.shutdown()
