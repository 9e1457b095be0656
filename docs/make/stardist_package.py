"""Train the `stardist` package on our images, as we are trained, and score it as we are scored.

    pip install stardist tensorflow-cpu
    python docs/make/stardist_package.py configs/train_stardist.yaml data/monuseg runs/package
    python docs/make/stardist_package.py configs/train_stardist_consep.yaml data/consep runs/package_consep

From the configuration come the data, their parts, and the number of steps; the batch is 4 patches of 256 px.
The package's own network, loss, learning rate, tuning of thresholds and class votes do the rest; images are
normalised as its examples do. The folder gets ``per_image.csv`` and the package's model.
"""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscope import config, metrics
from histoscope.files import whole, write_text
from histoscope.train.evaluation import summary
from histoscope.train.experiment import Experiment
from histoscope.train.parts import open_parts
from histoscope.types import Sample

PATCH_PX, BATCH, EPOCHS = 256, 4, 20
N_RAYS, GRID = 32, 2
Floats = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path, help="our configuration, for its data and steps")
    parser.add_argument("root", help="folder of the data set")
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, help="instead of the configuration's")
    given = parser.parse_args()
    recipe = config.load(Experiment, given.recipe, overrides=[f"data.root={given.root}"])
    steps = given.steps or recipe.train.steps
    parts = open_parts(recipe.data, seed=recipe.train.seed)
    classes = tuple(parts.train.info.classes.values())
    model = network(len(classes), max(1, steps // EPOCHS), given.out)
    begin = perf_counter()
    fit(model, list(parts.train), list(parts.val))
    seconds = perf_counter() - begin
    table = pd.DataFrame(scores(model, parts.test, classes))
    with whole(given.out / "per_image.csv") as path:
        table.to_csv(path, index=False)
    about = {"steps": steps, "seconds": round(seconds), "train": len(parts.train), "val": len(parts.val)}
    write_text(given.out / "about.json", json.dumps(about))
    print(json.dumps(about | {"means": summary(table, "ap_50")}, indent=1))


def network(n_classes: int, steps_per_epoch: int, out: Path) -> Any:
    """The package's network as it comes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from stardist.models import Config2D, StarDist2D

    np.random.seed(0)  # noqa: NPY002  # the one the package draws from
    chosen = Config2D(
        n_rays=N_RAYS,
        grid=(GRID, GRID),
        n_channel_in=3,
        n_classes=n_classes or None,
        train_patch_size=(PATCH_PX, PATCH_PX),
        train_batch_size=BATCH,
        train_epochs=EPOCHS,
        train_steps_per_epoch=steps_per_epoch,
        train_tensorboard=False,
    )
    return StarDist2D(chosen, name=out.name, basedir=str(out.parent))


def fit(model: Any, train: list[Sample], val: list[Sample]) -> None:
    """Train, and tune the thresholds on the validation part."""
    held = [normalised(sample) for sample in val], [labels(sample) for sample in val]
    known = {"classes": [classes_of(one) for one in train]} if model.config.n_classes is not None else {}
    validation = (*held, [classes_of(one) for one in val]) if known else held
    model.train(
        [normalised(sample) for sample in train],
        [labels(sample) for sample in train],
        validation_data=validation,
        augmenter=augmented,
        **known,
    )
    model.optimize_thresholds(*held)


def normalised(sample: Sample) -> Floats:
    """Each colour from its 1st to its 99.8th percentile, as the package's examples do."""
    from csbdeep.utils import normalize

    image: Floats = normalize(sample.image.astype(np.float32), 1, 99.8, axis=(0, 1))
    return image


def labels(sample: Sample) -> NDArray[np.int32]:
    assert sample.instances is not None
    return sample.instances.astype(np.int32)


def classes_of(sample: Sample) -> dict[int, int | None]:
    """Class of each nucleus; None where it is not known."""
    assert sample.classes is not None
    return {k: int(c) or None for k, c in enumerate(sample.classes) if k}


def augmented(image: Floats, mask: NDArray[Any]) -> tuple[Floats, NDArray[Any]]:
    """Flips, quarter turns, brightness and noise, as in the package's examples."""
    turns, flip = np.random.randint(4), np.random.rand() < 0.5  # noqa: NPY002
    image, mask = np.rot90(image, turns), np.rot90(mask, turns)
    if flip:
        image, mask = image[::-1], mask[::-1]
    image = image * np.random.uniform(0.6, 2.0) + np.random.uniform(-0.2, 0.2)  # noqa: NPY002
    noise = np.random.normal(0, 1, image.shape)  # noqa: NPY002
    return (image + 0.02 * np.random.uniform(0, 1) * noise).astype(np.float32), mask  # noqa: NPY002


def scores(model: Any, test: Any, classes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """What the package finds in each test image, by our metrics."""
    for sample in test:
        found, details = model.predict_instances(normalised(sample))
        row = {"name": sample.name, "patient": sample.patient, "source": sample.source}
        row |= metrics.per_image(sample.instances, found.astype(np.int32))
        if classes:
            class_id = np.append(0, details["class_id"]).astype(np.uint8)
            row |= metrics.class_scores(
                sample.instances, found.astype(np.int32), sample.classes, class_id, classes, mpp=sample.mpp
            )
        yield row


if __name__ == "__main__":
    main()
