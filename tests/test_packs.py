"""Packs: the same bytes always, and nothing in a stranger's file is believed."""

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from probe_match.fingerprinting import packs, signing, storage, unpacking
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.database import ReferenceDB, open_db
from probe_match.fingerprinting.errors import BadData, DatabaseError
from probe_match.fingerprinting.records import Fragile
from samples import make_reference, make_suite

PUBLIC = make_suite(99, n=8)
PEM = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
Rewrite = Callable[[dict[str, bytes]], None]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[ReferenceDB]:
    """A public suite and three references under two licences, one of which keeps fragile probes, too."""
    with open_db(tmp_path / "ours.db", create=True) as db:
        db.set_public_suite(PUBLIC)
        db.add(make_reference("s0", 0, PUBLIC, license="MIT"))
        edges = make_reference("edges", 4)
        probed = replace(make_reference("s1", 1, PUBLIC, license="MIT"), fragile=Fragile(edges.suite, edges.answers))
        db.add(probed)
        db.add(make_reference("s2", 2))
        yield db


@pytest.fixture
def pack(db: ReferenceDB, tmp_path: Path) -> Path:
    """All of it, signed."""
    packs.write(db, tmp_path / "ours.pmpack", key=PEM)
    return tmp_path / "ours.pmpack"


def rewritten(pack: Path, change: Rewrite, compression: int = zipfile.ZIP_STORED) -> Path:
    """The pack after somebody has changed its members."""
    with zipfile.ZipFile(pack) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    forged = pack.with_name("forged.pmpack")
    with zipfile.ZipFile(forged, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return forged


def test_a_pack_carries_references_to_another_database(db: ReferenceDB, pack: Path, tmp_path: Path) -> None:
    """Every reference and the public suite come out as they went in, and a second import adds nothing."""
    with open_db(tmp_path / "theirs.db", create=True) as theirs, unpacking.opened(pack) as found:
        added = unpacking.add(theirs, found)

        assert added == ["s0", "s1", "s2"]
        assert theirs.headers() == db.headers()
        assert storage.to_bytes(theirs.get("s1")) == storage.to_bytes(db.get("s1"))
        assert theirs.public_suite(PUBLIC.spec).digest == PUBLIC.digest  # type: ignore[union-attr]
        assert theirs.verify() == []
        assert unpacking.add(theirs, found) == []
        assert found.licenses == {"MIT": 2, "not stated": 1}


def test_two_exports_are_byte_identical(db: ReferenceDB, pack: Path, tmp_path: Path) -> None:
    """One database gives one file, also by way of another database."""
    packs.write(db, tmp_path / "again.pmpack", key=PEM)
    with open_db(tmp_path / "theirs.db", create=True) as theirs, unpacking.opened(pack) as found:
        unpacking.add(theirs, found)
        packs.write(theirs, tmp_path / "back.pmpack", key=PEM)

    assert (tmp_path / "again.pmpack").read_bytes() == pack.read_bytes()
    assert (tmp_path / "back.pmpack").read_bytes() == pack.read_bytes()


def test_conflicts_are_refused_kept_or_replaced(db: ReferenceDB, pack: Path, tmp_path: Path) -> None:
    """A reference of the same name and other content is a person's choice."""
    with open_db(tmp_path / "theirs.db", create=True) as theirs, unpacking.opened(pack) as found:
        theirs.add(make_reference("s0", 7))
        theirs.add(make_reference("s9", 9))
        seven = storage.digest(theirs.get("s0"))

        assert found.compare(theirs) == (["s1", "s2"], [], ["s0"], ["s9"])
        with pytest.raises(DatabaseError, match=r"s0.*--replace or --keep"):
            unpacking.add(theirs, found)
        assert theirs.names() == ["s0", "s9"]
        assert unpacking.add(theirs, found, "keep") == ["s1", "s2"]
        assert storage.digest(theirs.get("s0")) == seven
        assert unpacking.add(theirs, found, "replace") == ["s0"]
        assert storage.digest(theirs.get("s0")) == storage.digest(db.get("s0"))
        assert theirs.verify() == []


def flip(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.startswith("bodies"))
    members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])


