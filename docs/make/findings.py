"""Draw the figures of docs/results from the CSV files beside its pages.

    python docs/make/findings.py            # all of them; or some, by name: stain colour

How they look stands in finding_look.py.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
from finding_look import GREEN, GREY, LOOK, OCHRE, PINK, PURPLE, Row, bars, drawn, intervals, lines
from matplotlib import rc_context
from matplotlib.figure import Figure

from histoscope.report.figures import NARROW_IN
from histoscope.tables import read_table

RESULTS = Path(__file__).resolve().parents[1] / "results"
FIGURES: dict[str, Callable[[], Figure]] = {}
TILES = ("2", "8", "all")
NETWORKS = {"unet": "U-Net", "resunet": "Residual U-Net", "deeplab": "DeepLabV3+"}


def figure(draw: Callable[[], Figure]) -> Callable[[], Figure]:
    """Register a figure under the name of its function."""
    FIGURES[draw.__name__] = draw
    return draw


def table(name: str) -> pd.DataFrame:
    return read_table(RESULTS / f"{name}.csv")


def one(rows: pd.DataFrame, **where: object) -> pd.Series:
    """Return the only row that fits."""
    for column, value in where.items():
        rows = rows[rows[column].astype(str) == str(value)]
    ((_, found),) = rows.iterrows()
    return found


def effect(rows: pd.DataFrame, label: str, colour: str, **where: object) -> Row:
    """Difference from the baseline."""
    found = one(rows, metric="aji", **where)
    shown = found["verdict"] != "no difference shown"
    return Row(label, found["difference"], found["diff_low"], found["diff_high"], colour, shown)


def mean(rows: pd.DataFrame, label: str, colour: str, **where: object) -> Row:
    found = one(rows, **where)
    return Row(label, found["mean"], found["low"], found["high"], colour)


def points(rows: pd.DataFrame, levels: Iterable[str], **where: object) -> list[tuple[float, float, float]]:
    found = (one(rows, level=level, **where) for level in levels)
    return [(row["mean"], row["low"], row["high"]) for row in found]


CONDITIONS = {
    "Tiles as they are": "test",
    "Re-stained purple": "shift_purple",
    "Re-stained faint": "shift_faint",
    "Re-stained pink": "shift_pink",
}


@figure
def stain() -> Figure:
    rows, colours = table("stain_results"), {"reinhard": GREEN, "macenko": PURPLE, "vahadane": PINK}
    return intervals(
        {
            NETWORKS[model]: {
                heading: [
                    effect(rows, level.capitalize(), colour, model=model, condition=condition, level=level)
                    for level, colour in colours.items()
                ]
                for heading, condition in CONDITIONS.items()
            }
            for model in ("unet", "resunet")
        },
        "what normalisation adds to AJI",
    )


@figure
def colour() -> Figure:
    rows = table("colour_results")
    remedies = {
        "brightness_hue": ("Brightness and hue", OCHRE),
        "stain_jitter": ("Stain jitter", PINK),
        "macenko": ("Macenko", PURPLE),
    }
    groups = {
        heading: [
            effect(rows, label, colour, condition=condition, level=level)
            for level, (label, colour) in remedies.items()
        ]
        for heading, condition in CONDITIONS.items()
    }
    return intervals({"": groups}, "what the remedy adds to AJI")


@figure
def synthetic_short_and_long() -> Figure:
    short, long = table("synthetic_results"), table("synthetic_pretrained_results")
    ways = {
        "real_2": ("2 real tiles", GREY),
        "learned_mixed_2": ("mixed with painted", PINK),
        "procedural_tuned_2": ("drawn tissue first", PURPLE),
    }
    groups = {
        heading: [
            mean(rows, label, colour, study=study, model="unet", condition="test", level=level)
            for level, (label, colour) in ways.items()
        ]
        for heading, rows, study in (
            ("300 steps, mild", short, "synthetic"),
            ("1,200 steps, strong", long, "synthetic_pretrained"),
        )
    }
    return intervals({"": groups}, "AJI of the U-Net", zero=False)


SYNTHETIC_WAYS = {
    "real tiles alone": (GREY, "-", "real_{}"),
    "mixed with painted": (PINK, "-", "learned_mixed_{}"),
    "drawn tissue first": (PURPLE, "-", "procedural_tuned_{}"),
    "painted tissue first": (PINK, "--", "learned_tuned_{}"),
}


def _synthetic(rows: pd.DataFrame, panels: dict[str, dict[str, str]]) -> Figure:
    return lines(
        {
            title: {
                label: (
                    colour,
                    style,
                    points(rows, (level.format(n) for n in TILES), **where),
                )
                for label, (colour, style, level) in SYNTHETIC_WAYS.items()
            }
            for title, where in panels.items()
        },
        TILES,
        ("labelled tiles", "AJI"),
    )


@figure
def synthetic() -> Figure:
    same, other = ({"model": "unet", "condition": name} for name in ("test", "external"))
    rows = table("synthetic_results")
    return _synthetic(rows[rows["study"] == "synthetic"], {"Same laboratory": same, "Another": other})


@figure
def synthetic_networks() -> Figure:
    panels = {NETWORKS[model]: {"model": model, "condition": "test"} for model in ("resunet", "deeplab")}
    return _synthetic(table("synthetic_networks_results"), panels)


@figure
def synthetic_pretrained() -> Figure:
    rows = table("synthetic_pretrained_results")
    ways = {
        "procedural_mixed_{}": ("mixed with drawn", PURPLE),
        "procedural_tuned_{}": ("drawn first", GREEN),
        "learned_mixed_{}": ("mixed with painted", PINK),
        "learned_tuned_{}": ("painted first", OCHRE),
    }
    return intervals(
        {
            title: {
                f"{n} labelled tiles": [
                    effect(
                        rows,
                        label,
                        colour,
                        study="synthetic_pretrained",
                        model="unet",
                        condition=condition,
                        level=level.format(n),
                    )
                    for level, (label, colour) in ways.items()
                ]
                for n in TILES
            }
            for title, condition in (("Same laboratory", "test"), ("Another", "external"))
        },
        "what synthetic tissue adds to the U-Net's AJI",
    )


@figure
def synthetic_training() -> Figure:
    rows = table("synthetic_training_results")
    trainings = {
        "300 steps, mild": (OCHRE, "--", 300, "mild"),
        "300 steps, strong": (PURPLE, "--", 300, "strong"),
        "1,200 steps, mild": (OCHRE, "-", 1200, "mild"),
        "1,200 steps, strong": (PURPLE, "-", 1200, "strong"),
    }
    return lines(
        {
            title: {
                label: (
                    colour,
                    style,
                    points(
                        rows,
                        (f"real_{n}" for n in TILES),
                        condition="test",
                        model=model,
                        steps=steps,
                        augment=augment,
                    ),
                )
                for label, (colour, style, steps, augment) in trainings.items()
            }
            for model, title in {**NETWORKS, "resunet": "Res. U-Net"}.items()
        },
        TILES,
        ("labelled tiles", "AJI"),
    )


@figure
def transfer() -> Figure:
    rows = table("transfer_results")
    sizes = ("groups_16", "groups_64", "all")
    levels = {
        "ImageNet, fine-tuned": (PURPLE, "-", "imagenet_tuned"),
        "ImageNet, probe": (PURPLE, "--", "imagenet_probe"),
        "drawn tissue first": (PINK, "-", "synthetic"),
        "unlabelled tiles first": (OCHRE, "-", "self_supervised"),
        "from scratch": (GREY, "-", "scratch"),
        "colours alone": (GREEN, "--", "colour"),
    }
    series = {}
    for label, (tint, style, level) in levels.items():
        found = (one(rows, model=n, condition="grouped", level=level, metric="accuracy") for n in sizes)
        series[label] = (tint, style, [(row["mean"], row["low"], row["high"]) for row in found])
    return lines({"": series}, ("16", "64", "all"), ("photographs of each class", "accuracy"))


@figure
def leak() -> Figure:
    rows = table("transfer_leakage_gaps")
    names = {
        "scratch": "From scratch",
        "self_supervised": "Unlabelled tiles first",
        "synthetic": "Drawn tissue first",
        "imagenet_probe": "ImageNet, probe",
        "imagenet_tuned": "ImageNet, fine-tuned",
    }
    drawing = Figure(figsize=(NARROW_IN, 2.2), layout="constrained")
    axes = drawing.subplots()
    for y, level in enumerate(names):
        found = one(rows, level=level, size="groups_16")
        axes.hlines(y, found["grouped"], found["random"], color=GREY, linewidth=2)
        for side, tint, face, name in (
            ("grouped", PURPLE, PURPLE, "split by photograph"),
            ("random", PINK, "none", "random split"),
        ):
            axes.plot(
                found[side], y, "o", color=tint, markerfacecolor=face, markersize=7, label="" if y else name
            )
    axes.set_yticks(range(len(names)), list(names.values()))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("accuracy, 16 photographs of each class")
    axes.tick_params(axis="y", length=0)
    drawing.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    return drawing


@figure
def transfer_nuclei() -> Figure:
    rows = table("transfer_nuclei_results")
    rows = rows[rows["metric"] == "aji"]
    ways = {
        "encoder from scratch": (GREY, "scratch"),
        "ImageNet": (PURPLE, "imagenet"),
        "drawn tissue first": (PINK, "drawn"),
        "own U-Net, same minutes": (GREEN, "unet"),
    }
    return lines(
        {
            title: {
                label: (tint, "-", points(rows, (f"{way}_{n}" for n in TILES), condition=condition))
                for label, (tint, way) in ways.items()
            }
            for title, condition in (("MoNuSeg", "test"), ("TNBC, unseen", "external_tnbc"))
        },
        ("2", "8", "26"),
        ("labelled tiles", "AJI"),
    )


@figure
def imbalance() -> Figure:
    rows = table("imbalance_results")
    levels = {
        "none": ("no remedy", GREY),
        "weights": ("weights", GREEN),
        "augmentation": ("augmentation", PURPLE),
        "both": ("both", PINK),
    }
    groups = {
        heading: [
            mean(rows, label, tint, metric=f"pq_{name}", level=level)
            for level, (label, tint) in levels.items()
        ]
        for heading, name in (("misc (rare)", "misc"), ("spindle", "spindle"), ("epithelial", "epithelial"))
    }
    return intervals({"": groups}, "PQ of the class", zero=False)


def _beside_package(name: str, scores: dict[str, str]) -> Figure:
    rows = table(f"{name}_scores")
    found = ((label, one(rows, score=score)) for score, label in scores.items())
    groups = [
        Row(label, row["difference"], row["diff_low"], row["diff_high"], PURPLE) for label, row in found
    ]
    return intervals({"": {"": groups}}, "ours less the stardist package")


@figure
def stardist() -> Figure:
    return _beside_package(
        "stardist", {"aji": "AJI", "pq": "PQ", "dice": "Dice", "f1_50": "F1 at 0.5", "ap_50": "AP at 0.5"}
    )


@figure
def stardist_consep() -> Figure:
    return _beside_package(
        "stardist_consep",
        {
            "aji": "AJI",
            "pq": "PQ",
            "mpq_plus": "mPQ+",
            "pq_misc": "PQ, misc (rare)",
            "pq_inflammatory": "PQ, inflammatory",
            "pq_epithelial": "PQ, epithelial",
            "pq_spindle": "PQ, spindle",
        },
    )


@figure
def slides() -> Figure:
    rows = table("slides_beside_others")
    tints = (PURPLE, GREY, GREY)
    return bars(
        [
            (row["tool"], row["s_per_mm2"], tint, f"{row['s_per_mm2']:g} s")
            for (_, row), tint in zip(rows.iterrows(), tints, strict=True)
        ],
        "seconds for a mm² of tissue, two cores",
    )


@figure
def cohort() -> Figure:
    rows = table("cohort_ways")
    names = (
        "one process",
        "two workers",
        "three calls, two hurt",
        "Ray, a node killed",
        "SLURM, a task killed",
        "two workers, from S3",
    )
    return bars(
        [
            (name, seconds, PURPLE, f"{seconds:.0f} s")
            for name, seconds in zip(names, rows["seconds"], strict=True)
        ],
        "seconds for 200 slides, two cores",
    )


@figure
def corrections() -> Figure:
    rows = table("corrections_scores")
    rows = rows[rows["score"] == "f1_50"]
    panels = {
        title: {
            "": [
                Row(str(row.corrections), row.difference, row.diff_low, row.diff_high, PURPLE, row.p < 0.05)
                for row in rows[rows["data"] == title].itertuples()
            ]
        }
        for title in ("CoNSeP", "MoNuSeg")
    }
    return intervals(panels, "F1 after training less F1 before")


@figure
def nuclei() -> Figure:
    rows = table("nuclei_steps")
    names = (
        "drawn tissue alone",
        "threshold 0.55",
        "threshold of 2 real patients",
        "+ 33 real tiles (TNBC)",
        "+ self-training",
        "self-training again",
    )
    tints = (GREY, GREY, OCHRE, PINK, PURPLE, PURPLE)
    return bars(
        [(name, aji, tint, f"{aji:.2f}") for name, tint, aji in zip(names, tints, rows["aji"], strict=True)],
        "mean AJI of four laboratories",
    )


@figure
def normalisation() -> Figure:
    rows = table("normalisation_spread")
    rows = rows[rows["images"] == "stain_variation, per slide"]
    tints = {"original": GREY, "reinhard": GREEN, "macenko": PURPLE, "vahadane": PINK, "ruifrok": OCHRE}
    found = ((one(rows, method=name), name, tint) for name, tint in tints.items())
    groups = [
        Row(name.capitalize(), row["apart"], row["apart_low"], row["apart_high"], tint)
        for row, name, tint in found
    ]
    return intervals({"": {"": groups}}, "colour apart among nine stainings, delta E", zero=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help=", ".join(FIGURES))
    for name in parser.parse_args().names or FIGURES:
        with rc_context(LOOK):
            text = drawn(FIGURES[name]())
        (RESULTS / "img" / f"{name}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
