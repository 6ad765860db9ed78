"""Rows 1 and 14: processes that are killed at any moment, and disks that fail at any operation."""

import ctypes
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any, Literal

import numpy as np
from probe_match.fingerprinting.audits import Audit
from probe_match.fingerprinting.errors import ProbeMatchError
from probe_match.fingerprinting.guards import GuardedClient
from probe_match.fingerprinting.ledger import Ledger, open_ledger, read_ledger
from probe_match.fingerprinting.ledger_states import Memory, remember

from .counting import ROOT, CountedClient, counting, counts, probes

CONCURRENCY = 8


def kills(
    number: int = 200, questions: int = 600, *, wish: Literal["hold", "resend"] = "hold", seed: int = 0, path: str = ""
) -> dict[str, Any]:
    """SIGKILL at random moments, again and again, until so many kills are done; audits that finish are begun anew."""
    rng = random.Random(seed)
    total = {"kills": 0, "audits": 0, "asked": 0, "answered": 0, "in_doubt": 0, "sent_twice": 0, "billed": 0}
    lost = most_in_doubt = 0
    while total["kills"] < number:
        with counting(0.01) as url, tempfile.TemporaryDirectory() as folder:
            ledger = Path(path or folder) / "a.ledger"
            known, finished = Memory(), False
            while not finished:
                allowed = total["kills"] < number
                finished = _run(url, ledger, questions, wish, rng.uniform(0.03, 0.4) if allowed else None)
                total["kills"] += not finished
                now = _memory(ledger)
                lost += sum(_state(now, key) != "answered" for key in _answered(known))
                most_in_doubt = max(most_in_doubt, now.count("doubt") - known.count("doubt"))
                known = now
            came = counts(url)
            total["audits"] += 1
            total["asked"] += sum(came["came"].values())
            total["answered"] += known.count("answered")
            total["in_doubt"] += known.count("doubt")
            total["sent_twice"] += sum(n > 1 for n in came["came"].values())
            total["billed"] += sum(came["billed"].values())
    whole = total["answered"] + total["in_doubt"] == questions * total["audits"]
    twice = total["sent_twice"] if wish == "hold" else total["billed"] - questions * total["audits"]

    return {
        **total, "recorded_lost": lost, "most_in_doubt_per_kill": most_in_doubt, "concurrency": CONCURRENCY,
        "holds": whole and not twice and not lost and most_in_doubt <= CONCURRENCY,
    }  # fmt: skip


def _run(url: str, ledger: Path, questions: int, wish: str, kill_after: float | None) -> bool:
    """Ask in a process that is killed after so many seconds; whether it was done before."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            client = CountedClient(url)
            audit = Audit(open_ledger(ledger, target=client.target), in_doubt=wish)  # type: ignore[arg-type]
            for _ in GuardedClient(client, audit, concurrency=CONCURRENCY).parts(probes(questions)):  # type: ignore[arg-type]
                pass
            audit.close()
            code = 0
        finally:
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("a run failed by itself")

    return not os.WIFSIGNALED(status)


def _memory(ledger: Path) -> Memory:
    """What the next run finds when it begins."""
    audit = Audit(open_ledger(ledger, target=CountedClient.target))
    try:
        return audit.memory
    finally:
        audit.close()


def _answered(memory: Memory) -> list[tuple[str, int]]:
    return [
        (key, n) for key, some in memory.queries.items() for n, query in enumerate(some) if query.state == "answered"
    ]


def _state(memory: Memory, query: tuple[str, int]) -> str:
    found = memory.find(*query)
    return "" if found is None else found.state


# --- disks ------------------------------------------------------------------------------------------------------------

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>
static int at = -1, with = 0, seen = 0;
void fault_arm(int n, int code) { at = n; with = code; seen = 0; }
int fault_seen(void) { return seen; }
static int fails(void) { if (at < 0) return 0; seen++; if (seen >= at) { errno = with; return 1; } return 0; }
#define REAL(name) static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name)
ssize_t write(int f, const void *b, size_t n) { REAL(write); if (f > 2 && fails()) return -1; return real(f, b, n); }
ssize_t pwrite64(int f, const void *b, size_t n, off64_t o) { REAL(pwrite64); return fails() ? -1 : real(f, b, n, o); }
ssize_t pwrite(int f, const void *b, size_t n, off_t o) { REAL(pwrite); return fails() ? -1 : real(f, b, n, o); }
int fsync(int f) { REAL(fsync); return fails() ? -1 : real(f); }
int fdatasync(int f) { REAL(fdatasync); return fails() ? -1 : real(f); }
int ftruncate64(int f, off64_t n) { REAL(ftruncate64); return fails() ? -1 : real(f, n); }
int ftruncate(int f, off_t n) { REAL(ftruncate); return fails() ? -1 : real(f, n); }
int rename(const char *a, const char *b) { REAL(rename); return fails() ? -1 : real(a, b); }
int unlink(const char *a) { REAL(unlink); return fails() ? -1 : real(a); }
static int opening(int flags) { return (flags & (O_CREAT | O_RDWR | O_WRONLY)) && fails(); }
int open64(const char *p, int flags, ...) {
  REAL(open64); va_list v; va_start(v, flags); int mode = va_arg(v, int); va_end(v);
  return opening(flags) ? -1 : real(p, flags, mode); }
int open(const char *p, int flags, ...) {
  REAL(open); va_list v; va_start(v, flags); int mode = va_arg(v, int); va_end(v);
  return opening(flags) ? -1 : real(p, flags, mode); }
"""
SPITED = 9  # exit code of a run that is whole although tidying up failed
CODES = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENOMEM)


