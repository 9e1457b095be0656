"""Draw docs/img/flow.svg, the picture of docs/architecture.md: python docs/make/flow.py."""

from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / "img" / "flow.svg"
INK, LINE = "#2d2140", "#8d7aa8"
CODE, DISK, IMAGES = "#efe6f7", "#fdf0d5", "#f9dfe9"

# name -> (x, y, first line, second line, colour)
BOXES = {
    "images": (20, 30, "labelled images", "yours, or public", IMAGES),
    "synth": (20, 130, "synth", "exact labels", CODE),
    "data": (200, 80, "data", "records, samples", CODE),
    "split": (380, 80, "split, audit", "by patient", CODE),
    "stain": (560, 30, "stain", "normalise", CODE),
    "augment": (740, 30, "augment", "patches", CODE),
    "train": (920, 30, "train", "models", CODE),
    "shift": (560, 230, "test images", "as they are, re-stained", CODE),
    "model": (920, 130, "model folder", "safetensors, card", DISK),
    "evaluate": (920, 230, "evaluate", "one row per image", CODE),
    "run": (1100, 230, "run folder", "tables, predictions", DISK),
    "report": (1100, 130, "report", "intervals, tests", CODE),
}
W, H = 150, 56
ARROWS = [
    *[("images", "data"), ("synth", "data"), ("data", "split"), ("split", "stain"), ("stain", "augment")],
    *[
        ("augment", "train"),
        ("train", "model"),
        ("split", "shift"),
        ("shift", "evaluate"),
        ("model", "evaluate"),
    ],
    *[("evaluate", "run"), ("run", "report")],
]


def arrow(start: str, end: str) -> str:
    """Line from the right side of one box to the left side of another; straight if one is above the other."""
    (x0, y0, *_), (x1, y1, *_) = BOXES[start], BOXES[end]
    if x1 > x0:
        ax, ay, bx, by = x0 + W, y0 + H / 2, x1 - 4, y1 + H / 2
        middle = (ax + bx) / 2
        path = f"M{ax},{ay} C{middle},{ay} {middle},{by} {bx},{by}"
    else:
        ay, by = (y0 + H, y1 - 4) if y1 > y0 else (y0, y1 + H + 4)
        path = f"M{x0 + W / 2},{ay} L{x1 + W / 2},{by}"
    return f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="2" marker-end="url(#tip)"/>'


def box(x: int, y: int, first: str, second: str, colour: str) -> str:
    """Rounded box with a title and a line below it."""
    middle = x + W / 2
    return (
        f'<rect x="{x}" y="{y}" width="{W}" height="{H}" rx="9" fill="{colour}" stroke="{LINE}"/>'
        f'<text x="{middle}" y="{y + 24}" font-size="15" font-weight="600">{first}</text>'
        f'<text x="{middle}" y="{y + 43}" font-size="11.5">{second}</text>'
    )


def main() -> None:
    """Write the file."""
    about = "From labelled or synthetic images through split, normalisation and training to a report"
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1270 310" role="img" '
        f'aria-label="{about}" font-family="system-ui, sans-serif" text-anchor="middle" fill="{INK}">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{LINE}"/></marker></defs>'
    )
    parts = [
        head,
        '<rect width="1270" height="310" rx="12" fill="#ffffff"/>',
        *(arrow(*ends) for ends in ARROWS),
        *(box(*place) for place in BOXES.values()),
        "</svg>",
    ]
    OUT.write_text("\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
