"""Draw what a command prints, for the pages: python docs/make/terminal.py init install --data data.

Commands are run as they stand, in an empty folder; lines are wrapped for a telephone.
DATA holds published data sets.
"""

import argparse
import html
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from drawing import WIDTH, picture

OUT = Path(__file__).resolve().parents[1] / "img"
COLUMNS, LINE_PX, LEFT_PX, LETTER_PX = 58, 17, 12, 11.6
BAND = "fill: var(--band); stroke: var(--line)"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
SHOWN = {
    "init": ("histoscope init data/tnbc --mpp 0.25 --no-time", ()),
    "install": (
        "histoscope doctor",
        ("Python", "torch", "torchvision", "timm", "segmentation", "GPU", "cores", "ready"),
    ),
}
"""For each picture its command, and the beginnings of the lines that are shown; all where none are named."""


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help=", ".join(SHOWN))
    parser.add_argument("--data", type=Path, default=Path("data"))
    given = parser.parse_args()
    for name in given.names or SHOWN:
        command, starts = SHOWN[name]
        lines = kept(printed(command, given.data), starts)
        (OUT / f"terminal_{name}.svg").write_text(drawn(command, lines), encoding="utf-8")


def printed(command: str, data: Path) -> list[str]:
    """Lines that a command leaves on standard output."""
    call = [sys.executable, "-m", *command.split()]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data").symlink_to(data.resolve())
        env = os.environ | {"COLUMNS": "200"}
        done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=folder, env=env)
    return done.stdout.strip("\n").splitlines()


def kept(lines: list[str], starts: tuple[str, ...]) -> list[str]:
    """The lines that are shown; dots stand for those between."""
    out: list[str] = []
    for each in lines:
        words = each.removeprefix("PASS").strip()
        if not starts or words.startswith(starts):
            out.append(each.rstrip())
        elif each.strip() and out[-1:] != ["..."]:
            out.append("...")
    return out


def drawn(command: str, lines: list[str]) -> str:
    """A window with the command and what it printed."""
    rows = [*wrapped(f"$ {command}"), ""]
    for each in lines:
        rows += wrapped(each)
    height = LINE_PX * len(rows) + 18
    place = f'x="{LEFT_PX}" font-size="{LETTER_PX}"'
    style = f'xml:space="preserve" text-anchor="start" style="font-family: {MONO}"'
    frame = f'<rect x="1" y="1" width="{WIDTH - 2}" height="{height - 2:g}" rx="8" style="{BAND}"/>'
    shown = [
        f'<text {place} y="{24 + LINE_PX * k}" {style}>{html.escape(row)}</text>'
        for k, row in enumerate(rows)
        if row
    ]
    return picture([frame, *shown], height, html.escape(f"What {command} prints"))


def wrapped(row: str) -> list[str]:
    """A row on as many lines as it needs, the next ones under its last column."""
    indent = " " * (min(row.rfind("  ") + 2, 40) if "  " in row else 2)
    return textwrap.wrap(row, COLUMNS, subsequent_indent=indent, break_long_words=False) or [""]


if __name__ == "__main__":
    main()
