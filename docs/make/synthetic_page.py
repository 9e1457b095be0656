"""Turn a finished study of synthetic tissue into a page of these docs.

    python docs/make/synthetic_page.py runs/synthetic docs/results/synthetic.md \
        --own runs/synthetic_own --free runs/synthetic_free --notes docs/make/synthetic_notes.txt \
        --reverse drawn=data/synthetic_procedural --reverse painted=data/synthetic_learned \
        --credit "Tiles: MoNuSeg, CC BY-NC-SA 4.0 (Kumar et al. 2017, doi:10.1109/TMI.2017.2677499)"

    python docs/make/synthetic_page.py runs/synthetic_networks docs/results/synthetic_networks.md \
        --title "More labelled tiles: the Residual U-Net and DeepLabV3+" \
        --notes docs/make/synthetic_networks_notes.txt --credit "..."

    python docs/make/synthetic_page.py runs/synthetic_pretrained docs/results/synthetic_pretrained.md \
        --title "Trained for longer: is synthetic tissue still a help?" --own runs/synthetic_pretrained_own \
        --own runs/synthetic_pretrained_own_8 --gently runs/synthetic_tuned_gently \
        --gently runs/synthetic_tuned_gently_own \
        --notes docs/make/synthetic_pretrained_notes.txt --credit "..."

The figures and numbers are the report's own. What a person has to say about them stands in the notes.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from study_page import copy_pictures, spent

from histoscope import data, models, train
from histoscope.report import methods, summary
from histoscope.report.effects import Effect, effects
from histoscope.report.results import StudyResults, read_study
from histoscope.report.write import write_report
from histoscope.studies.synthetic import TISSUE, of_size

FIGURE = (
    "Above: means over images and seeds with 95 % intervals{dotted}. Below: what synthetic tissue adds to as "
    "many real tiles, paired by seed and {unit}, with 95 % intervals. Filled: the interval leaves out zero."
)

OWN = """## If the generators, too, have seen {tiles} tiles alone

Here each seed's synthetic sets were fitted to the {tiles} labelled tiles of that seed, and to no other
(`configs/study_{name}.yaml`).
"""
GENTLY = """## If tuning is gentle{only}

Here tuning learns at a rate of {tuned:g}, not {lr:g} as all other training. The rest is the same{fitted}.
"""
FREE = """## If the drawn tissue has seen no tile at all

Here the *procedural* set is [hard tissue](../synth.md) of six stains and 48 patients, fitted to nothing
(`configs/study_{name}.yaml`).
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="folder of the study")
    parser.add_argument("page", type=Path, help="Markdown file to write")
    parser.add_argument("--title", help="of the page, if not the study's question")
    parser.add_argument(
        "--own",
        type=Path,
        action="append",
        default=[],
        help="folder of a study whose synthetic sets saw few tiles",
    )
    parser.add_argument(
        "--gently",
        type=Path,
        action="append",
        default=[],
        help="folder of a study with a low rate of tuning",
    )
    parser.add_argument("--free", type=Path, help="folder of the study whose drawn set saw none")
    parser.add_argument("--reverse", action="append", default=[], help="name=folder of a synthetic set")
    parser.add_argument("--notes", type=Path, default=None, help="what a person says about the numbers")
    parser.add_argument("--credit", default="", help="whose images the study shows")
    args = parser.parse_args()
    write_report(args.study)
    study = read_study(args.study)
    rows = [row for row in effects(study) if row.metric == study.metric]
    notes = args.notes.read_text(encoding="utf-8") if args.notes else ""
    text = "\n".join(
        [
            f"# {args.title or study.question}\n",
            notes,
            *_conditions(study, rows),
            "## Two labelled tiles: which two?\n",
            *_by_seed(study),
            *(line for folder in args.own for line in _also(folder, OWN)),
            *(line for folder in args.gently for line in _also(folder, GENTLY)),
            *(_also(args.free, FREE) if args.free else []),
            *(_reverse(study, dict(each.split("=") for each in args.reverse)) if args.reverse else []),
            _how(study),
            spent(args.study),
            args.credit,
        ]
    )
    pictures = args.page.parent / "img" / args.page.stem
    pictures.mkdir(parents=True, exist_ok=True)
    args.page.write_text(
        copy_pictures(text, args.study, pictures, args.page.stem).rstrip() + "\n", encoding="utf-8"
    )
    print(f"{args.page}: {len(rows)} numbers, {len(list(pictures.iterdir()))} pictures")


