"""Time our whole StarDist, network and all, beside the stardist package; print a Markdown report.

    python benchmarks/networks.py [--rounds 5] [--sides 1024 2048] [--memory-side 4096] [--steps 20]

Both networks are made with their own defaults (2D, 32 rays, grid 2), take turns in one process, and see the
same images; the figures are medians. For training these are tissue by `histoscope.synth`. For prediction the
networks do all their work, but what they say is replaced by the truth of drawn nuclei, so that both have the
same candidates to settle, as many as a trained network has. Without tensorflow, which stardist's network
needs (``pip install stardist tensorflow-cpu``), only the work behind the networks is compared.
"""

import argparse
import gc
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geometry import alternate, draw_nuclei, memory_mb, reset_peak
from histoscope import geometry, synth
from histoscope.memory import keep_freed
from histoscope.metrics import match
from histoscope.models import predict
from histoscope.models.base import Heads
from histoscope.models.inference import tiles_of
from histoscope.models.nuclei.stardist import StarDist, by_grid
from histoscope.models.precision import AUTO, FLOAT32, has_bfloat16, resolved
from histoscope.train.config import TrainConfig
from histoscope.train.loop import fit
from histoscope.types import Image, Labels, Sample

MPP, N_RAYS, GRID = 0.25, 32, 2
PROBABILITY, OVERLAP = 0.5, 0.4
PERIOD_PX = 256
"""Nuclei come again after so many pixels; what lies where is then said by two bytes of a pixel."""
PATCH_PX, BATCH = 256, 4
NOTES = """
Behind the network: candidates, suppression, label map{settled}. stardist's tiles are as large
as ours; images come to it as float32, already normalised. PQ is that of the labels that come back.
Training draws patches, makes targets and learns, without augmentation.
"""
MEMORY = """
### Peak memory

Of a fresh process that predicts one image, in MB: in all, and above what it had before (libraries, network,
image).

| side, px | ours | stardist | ours, above | stardist, above |
|--:|--:|--:|--:|--:|"""


class Knowing(StarDist):
    """Our network, at work in vain: it says what the image's pixels tell of where they are."""

    def forward(self, image: Tensor) -> Heads:
        """Look at the image, and say the truth."""
        said = super().forward(image)
        rows, columns = image[0, :2, ::GRID, ::GRID].long() // GRID
        return {name: _truth()[name][rows, columns].permute(2, 0, 1)[None] for name in said}


