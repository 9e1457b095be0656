"""Turn the report of a finished study into a page of these docs.

    python docs/make/study_page.py runs/stain docs/results/stain.md --notes docs/make/stain_notes.txt \
        --credit "Tiles: MoNuSeg, CC BY-NC-SA 4.0 (Kumar et al. 2017, doi:10.1109/TMI.2017.2677499)"

Numbers, words and pictures are the report's own. What a person has to say about them stands in the notes,
which come first. With --brief, of a study with many levels, the numbers of all comparisons are CSV files
beside the page, and tables have the test part alone.
"""

import argparse
import json
import re
import shutil
from pathlib import Path

from PIL import Image as Pillow

from histoscope.report.write import write_report

GALLERIES = 3  # the whole set is in the report; a page needs a few
GALLERY_WIDTH_PX = 1100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="folder of the study")
    parser.add_argument("page", type=Path, help="Markdown file to write")
    parser.add_argument("--notes", type=Path, default=None, help="what a person says about the numbers")
    parser.add_argument("--credit", default="", help="whose images the galleries show")
    parser.add_argument("--no-galleries", action="store_true", help="for images that may not be shown")
    parser.add_argument(
        "--brief", action="store_true", help="tables of all comparisons as CSV beside the page"
    )
    args = parser.parse_args()
    write_report(args.study)
    text = (args.study / "report.md").read_text(encoding="utf-8")
    pictures = args.page.parent / "img" / args.page.stem
    pictures.mkdir(parents=True, exist_ok=True)
    notes = args.notes.read_text(encoding="utf-8") if args.notes else ""
    galleries = 0 if args.no_galleries else GALLERIES
    shown = body(text, args.credit, galleries=galleries)
    if args.brief:
        shown = brief(shown, copy_tables(args.study, args.page))
    page = "\n".join([head(text), notes, spent(args.study), shown])
    page = copy_pictures(page, args.study, pictures, args.page.stem)
    args.page.write_text(page.rstrip() + "\n", encoding="utf-8")
    print(f"{args.page}: {len(page)} characters, {len(list(pictures.iterdir()))} pictures")


def head(text: str) -> str:
    """Title and summary line of a report."""
    return text[: text.index("## The answer")]


def body(text: str, credit: str, *, galleries: int) -> str:
    """From the answer to the limits, without the list of finished runs; a few of the galleries."""
    text = text[text.index("## The answer") :]
    text = re.sub(r"\n### Runs\n.*?(?=\n## |\Z)", "\n", text, flags=re.DOTALL)
    text = re.sub(r"- (Machine|Started): .*\n", "", text)
    text = text.replace("[results.csv](results.csv)", "`results.csv` beside the report")
    before, gallery, after = re.split(r"(## Best, median and worst\n.*?)(?=\n## )", text, flags=re.DOTALL)
    if not galleries:
        return before.rstrip() + "\n" + after
    parts = re.split(r"(?=\n\*\*)", gallery)
    return before + "".join([parts[0], f"\n{credit}\n" if credit else "", *parts[1 : galleries + 1]]) + after


def brief(text: str, tables: list[str]) -> str:
    """Leave out every comparison in words and in numbers, and rows of external test sets."""
    text = re.sub(r"## (The answer|The numbers)\n.*?(?=\n## )", "", text, flags=re.DOTALL)
    text = re.sub(r"^\| External test set.*\n", "", text, flags=re.MULTILINE)
    links = ", ".join(f"[{name}]({name})" for name in tables)
    return f"All comparisons, external test sets too, with every score: {links}.\n\n{text.lstrip()}"


def copy_tables(study: Path, page: Path) -> list[str]:
    """Copy the tables of a study beside the page, and name the copies."""
    names = []
    for path in sorted(study.glob("*.csv")):
        if path.stem not in {"content", "spent"}:
            names.append(f"{page.stem}_{path.stem}.csv")
            shutil.copy(path, page.with_name(names[-1]))
    return names


def spent(study: Path) -> str:
    """Hardware and time of the runs, from what each run recorded."""
    found = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(study.glob("*/environment.json"))
    ]
    train, test = (sum(run["seconds"].get(name, 0) for run in found) / 60 for name in ("train", "evaluate"))
    hardware = {f"{run['cpu_count']} cores, {run['gpu'] or 'no GPU'}" for run in found}
    return (
        f"{len(found)} runs on {' and '.join(sorted(hardware))}: {train:.0f} minutes of training "
        f"and {test:.0f} of testing, summed over runs.\n"
    )


def copy_pictures(page: str, study: Path, pictures: Path, stem: str) -> str:
    """Copy the figures that the page shows, photographs made smaller, and point the page at the copies."""
    for old in pictures.iterdir():
        old.unlink()
    for name in dict.fromkeys(re.findall(r"report_files/([\w.-]+)", page)):
        source = study / "report_files" / name
        if source.suffix == ".svg":
            shutil.copy(source, pictures / name)
        else:
            with Pillow.open(source) as picture:
                picture.thumbnail((GALLERY_WIDTH_PX, 10 * GALLERY_WIDTH_PX))
                picture.save(pictures / name, quality=82)
    return page.replace("report_files/", f"img/{stem}/")


if __name__ == "__main__":
    main()