def _conditions(study: StudyResults, rows: Sequence[Effect]) -> list[str]:
    """A section for each set of test images: figure, verdicts in plain words, table."""
    alone = any(TISSUE[level] == {"tiles": 0, "synthetic": level} for level in study.levels)
    dotted = "; dotted: synthetic tissue alone, without one labelled tile" if alone else ""
    parts = []
    for condition in study.conditions:
        mine = [row for row in rows if row.condition == condition]
        unit = next((row.against.unit for row in mine), "image")
        parts += [
            f"## {summary.condition_label(condition)}\n",
            *_described(study, condition),
            f"![Score against the number of labelled tiles](report_files/labels_{condition}.svg)\n",
            FIGURE.format(unit=unit, dotted=dotted) + "\n",
            *_words(study, mine),
            "",
            *_table(study, mine),
            "",
        ]
    return parts


def _described(study: StudyResults, condition: str) -> list[str]:
    """What the test images are, where their name does not say it all."""
    about = summary.readable(methods.condition_about(study, condition))
    return [] if about.endswith(summary.condition_label(condition)[1:]) else [f"{about}.\n"]


def _levels(study: StudyResults) -> list[str]:
    """Levels by tissue and by how it is used, whatever the order in which they were run."""
    return [level for level in TISSUE if level in study.levels]


def _words(study: StudyResults, rows: Sequence[Effect]) -> list[str]:
    """One line for each network and number of tiles: which help was shown, which was not."""
    lines = []
    for model in study.models:
        for size in dict.fromkeys(TISSUE[row.level]["tiles"] for row in rows if row.model == model):
            if size == 0:
                continue
            helped = [
                row
                for row in sorted(rows, key=lambda row: list(TISSUE).index(row.level))
                if row.model == model and TISSUE[row.level]["tiles"] == size and not row.is_baseline
            ]
            base = next(
                (row for row in rows if row.model == model and row.level == f"real_{of_size(size)}"), None
            )
            if base is None or not helped:
                continue
            said = "; ".join(
                f"{_recipe(row.level)} {summary.signed(row.difference)} "
                f"({summary.span(row.diff_low, row.diff_high)}, {row.verdict}{_but(row)})"
                for row in helped
            )
            tiles = "1 labelled tile" if size == 1 else f"{of_size(size)} labelled tiles"
            lines.append(
                f"- **{summary.model_label(model)}, {tiles}**: {summary.number(base.mean)} alone; {said}."
            )
    return lines


def _but(row: Effect) -> str:
    """Why an interval that leaves out zero is not enough."""
    agree = f"{row.agreeing_seeds} of {row.paired_seeds} seeds agree"
    clear = row.diff_low * row.diff_high > 0
    if not clear or str(row.verdict) != "no difference shown":
        return ""
    return f": {agree}" if row.agreeing_seeds < row.paired_seeds else f": p = {row.p_holm:.2f}"


def _by_seed(study: StudyResults) -> list[str]:
    """Means of each seed at two labelled tiles, whose choice changes with the seed."""
    condition = study.primary_condition
    levels = _twos(study)
    seeds = sorted({run.seed for run in study.finished()})
    metric, where = summary.metric_label(study.metric), summary.condition_label(condition).lower()
    lines = [
        f"Mean {metric} of each seed, {where}. Each seed draws its own two tiles.\n",
        f"| Network | Learned from | {' | '.join(f'Seed {seed}' for seed in seeds)} |",
        f"|---|---|{'---|' * len(seeds)}",
    ]
    for model in study.models:
        for level in levels:
            found = {run.seed: run.table for run in study.finished(model, level)}
            means = [
                table.loc[table.condition == condition, study.metric].mean()
                if (table := found.get(seed)) is not None
                else float("nan")
                for seed in seeds
            ]
            cells = " | ".join(map(summary.number, means))
            label = summary.level_label(level, study.factor)
            lines.append(f"| {summary.model_label(model)} | {label} | {cells} |")
    return [*lines, ""]


def _twos(study: StudyResults) -> list[str]:
    return [level for level in _levels(study) if level.endswith("_2")]


def _also(folder: Path, about: str) -> list[str]:
    """Numbers of a smaller study, under a title and a sentence of its own."""
    study = read_study(folder)
    rows = [row for row in effects(study) if row.metric == study.metric]
    config = study.settings["config"]
    tiles = {2: "two", 8: "eight"}.get(
        max(given.get("fitted_to", 0) for given in config["synthetic"].values())
    )
    words = {
        "only": f", and the generators have seen {tiles} tiles alone" if tiles else "",
        "fitted": f", and each seed's sets were fitted to its {tiles} labelled tiles" if tiles else "",
        "tuned": config.get("tuning_lr") or 0,
        "lr": config["train"]["lr"],
    }
    parts = [about.format(name=folder.name, tiles=tiles, **words), *(_by_seed(study) if _twos(study) else [])]
    for condition in study.conditions:
        mine = [row for row in rows if row.condition == condition]
        label = summary.condition_label(condition)
        parts += [f"{label}:\n", *_words(study, mine), "", *_table(study, mine), ""]
    return [*parts, spent(folder)]