class Progress:
    """When each step of a training ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def __call__(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        self.ends.append(perf_counter())

    def seconds(self) -> list[float]:
        """Of all steps but the first ones, which warm up."""
        return np.diff(self.ends)[2:].tolist()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (fewer for what takes seconds)")
    parser.add_argument("--sides", type=int, nargs="+", default=[1024, 2048], help="multiples of 256 pixels")
    parser.add_argument("--memory-side", type=int, default=4096, help="0 leaves memory out")
    parser.add_argument("--steps", type=int, default=20, help="of training, a turn; 0 leaves training out")
    parser.add_argument("--plain", action="store_true", help="our network without its mask (settle=False)")
    parser.add_argument("--memory", nargs=2, metavar=("WHO", "SIDE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    keep_freed()  # as the command line does; the rival gains by it, too
    if options.memory:
        print(*_peak(options.memory[0], int(options.memory[1]), settle=not options.plain))
        return
    rival = find_spec("tensorflow") is not None
    _print_head(options.rounds, rival=rival)
    for side in options.sides:
        _predictions(side, options.rounds, settle=not options.plain, rival=rival)
    if options.steps and rival:
        _training(options.rounds, options.steps, settle=not options.plain)
    print(NOTES.format(settled="" if options.plain else "; ours also settles outlines on a mask"))
    if options.memory_side and rival:
        print(MEMORY)
        both = [_peak_in_a_fresh_process(who, options) for who in ("ours", "stardist")]
        (ours, above), (theirs, theirs_above) = both
        print(f"| {options.memory_side} | {ours:,.0f} | {theirs:,.0f} | {above:,.0f} | {theirs_above:,.0f} |")


def _print_head(rounds: int, *, rival: bool) -> None:
    installed = ["torch", "stardist"] + [name for name in ("tensorflow", "tensorflow-cpu") if rival]
    versions = [f"{name} {version(name)}" for name in installed if _is_installed(name)]
    print(
        f"## StarDist, {N_RAYS} rays, grid {GRID}\n\n{platform.machine()}, {os.cpu_count()} cores, ", end=""
    )
    print(f"Python {platform.python_version()}, {', '.join(versions)}; medians of {rounds} turns.\n")
    if not rival:
        print("tensorflow is not installed: stardist's network cannot be timed.\n")
    seen = "bfloat16" if has_bfloat16(torch.device("cpu")) else "float32"
    print(f"Our network predicts in {seen}, theirs in float32, as either does by itself.\n")
    print("| work | ours, s | stardist, s | ratio | PQ, ours | stardist |\n|---|--:|--:|--:|--:|--:|")


def _is_installed(name: str) -> bool:
    try:
        return bool(version(name))
    except ModuleNotFoundError:  # its metadata are
        return False


@cache
def _truth() -> dict[str, Tensor]:
    """Heads of the nuclei that come again and again, each (period / grid, period / grid, C)."""
    labels = _true(PERIOD_PX)
    probability = geometry.object_probability(labels, grid=GRID)[:, :, None]
    return {
        "probability": torch.logit(torch.from_numpy(probability), eps=1e-6),
        "distances": torch.from_numpy(geometry.star_distances(labels, N_RAYS, grid=GRID)),
        "inside": torch.from_numpy(20 * np.moveaxis(by_grid(labels > 0, GRID), 0, 2) - 10),
    }


def _true(side: int) -> Labels:
    """The nuclei of a picture."""
    once = draw_nuclei(PERIOD_PX, np.random.default_rng(0))
    times = side // PERIOD_PX
    first_ids = np.arange(times**2).reshape(times, times).repeat(PERIOD_PX, 0).repeat(PERIOD_PX, 1)
    again = np.tile(once, (times, times))
    return np.where(again > 0, again + first_ids * once.max(), 0).astype(np.int32)


def _image(side: int) -> Image:
    """A picture in which each pixel says where it is."""
    image = np.zeros((side, side, 3), np.uint8)
    image[:, :, 0], image[:, :, 1] = np.mgrid[:side, :side] % PERIOD_PX
    return image


def _ours(*, settle: bool) -> Knowing:
    model = Knowing(n_rays=N_RAYS, grid=GRID, mpp=MPP, settle=settle).eval()
    model.thresholds = {"probability": PROBABILITY, "iou": OVERLAP}
    return model


def _theirs() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from stardist.models import Config2D, StarDist2D

    config = Config2D(
        n_rays=N_RAYS,
        grid=(GRID, GRID),
        n_channel_in=3,
        train_patch_size=(PATCH_PX, PATCH_PX),
        train_batch_size=BATCH,
    )
    with redirect_stdout(sys.stderr):
        model = StarDist2D(config, name="rival", basedir=None)
    model._axes_tile_overlap("YXC")  # looks at the network, which says something else from here on
    network = model.keras_model
    model.look = lambda x: type(network).predict(network, x, verbose=0)

    def predict(x: NDArray[np.float32], **_: Any) -> list[NDArray[np.float32]]:
        model.look(x)
        rows, columns = (x[0, ::GRID, ::GRID, k].astype(np.int64) // GRID for k in (0, 1))
        truth = {name: table.numpy()[rows, columns][None] for name, table in _truth().items()}
        return [1 / (1 + np.exp(-truth["probability"])), truth["distances"]]

    network.predict = predict
    return model


def _found_by_rival(model: Any, image: NDArray[np.float32]) -> Labels:
    tiles = (max(1, image.shape[0] // 1024), max(1, image.shape[1] // 1024), 1)
    found: Labels = model.predict_instances(
        image, n_tiles=tiles, prob_thresh=PROBABILITY, nms_thresh=OVERLAP, show_tile_progress=False
    )[0]
    return found


def _predictions(side: int, rounds: int, *, settle: bool, rival: bool) -> None:
    image, megapixels = _image(side), side**2 / 2**20
    ours = _ours(settle=settle)
    shown = image.astype(np.float32)
    places = torch.from_numpy(image[::GRID, ::GRID, :2].astype(np.int64) // GRID)
    heads = {k: t[places[..., 0], places[..., 1]].permute(2, 0, 1)[None] for k, t in _truth().items()}
    if not settle:
        del heads["inside"]

    def behind() -> Labels:
        return ours.decode(heads, image.shape[:2], MPP).instances

    def behind_theirs() -> Labels:
        probability = torch.sigmoid(heads["probability"][0, 0]).numpy()
        return _settled_by_rival(probability, heads["distances"][0].permute(1, 2, 0).numpy(), side)

    true = _true(side)

    def row(
        work: str, function: Callable[[], Any], other: Callable[[], Any], *, is_labels: bool = True
    ) -> None:
        scores = [match(true, found()).pq if is_labels else None for found in (function, other)]
        seconds = (time / megapixels for time in alternate(function, other, rounds))
        _row(f"{work}, {side} px, a megapixel", *seconds, *scores)

    row("behind the network", behind, behind_theirs)
    if not rival:
        return
    theirs = _theirs()
    if side <= 1024:  # in one piece
        network = StarDist(n_rays=N_RAYS, grid=GRID, mpp=MPP, settle=settle).eval()
        look, other = (lambda: list(tiles_of(network, image))), (lambda: theirs.look(shown[None]))
        row("network", look, other, is_labels=False)
    row("whole", lambda: predict(ours, image, MPP).instances, lambda: _found_by_rival(theirs, shown))


def _settled_by_rival(probability: NDArray[np.float32], distances: NDArray[np.float32], side: int) -> Labels:
    from stardist.geometry import polygons_to_label
    from stardist.nms import non_maximum_suppression

    points, scores, shapes = non_maximum_suppression(
        distances, probability, grid=(GRID, GRID), prob_thresh=PROBABILITY, nms_thresh=OVERLAP
    )
    labels: Labels = polygons_to_label(shapes, points, prob=scores, shape=(side, side))
    return labels


def _row(
    work: str, ours: float, theirs: float, pq: float | None = None, other_pq: float | None = None
) -> None:
    scores = " | ".join("" if score is None else f"{score:.3f}" for score in (pq, other_pq))
    print(f"| {work} | {ours:.3f} | {theirs:.3f} | **{theirs / ours:.1f}** | {scores} |", flush=True)


def _training(rounds: int, steps: int, *, settle: bool) -> None:
    shape = (2 * PATCH_PX, 2 * PATCH_PX)
    samples = [synth.generate(shape, mpp=MPP, rng=np.random.default_rng(seed)) for seed in range(4)]
    precisions = dict.fromkeys([FLOAT32, resolved(AUTO, "cpu")])
    ours: dict[str, list[float]] = {precision: [] for precision in precisions}
    others: list[float] = []
    theirs = _theirs()
    half: list[float] = []
    for _ in range(rounds):
        half.extend(_steps_of_ours(samples, steps, FLOAT32, settle=settle, patch_px=PATCH_PX // 2))
        for precision, seconds in ours.items():
            seconds.extend(_steps_of_ours(samples, steps, precision, settle=settle))
        others.extend(_steps_of_theirs(theirs, samples, steps))
    for precision, seconds in ours.items():
        work = f"training, ours {precision}, a step of {BATCH} patches of {PATCH_PX} px"
        _row(work, median(seconds), median(others))
    work = f"training, ours {FLOAT32}, the same field in {PATCH_PX // 2} px, as at 0.5 um/px"
    _row(work, median(half), median(others))


def _steps_of_ours(
    samples: Sequence[Sample], steps: int, precision: str, *, settle: bool, patch_px: int = PATCH_PX
) -> list[float]:
    progress = Progress()
    model = StarDist(n_rays=N_RAYS, grid=GRID, mpp=MPP, settle=settle)
    config = TrainConfig(
        steps=steps,
        batch_size=BATCH,
        patch_px=patch_px,
        accelerator="cpu",
        precision=precision,
        evaluate_every=steps,
        tensorboard=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        fit(model, samples, [], config, out=folder, on_step=progress)
    return progress.seconds()


def _steps_of_theirs(model: Any, samples: Sequence[Sample], steps: int) -> list[float]:
    from keras.callbacks import LambdaCallback

    progress = Progress()
    if not model._model_prepared:
        model.prepare_for_training()
    model.callbacks = [LambdaCallback(on_train_batch_end=progress)]
    images = [sample.image.astype(np.float32) / 255 for sample in samples]
    labels = [sample.instances for sample in samples]
    held = ([images[0][:PATCH_PX, :PATCH_PX]], [labels[0][:PATCH_PX, :PATCH_PX]])
    with redirect_stdout(sys.stderr):  # Keras draws its progress
        model.train(images, labels, validation_data=held, epochs=1, steps_per_epoch=steps)
    return progress.seconds()


def _peak(who: str, side: int, *, settle: bool) -> tuple[float, float]:
    """Largest size of this process while it predicts, and how much that is above what it had before."""
    call: Callable[[Image], Any]
    if who == "ours":
        ours = _ours(settle=settle)
        call = lambda image: predict(ours, image, MPP)  # noqa: E731
        image: Any = _image(side)
    else:
        theirs = _theirs()
        call = lambda image: _found_by_rival(theirs, image)  # noqa: E731
        image = _image(side).astype(np.float32)
    call(image[:PERIOD_PX, :PERIOD_PX])  # compiled, loaded, threads started
    gc.collect()
    reset_peak()
    before = memory_mb("VmRSS")
    call(image)
    return memory_mb("VmHWM"), memory_mb("VmHWM") - before


def _peak_in_a_fresh_process(who: str, options: argparse.Namespace) -> tuple[float, float]:
    command = [sys.executable, __file__, "--memory", who, str(options.memory_side)]
    command += ["--plain"] * options.plain
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    peak, above = done.stdout.split()[-2:]
    return float(peak), float(above)


if __name__ == "__main__":
    main()
