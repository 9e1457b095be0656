"""Reading a study's YAML file, and refusing what cannot be run."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from histoscope import config
from histoscope.errors import ConfigError
from histoscope.studies import synthetic
from histoscope.studies.config import StudyConfig, all_known
from histoscope.studies.factors import FACTORS
from histoscope.studies.study import Study
from histoscope.studies.task import task_of
from histoscope.train import TrainConfig
from histoscope.train.choices import check_normalizer, get_augment, get_balance, get_jitter
from histoscope.train.config import check_seed

_NO_FOLDER = set('/\\:*?"<>|')


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> StudyConfig:
    """Read a study's YAML file and check every name in it.

    Parameters
    ----------
    path : str or Path
    overrides : sequence of str
        ``train.steps=100`` lines that win over the file.

    Raises
    ------
    ConfigError
        If a key or value is wrong.
    UnknownNameError
        If a study, level, network, condition or augmentation does not exist; the message offers the nearest.
    """
    return check(config.load(StudyConfig, path, overrides))


def check(chosen: StudyConfig) -> StudyConfig:
    """Refuse unknown names, duplicates, and a comparison without its baseline."""
    study = chosen.declared
    _check_levels(study)
    task_of(chosen).check()
    all_known("model", chosen.sizes, study.models)
    get_augment(chosen.augment)
    get_jitter(chosen.jitter)
    for key, values in {
        "levels": study.levels,
        "seeds": study.seeds,
        "conditions": chosen.conditions,
    }.items():
        if len(set(values)) != len(values):
            raise ConfigError(f"{key}: {list(values)} contains a value twice; give each once")
    if study.baseline not in study.levels:
        raise ConfigError(f"levels: {list(study.levels)} lacks the baseline {study.baseline!r}; add it")
    if study.primary_condition not in [condition.name for condition in study.conditions]:
        raise ConfigError(f"conditions: add {study.primary_condition!r}, which answers the study's question")
    _check_tissue(chosen, study)
    _check_external(chosen.external or {})
    for seed in study.seeds:
        check_seed(seed, "seeds")
    if chosen.train.seed != TrainConfig().seed:
        raise ConfigError(
            f"train.seed is {chosen.train.seed}, but a study takes its seeds from 'seeds'; set them there"
        )
    return chosen


def _check_levels(study: Study) -> None:
    """Refuse levels that do not exist, and names of others that cannot be imported."""
    factor = FACTORS[study.factor]
    all_known(factor.kind, study.levels, factor.levels)
    for level in study.levels:
        settings = factor.levels[level]
        check_normalizer(settings.get("normalizer", "none"), None)
        get_augment(settings.get("augment"))
        get_balance(settings.get("balance"))


def _check_external(names: Iterable[str]) -> None:
    """Refuse names of external test sets that cannot be names of folders, or are one folder."""
    known: dict[str, str] = {}
    for name in names:
        if not name.strip() or not name.isprintable() or set(name) & _NO_FOLDER:
            raise ConfigError(
                f"external: {name!r} cannot be the name of a folder; use letters, digits, '-' and '_'"
            )
        if (same := known.setdefault(name.casefold(), name)) != name:
            raise ConfigError(
                f"external: {same!r} and {name!r} are the same folder on case-insensitive disks; rename one"
            )


def _check_tissue(chosen: StudyConfig, study: Study) -> None:
    """Refuse levels, sizes and conditions that need what the configuration does not give."""
    known = FACTORS[study.factor].levels
    for level in study.levels:
        source = synthetic.source_of(level, known)
        if source and source not in chosen.synthetic:
            raise ConfigError(
                f"level {level!r} needs the synthetic data set {source!r}; add 'synthetic: {{{source}: "
                "{root: FOLDER}}' (histoscope synth writes one), or leave the level out"
            )
        for key in ("initial_level", "against"):
            other = known[level].get(key)
            if other and other not in study.levels:
                raise ConfigError(f"level {level!r} needs level {other!r}; add it to the levels")
    if chosen.tuning_lr and not any(known[level].get("initial_level") for level in study.levels):
        raise ConfigError(
            f"tuning_lr is {chosen.tuning_lr}, but no level of study {study.name!r} fine-tunes a pretrained "
            "network; leave it out, or add a level such as 'procedural_tuned_8'"
        )
    if not chosen.external and any(condition.external for condition in study.conditions):
        raise ConfigError(
            "condition 'external' needs an external test set; add 'external: {root: FOLDER}', or several "
            "under names of your choice, 'external: {tnbc: {root: FOLDER}}', or choose 'conditions: [test]'"
        )
    sizes = {synthetic.of_size(known[level].get("tiles")) for level in study.levels}
    for model, wanted in chosen.sizes.items():
        lacking = {str(size) for size in wanted} - sizes
        if lacking or not wanted:
            raise ConfigError(
                f"sizes.{model}: expected some of {sorted(sizes - {'0'})}, which the levels have, got "
                f"{list(wanted)}"
            )
