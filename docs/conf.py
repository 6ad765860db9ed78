"""Settings of the documentation: guides in Markdown, and a reference made from the docstrings."""

import re
from importlib import metadata

project = "probe-match"
author = "the probe-match authors"
copyright = f"{author}, Apache-2.0"  # noqa: A001 - Sphinx asks for this name
release = metadata.version("probe-match")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = False
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"] if False else []

html_theme = "furo"
html_title = f"probe-match {release}"
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None  # the same sources give the same site
html_theme_options = {"navigation_with_keys": True}

default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
autosummary_generate = True

# Docstrings here are plain text with `code` in it. reStructuredText gives meaning to more marks than that.
SPECIAL = re.compile(r"([*_|\\])")


def plain(app: object, what: str, name: str, item: object, options: object, lines: list[str]) -> None:
    """Rewrite one docstring in place: what stands in backticks is code, indented examples are literal, all else text."""
    text = "\n".join(lines)
    parts = re.split(r"(`[^`\n]+`)", text)
    parts = [f"`{part}`" if i % 2 else SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts)]
    written: list[str] = []
    for line, original in zip("".join(parts).split("\n"), text.split("\n"), strict=True):
        literal = original.startswith("    ")
        if literal and (not written or not written[-1].startswith("    ")):
            written += ["", "::", ""] if True else []
        elif not literal and original and written and written[-1].startswith("    "):
            written.append("")
        written.append(original if literal else line)
    lines[:] = written


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", plain)  # type: ignore[attr-defined]
