"""
What every page of ours is rendered with: a report is one file without script, font or network.

Names, labels and answers come from strangers: they are escaped, shown on one line, and cannot be taken for markup. A
template that asks for what it was not given is a mistake of ours and raises jinja2.UndefinedError.
"""

from collections.abc import Callable

import jinja2


def environment(package: str, shown: Callable[[str], str], folder: str = ".") -> jinja2.Environment:
    """
    Templates of a package.

    package: its dotted name. shown: makes text from outside harmless, such as
    `report.printable`. folder: where its templates lie, within the package.
    """
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, folder),
        autoescape=True,
        finalize=lambda value: shown(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
