"""Settings of the documentation: guides in Markdown, and a reference made from the docstrings."""

import re
from importlib import metadata
from pathlib import Path

project = "probe-match"
author = "the probe-match authors"
release = version = metadata.version("probe-match")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"probe-match {release}"
html_show_copyright = html_show_sphinx = html_copy_source = False
html_theme_options = {"navigation_with_keys": True}

default_role = "code"
autodoc_default_options = {"members": True, "ignore-module-all": True}
add_module_names = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"readme": "README.md", "contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md"}  # beside docs/
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)#]+)([^)]*)\)")
CODE = re.compile(r"(`[^`\n]+`)")
WRAPPED = re.compile(r"`([^`\n]+)\n\s*([^`\n]+)`")
SPECIAL = re.compile(r"([*_|\\`])")
INDENT = "    "


def page(app: object, name: str, source: list[str]) -> None:
    """The text of one page: for those of the checkout's root, that file, its links as they lead from here."""
    shown = PAGES.get(name)
    text = source[0] if shown is None else (ROOT / shown).read_text(encoding="utf-8")
    here = (ROOT / "docs" / name).parent if shown is None else ROOT

    def link(found: re.Match[str]) -> str:
        words, to, place = found.groups()
        target = (here / to).resolve()
        known = {(ROOT / file).resolve(): ROOT / "docs" / f"{other}.md" for other, file in PAGES.items()}
        target = known.get(target, target)
        if target.is_relative_to(ROOT / "docs"):
            return f"[{words}](/{target.relative_to(ROOT / 'docs').as_posix()}{place})"
        # Not of the site, but of the source archive: named, not linked.
        path = target.relative_to(ROOT).as_posix()
        return words if words.strip("`") == path else f"{words} (`{path}`)"

    if name == "index" and (ROOT / "docs/threat-model.md").exists():  # a page that not every version has
        text = text.replace("\ndecisions\n", "\nthreat-model\ndecisions\n")

    # What is fenced stays as it is.
    parts = re.split(r"(^```.*?^```)", text, flags=re.DOTALL | re.MULTILINE)
    source[0] = "".join(part if i % 2 else LINK.sub(link, part) for i, part in enumerate(parts))


def plain(app: object, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """
    Make one docstring what Sphinx reads.

    Ours are plain text: backticks hold code, indented lines are shown as they stand, and no other mark has a meaning.
    """
    written: list[str] = []
    for line in WRAPPED.sub(r"`\1 \2`", "\n".join(lines)).split("\n"):
        shown, before = line.startswith(INDENT), bool(written) and written[-1].startswith(INDENT)
        if shown and not before:
            written += ["", "::", ""]
        if before and line and not shown:
            written.append("")
        parts = CODE.split(line)
        text = "".join(f"`{part}`" if i % 2 else SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts))
        written.append(line if shown else text)
    lines[:] = written


def skip(app: object, what: str, name: str, item: object, left_out: bool, options: object) -> "bool | None":
    """Fields of named tuples are told by their class, not by what Python says of each."""
    return True if str(getattr(item, "__doc__", "")).startswith("Alias for field number") else None


def setup(app: object) -> None:
    """Called by Sphinx when it starts."""
    app.connect("source-read", page)  # type: ignore[attr-defined]
    app.connect("autodoc-skip-member", skip)  # type: ignore[attr-defined]
    app.connect("autodoc-process-docstring", plain)  # type: ignore[attr-defined]
