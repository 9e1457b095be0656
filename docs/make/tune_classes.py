"""Tune how a trained model of nuclei calls classes, as training does at its end. Nothing is trained.

    python docs/make/tune_classes.py nuclei-research configs/weights_nuclei_research.yaml OUT --data data

Only the training and validation parts of the configuration are read. Weights and card go to OUT. Printed are
scores of the validation part before and after, and the share of each class on its images without classes.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from histoscope import config, models, train
from histoscope.export import likeness
from histoscope.metrics.pooling import pooled_by_class
from histoscope.train.choices import get_balance
from histoscope.train.experiment import Experiment
from histoscope.train.loop import lines_added
from histoscope.train.mixture import make_sampler
from histoscope.train.parts import at_model, in_classes_of, join_parts, normalised, open_parts
from histoscope.train.tasks import task_of
from histoscope.types import Sample


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a name, or a model folder")
    parser.add_argument("config", type=Path, help="that it was trained with")
    parser.add_argument("out", type=Path, help="model folder to write")
    parser.add_argument("--data", type=Path, help="where the data sets are, if not where it says")
    parser.add_argument("--learned-from", default="", help="what a warning calls the data with classes")
    given = parser.parse_args()
    experiment, model = opened(given.config, given.data), models.load(given.model, models.Segmenter)
    parts = join_parts([open_parts(each) for each in (experiment.data, *experiment.more)])
    parts, normalizer = in_classes_of(model, parts), models.normalizer_of(given.model)
    mpp = model.spec.mpp
    learned, val = (at_model(normalised(part, normalizer), mpp) for part in (parts.train, parts.val))
    before = scores(model, val)
    lines = tuned(model, experiment, learned, val)
    if likeness.KEY in lines:
        lines[likeness.KEY]["name"] = given.learned_from
    models.save(model, given.out, lines_added(models.read_card(given.model), lines), normalizer)
    told = {"before": before, "after": scores(model, val), "rule": model.class_rule.to_dict()}
    print(json.dumps(told | lines["validation"], indent=2))


def opened(path: Path, data: Path | None) -> Experiment:
    """The configuration, with its data where they are here."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    for each in (values["data"], *values.get("more", [])):
        each["root"] = str(each["root"] if data is None else data / Path(each["root"]).name)
    return config.parse(Experiment, values)


def tuned(
    model: models.Segmenter, experiment: Experiment, learned: list[Sample], val: list[Sample]
) -> dict[str, Any]:
    """Set the model's class rule as its training would have; lines for the card."""
    task, balance, chosen = task_of(model), get_balance(experiment.balance), experiment.train
    remedies = None if balance is None else task.remedies(model, learned, balance)
    on_nuclei, weights = chosen.on_nuclei, None
    if remedies is not None:
        on_nuclei, weights = remedies.nuclei(on_nuclei)
    sampler = make_sampler(
        learned,
        chosen.patch_px,
        on_nuclei=on_nuclei,
        class_weights=weights,
        labelled_share=chosen.labelled_share,
    )
    wanted = chosen.class_precision
    return task.tune_classes(model, (learned, val), sampler=sampler, remedies=remedies, precision=wanted)


def scores(model: models.Segmenter, val: list[Sample]) -> dict[str, float]:
    """Pooled PQ of each class of images with classes, and the share of each among nuclei of the others."""
    table = train.evaluate(model, [sample for sample in val if sample.has_classes])
    names = ["unsure", *model.spec.classes]
    called = np.zeros(len(names), int)
    for sample in val:
        if not sample.has_classes:
            nuclei = models.predict(sample.image, model, sample.mpp)
            called += np.bincount(nuclei.class_id, minlength=len(called))
    shares = zip(names, called / max(called.sum(), 1), strict=True)
    found = {name: value for name, value in pooled_by_class(table).items() if "pq_" in name}
    found |= {f"share of {name}": share for name, share in shares}
    return {name: round(float(value), 3) for name, value in found.items()}


if __name__ == "__main__":
    main()
