"""Make docs/img/readme.png from what the demo left: python docs/make/readme_picture.py histoscope_demo.

One field of synthetic tissue in three states (as another laboratory stains it, normalised, with the nuclei
that the demo's network finds in it), and beside it what the demo's study says. Nothing is drawn by hand.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from histoscope import models, synth
from histoscope.metrics import METRICS, per_image
from histoscope.studies.demo import FULL, LAB_STAINS, configure
from histoscope.studies.effects import effects
from histoscope.studies.outlines import draw
from histoscope.studies.results import read_study
from histoscope.studies.run import Images
from histoscope.types import Image

OUT = Path(__file__).resolve().parents[1] / "img" / "readme.png"
INK, QUIET, FOUND = "#1f2328", "#5b636e", "#0b6b3a"
HEIGHT, WIDTH, SLANT = 512, 1536, 70


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path, help="folder that histoscope demo wrote")
    parser.add_argument("--seed", type=int, default=4, help="of the field of tissue")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    figure = Figure(figsize=(16, 5.0), dpi=100)
    axes = figure.add_axes((0.01, 0.12, 0.685, 0.73))
    score = strip(axes, given.demo, given.seed)
    comparison(figure.add_axes((0.775, 0.24, 0.215, 0.49)), given.demo)
    words = (
        f"Synthetic tissue, Dice of what was found {score:.2f}. Everything here is output of histoscope demo."
    )
    figure.text(0.01, 0.035, words, color=QUIET, fontsize=12)
    figure.savefig(given.out, facecolor="white")


def strip(axes: Axes, demo: Path, seed: int) -> float:
    """Three states of one field with slanting borders between; gives the Dice of what was found."""
    spec = synth.STAINS[LAB_STAINS["B"]]
    field = synth.generate((HEIGHT, WIDTH), mpp=0.25, stain=spec, rng=np.random.default_rng(seed))
    normalised = Images(configure(demo, 0, FULL)).normaliser("macenko")(field.image)
    model = models.load(demo / "study" / "macenko-unet-seed0")
    found = models.predict(model, normalised, field.mpp)
    outlined = draw(normalised, [(found.instances, FOUND, 2)])
    axes.imshow(wipe([field.image, normalised, outlined]))
    axes.set_axis_off()
    for k, words in enumerate(
        ["another laboratory's stain", "normalised (Macenko)", f"nuclei found: {len(found)}"]
    ):
        axes.text(WIDTH * (k + 0.5) / 3, -14, words, ha="center", va="bottom", fontsize=16, color=INK)
    return per_image(field.instances, found.instances)["dice"]


def wipe(states: list[Image]) -> Image:
    """Show state k in the k-th slanting band, with a white line between."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    place: NDArray[np.float64] = columns + SLANT * (rows / HEIGHT - 0.5)
    picture = states[0].copy()
    for k, state in enumerate(states[1:], start=1):
        border = WIDTH * k / len(states)
        picture[place > border] = state[place > border]
        picture[np.abs(place - border) < 2.5] = 255
    return picture


def comparison(axes: Axes, demo: Path) -> None:
    """Mean score of each level under the condition that answers the question, with its interval."""
    study = read_study(demo / "study")
    wanted = (study.metric, study.primary_condition)
    rows = [row for row in effects(study) if (row.metric, row.condition) == wanted]
    for y, row in enumerate(rows):
        colour = QUIET if row.level == study.baseline else "#0072b2"
        axes.plot([row.low, row.high], [y, y], color=colour, linewidth=3, solid_capstyle="round")
        axes.plot(row.mean, y, "o", color=colour, markersize=11)
        label = "as it came" if row.level == study.baseline else row.level
        at_side = axes.get_yaxis_transform()
        axes.text(-0.03, y, label, transform=at_side, ha="right", va="center", fontsize=14)
        axes.text(row.mean, y - 0.22, f"{row.mean:.2f}", ha="center", fontsize=13, color=colour)
    best = rows[-1]
    axes.set(ylim=(len(rows) - 0.4, -0.6), yticks=[])
    axes.set_title("on a stain never trained on", fontsize=16, color=INK, pad=16)
    interval = f"{best.difference:+.2f} ({best.diff_low:+.2f} to {best.diff_high:+.2f})"
    label = f"{METRICS[study.metric].label}, 95 % interval by patient"
    axes.set_xlabel(f"{label}\ndifference {interval}, {best.n_seeds} seeds", fontsize=12, color=QUIET)
    axes.spines[["top", "right", "left"]].set_visible(False)


if __name__ == "__main__":
    main()
