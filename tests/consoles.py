"""A console to test, and known models whose peers are functions, so that nothing is trained."""

import datetime as dt
import ipaddress
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playwright.sync_api import Browser, sync_playwright
from probe_match.fingerprinting.console.config import Config
from probe_match.fingerprinting.console.serving import serving
from probe_match.fingerprinting.console.working import Workshop
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.records import About, InputSpec, Panel, ProbeSuite, Reference, Responses

FEATURES, CLASSES, PROBES, PEERS, SHADOWS = 6, 4, 60, 60, 6
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--host-resolver-rules=MAP rebound.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
Answer = Callable[[Any], np.ndarray]
TOKEN = "a-token-for-tests-only-0123456789"


def model(seed: int, near: int | None = None, noise: float = 0.15) -> Answer:
    """A classifier of float32 (m, FEATURES); near: a seed whose model it is a noisy copy of."""
    rng = np.random.default_rng(seed if near is None else near)
    weights = rng.normal(size=(FEATURES, CLASSES))
    if near is not None:
        weights = weights + noise * np.random.default_rng(seed).normal(size=weights.shape)
    return lambda x: np.asarray((np.tanh(2 * x) @ weights).argmax(1))


def suite(seed: int, n: int = PROBES) -> ProbeSuite:
    """Probes of random rows."""
    x = np.random.default_rng(1000 + seed).normal(size=(n, FEATURES)).astype(np.float32)
    spec = InputSpec("tabular", (FEATURES,), (-10.0,) * FEATURES, (10.0,) * FEATURES)
    return ProbeSuite(f"suite-{seed}", "uniform", seed, spec, x, ("uniform",) * n, np.ones(n), None)


PUBLIC = suite(0, 40)


def answers(probes: ProbeSuite, source: Answer) -> Responses:
    """What a model answers to a suite."""
    n = len(probes)
    return Responses(
        probes.digest, "function:source", "label", source(probes.inputs)[:, None], None, np.full(n, 0.01, np.float32), n
    )


def panel(probes: ProbeSuite, seed: int) -> Panel:
    """What honest models and copies of the model of that seed answer to a suite."""
    peers = [model(5000 + 100 * seed + i)(probes.inputs) for i in range(PEERS)]
    copies = [model(9000 + i, near=seed)(probes.inputs) for i in range(SHADOWS)]
    return Panel(
        names=tuple(f"peer {i}" for i in range(PEERS)) + tuple(f"shadow {i}" for i in range(SHADOWS)),
        roles=("peer",) * PEERS + ("shadow",) * SHADOWS,
        uses=("estimate",) * (PEERS // 3) + ("calibrate",) * (PEERS - PEERS // 3) + ("estimate",) * SHADOWS,
        labels=np.array([*peers, *copies], np.int16),
    )


def reference(name: str, seed: int, **about: Any) -> Reference:
    """The model of that seed as a known one, with honest models and copies to compare with."""
    own, source = suite(seed), model(seed)
    return Reference(
        name, About(**about), own, answers(own, source), panel(own, seed), answers(PUBLIC, source), panel(PUBLIC, seed)
    )


@contextmanager
def console(folder: Path, **more: Any) -> Iterator[tuple[str, Workshop]]:
    """A console over `known.db` of a folder; its URL and its workshop."""
    settings = {
        "db": str(folder / "known.db"), "folder": folder / "console", "history": folder / "watch.db",
        "authorization": folder / "authorization.toml", "port": 0,
    }  # fmt: skip
    with serving(Config(**(settings | more))) as running:
        yield running


def word(page: str) -> str:
    """What a page's forms bring back."""
    return re.findall(r'name="form_word" value="([^"]+)"', page)[0]


def known(folder: Path) -> None:
    """A database of three models: `open` (Apache-2.0), `closed` (CC-BY-NC-4.0), and `tuned`, which descends from it."""
    with open_db(folder / "known.db", create=True) as db:
        db.set_public_suite(PUBLIC)
        db.add(reference("open", 1, license="Apache-2.0", date="2026-01-01"))
        db.add(reference("closed", 2, license="CC-BY-NC-4.0", source="https://example.org/closed"))
        db.add(reference("tuned", 3, license="MIT", parent="closed"))


def certificate(folder: Path) -> tuple[Path, Path]:
    """Of 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.timezone.utc)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - dt.timedelta(1), now + dt.timedelta(1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of this machine, without a window."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield running
        finally:
            running.close()
