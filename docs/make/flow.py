"""Draw docs/img/flow.svg, the picture of docs/architecture.md: python docs/make/flow.py."""

from pathlib import Path

from drawing import Box, arrow, picture

OUT = Path(__file__).resolve().parents[1] / "img" / "flow.svg"
ABOUT = "From labelled or synthetic images through split, normalisation and training to a report"
LEFT, MIDDLE, RIGHT, ROW = 4, 154, 304, 76

BOXES = {
    "images": Box(LEFT, 4, "labelled images", "yours, or public", "pink"),
    "synth": Box(MIDDLE, 4, "synth", "exact labels"),
    "data": Box(LEFT, 4 + ROW, "data", "records, samples", width=282),
    "split": Box(LEFT, 4 + 2 * ROW, "split, audit", "by patient", width=282),
    "stain": Box(LEFT, 4 + 3 * ROW, "stain", "normalise"),
    "shift": Box(MIDDLE, 4 + 3 * ROW, "test images", "as they are,\nre-stained", height=70),
    "augment": Box(LEFT, 4 + 4 * ROW, "augment", "patches"),
    "train": Box(LEFT, 4 + 5 * ROW, "train", "models"),
    "model": Box(LEFT, 4 + 6 * ROW, "model folder", "safetensors, card", "yellow"),
    "evaluate": Box(MIDDLE, 4 + 6 * ROW, "evaluate", "one row per image"),
    "run": Box(RIGHT, 4 + 6 * ROW, "run folder", "tables, predictions", "yellow"),
    "report": Box(RIGHT, 4 + 5 * ROW, "report", "intervals, tests"),
}
ARROWS = (
    ("images", "data"),
    ("synth", "data"),
    ("data", "split"),
    ("split", "stain"),
    ("split", "shift"),
    ("stain", "augment"),
    ("augment", "train"),
    ("train", "model"),
    ("shift", "evaluate"),
    ("model", "evaluate"),
    ("evaluate", "run"),
    ("run", "report"),
)


if __name__ == "__main__":
    parts = [arrow(BOXES[start], BOXES[end]) for start, end in ARROWS]
    parts += [box.drawn() for box in BOXES.values()]
    OUT.write_text(picture(parts, 7 * ROW - 14, ABOUT), encoding="utf-8")
