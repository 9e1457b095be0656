"""Time augmentation beside other libraries, the loader, and how long training waits for it; print Markdown.

    python benchmarks/augment.py [--rounds 60] [--only libraries parts loader waiting]

Same work means: turn and flip, rotation, zoom, elastic deformation, brightness, contrast, saturation, hue,
blur and noise, all on every patch, of image and instance map together, from a crop with the context that
rotation needs to a square. The elastic deformations of other libraries run at their own default smoothness,
which is faster for them than ours would be. All take turns in one process on one thread; the figures are
medians of processor time. Libraries that are not installed are left out (``pip install
albumentations==2.0.8 kornia``).
"""

import argparse
import os
import platform
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from statistics import median
from time import perf_counter, process_time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope import synth
from histoscope.augment import AUGMENTATIONS, AugmentParams, apply, augment, margin_px, sample_params
from histoscope.augment.color import add_noise, blur, recolor
from histoscope.types import Sample

Pipeline = Callable[[NDArray[np.uint8], NDArray[np.int32]], Any]
MPP = 0.25
ALWAYS = replace(
    AUGMENTATIONS["strong"],
    **{f"{part}_chance": 1.0 for part in ("affine", "elastic", "color", "blur", "noise")},
)
DEGREES, ZOOM, SHIFT, SPACING = 45.0, (1 / 1.4, 1.4), 24.0, 64  # "strong" in pixels


def main() -> None:
    parts: dict[str, Callable[..., None]] = {
        "libraries": libraries,
        "parts": ours_by_part,
        "loader": loader,
        "waiting": waiting,
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60, help="turns of each (default 60)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the network, while it trains")
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ", end="")
    print(f"NumPy {np.__version__}, OpenCV {cv2.__version__}; medians of {options.rounds} turns.")
    for name in options.only:
        extra = (options.threads,) if name == "waiting" else ()
        parts[name](options.rounds, *extra)


# --------------------------------------------------------------------------------------------- libraries


def libraries(rounds: int) -> None:
    """Print a table: the same pipeline in each library."""
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    makers = {
        "Histoscope (one fused map and matrix on OpenCV)": histoscope_pipeline,
        "OpenCV, one call for each augmentation": opencv_pipeline,
        "albumentations": albumentations_pipeline,
        "torchvision v2": torchvision_pipeline,
        "kornia": kornia_pipeline,
        "scikit-image + SciPy": skimage_pipeline,
    }
    sizes = (128, 256)
    times: dict[str, list[float]] = {}
    for size in sizes:
        sample = crop_with_margin(size)
        pipelines: dict[str, Pipeline] = {}
        for name, make in makers.items():
            try:
                pipelines[name] = make(size)
            except ImportError:
                print(f"\n({name} is not installed)")
        for name, seconds in in_turns(pipelines, (sample.image, sample.instances), rounds).items():
            times.setdefault(name, []).append(seconds * 1e3)
    first = next(iter(times.values()))
    print("\n## The same pipeline, one thread\n")
    print("| library | 128 px, ms | 256 px, ms | times ours |\n|---|--:|--:|--:|")
    for name, (small, large) in times.items():
        print(f"| {name} | {small:.2f} | {large:.2f} | {small / first[0]:.1f} / {large / first[1]:.1f} |")


