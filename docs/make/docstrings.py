"""Make docstrings fit for a Markdown page: fences around bare examples, plain numbers for references."""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^(?:>>>.*\n?(?:(?!>>>)\S.*\n?)*)+", re.MULTILINE)
_SECTION = re.compile(r"^Examples\n-+$", re.MULTILINE)


class Tidy(griffe.Extension):
    """Extension of griffe, named in mkdocs.yml."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object as it is loaded."""
        if obj.docstring is not None:
            obj.docstring.value = tidy(obj.docstring.value)


def tidy(text: str) -> str:
    """Turn a reStructuredText docstring into what Markdown shows well.

    Parameters
    ----------
    text : str
        The docstring, without indentation.

    Returns
    -------
    str
    """
    text = re.sub(r"\s?\[(\d+)\]_", r" [\1]", text)
    text = re.sub(r"^(\s*)\.\. \[(\d+)\] ", r"\1[\2] ", text, flags=re.MULTILINE)
    if _SECTION.search(text) is None:  # examples in their section are handled by mkdocstrings
        text = _EXAMPLE.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", text)
    return re.sub(r"::\n\n((?: {4}.*\n|\n)+)", lambda found: f":\n\n{found[1]}", text)
