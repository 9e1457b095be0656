"""The pages of results keep their form, and say no number that stands in none of their tables."""

import re
from pathlib import Path

import pytest

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
PAGES = sorted(RESULTS.glob("*.md"))
STUDIES = [page for page in PAGES if page.name != "index.md"]
ROWS, WORDS = 10, 1000
NUMBER = r"(?<![\d.,])\d+\.\d{3}(?!\d)"


def _open(page: Path) -> str:
    """What is seen before anything is unfolded."""
    return re.sub(r"^\?\?\? note.*\n(\n|    .*\n)*", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


def _numbers(text: str) -> set[str]:
    return set(re.findall(NUMBER, text))


def _tables(page: Path) -> str:
    """All CSV files beside a page, each number to three digits."""
    names = set(re.findall(r"\(([\w.-]+\.csv)\)", page.read_text(encoding="utf-8")))
    text = "\n".join((RESULTS / name).read_text(encoding="utf-8") for name in sorted(names))
    return " ".join(f"{float(value):.3f}" for value in re.findall(r"\d+\.\d+(?:e-?\d+)?", text))


@pytest.mark.parametrize("page", STUDIES, ids=lambda page: page.stem)
def test_a_study_answers_first_then_shows_and_names_its_limitations(page: Path) -> None:
    text = _open(page)
    title, _, rest = text.partition("\n\n")
    assert re.fullmatch(r"# .+\?", title), "the title asks"
    assert rest.startswith("**"), "the answer comes first, in bold"
    assert re.search(r"^!\[.+\]\(img/[\w/.-]+\)", text, re.MULTILINE), "no figure"
    heads = re.findall(r"^## (.+)", text, re.MULTILINE)
    assert {"How", "Limitations"} <= set(heads)
    assert len(text.split()) <= WORDS
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert table.count("\n") - 2 <= ROWS, "longer tables are CSV files beside the page"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_names_is_there(page: Path) -> None:
    for name in re.findall(r"\((img/[\w/.-]+|[\w.-]+\.(?:csv|md))[)#]", page.read_text(encoding="utf-8")):
        assert (RESULTS / name).is_file(), name


def test_every_table_is_linked_from_a_page() -> None:
    said = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [table.name for table in RESULTS.glob("*.csv") if f"({table.name})" not in said] == []


def test_the_findings_say_nothing_that_their_studies_do_not() -> None:
    index = RESULTS / "index.md"
    for part in re.split(r"^## ", index.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        linked = {RESULTS / name for name in re.findall(r"\((\w+\.md)", part)} or set(STUDIES)
        known = _numbers(" ".join(page.read_text(encoding="utf-8") + _tables(page) for page in linked))
        assert _numbers(part) <= known, part.splitlines()[0]


@pytest.mark.parametrize(
    "page",
    [page for page in STUDIES if re.search(r"_(results|scores)\.csv\)", page.read_text(encoding="utf-8"))],
    ids=lambda page: page.stem,
)
def test_the_table_of_a_page_is_of_those_beside_it(page: Path) -> None:
    table = re.search(r"(?:^\|.*\n)+", _open(page), re.MULTILINE)
    assert table is not None
    assert _numbers(table[0]) <= _numbers(_tables(page))
