"""
Jobs at work: in threads of the console, so that they go on when a browser is closed, and stop asking when told to.

Each keeps a ledger an endpoint, so that one that was cut short goes on and repeats no question.
"""

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from probe_match.fingerprinting import network
from probe_match.fingerprinting.compliance import auditing, forgetting
from probe_match.fingerprinting.compliance.examining import ledger_path
from probe_match.fingerprinting.compliance.settings import Endpoint, Retention
from probe_match.fingerprinting.database import ReferenceDB
from probe_match.fingerprinting.errors import ProbeMatchError, UsageError

from . import answered, results, tasks
from .answered import Answered
from .config import Config
from .jobs import Job, Jobs
from .tasks import NotAllowed, Task

MOST_WAITING: Final = 100  # jobs
SWEEP_SECONDS: Final = 3600.0
LOG: Final = logging.getLogger(__name__)


class Cancelled(BaseException):
    """Raised in the threads that ask."""


class Progress:
    """How far a job is. answered: questions. most: that may be asked. done: endpoints."""

    def __init__(self, endpoints: int, most: int) -> None:
        self.answered: int = 0
        self.done: int = 0
        self.endpoints = endpoints
        self.most = most
        self.stop: threading.Event = threading.Event()
        self._lock = threading.Lock()

    def count(self, questions: int) -> None:
        """Some more were answered. Raises Cancelled where no more are to be asked."""
        with self._lock:
            self.answered += questions
        if self.stop.is_set():
            raise Cancelled

    def finished(self, _: Any) -> None:
        """One more endpoint is judged."""
        with self._lock:
            self.done += 1


