"""Ask every address that the pages name, and print the dead ones: python docs/make/links.py [PAGE ...].

Needs a network. Links between pages, and to headings, are checked by ``mkdocs build --strict`` without one.
"""

import argparse
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = re.compile(r"(?:\]\(|<)(https?://(?:[^\s()<>#]|\([^\s()<>#]*\))+)(?:#[^\s)>]*)?[)>]")
REFUSE_MACHINES = {401, 403, 405, 406, 418, 429}  # such an address is there; it does not answer to programs
SECONDS = 30


def main() -> None:
    """Print what is dead; exit with 1 if anything is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", type=Path, nargs="*")
    pages = parser.parse_args().pages or [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
    named = addresses(pages)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(wrong, named))
    dead = [(url, said) for url, said in zip(named, answers, strict=True) if said]
    for url, said in dead:
        print(f"{url}: {said}; named in {', '.join(sorted(named[url]))}")
    if named and len(dead) == len(named):
        print("not one address answers: is there a network?")
    print(f"{len(named)} addresses, {len(dead)} dead")
    sys.exit(bool(dead))


def addresses(pages: Iterable[Path]) -> dict[str, set[str]]:
    """Every address, without its fragment, and the pages that name it."""
    named: dict[str, set[str]] = {}
    for page in pages:
        for url in found_in(page.read_text(encoding="utf-8")):
            named.setdefault(url, set()).add(page.name)
    return named


def found_in(text: str) -> Iterator[str]:
    """Addresses of the links in a page; those in code are examples."""
    prose = re.sub(r"^ *```.*?^ *```$|`[^`\n]+`", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from (found[1].removesuffix("/") for found in ADDRESS.finditer(prose))


def wrong(url: str) -> str:
    """What is wrong with an address; nothing if it answers."""
    asked = urllib.request.Request(url, headers={"User-Agent": "Mozilla/5.0 (link check of documentation)"})
    try:
        with urllib.request.urlopen(asked, timeout=SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        return "" if error.code in REFUSE_MACHINES else str(error)
    except (OSError, ValueError) as error:
        return str(error)


if __name__ == "__main__":
    main()