def histoscope_pipeline(size: int) -> Pipeline:
    rng = np.random.default_rng(0)

    def run(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> Any:
        return augment(Sample(image, MPP, labels), ALWAYS, rng, size_px=size)

    return run


def opencv_pipeline(size: int) -> Pipeline:
    rng = np.random.default_rng(0)

    def warp(pixels: Any, matrix: Any, x: Any, y: Any, way: int) -> Any:
        pixels = np.ascontiguousarray(np.rot90(pixels))
        shape = pixels.shape[1::-1]
        pixels = cv2.warpAffine(pixels, matrix, shape, flags=way, borderMode=cv2.BORDER_REFLECT_101)
        pixels = cv2.remap(pixels, x, y, way, borderMode=cv2.BORDER_REFLECT_101)
        edge = (shape[0] - size) // 2
        return pixels[edge : edge + size, edge : edge + size]

    def run(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> Any:
        height, width = labels.shape
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-45, 45), rng.uniform(*ZOOM))
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        grid = rng.uniform(-SHIFT, SHIFT, (2, height // SPACING + 3, width // SPACING + 3)).astype(np.float32)
        dx, dy = (cv2.resize(shift, (width, height), interpolation=cv2.INTER_CUBIC) for shift in grid)
        x, y = x + dx, y + dy
        out = warp(image, matrix, x, y, cv2.INTER_LINEAR)
        ids = warp(labels.astype(np.float32), matrix, x, y, cv2.INTER_NEAREST).astype(np.int32)
        hsv = cv2.cvtColor(out, cv2.COLOR_RGB2HSV).astype(np.float32)
        hsv[:, :, 0] = (hsv[:, :, 0] + rng.uniform(-10, 10)) % 180
        hsv[:, :, 1:] *= rng.uniform(0.7, 1.3, 2)
        out = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
        mean = float(out.mean())
        out = cv2.convertScaleAbs(out, alpha=1.1, beta=-0.1 * mean)
        out = cv2.GaussianBlur(out, (0, 0), 1.2)
        noisy = out + rng.normal(0, 6, out.shape)
        return np.clip(noisy, 0, 255).astype(np.uint8), ids

    return run


def albumentations_pipeline(size: int) -> Pipeline:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations as A  # noqa: N812  # as its manual does

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transform = A.Compose(
            [
                A.D4(p=1.0),
                A.Affine(scale=ZOOM, rotate=(-DEGREES, DEGREES), border_mode=cv2.BORDER_REFLECT_101, p=1.0),
                A.ElasticTransform(alpha=500.0, approximate=True, p=1.0),
                A.CenterCrop(size, size),
                A.ColorJitter((0.75, 1.25), (0.75, 1.25), (0.6, 1.4), (-0.055, 0.055), p=1.0),
                A.GaussianBlur(sigma_limit=(0.1, 2.4), p=1.0),
                A.GaussNoise(std_range=(0.0, 0.047), p=1.0),
            ],
            seed=0,
        )
    return lambda image, labels: transform(image=image, mask=labels)


def torchvision_pipeline(size: int) -> Pipeline:
    import torch
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    affine = v2.RandomAffine(DEGREES, scale=ZOOM, interpolation=v2.InterpolationMode.BILINEAR)
    transform = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            affine,
            v2.ElasticTransform(),
            v2.CenterCrop(size),
            v2.ColorJitter(0.25, 0.25, 0.4, 0.055),
            v2.GaussianBlur(9, (0.1, 2.4)),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.GaussianNoise(sigma=0.024),
            v2.ToDtype({tv_tensors.Image: torch.uint8, "others": None}, scale=True),
        ]
    )

    def run(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> Any:
        pixels = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1))
        return transform(pixels, tv_tensors.Mask(torch.from_numpy(labels)))

    return run


