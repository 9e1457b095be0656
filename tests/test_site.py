"""The pages lead where they should: options beside a how-to page, colours that can be read, links found."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
CSS = (DOCS / "css" / "histoscope.css").read_text(encoding="utf-8")
LINKS = runpy.run_path(str(DOCS / "make" / "links.py"))
ALONE = {"demo", "doctor"}  # the quick start and installing tell of them


def _pages(entries: Any) -> Iterator[str]:
    for entry in entries if isinstance(entries, list) else entries.values():
        yield from [entry] if isinstance(entry, str) else _pages(entry)


def _navigation() -> dict[str, list[str]]:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav = yaml.safe_load(text[text.index("\nnav:") : text.index("\nplugins:")])["nav"]
    return {name: list(_pages(entries)) for tab in nav for name, entries in tab.items()}


def test_the_options_of_each_verb_are_a_click_from_a_how_to_page() -> None:
    import typer

    from histoscope.cli.main import app

    pages = [DOCS / name for name in _navigation()["How to"]]
    linked = "".join(page.read_text(encoding="utf-8") for page in pages)
    for verb in typer.main.get_command(app).commands:
        assert verb in ALONE or f"cli.md#histoscope-{verb}" in linked, f"no how-to page links to {verb}"


@pytest.mark.parametrize("name", _navigation()["How to"])
def test_a_how_to_page_answers_first(name: str) -> None:
    """A command, code or a picture of files stands in its first thirty lines, before the second heading."""
    text = (DOCS / name).read_text(encoding="utf-8")
    first = text.split("\n## ", 1)[0] if "\n## " in text else text
    assert "```" in first or name in {"images.md", "plugins.md", "tables.md"}, name


def _luminance(colour: str) -> float:
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted([_luminance(one), _luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("scheme", "ground", "names"),
    [
        ("default", "#ffffff", ("--md-typeset-a-color", "--eosin", "--haematoxylin")),
        ("slate", "#17141f", ("--md-typeset-a-color", "--md-accent-fg-color", "--md-default-fg-color")),
        ("slate", "#221d2e", ("--md-typeset-a-color", "--md-code-fg-color")),
    ],
)
def test_text_can_be_read_on_its_ground(scheme: str, ground: str, names: tuple[str, ...]) -> None:
    block = re.search(rf'\[data-md-color-scheme="{scheme}"\] \{{(.*?)\}}', CSS, re.DOTALL)
    assert block is not None
    shared = CSS.split("}", 1)[0]
    for name in names:
        (colour,) = re.findall(rf"^  {name}: (#[0-9a-f]{{6}});", block[1] + shared, re.MULTILINE)
        assert _contrast(colour, ground) >= 4.5, f"{name} {colour} on {ground}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_of_drawings_can_be_read_on_all_their_grounds(scheme: str) -> None:
    colours = runpy.run_path(str(DOCS / "make" / "drawing.py"))["SCHEMES"][scheme]
    for ground in set(colours) - {"ink", "line"}:
        assert _contrast(colours["ink"], colours[ground]) >= 4.5, ground


@pytest.mark.parametrize(
    "drawing", sorted({*DOCS.rglob("*.svg")} - {DOCS / "img/logo.svg"}), ids=lambda one: one.stem
)
def test_drawings_follow_the_scheme_of_the_page(drawing: Path) -> None:
    text = drawing.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert "fill: var(--ground)" in text
    assert "var(--ink)" in text


def test_addresses_are_found_in_prose_and_not_in_code() -> None:
    text = "See [a](https://a.org/x#part), <https://b.org/>, [e](https://e.org/1(75)9) and `https://c.org`.\n"
    text += "\n```\n[d](https://d.org)\n```\n"
    assert list(LINKS["found_in"](text)) == ["https://a.org/x", "https://b.org", "https://e.org/1(75)9"]


def test_each_address_knows_its_pages(tmp_path: Path) -> None:
    for name in ("one.md", "two.md"):
        (tmp_path / name).write_text("[a](https://a.org)", encoding="utf-8")
    assert LINKS["addresses"](sorted(tmp_path.glob("*.md"))) == {"https://a.org": {"one.md", "two.md"}}
