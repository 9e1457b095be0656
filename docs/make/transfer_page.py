"""Turn the report of the study of transfer into a page of these docs.

    python docs/make/transfer_page.py runs/transfer docs/results/transfer.md

Numbers, words and pictures are the report's own; `docs/make/transfer_notes.txt` comes first, which a person
wrote.
"""

import argparse
import re
from pathlib import Path

from study_page import copy_pictures, head, spent

from histoscope.report.write import write_report

NOTES = Path(__file__).with_name("transfer_notes.txt")
CREDIT = "Tiles: LC25000 (Borkowski et al., 2019, [arXiv:1912.12142](https://arxiv.org/abs/1912.12142))."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="folder of the study")
    parser.add_argument("page", type=Path, help="Markdown file to write")
    args = parser.parse_args()
    write_report(args.study)
    text = (args.study / "report.md").read_text(encoding="utf-8")
    pictures = args.page.parent / "img" / args.page.stem
    pictures.mkdir(parents=True, exist_ok=True)
    page = "\n".join([head(text), NOTES.read_text(encoding="utf-8"), spent(args.study), body(text)])
    page = copy_pictures(page, args.study, pictures, args.page.stem)
    args.page.write_text(page.rstrip() + "\n", encoding="utf-8")
    print(f"{args.page}: {len(page)} characters, {len(list(pictures.iterdir()))} pictures")


def body(text: str) -> str:
    """From the answer to the limits, without the list of finished runs."""
    text = text[text.index("## The answer") :]
    text = re.sub(r"\n### Runs\n.*?(?=\n## |\Z)", "\n", text, flags=re.DOTALL)
    text = re.sub(r"- (Machine|Started): .*\n", "", text)
    text = text.replace("[results.csv](results.csv)", "`results.csv` beside the report")
    return text.replace("## Surest mistakes\n", f"## Surest mistakes\n\n{CREDIT}\n", 1)


if __name__ == "__main__":
    main()