def kornia_pipeline(size: int) -> Pipeline:
    import torch
    from kornia import augmentation as K  # noqa: N812  # as its manual does

    transform = K.AugmentationSequential(
        K.RandomHorizontalFlip(),
        K.RandomVerticalFlip(),
        K.RandomAffine(DEGREES, scale=ZOOM, p=1.0),
        K.RandomElasticTransform(p=1.0),
        K.CenterCrop(size),
        K.ColorJitter(0.25, 0.25, 0.4, 0.055, p=1.0),
        K.RandomGaussianBlur((9, 9), (0.1, 2.4), p=1.0),
        K.RandomGaussianNoise(std=0.024, p=1.0),
        data_keys=["input", "mask"],
    )

    def run(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> Any:
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        out, ids = transform(pixels, torch.from_numpy(labels)[None, None].float())
        return (out * 255).clamp(0, 255).to(torch.uint8), ids.to(torch.int32)

    return run


def skimage_pipeline(size: int) -> Pipeline:
    from scipy import ndimage
    from skimage import color, transform, util

    rng = np.random.default_rng(0)

    def run(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> Any:
        image, labels = np.rot90(image), np.rot90(labels)
        shape = labels.shape
        out_shape = (size, size)
        turn = transform.AffineTransform(
            scale=rng.uniform(*ZOOM), rotation=np.deg2rad(rng.uniform(-45, 45))
        ).params[:2, :2]
        rows, columns = np.indices(out_shape, np.float32) - (size - 1) / 2
        shift = rng.uniform(-1, 1, (2, size // SPACING + 4, size // SPACING + 4))
        zoomed = (ndimage.zoom(s, SPACING, order=3)[:size, :size] for s in shift)
        dy, dx = (SHIFT * s for s in zoomed)
        x = turn[0, 0] * columns + turn[0, 1] * rows + dx + shape[1] / 2
        y = turn[1, 0] * columns + turn[1, 1] * rows + dy + shape[0] / 2
        out = np.stack(
            [ndimage.map_coordinates(image[:, :, k], (y, x), order=1, mode="mirror") for k in range(3)], 2
        )
        ids = ndimage.map_coordinates(labels, (y, x), order=0, mode="mirror")
        hsv = color.rgb2hsv(out)
        hsv[:, :, 0] = (hsv[:, :, 0] + rng.uniform(-0.05, 0.05)) % 1
        hsv[:, :, 1:] = np.clip(hsv[:, :, 1:] * rng.uniform(0.75, 1.25, 2), 0, 1)
        rgb = color.hsv2rgb(hsv)
        rgb = (rgb - rgb.mean()) * rng.uniform(0.75, 1.25) + rgb.mean()
        rgb = ndimage.gaussian_filter(rgb, (1.2, 1.2, 0))
        rgb = util.random_noise(np.clip(rgb, 0, 1), "gaussian", rng=rng, var=0.024**2)
        return util.img_as_ubyte(rgb), ids

    return run


# -------------------------------------------------------------------------------------------------- parts


def ours_by_part(rounds: int) -> None:
    """Print a table: what each augmentation alone costs us."""
    cv2.setNumThreads(1)
    drawn = sample_params(ALWAYS, np.random.default_rng(0))
    geometry = {"turns": drawn.turns, "flip": True}
    alone = {
        "turn and flip": AugmentParams(**geometry),
        "rotation and zoom": AugmentParams(angle_deg=drawn.angle_deg, zoom=drawn.zoom, **geometry),
        "with elastic": AugmentParams(angle_deg=20, zoom=1.1, elastic_seed=1, **geometry),
    }
    rows: dict[str, list[float]] = {}
    for size in (128, 256):
        sample = crop_with_margin(size)
        patch = augment(sample, ALWAYS, np.random.default_rng(0), size_px=size).image
        work: dict[str, Callable[[], Any]] = {
            name: lambda p=params: apply(sample, ALWAYS, p, size_px=size)  # noqa: B023
            for name, params in alone.items()
        }
        work["colour"] = lambda: recolor(patch, drawn)  # noqa: B023
        work["blur, 2.4 px"] = lambda: blur(patch, 2.4)  # noqa: B023
        work["noise"] = lambda: add_noise(patch, 9.0, 3)  # noqa: B023
        work['preset "default", mean'] = mean_of_draws(sample, "default", size)
        work['preset "strong", mean'] = mean_of_draws(sample, "strong", size)
        for name, seconds in in_turns(work, (), rounds).items():
            rows.setdefault(name, []).append(seconds * 1e3 / (20 if "mean" in name else 1))
    print("\n## Ours by part, image and instances, one thread\n")
    print("| part | 128 px, ms | 256 px, ms |\n|---|--:|--:|")
    for name, (small, large) in rows.items():
        print(f"| {name} | {small:.2f} | {large:.2f} |")


def mean_of_draws(sample: Sample, preset: str, size: int) -> Callable[[], None]:
    rng = np.random.default_rng(0)

    def run() -> None:
        for _ in range(20):
            augment(sample, AUGMENTATIONS[preset], rng, size_px=size)

    return run


# ------------------------------------------------------------------------------------- loader and training


def loader(rounds: int) -> None:
    """Print a table: patches a second from the loader, with nothing else to do."""
    from histoscope import models
    from histoscope.train.loader import make_loader

    samples, model = training_samples(), models.create("unet", width=2, depth=1)
    print("\n## Loader alone: patches a second (batch 8, targets of the region models)\n")
    print("| patch | augmentation | workers | patches/s | ms a patch |\n|---|---|--:|--:|--:|")
    for size in (128, 256):
        for preset in ("none", "default", "strong"):
            for workers in (0, 1, 2):
                options = {"patch_px": size, "batch_size": 8, "augment": AUGMENTATIONS[preset]}
                batches = iter(
                    make_loader(samples, model.targets, steps=rounds + 8, workers=workers, **options)
                )
                consume(islice(batches, 4))
                start = perf_counter()
                consume(islice(batches, rounds))
                each = (perf_counter() - start) / (8 * rounds)
                print(f"| {size} px | {preset} | {workers} | {1 / each:.0f} | {1e3 * each:.2f} |")
                del batches


def waiting(rounds: int, threads: int) -> None:
    """Print a table: share of its time that a small U-Net waits for its next batch."""
    import torch

    from histoscope import models
    from histoscope.train.loader import make_loader

    torch.set_num_threads(threads)
    samples = training_samples()
    print(f"\n## Training a U-Net, batch 8 x 128 px, on {threads} threads\n")
    print("| width, depth | loader | step, ms | of it waiting | steps a minute |\n|---|---|--:|--:|--:|")
    for width, depth in ((8, 4), (16, 4)):
        model = models.create("unet", width=width, depth=depth, mpp=MPP)
        model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters())
        for name, workers in (("in the loop", None), ("thread", 0), ("1 process", 1), ("2 processes", 2)):
            made = make_loader(
                samples,
                model.targets,
                patch_px=128,
                batch_size=8,
                steps=rounds + 8,
                augment=AUGMENTATIONS["strong"],
                workers=workers or 0,
            )
            batches = iter(made) if workers is not None else (made.batch(k) for k in made.steps)
            waited, total = [], []
            for step in range(rounds + 4):
                start = perf_counter()
                batch = next(batches)
                ready = perf_counter()
                losses = model.loss(model(batch.image), batch.target)
                losses["total"].backward()
                optimizer.step()
                optimizer.zero_grad()
                if step >= 4:
                    waited.append(ready - start)
                    total.append(perf_counter() - start)
            share, each = sum(waited) / sum(total), sum(total) / len(total)
            print(f"| {width}, {depth} | {name} | {1e3 * each:.0f} | {100 * share:.1f} % | {60 / each:.0f} |")
            del batches


# -------------------------------------------------------------------------------------------------- pieces


def crop_with_margin(size: int) -> Sample:
    side = size + 2 * margin_px(ALWAYS, size, MPP)
    return synth.generate((side, side), mpp=MPP, rng=np.random.default_rng(0))


def training_samples() -> list[Sample]:
    return [synth.generate((512, 512), mpp=MPP, rng=np.random.default_rng(k)) for k in range(4)]


def in_turns(
    work: dict[str, Callable[..., Any]], arguments: tuple[Any, ...], rounds: int
) -> dict[str, float]:
    """Median processor seconds of each, after two turns that do not count."""
    times: dict[str, list[float]] = {name: [] for name in work}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in range(rounds + 2):
            for name, run in work.items():
                start = process_time()
                run(*arguments)
                if k >= 2:
                    times[name].append(process_time() - start)
    return {name: median(taken) for name, taken in times.items()}


def consume(batches: Iterable[Any]) -> None:
    for _ in batches:
        pass


if __name__ == "__main__":
    main()
