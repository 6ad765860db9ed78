"""Licence expressions, the names people write for them, and what the catalogue says."""

import datetime as dt
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from probe_match.fingerprinting import storage
from probe_match.fingerprinting.cli import cli
from probe_match.fingerprinting.compliance import expressions, licences
from probe_match.fingerprinting.errors import MissingPackage, UsageError
from probe_match.fingerprinting.records import InputSpec
from samples import make_suite


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("apache 2.0", "Apache-2.0"),
        ("Llama-3.1", "LicenseRef-scancode-llama-3.1-license-2024"),
        ("llama3", "LicenseRef-probe-match-llama-3"),
        ("mit OR (apache AND gemma)", "MIT OR (Apache-2.0 AND LicenseRef-scancode-gemma-tou-2024-04-01)"),
        ("GPL-2.0+ WITH Classpath-exception-2.0", "GPL-2.0-or-later WITH Classpath-exception-2.0"),
        ("LicenseRef-acme-internal", "LicenseRef-acme-internal"),
    ],
)
def test_names_that_people_write_become_identifiers(written: str, meant: str) -> None:
    """An alias, an old identifier or a company's own reference is read as the SPDX expression it means."""
    assert licences.normal(written) == meant
    assert licences.normal(meant) == meant


@pytest.mark.parametrize("text", ["", "foo", "MIT OR", "<script>", "MIT\x1b[2J", "(" * 99 + "MIT", "a" * 2000])
def test_what_is_no_licence_is_refused_in_one_line(text: str) -> None:
    """Nonsense and hostile text never become a licence, and the complaint shows none of it live."""
    with pytest.raises(UsageError) as refused:
        expressions.parse(text)

    assert str(refused.value).isprintable()


def test_every_licence_of_the_catalogue_is_an_expression_with_a_source_and_a_day() -> None:
    """Each entry parses as SPDX, says where its content is from and when it was written down, and has its own names."""
    known = licences.catalogue()
    names = [name.casefold() for licence in known.values() for name in {licence.id, *licence.aliases}]

    assert {"Apache-2.0", "MIT", "CC-BY-NC-4.0", "AGPL-3.0-only", "LicenseRef-probe-match-llama-3"} <= set(known)
    assert len(names) == len(set(names))
    for id_, licence in known.items():
        assert expressions.identifiers(id_) == [id_]
        assert licence.category in licences.CATEGORIES
        assert licence.source
        assert licence.basis
        assert dt.date.fromisoformat(licence.as_of)
        assert {one.when for one in licence.obligations} <= {"served", "derived", "distributed"}


def test_one_of_several_licences_may_be_chosen_and_all_of_several_bind() -> None:
    """OR offers a choice and AND does not, also when a declaration is compared with a conclusion."""
    assert expressions.covers("MIT", "MIT OR Apache-2.0")
    assert not expressions.covers("MIT", "MIT AND Apache-2.0")
    assert expressions.covers("MIT AND Apache-2.0", "MIT")
    assert expressions.joined(["MIT", "Apache-2.0 OR MIT", "MIT"]) == "MIT AND (Apache-2.0 OR MIT)"
    assert expressions.identifiers("MIT AND (MIT OR Apache-2.0)") == ["MIT", "Apache-2.0"]


def test_a_reference_is_not_enrolled_under_a_licence_that_is_none(tmp_path: Path) -> None:
    """The licence is checked before a model is opened or asked."""
    words = ["enroll", str(tmp_path / "none.onnx"), "--name", "m", "--license", "licence to kill"]
    result = CliRunner().invoke(cli, words)

    assert isinstance(result.exception, UsageError)
    assert "'licence to kill'" in str(result.exception) or "'licence'" in str(result.exception)


def test_a_known_licence_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Identifiers and names of the catalogue are read without the extra; anything else says what to install."""
    monkeypatch.setitem(sys.modules, "probe_match.fingerprinting.compliance.expressions", None)

    assert licences.normal("apache") == "Apache-2.0"
    with pytest.raises(MissingPackage, match=r"pip install 'probe-match\[licence\]'"):
        licences.normal("MIT OR Apache-2.0")


def test_suites_are_looked_at_for_personal_data(tmp_path: Path) -> None:
    """A text with an address in it is named, without it, and the exit code says that a person must look."""
    spec = InputSpec("text", ())
    inputs = ("fine weather", "write to erika.mustermann@web.de")
    for name, texts, code in (("bad", inputs, 3), ("good", inputs[:1], 0)):
        file = tmp_path / f"{name}.npz"
        file.write_bytes(storage.to_bytes(make_suite(spec=spec, inputs=texts, n=len(texts))))
        result = CliRunner().invoke(cli, ["suite", "lint", str(file)])

        assert result.exit_code == code, result.output
        assert ("e-mail address" in result.output) == (code == 3)
        assert "mustermann" not in result.output
