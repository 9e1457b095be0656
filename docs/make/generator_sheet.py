"""A sheet of real tiles, their masks, and what the learned generator makes of like layouts.

    python docs/make/generator_sheet.py --root data/monuseg --generator runs/generator --out sheet.png

Fits the generator first if the folder holds none; with --steps 400 that takes three minutes on one core.
The pictures show real tiles: they stand under the licence of the data set.
"""

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from histoscope import data
from histoscope.files import write_image
from histoscope.generate.arrange import arrange
from histoscope.generate.bank_dyes import pictured
from histoscope.generate.generator import fit_generator, generate_dataset, maps_for, paint
from histoscope.generate.training import GeneratorConfig

WHITE = 255


def main() -> None:
    """Fit if needed, paint, and write the sheet."""
    options = _options()
    dataset = data.open(options.name, options.root, **({"mpp": options.mpp} if options.mpp else {}))
    train = [k for k, record in enumerate(dataset.records) if record.split in {"", "train"}]
    dataset = data.subset(dataset, train[: options.tiles])
    config = GeneratorConfig(steps=options.steps, width=options.width, seed=options.seed)
    began = time.process_time()
    kit = fit_generator(dataset, options.generator, config, on_step=_say, on_note=_note)
    _note(f"ready after {time.process_time() - began:.0f} s of processor time")
    rng = np.random.default_rng(options.seed)
    rows = []
    for which in rng.permutation(len(kit.bank.tiles))[: options.rows]:
        real = data.resample(dataset[int(which)], kit.model.spec.mpp)
        top, left = ((side - options.size) // 2 for side in real.image.shape[:2])
        box = np.s_[top : top + options.size, left : left + options.size]
        layout = arrange(
            kit.bank, (options.size, options.size), mpp=kit.model.spec.mpp, rng=rng, tile=int(which)
        )
        dyes = paint(kit.model, maps_for(layout, len(kit.bank.classes)), int(which))
        row = [real.image[box], _mask(real.instances[box]), _mask(layout.instances)]
        rows.append(np.hstack([*row, pictured(dyes, layout.stain)]))
    sheet = cv2.resize(np.vstack(rows), None, fx=options.zoom, fy=options.zoom, interpolation=cv2.INTER_CUBIC)
    write_image(options.out, np.asarray(sheet, np.uint8))
    began = time.process_time()
    made = list(generate_dataset(kit, 4, size_px=512, seed=options.seed))
    spent = time.process_time() - began
    _note(f"{sum(s.image[..., 0].size for s in made) / 1e6 / spent:.2f} megapixels a second of one core")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--name", default="folder")
    parser.add_argument("--mpp", type=float, default=0.0)
    parser.add_argument("--generator", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=5)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--zoom", type=float, default=1.0)
    parser.add_argument("--tiles", type=int, default=None)
    parser.add_argument("--steps", type=int, default=GeneratorConfig().steps)
    parser.add_argument("--width", type=int, default=GeneratorConfig().width)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _mask(instances: np.ndarray) -> np.ndarray:
    """Nuclei white, a dark line between those that touch."""
    edge = np.zeros(instances.shape, bool)
    edge[:-1] |= instances[1:] != instances[:-1]
    edge[:, :-1] |= instances[:, 1:] != instances[:, :-1]
    return np.repeat(np.where((instances > 0) & ~edge, WHITE, 0).astype(np.uint8)[..., None], 3, axis=2)


def _say(step: int, values: dict[str, float]) -> None:
    if step % 10 == 0:
        _note(f"{step} " + " ".join(f"{key} {value:.3f}" for key, value in values.items()))


def _note(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    main()
