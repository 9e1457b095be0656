"""Time StarDist's own package on a whole slide; print a row of JSON.

    python benchmarks/slides_rivals.py SLIDE.svs --tiles MONUSEG [--steps 300] [--keep FOLDER]

It runs where ``stardist`` and ``tensorflow`` are installed, beside ``tifffile`` and ``imagecodecs``;
Histoscope is not needed. ``benchmarks/slides.py --rivals PYTHON`` runs it on each of its slides.

The weights of ``2D_versatile_he`` lie on a hub. Without them, a network of the same size (32 rays, grid 2,
U-Net of depth 3 with 32 filters) is trained by the package itself on sixteen tiles with their labels, at
0.5 um/px, for a few minutes: it then finds about as many nuclei as there are. So time and memory tell, and
the number of nuclei only that the work after the network is of the same size. The slide is read whole, as
the method asks for, at 0.5 um/px.
"""

import argparse
import json
import resource
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

MPP = 0.5
SIDE_PX = 1024
"""Of the tiles, at 0.25 um/px."""
BLOCK_PX, OVERLAP_PX, CONTEXT_PX, N_TILES = 4096, 128, 128, (4, 4, 1)
"""As in the example of the method's own documentation."""


def halved(image: np.ndarray) -> np.ndarray:
    """The mean of two by two pixels."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    pixels = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1)
    return pixels.mean(axis=(1, 3)).astype(np.uint8)


def pairs_of(folder: Path, n: int = 16) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images and label maps of the first tiles of a folder with ``images`` and ``labels``, at 0.5 um/px."""
    import imagecodecs
    from stardist import fill_label_holes

    images, labels = [], []
    for path in sorted((folder / "images").glob("*.jpg"))[:n]:
        image = imagecodecs.imread(path)[:SIDE_PX, :SIDE_PX]
        truth = imagecodecs.imread(folder / "labels" / f"{path.stem}.png")[:SIDE_PX, :SIDE_PX]
        small = halved(image).astype(np.float32) / 255
        images.append(small)
        labels.append(fill_label_holes(truth[::2, ::2].astype(np.int32))[: small.shape[0], : small.shape[1]])
    return images, labels


def network_of(tiles: Path, folder: Path, steps: int) -> Any:
    """A StarDist of the size of ``2D_versatile_he``, trained if it is not in the folder."""
    import tensorflow as tf
    from stardist.models import Config2D, StarDist2D

    if (folder / "stardist" / "weights_best.h5").exists():
        return StarDist2D(None, name="stardist", basedir=str(folder))
    tf.keras.utils.set_random_seed(0)
    config = Config2D(
        n_rays=32,
        n_channel_in=3,
        grid=(2, 2),
        unet_n_depth=3,
        unet_n_filter_base=32,
        net_conv_after_unet=128,
        train_patch_size=(128, 128),
        train_batch_size=4,
        train_epochs=max(steps // 100, 1),
        train_steps_per_epoch=100,
        train_tensorboard=False,
    )
    model = StarDist2D(config, name="stardist", basedir=str(folder))
    images, labels = pairs_of(tiles)
    model.train(images, labels, validation_data=(images[:2], labels[:2]))
    return model


def read_half(path: Path) -> np.ndarray:
    """The slide at half its resolution, read in strips."""
    import tifffile
    import zarr

    level = zarr.open(tifffile.imread(path, aszarr=True, level=0), mode="r")
    level = level if hasattr(level, "shape") else level["0"]
    out = np.empty((level.shape[0] // 2, level.shape[1] // 2, 3), np.uint8)
    for top in range(0, level.shape[0], 1024):
        out[top // 2 : (top + 1024) // 2] = halved(level[top : top + 1024])
    return out


def scaled() -> Any:
    """A normaliser to [0, 1], block by block, as the network learned it."""
    from csbdeep.data import NoNormalizer

    class Scaled(NoNormalizer):  # type: ignore[misc]
        def before(self, image: np.ndarray, axes: str) -> np.ndarray:
            return image.astype(np.float32) / 255

    return Scaled()


def main() -> None:
    """Time one slide."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--tiles", type=Path, required=True, help="folder with images and labels")
    parser.add_argument("--steps", type=int, default=300, help="of training")
    parser.add_argument("--keep", type=Path, default=Path(), help="folder of the trained network")
    given = parser.parse_args()
    try:
        import stardist  # noqa: F401
        import tensorflow  # noqa: F401
    except ImportError as error:
        raise SystemExit(f"left out, {error}") from None
    model = network_of(given.tiles, given.keep, given.steps)
    model.predict_instances(np.zeros((256, 256, 3), np.float32))  # compiled before the clock runs
    begin, cpu = perf_counter(), process_time()
    image = read_half(given.slide)
    read = perf_counter()
    _, found = model.predict_instances_big(
        image,
        axes="YXC",
        block_size=(BLOCK_PX, BLOCK_PX, None),
        min_overlap=(OVERLAP_PX, OVERLAP_PX, None),
        context=(CONTEXT_PX, CONTEXT_PX, None),
        n_tiles=N_TILES,
        normalizer=scaled(),
        labels_out=False,
        show_progress=False,
    )
    end = perf_counter()
    row = {
        "nuclei": len(found["points"]),
        "seconds": end - begin,
        "cpu_s": process_time() - cpu,
        "read_s": read - begin,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
