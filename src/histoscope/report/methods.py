"""How a study was done, gathered from what its runs recorded: data, training, machine, time, versions."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import yaml

from histoscope.errors import HistoscopeError
from histoscope.models.card import read_card
from histoscope.report import summary
from histoscope.report.effects import UNITS, Effect, unit_of
from histoscope.report.results import RunResult, StudyResults
from histoscope.studies.folder import left_out as unreadable
from histoscope.words import count, duration

NOT_RECORDED = "not recorded"
STATUS_WORDS = {
    "failed": "failed",
    "unfinished": "started, not finished",
    "missing": "not started",
    "finished": "finished",
}
LIMIT_UNITS = (
    "The test part has {units}. Intervals answer one question: how far would the mean move with other "
    "{noun}s of the same kind? They are computed by {noun}, with all images of a {noun} taken together, and "
    "say nothing about other hospitals, scanners or organs."
)
LIMIT_SEEDS = (
    "Each number is averaged over {seeds} of training before anything is tested. The spread between seeds "
    "is given beside the means, but is not part of the intervals; instead, a difference counts only if "
    "every seed points the same way. With one seed, this adds nothing."
)
LIMIT_NO_DIFFERENCE = (
    "“No difference shown” is not “no difference”: the interval shows how large a difference is still "
    "possible."
)
LIMIT_TABLES = (
    "p values are corrected (Holm) within each table, not across tables. The other metrics help to explain "
    "the primary one; they do not replace it."
)
LIMIT_TISSUE = (
    "The synthetic set {name!r} was fitted to {tiles}, whose labels the axis of labelled tiles does not "
    "count: with fewer tiles than that, its benefit includes the labels of those tiles."
)
LIMIT_NO_PATIENTS = (
    "Patients are not recorded for every image, so each {noun} counts as one patient. If several come from "
    "the same patient, the intervals are too narrow."
)
LIMIT_DEMO = "The images are synthetic, made to show how a study works. They prove nothing about tissue."
TRAIN_LABELS = {
    "steps": "Training steps",
    "batch_size": "Patches a step",
    "patch_px": "Side of a patch, in pixels of the network",
    "on_nuclei": "Share of patches centred on a nucleus",
    "labelled_share": "Share of patches from images with classes",
    "class_precision": "Target precision of classes; nuclei below it are unsure",
    "lr": "Highest learning rate",
    "warmup": "Share of the steps used for warm-up",
    "weight_decay": "Weight decay",
    "ema": "Decay of the moving average of the weights",
    "precision": "Precision",
    "accelerator": "Accelerator",
    "devices": "Devices",
    "workers": "Loader processes",
    "evaluate_every": "Steps between validations",
    "patience": "Early stopping after validations without a better score",
    "monitor": "Score that chooses the weights",
    "checkpoint_every": "Steps between checkpoints",
    "tensorboard": "Log for TensorBoard",
    "transfer": "Rates and freezing of the backbone",
}
"""Settings of a training as a person would write them."""
PARTS = {"train": "training", "val": "validation", "test": "testing"}
Facts = list[tuple[str, str]]


def sections(study: StudyResults) -> list[tuple[str, Facts]]:
    """Everything that is known of how the study was done, as titled lists of terms and values."""
    found = [
        ("Data", _data(study)),
        ("What was tested", _conditions(study)),
        ("Training", _training(study)),
        ("Machine, time and versions", _machine(study)),
        ("To reproduce it", _command(study)),
    ]
    return [(title, facts) for title, facts in found if facts]


def limits(study: StudyResults, rows: Iterable[Effect]) -> list[str]:
    """What the numbers do not cover, in sentences."""
    here = study.conditions[0]  # external test sets have units of their own
    rows = [row for row in rows if row.metric == study.metric and row.condition == here]
    units = max((row.n_units for row in rows), default=0)
    seeds = max((row.n_seeds for row in rows), default=0)
    noun = UNITS[unit_of(study)]
    texts = [LIMIT_UNITS, LIMIT_SEEDS, LIMIT_NO_DIFFERENCE, LIMIT_TABLES]
    if noun != "patient":
        texts.insert(1, LIMIT_NO_PATIENTS)
    for name, given in study.config.get("synthetic", {}).items():
        if fitted := given.get("fitted_to"):
            texts.insert(0, LIMIT_TISSUE.format(name=name, tiles=count(fitted, "real tile")))
    if study.name == "demo":
        texts.insert(0, LIMIT_DEMO)
    numbers = {"units": count(units, noun), "seeds": count(seeds, "seed"), "noun": noun}
    return [text.format(**numbers) for text in texts]


def missing_runs(study: StudyResults) -> list[tuple[str, str, str]]:
    """(run, what became of it, why) of every run without results."""
    return [(run.name, STATUS_WORDS[run.status], run.problem) for run in study.unfinished()]


def _data(study: StudyResults) -> Facts:
    given = study.config["data"] | _card(study)  # the card knows best
    sheet = {key: value for key, value in given.items() if value not in (None, "")}
    facts = [
        (label, str(sheet[key]))
        for key, label in (
            ("name", "Data set"),
            ("licence", "Licence"),
            ("citation", "Citation"),
            ("url", "Address"),
            ("mpp", "Micrometres per pixel"),
        )
        if key in sheet
    ]
    if "licence" not in sheet:
        facts.append(("Licence", NOT_RECORDED))
    facts += [("Images", _parts(study)), *_tested(study), ("Left out", left_out(study))]
    facts.append(("Split", _split(study, sheet)))
    return [(term, value) for term, value in facts if value]


def _card(study: StudyResults) -> dict[str, Any]:
    """Datasheet of the training data, from the model card of the first run that has one."""
    for run in _plain_first(study):
        with suppress(HistoscopeError):
            if run.folder is not None:
                return {**read_card(run.folder / "model")["training data"]}
    return {}


def _parts(study: StudyResults) -> str:
    parts = _first(study, "images") or {}
    return ", ".join(f"{len(parts[name]):,} for {word}" for name, word in PARTS.items() if name in parts)


def left_out(study: StudyResults) -> str:
    """Name the images that could not be read; empty if all could."""
    names = list(unreadable(study.folder))
    more = ", ..." if len(names) > 5 else ""
    return (
        f"{count(len(names), 'image')} that could not be read: {', '.join(names[:5])}{more}" if names else ""
    )


def _tested(study: StudyResults) -> Facts:
    """Images, patients and nuclei of each condition."""
    table = next((run.table for run in study.finished() if run.table is not None), None)
    if table is None:
        return []
    facts = []
    for condition in study.conditions:
        shown = table[table["condition"] == condition]
        known = shown.loc[shown["patient"] != "", "patient"].nunique()
        patients = f" of {count(known, 'patient')}" if known else ""
        nuclei = f" with {int(shown['n_true'].sum()):,} nuclei" if "n_true" in shown else ""
        told = f"{count(shown['name'].nunique(), 'image')}{patients}{nuclei}"
        facts.append((f"Tested on: {summary.small(summary.condition_label(condition))}", told))
    return facts


def _split(study: StudyResults, sheet: Mapping[str, Any]) -> str:
    share = sheet.get("val")
    if study.settings.get("task") == "patches":
        test = study.config["patches"]["test"]
        return (
            f"Redrawn for each seed: a share of {test} for testing, {share} for validation. Split by group, "
            f"with no {sheet.get('val_by')} on both sides, and also patch by patch at random."
        )
    if isinstance(share, int | float):
        return (
            f"The published test part. {share * 100:g} % of the training patients are used for validation, "
            "unless a validation part is published. The same for every run."
        )
    return NOT_RECORDED


def _conditions(study: StudyResults) -> Facts:
    return [(summary.condition_label(name), condition_about(study, name) or "–") for name in study.conditions]


def condition_about(study: StudyResults, name: str) -> str:
    """One sentence on a condition; empty where the study says nothing."""
    found = {condition["name"]: condition["about"] for condition in study.settings["conditions"]}
    return str(found.get(name, ""))


def _training(study: StudyResults) -> Facts:
    config = study.config
    settings = _first(study, "train") or config.get("train", {})
    facts = [("Seeds", ", ".join(map(str, sorted({run.seed for run in study.runs if run.seed >= 0}))))]
    for key, label in (("reference", "Stain reference"), ("reference_rule", "Chosen as")):
        value = next((run.config[key] for run in study.runs if run.config.get(key)), None)
        facts += [(label, str(value))] if value else []
    if study.factor != "augment" and config.get("augment"):
        facts.append(("Augmentation", str(config["augment"])))
    if config.get("jitter", "none") != "none":
        facts.append(("Jitter of colours", f"{config['jitter']}, unless a level names another"))
    for model in study.models:
        arguments: Any = next(
            (run.config.get("model_arguments") for run in study.runs if run.model == model), {}
        )
        axis = summary.readable(summary.axis(study.factor))
        facts.append((axis, f"{summary.model_label(model)}{_arguments(arguments or {})}"))
    facts += [
        (
            TRAIN_LABELS.get(key, summary.readable(key)),
            _value(summary.metric_label(value) if key == "monitor" else value),
        )
        for key, value in settings.items()
        if key != "seed" and value is not None
    ]
    return facts


def _machine(study: StudyResults) -> Facts:
    kept = [run.environment for run in study.runs if run.environment]
    if not kept:
        return [("Environment", NOT_RECORDED)]
    machines = _distinct(_machine_words(environment) for environment in kept)
    codes = _distinct(str(environment.get("git") or "")[:10] for environment in kept)
    facts = [
        ("Machine", "; ".join(machines)),
        ("Started", min((str(e["started"]) for e in kept if e.get("started")), default="")),
        ("Training", _time(kept, "train")),
        ("Testing", _time(kept, "evaluate")),
        ("Histoscope", ", ".join(_distinct(str(e.get("histoscope", "")) for e in kept))),
        ("Commit", ", ".join(codes)),
        ("Python", ", ".join(_distinct(str(e.get("python", "")) for e in kept))),
        ("Libraries", ", ".join(f"{name} {v}" for name, v in kept[0]["versions"].items() if v)),
    ]
    return [(term, value) for term, value in facts if value]


def _machine_words(environment: Mapping[str, Any]) -> str:
    cores = environment.get("cpu_count")
    parts = [
        str(environment.get("gpu") or "no GPU"),
        count(int(cores), "core") if isinstance(cores, int) else "",
        str(environment.get("platform") or ""),
    ]
    return ", ".join(part for part in parts if part)


def _time(environments: list[Mapping[str, Any]], stage: str) -> str:
    seconds = [e["seconds"][stage] for e in environments if stage in e["seconds"]]
    if not seconds:
        return ""
    mean = duration(sum(seconds) / len(seconds))
    return f"{duration(sum(seconds))} in all, {mean} a run"


def _command(study: StudyResults) -> Facts:
    run = study.settings.get("command") or "histoscope study run study_config.yaml"
    return [("Run", run), ("Report", f"histoscope study report {study.folder.name}")]


def configuration(study: StudyResults) -> str:
    """Give the configuration back as the YAML that runs the study again."""
    return str(yaml.safe_dump(study.config, sort_keys=False, allow_unicode=True))


def run_seconds(run: RunResult) -> str:
    """Training time of a run; a dash where it is not recorded."""
    seconds = run.environment.get("seconds", {}).get("train")
    return "–" if seconds is None else duration(seconds)


def _first(study: StudyResults, key: str) -> Any:
    return next((run.config[key] for run in _plain_first(study) if run.config.get(key)), None)


def _plain_first(study: StudyResults) -> list[RunResult]:
    """Runs, those of the baseline first: other levels may learn from other images, in fewer steps."""
    return sorted(study.runs, key=lambda run: run.level != study.baseline)


def _arguments(values: Mapping[str, Any]) -> str:
    texts = [
        f"{_value(value)} µm per pixel" if key == "mpp" else f"{key.replace('_', ' ')} {_value(value)}"
        for key, value in values.items()
    ]
    return f" ({', '.join(texts)})" if texts else ""


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_value(each)}" for key, each in value.items())
    if isinstance(value, float):
        return f"{value:g}"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _distinct(values: Iterable[str]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]