class Workshop:
    """Runs jobs; a context manager. `jobs` has all there ever were."""

    def __init__(self, config: Config, references: ReferenceDB) -> None:
        self.config = config
        self.references = references
        self.jobs: Jobs = Jobs(config.folder / "console.db")
        self._answers = config.folder / "answers"
        self._network = network.current()
        self._pool = ThreadPoolExecutor(config.at_once, thread_name_prefix="job")
        self._foreign = threading.Lock()  # jobs at foreign hosts run one by one, as the authorization's rate wants
        self._granting = threading.Lock()
        self._reading = threading.Lock()  # a ledger is open to one reader
        self._running: dict[str, tuple[Progress, Future[None]]] = {}
        self._closing = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep_now_and_then, daemon=True)

    def __enter__(self) -> "Workshop":
        self.sweep()
        self._sweeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for progress, _future in list(self._running.values()):
            progress.stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._sweeper.join()
        self.jobs.close()

    def task(self, kind: Any, told: Any) -> Task:
        """What a request asks for, checked. Raises UsageError, NotAllowed, BadData."""
        return tasks.task(kind, tasks.match(told) if kind == "match" else told, self.config.authorization)

    def cost(self, task: Task) -> list[tuple[str, str]]:
        """What a task may ask at most, in words."""
        return auditing.cost(task.settings, self.references)

    def start(self, task: Task) -> Job:
        """A new job. Raises UsageError where too many wait, NotAllowed where an authorization is used up."""
        leave = task.authority.digest if task.authority and task.foreign else ""
        progress = self._progress(task)
        with self._granting:
            used = self.jobs.granted(leave) if leave else 0
            if leave and task.authority and used + task.foreign > task.authority.budget:
                raise NotAllowed(
                    f"the authorization allows {task.authority.budget} questions, of which {used} were granted to "
                    f"earlier jobs; this one may ask {task.foreign}"
                )
            if len(self._running) >= MOST_WAITING:
                raise UsageError(f"{MOST_WAITING} jobs are waiting already; try again when some are done")
            job = self.jobs.add(task.kind, task.title, task.asked, leave=leave, granted=task.foreign)
            self._submit(job.id, task, progress)

        return job

    def resume(self, job: Job) -> None:
        """Go on with a job that was cut short, from its ledgers. Raises UsageError, NotAllowed."""
        if not job.over or job.state == "done":
            raise UsageError(f"this job is {job.state}; nothing of it is left to do")
        task = tasks.task(job.kind, job.asked, self.config.authorization)
        progress = self._progress(task)
        with self._granting:
            if job.id in self._running:
                raise UsageError("this job is under way already")
            self.jobs.wait(job.id)
            self._submit(job.id, task, progress)

    def cancel(self, job: Job) -> None:
        """Let a job ask nothing more; what is under way is waited for."""
        running = self._running.get(job.id)
        if running is None:
            return
        progress, future = running
        progress.stop.set()
        if future.cancel():
            self._running.pop(job.id, None)
            self.jobs.end(job.id, "cancelled", answered=0)

    def now(self, job: Job) -> tuple[Job, Progress | None]:
        """A job as it is at this moment, with its progress while it is not over."""
        running = self._running.get(job.id)
        if running is None:
            return self.jobs.get(job.id) or job, None
        return replace(job, answered=running[0].answered), running[0]

    def ledger(self, job: Job, endpoint: str) -> Path:
        """Where the answers of one of a job's endpoints are kept; the path of a forgotten ledger where they were."""
        folder = self._answers / job.id
        path = ledger_path(folder, Endpoint(endpoint, ""))
        aside = sorted(folder.glob(f"{path.stem}.forgotten-*"))

        return aside[-1] if aside and not path.exists() else path

    def answers(self, job: Job, endpoint: str, reference: str | None) -> Answered:
        """What one of a job's endpoints answered. Raises DatabaseError."""
        with self._reading:
            return answered.read(self.ledger(job, endpoint), self.references, reference)

    def sweep(self) -> int:
        """Forget answers that are older than is allowed; how many ledgers there were of them."""
        forgotten = 0
        for folder in sorted(self._answers.iterdir()) if self._answers.is_dir() else ():
            if not folder.is_dir() or folder.name in self._running:
                continue
            try:
                forgotten += len(forgetting.sweep(folder, self._retention(folder.name)))
            except ProbeMatchError as error:  # the others are forgotten all the same
                LOG.error("answers in %s could not be forgotten: %s", folder, error)

        return forgotten

    def _retention(self, id_: str) -> Retention:
        """How long the answers of a job are kept: as its own settings say, or as the console's."""
        job = self.jobs.get(id_)
        told = {} if job is None else job.asked.get("retention", {})
        return Retention(int(told.get("days", self.config.days)), str(told.get("hold", "")))

    def _progress(self, task: Task) -> Progress:
        most = sum(questions for questions, _ in auditing.most_questions(task.settings, self.references))
        return Progress(len(task.settings.endpoints), most)

    def _submit(self, id_: str, task: Task, progress: Progress) -> None:
        begin = threading.Event()
        future = self._pool.submit(self._work, id_, task, progress, begin)
        self._running[id_] = progress, future
        begin.set()

    def _work(self, id_: str, task: Task, progress: Progress, begin: threading.Event) -> None:
        begin.wait()
        try:
            with network.using(self._network):
                self._ask(id_, task, progress)
        except Cancelled:
            state = "interrupted" if self._closing.is_set() else "cancelled"
            self.jobs.end(id_, state, answered=progress.answered)  # type: ignore[arg-type]
        except ProbeMatchError as error:
            self.jobs.end(id_, "failed", answered=progress.answered, why=str(error))
        except BaseException as error:
            LOG.exception("job %s failed by a bug", id_)
            self.jobs.end(id_, "failed", answered=progress.answered, why=f"a bug of ours: {type(error).__name__}")
            raise
        finally:
            self._running.pop(id_, None)

    def _ask(self, id_: str, task: Task, progress: Progress) -> None:
        if not task.foreign:
            self._audit(id_, task, progress)
            return
        while not self._foreign.acquire(timeout=0.2):
            progress.count(0)
        try:
            self._audit(id_, task, progress)
        finally:
            self._foreign.release()

    def _audit(self, id_: str, task: Task, progress: Progress) -> None:
        progress.count(0)
        self.jobs.begin(id_)
        report = auditing.audit(
            task.settings, self.references, authority=task.authority, authority_file=self.config.authorization,
            ledgers=self._answers / id_, jobs=4, done=progress.finished, progress=progress.count,
        )  # fmt: skip
        if task.kind == "match" and report.endpoints[0].examined.verdict is None:
            self.jobs.end(id_, "failed", answered=progress.answered, why=report.endpoints[0].examined.error)
            return
        outcome, documents = (results.of_match if task.kind == "match" else results.of_audit)(report)
        verdicts = [one.examined.verdict for one in report.endpoints]
        questions = sum(verdict.answered for verdict in verdicts if verdict is not None)
        self.jobs.end(id_, "done", answered=questions, outcome=outcome, documents=documents)

    def _sweep_now_and_then(self) -> None:
        last = time.monotonic()
        while not self._closing.wait(1.0):
            if time.monotonic() - last >= SWEEP_SECONDS:
                last = time.monotonic()
                self.sweep()
