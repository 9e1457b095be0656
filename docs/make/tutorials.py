"""Write script and notebook of each tutorial from its page: python docs/make/tutorials.py.

A page of docs/tutorials is the source, and a test says whether the others are current. Of its blocks,

- ``bash`` is run as it stands, and so is ``python``, in a process of its own;
- ``python title="my_lab.py"``, or any other language with a title, is written to a file of that name;
- ``text`` is what one sees: lines that the blocks of this section print, where numbers may differ and
  ``...`` stands for any lines;
- all else (``console``, ``groovy``) is for the reader alone.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PAGES = Path(__file__).resolve().parents[1] / "tutorials"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```\n', re.DOTALL | re.MULTILINE)
SECTION = "## "


class Part(NamedTuple):
    """Prose (`language` is ""), or a block, with the file that it is for."""

    language: str
    file: str
    text: str

    @property
    def is_run(self) -> bool:
        """Whether it does something."""
        return bool(self.file) or self.language in {"bash", "python"}


def names() -> list[str]:
    """Tutorials, by the names of their pages."""
    return sorted(path.stem for path in PAGES.glob("*.md") if path.stem != "index")


def read(name: str) -> list[Part]:
    """Prose and blocks of a page, in their order."""
    text, parts, end = (PAGES / f"{name}.md").read_text(encoding="utf-8"), [], 0
    for block in BLOCK.finditer(text):
        parts += [Part("", "", text[end : block.start()]), Part(block[1], block[2] or "", block[3])]
        end = block.end()
    return [part for part in [*parts, Part("", "", text[end:])] if part.text.strip()]


def title(part: Part) -> str:
    """The heading that begins with `part`, or none."""
    headings = re.findall(rf"^{SECTION}(.*)$", part.text, re.MULTILINE) if not part.language else []
    return headings[-1] if headings else ""


def script(name: str) -> str:
    """All that a page runs, for bash; each section says its title."""
    head = f"# All commands of docs/tutorials/{name}.md, in their order; made by docs/make/tutorials.py.\n"
    use = f"# In a new folder: bash {name}.sh\n"
    return "#!/usr/bin/env bash\n" + head + use + "set -euo pipefail\n" + "".join(_commands(read(name)))


def _commands(parts: list[Part]) -> Iterator[str]:
    for part in parts:
        if heading := title(part):
            yield f"\nprintf '\\n{SECTION}%s\\n' '{heading}'\n"
        if part.file:
            yield f"cat > {part.file} <<'EOF'\n{part.text}EOF\n"
        elif part.language == "python":
            yield f"python - <<'EOF'\n{part.text}EOF\n"
        elif part.is_run:
            yield part.text


def notebook(name: str) -> str:
    """The page as a notebook without outputs, in nbformat 4.5."""
    cells = [_cell(part, f"{name}-{k}") for k, part in enumerate(read(name))]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _cell(part: Part, name: str) -> dict[str, Any]:
    magic = f"%%writefile {part.file}\n" if part.file else "%%bash -e\n" * (part.language == "bash")
    shown = f"```{part.language}\n{part.text}```" if part.language else part.text.strip("\n")
    text = (magic + part.text).rstrip("\n") if part.is_run else shown
    code: dict[str, Any] = {"execution_count": None, "outputs": []} if part.is_run else {}
    kind = "code" if part.is_run else "markdown"
    lines = text.splitlines(keepends=True)
    return {"cell_type": kind, **code, "id": name, "metadata": {}, "source": lines}


if __name__ == "__main__":
    for each in names():
        (PAGES / f"{each}.sh").write_text(script(each), encoding="utf-8")
        (PAGES / f"{each}.ipynb").write_text(notebook(each), encoding="utf-8")
