"""Make docs/img/readme.jpg: python docs/make/readme_picture.py histoscope_demo.

One field of synthetic tissue in three states (as another laboratory stains it, normalised, with the nuclei
that the demo's network finds in it), and beside it what the demo's study says. Without the demo's folder, the
third state shows the true outlines and the study is left out. Nothing is drawn by hand.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from histoscope import models, stain, synth
from histoscope.demo import FULL, configure
from histoscope.metrics import METRICS, dice
from histoscope.report.effects import effects
from histoscope.report.outlines import draw
from histoscope.report.results import read_study
from histoscope.studies.nuclei import StudyOfNuclei
from histoscope.types import Image, Labels

OUT = Path(__file__).resolve().parents[1] / "img" / "readme.jpg"
OTHER_STAIN = "purple"
INK, QUIET, FOUND = "#1f2328", "#5b636e", "#0b6b3a"
HEIGHT, WIDTH, SLANT = 512, 1536, 70


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path, nargs="?", help="folder that histoscope demo wrote")
    parser.add_argument("--seed", type=int, default=4, help="of the field of tissue")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    field = synth.generate((HEIGHT, WIDTH), mpp=0.25, stain=synth.STAINS[OTHER_STAIN], rng=rng)
    if given.demo is None:
        normalised, outlines = stain.Macenko.default()(field.image), field.instances
        figure = Figure(figsize=(16, 16 * HEIGHT / WIDTH), dpi=75)
        strip(figure.add_axes((0, 0, 1, 1)), field.image, normalised, outlines)
    else:
        normalised = StudyOfNuclei(configure(given.demo, 0, FULL)).normaliser("macenko")(field.image)
        model = models.load(given.demo / "study" / "macenko-unet-seed0")
        outlines = models.predict(normalised, model, field.mpp).instances
        figure, words = Figure(figsize=(16, 5.0), dpi=100), f"nuclei found: {outlines.max()}"
        strip(figure.add_axes((0.01, 0.12, 0.685, 0.73)), field.image, normalised, outlines, words)
        comparison(figure.add_axes((0.775, 0.24, 0.215, 0.49)), given.demo)
        score = dice(field.instances, outlines)
        below = (
            f"Synthetic tissue; Dice of what was found {score:.2f}. All of it is output of histoscope demo."
        )
        figure.text(0.01, 0.025, below, color=QUIET, fontsize=12)
    figure.savefig(given.out, facecolor="white", pil_kwargs={"quality": 88})


def strip(axes: Axes, image: Image, normalised: Image, outlines: Labels, words: str = "") -> None:
    """Show three states of one field with slanting borders between, with words above if there are any."""
    outlined = draw(normalised, [(outlines, FOUND, 2)])
    axes.imshow(wipe([image, normalised, outlined]))
    axes.set_axis_off()
    for k, text in enumerate(["another stain", "normalised", words] if words else []):
        axes.text(WIDTH * (k + 0.5) / 3, -14, text, ha="center", va="bottom", fontsize=16, color=INK)


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
        label = "original" if row.level == study.baseline else row.level
        at_side = axes.get_yaxis_transform()
        axes.text(-0.03, y, label, transform=at_side, ha="right", va="center", fontsize=14)
        axes.text(row.mean, y - 0.22, f"{row.mean:.3f}", ha="center", fontsize=13, color=colour)
    best = rows[-1]
    axes.set(ylim=(len(rows) - 0.4, -0.6), yticks=[])
    axes.set_title("on a stain never trained on", fontsize=16, color=INK, pad=16)
    interval = f"{best.difference:+.3f} ({best.diff_low:+.3f} to {best.diff_high:+.3f})"
    label = f"{METRICS[study.metric].label}, 95 % interval by patient ({best.n_units} patients)"
    axes.set_xlabel(f"{label}\ndifference {interval}\n{best.n_seeds} seeds", fontsize=11.5, color=QUIET)
    axes.spines[["top", "right", "left"]].set_visible(False)


if __name__ == "__main__":
    main()
