"""
The sources of a zoo, enrolled as a user would enrol them, and the probes of every published scheme beside their own.

No test model is opened here: probes, fitting and calibration see the source, the pool and the zoo's cohort alone.
"""

import hashlib
import re
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from joblib import delayed
from probe_match.fingerprinting import backends
from probe_match.fingerprinting.candidates import Generate
from probe_match.fingerprinting.collect import Client, Progress, collect
from probe_match.fingerprinting.enrolment import PROBES, enroll
from probe_match.fingerprinting.errors import BadData, ProbeMatchError, UsageError
from probe_match.fingerprinting.records import About, Access, ProbeSuite, Reference, Responses
from probe_match.fingerprinting.schemes import SCHEMES, build
from probe_match.fingerprinting.storage import canonical_json, from_bytes, read_file, to_bytes, write_file

from .zoo import Zoo, ZooModel

Connect = Callable[[str], Client]
MEBIBYTE = 1 << (20 if sys.platform == "darwin" else 10)  # in units of ru_maxrss


@dataclass(frozen=True)
class Settings:
    """
    What is measured. schemes: published ones beside the default method. budgets: questions to a suspect.

    seeds: one enrolment of every source for each. peers, shadows: as for `enroll`. without: kinds of shadows that are
    left out, to see what is found of thieves of a kind that no shadow is.
    """

    schemes: tuple[str, ...] = ()
    budgets: tuple[int, ...] = (10, 20, 50)
    access: tuple[Access, ...] = ("label", "scores")
    seeds: tuple[int, ...] = (0,)
    alpha: float = 0.01
    peers: int | None = None
    shadows: int | None = None
    jobs: int = -1
    without: tuple[str, ...] = ()

    @property
    def probes(self) -> int:
        """Probes to keep per reference: as many as a user would, or as the largest budget needs."""
        return max(PROBES, *self.budgets)


@dataclass(frozen=True)
class Cost:
    """What an enrolment took: seconds of the wall clock, and the peak memory of the process in MiB."""

    seconds: float
    memory: float


class Asked(NamedTuple):
    """A published scheme's probes for one source, and the source's own answers to them."""

    suite: ProbeSuite
    answers: Responses


class Subject(NamedTuple):
    """One source, enrolled with one seed. schemes: by name; refused: why a scheme has no probes for it."""

    model: ZooModel
    seed: int
    reference: Reference
    public: ProbeSuite
    schemes: dict[str, Asked]
    refused: dict[str, str]
    cost: Cost


def enroll_sources(
    zoo: Zoo,
    settings: Settings,
    seed: int,
    connect: Connect,
    generators: Mapping[str, Generate],
    chosen: Sequence[str],
    cache: Path | None = None,
    progress: Progress | None = None,
) -> list[Subject]:
    """
    Every source of a zoo as a subject, the public suite of the first shared by all.

    generators: all there are, by name; chosen: those that enrolment draws candidates from. cache: a folder that keeps
    what was enrolled before with the same settings, or None. On a cluster (`backends`) all but the first are enrolled
    by its workers, which have to reach the zoo's files and keep what they made if they reach the cache, too.
    """
    first, *others = zoo.of("source")
    subjects = [_subject(zoo, first, settings, seed, connect, generators, chosen, None, cache)]
    public = subjects[0].public
    work = [
        delayed(_subject)(zoo, model, settings, seed, connect, generators, chosen, public, cache) for model in others
    ]
    if progress is not None:
        progress(1)
    for subject in backends.run(work, 1, shared=[zoo, public]):
        subjects.append(subject)
        if progress is not None:
            progress(1)

    return subjects


def _subject(
    zoo: Zoo,
    model: ZooModel,
    settings: Settings,
    seed: int,
    connect: Connect,
    generators: Mapping[str, Generate],
    chosen: Sequence[str],
    public: ProbeSuite | None,
    cache: Path | None,
) -> Subject:
    client = connect(model.target)
    try:
        key = _key(zoo, model, settings, seed, public)
        kept = _Kept(cache, f"{re.sub(r'[^A-Za-z0-9.-]', '_', model.name)[:60]}-{seed}-{key}")
        reference, suite, cost = kept.reference(), kept.suite("public"), kept.cost()
        if reference is None or suite is None or cost is None:
            started = time.monotonic()
            cohort = [connect(honest.target) for honest in zoo.of("independent", "cohort")]
            enrolled = enroll(
                client,
                zoo.pool,
                name=model.name,
                about=About(),
                generators={name: generators[name] for name in chosen if name in generators},
                cohort=cohort,
                public=public,
                probes=settings.probes,
                peers=settings.peers,
                shadows=settings.shadows,
                seed=seed,
                jobs=settings.jobs,
                without=settings.without,
            )
            for honest in cohort:
                honest.close()
            reference, suite = enrolled
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBIBYTE
            cost = Cost(time.monotonic() - started, peak)
            kept.keep(reference=reference, public=suite, cost=cost)
        schemes: dict[str, Asked] = {}
        refused: dict[str, str] = {}
        for name in settings.schemes:
            probes = kept.suite(name)
            try:
                if probes is None:
                    n = max(settings.budgets)
                    probes = build(SCHEMES[name], client, zoo.pool, n=n, seed=seed, generators=generators)
                    kept.keep(**{name: probes})
            except (UsageError, BadData) as error:
                refused[name] = str(error)
                continue
            schemes[name] = Asked(probes, collect(client, probes))
    finally:
        client.close()

    return Subject(model, seed, reference, suite, schemes, refused, cost)


def _key(zoo: Zoo, model: ZooModel, settings: Settings, seed: int, public: ProbeSuite | None) -> str:
    """Sixteen hex digits over everything that an enrolment depends on."""
    pool = hashlib.sha256(to_bytes(zoo.pool)).hexdigest() if not isinstance(zoo.pool.x, tuple) else repr(zoo.pool.x)
    cohort = [file_digest(honest.target) for honest in zoo.of("independent", "cohort")]
    what = {
        "pool": pool,
        "model": file_digest(model.target),
        "settings": [settings.probes, max(settings.budgets), settings.peers, settings.shadows, settings.without],
        "seed": seed,
        "public": None if public is None else public.digest,
    } | ({"cohort": cohort} if cohort else {})
    return hashlib.sha256(canonical_json(what)).hexdigest()[:16]


def file_digest(target: str) -> str:
    """A target with the digest of its file, where it is one: another file under the same name is another model."""
    path = Path(target.partition(":")[2])
    return f"{target} {hashlib.sha256(path.read_bytes()).hexdigest()}" if path.is_file() else target


class _Kept:
    """Records of one subject in a folder, one file each; nothing is read or written without a folder."""

    def __init__(self, folder: Path | None, stem: str) -> None:
        self.folder = folder
        self.stem = stem

    def reference(self) -> Reference | None:
        return self._read("reference", Reference)

    def suite(self, what: str) -> ProbeSuite | None:
        return self._read(what, ProbeSuite)

    def cost(self) -> Cost | None:
        return self._read("cost", Cost)

    def keep(self, **records: object) -> None:
        if self.folder is not None and self.folder.is_dir():  # a worker of a cluster may not see it
            for what, record in records.items():
                write_file(self._file(what), to_bytes(record))

    def _read(self, what: str, kind: type) -> Any:
        if self.folder is None or not self._file(what).is_file():
            return None
        try:
            return from_bytes(kind, read_file(self._file(what), what), what)
        except ProbeMatchError:  # a cache from another version: make it again
            return None

    def _file(self, what: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{self.stem}.{what}.npz"