def _reverse(study: StudyResults, sets: dict[str, str]) -> list[str]:
    """What networks that learned from real tiles make of synthetic ones."""
    metric, level = study.metric, "real_all"
    label = summary.level_label(level, study.factor)
    lines = [
        "## The reverse: learned from real tissue, tested on synthetic\n",
        f"{summary.metric_label(metric)} of the networks of *{label}*, mean of the seeds (each of them).\n",
        f"| Network | real test images | {' | '.join(sets)} |",
        f"|---|---|{'---|' * len(sets)}",
    ]
    tiles = {name: data.open("folder", root) for name, root in sets.items()}
    for model in study.models:
        runs = study.finished(model, level)
        if not runs:
            continue
        found = {"real": [table.loc[table.condition == study.primary_condition, metric].mean()
                          for run in runs if (table := run.table) is not None]}  # fmt: skip
        for name, dataset in tiles.items():
            networks = (models.load(run.folder / "model", models.Segmenter) for run in runs if run.folder)
            found[name] = [train.evaluate(network, dataset)[metric].mean() for network in networks]
        cells = [
            f"{summary.number(sum(values) / len(values))} ({', '.join(map(summary.number, values))})"
            for values in found.values()
        ]
        lines.append(f"| {summary.model_label(model)} | {' | '.join(cells)} |")
    return [*lines, ""]


def _recipe(level: str) -> str:
    source, way, _ = level.split("_")
    return f"mixed with {source}" if way == "mixed" else f"pretrained on {source}"


def _table(study: StudyResults, rows: Sequence[Effect]) -> list[str]:
    """Means with intervals, a row a level, a column a network."""
    metric = summary.metric_label(study.metric)
    lines = [
        " | ".join(["| Learned from", *(f"{metric}, {summary.model_label(name)}" for name in study.models)])
        + " |",
        f"|---|{'---|' * len(study.models)}",
    ]
    for level in _levels(study):
        found = {row.model: row for row in rows if row.level == level}
        cells = [
            f"{summary.number(row.mean)} ({summary.number(row.low)} to {summary.number(row.high)})"
            if (row := found.get(model)) is not None
            else ""
            for model in study.models
        ]
        if any(cells):
            lines.append(f"| {summary.level_label(level, study.factor)} | {' | '.join(cells)} |")
    return lines


def _how(study: StudyResults) -> str:
    """How it was done, in sentences; the rest stands in each run's ``config.yaml``."""
    config = study.settings.get("config", {})
    train, sets = config.get("train", {}), config.get("synthetic", {})
    before = config.get("pretraining", 0.5)
    shares = ", ".join(f"{name}: {given.get('share', 0.5):.0%}" for name, given in sets.items())
    mixing = (
        f"Where real and synthetic tissue are mixed, the share of synthetic patches is fixed ({shares}). "
        if any("_mixed_" in level for level in study.levels)
        else ""
    )
    fitted = [
        f"The set *{name}* was fitted to {given['fitted_to']} labelled tiles of the training part, which "
        "the axis of labelled tiles does not count."
        for name, given in sets.items()
        if given.get("fitted_to")
    ]
    missing = study.unfinished()
    text = (
        "## How it was done\n\n"
        f"Every level learned for {train.get('steps')} steps of {train.get('batch_size')} patches of "
        f"{train.get('patch_px')} px; pretraining took {before:.0%} of them and tuning the rest. No tile "
        "validated and the last weights were tested, so that a labelled tile that was used is one that is "
        "counted. Which tiles the 2 and the 8 are is drawn with each seed, the same for every way of "
        f"learning; the 2 are among the 8. {mixing}"
        "A difference *helps* if its interval leaves out zero, the permutation test says so after Holm's "
        "correction over all comparisons of its network and test set, and every seed points the same way. "
        + " ".join(fitted)
        + "\n"
    )
    if missing:
        names = ", ".join(run.name for run in missing)
        text += f"\n{len(missing)} of {len(study.runs)} runs are not finished: {names}.\n"
    return text


if __name__ == "__main__":
    main()