def relabel(members: dict[str, bytes]) -> None:
    members["manifest.json"] = members["manifest.json"].replace(b'"MIT"', b'"GPL"')


def relabel_unsigned(members: dict[str, bytes]) -> None:
    relabel(members)
    del members["signature.json"]


def slip(members: dict[str, bytes]) -> None:
    manifest = json.loads(members["manifest.json"])
    members["../../evil"] = b"x"
    manifest["members"]["../../evil"] = storage.sha256(b"x")
    members["manifest.json"] = storage.canonical_json(manifest)
    del members["signature.json"]


def extra(members: dict[str, bytes]) -> None:
    members["bodies/" + "0" * 64] = b"x"


def lose(members: dict[str, bytes]) -> None:
    del members[next(name for name in members if name.startswith("suites"))]


def headless(members: dict[str, bytes]) -> None:
    del members["manifest.json"]


def nonsense(members: dict[str, bytes]) -> None:
    members["manifest.json"] = b"[" * 100_000
    del members["signature.json"]


FORGERIES = (flip, relabel, relabel_unsigned, slip, extra, lose, headless, nonsense)


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forged_pack_is_refused_and_adds_nothing(forge: Rewrite, pack: Path, tmp_path: Path) -> None:
    """Whatever somebody changed, reading says so in one line and the database stays as it was."""
    forged = rewritten(pack, forge)
    with open_db(tmp_path / "theirs.db", create=True) as theirs:
        with pytest.raises(BadData) as e, unpacking.opened(forged) as found:
            unpacking.add(theirs, found)

        assert "\n" not in str(e.value)
        assert theirs.names() == []


def test_a_zip_bomb_is_refused_before_it_is_unpacked(pack: Path) -> None:
    """Members must be stored as they are: what would unpack to more than it is never does."""
    bomb = rewritten(pack, lambda members: members.update({"manifest.json": b" " * (64 << 20)}), zipfile.ZIP_DEFLATED)

    with pytest.raises(BadData, match="compressed"), unpacking.opened(bomb):
        pass


@pytest.mark.parametrize("cut", [0, 10, 1000])
def test_a_cut_pack_is_refused(cut: int, pack: Path) -> None:
    """Half a download is no pack."""
    pack.write_bytes(pack.read_bytes()[:cut])

    with pytest.raises(BadData, match="no pack"), unpacking.opened(pack):
        pass


def test_only_packs_of_trusted_keys_are_imported(db: ReferenceDB, pack: Path, tmp_path: Path) -> None:
    """Unsigned packs and those of strangers need a person's word; a trusted key is enough."""
    plain, keys, target = tmp_path / "plain.pmpack", tmp_path / "keys", tmp_path / "theirs.db"
    packs.write(db, plain)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, ["db", "import", *arguments, "--trusted", str(keys), "--db", str(target)])
        return result.output if result.exit_code == 0 else str(result.exception)

    assert "no file of trusted keys" in run(str(pack))
    keys.write_text(f"# ours\n{'0' * 64} somebody else\n")
    assert "no trusted key" in run(str(pack))
    assert "not signed" in run(str(plain))
    assert not target.exists()
    keys.write_text(f"{signing.public_key(PEM)} us\n")
    assert "added 3 of 3" in run(str(pack))
    assert "MIT (2), not stated (1)" in run(str(plain), "--unsigned")


def test_export_and_diff_on_the_command_line(db: ReferenceDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key comes from the environment; diff is 0 where nothing differs and 1 where something does."""
    monkeypatch.setenv("PROBE_MATCH_SIGNING_KEY", PEM.decode())
    pack, where = str(tmp_path / "two.pmpack"), ["--db", db.name]
    exported = CliRunner().invoke(cli, ["db", "export", pack, "s0", "s1", "--sign", *where])
    differs = CliRunner().invoke(cli, ["db", "diff", pack, *where])
    db.remove("s2")
    same = CliRunner().invoke(cli, ["db", "diff", pack, *where])

    assert "wrote 2 references" in exported.output
    assert (differs.exit_code, same.exit_code) == (1, 0)
    assert "- s2" in differs.output
    assert signing.public_key(PEM) in same.output