def faults(most: int = 200, *, careless: bool = False) -> dict[str, Any]:
    """
    Every operation from the Nth on fails, for each N; then the disk is mended and the same command is run again.

    careless: with a ledger that writes nothing, to see the promise broken.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        return {"skipped": "no C compiler", "holds": None}
    with tempfile.TemporaryDirectory() as folder:
        source, shim = Path(folder) / "shim.c", Path(folder) / "shim.so"
        source.write_text(SHIM)
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], check=True)
        environment = {**os.environ, "LD_PRELOAD": str(shim)}
        command = [sys.executable, "-m", "benchmarks.reliability_rows.crashes", folder, str(most)]
        command += ["careless"] * careless
        done = subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True)
    tried, met, exit_zero, half, resumed, uncaught = (int(part) for part in done.stdout.split())

    return {
        "tried": tried, "failures_met": met, "done_in_spite": exit_zero, "half_files": half, "resumed": resumed,
        "uncaught": uncaught, "holds": half == uncaught == 0 and resumed == tried,
    }  # fmt: skip


def _faulty(folder: str, most: int) -> None:
    """In a process with the shim: one child for each N."""
    _record(Path(folder), lambda: None)  # whatever is imported is imported before anything fails
    shim = ctypes.CDLL(None)
    tried = met = exit_zero = half = resumed = uncaught = 0
    output = os.fdopen(os.dup(1), "w")
    for n in range(1, most + 1):
        home = Path(folder) / str(n)
        home.mkdir()
        child = os.fork()
        if child == 0:
            code = _record(home, lambda n=n: shim.fault_arm(n, CODES[n % len(CODES)]))
            os._exit(SPITED if code == 0 and shim.fault_seen() >= n else code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        tried += 1
        met += code != 0
        exit_zero += code == SPITED
        uncaught += code not in (0, 2, SPITED)
        code = 0 if code == SPITED else code
        final = home / "m.ledger"
        half += final.exists() and not _complete(final)
        half += code == 0 and not final.exists()
        child = 0 if code == 0 else os.fork()
        if code and child == 0:
            os._exit(_record(home, lambda: None))
        if child:
            os.waitpid(child, 0)
        resumed += final.exists() and _complete(final)
    print(tried, met, exit_zero, half, resumed, uncaught, file=output, flush=True)


def _record(home: Path, arm: Any) -> int:
    """`record` in this process; its exit code."""
    from probe_match.fingerprinting import cli, storage
    from probe_match.fingerprinting.records import InputSpec, ProbeSuite

    os.chdir(home)
    zoo = types.ModuleType("zoo")
    zoo.m = lambda x: np.arange(len(x)) % 3  # type: ignore[attr-defined]
    sys.modules["zoo"] = zoo
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    spec = InputSpec("tabular", (4,), (-9.0,) * 4, (9.0,) * 4)
    suite = ProbeSuite("s", "uniform", 0, spec, x, ("uniform",) * 60, np.ones(60), None, ())
    storage.write_file(Path("s.npz"), storage.to_bytes(suite))
    command = ["record", "function:zoo:m", "-o", "m.ledger", "--suite", "s.npz", "--in-doubt", "resend", "-q"]
    arm()
    try:
        cli.cli.main(command, prog_name="probe-match", standalone_mode=False)
    except ProbeMatchError:
        return 2
    except Exception:  # noqa: BLE001 - counted
        return 3
    return 0


def _complete(ledger: Path) -> bool:
    with read_ledger(ledger) as book:
        return len(list(ledger.parent.iterdir())) == 2 and remember(book).count("answered") == 60  # and the suite


if __name__ == "__main__":
    if "careless" in sys.argv:
        Ledger.sync = lambda *_: None  # type: ignore[method-assign]
    _faulty(sys.argv[1], int(sys.argv[2]))
