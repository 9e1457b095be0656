"""Fill in the numbers of README.md from the card of `nuclei`: python docs/make/readme.py. A test compares."""

import re
from pathlib import Path

from histoscope.weights import card, find

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"(?<=readme.py -->\n).*?(?=<!-- end of numbers -->)", re.DOTALL)
NAME = "nuclei"
SHOWN = {
    "MoNuSeg, published test part": "seven organs (MoNuSeg)",
    "Lower grade glioma, four of five patients": "gliomas",
    "CPM-15": "brain tumours (CPM-15)",
    "CoNSeP, published test part": "colon (CoNSeP)",
}
SCORES = {
    "aji": "[AJI](docs/metrics.md#nuclei): overlap with the annotated nuclei",
    "f1_50": "[F1](docs/metrics.md#nuclei): nuclei found",
}


def page() -> str:
    """Text of README.md, with the numbers as the card has them."""
    return BLOCK.sub(lambda _: numbers(), README.read_text(encoding="utf-8"))


def numbers() -> str:
    """Size, licence and scores of the model that comes along."""
    about = card(NAME)
    tests = [about["test"][title] for title in SHOWN]
    if any(found["saw"] != "the model never saw this laboratory" for found in tests):
        raise ValueError(f"{NAME} learned from a laboratory that README.md says it never saw; change SHOWN")
    megabytes = (find(NAME) / "model.safetensors").stat().st_size / 1e6
    rows = [
        ["", *SHOWN.values()],
        ["---", *["--:"] * len(SHOWN)],
        *([words, *(f"{found[key][0]:.2f}" for found in tests)] for key, words in SCORES.items()),
    ]
    said = (
        f"[`{NAME}`](docs/models.md) ships with Histoscope ({megabytes:.1f} MB, {about['weights licence']})"
    )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{said}. Its scores on laboratories that it was not trained on:\n\n{table}\n"


if __name__ == "__main__":
    README.write_text(page(), encoding="utf-8")
