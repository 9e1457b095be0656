"""Time other packages on a whole slide, from the file to the nuclei; print a row of JSON.

    python benchmarks/slides_rivals.py SLIDE.svs --tiles MONUSEG [--keep FOLDER]

What is installed in the environment that it runs in is taken: ``stardist`` with ``tensorflow``, or
``cellseg_models_pytorch``; both beside ``tifffile`` and ``imagecodecs``. The second takes its targets from
``histoscope.geometry``, the first needs nothing of Histoscope. ``benchmarks/slides.py --rivals PYTHON ...``
runs it on each of its slides.

Published weights lie on hubs. Without them, a network of the published kind is trained on tiles with their
labels, at 0.5 um/px, for some minutes: it then finds about as many nuclei as there are. So time and memory
tell, and the number of nuclei only that the work after the network is of the same size.

``stardist``: one of the size of ``2D_versatile_he`` (32 rays, grid 2, U-Net of depth 3 with 32 filters);
the slide is read whole, as the method asks for. ``cellseg_models_pytorch``: StarDist with an EfficientNet-B5,
as on its hub; it reads a level, so the slide needs one of 0.5 um/px (``--levels 1 2 8``); tissue by its own
mask, tiles of 512 px that overlap by a tenth, one file a tile, merged at the end.
"""

import argparse
import csv
import json
import os
import resource
import shutil
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

MPP = 0.5
SIDE_PX = 1024
"""Of the tiles, at 0.25 um/px."""
BLOCK_PX, OVERLAP_PX, CONTEXT_PX, N_TILES = 4096, 128, 128, (4, 4, 1)
"""As in the example of StarDist's own documentation."""
PATCH_PX, BATCH = 128, 4
"""Of training."""
TILE_PX, TILE_OVERLAP, TILES_AT_ONCE = 512, 0.1, 4


def halved(image: np.ndarray) -> np.ndarray:
    """The mean of two by two pixels."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    pixels = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1)
    return pixels.mean(axis=(1, 3)).astype(np.uint8)


def pairs_of(folder: Path, n: int = 16) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images and label maps of the first tiles for training, at 0.5 um/px."""
    import imagecodecs

    with (folder / "index.csv").open(encoding="utf-8") as file:
        names = [row["image_id"] for row in csv.DictReader(file) if row["split"] == "train"]
    images, labels = [], []
    for name in names[:n]:
        image = imagecodecs.imread(folder / "images" / f"{name}.jpg")[:SIDE_PX, :SIDE_PX]
        truth = imagecodecs.imread(folder / "labels" / f"{name}.png")[:SIDE_PX, :SIDE_PX]
        small = halved(image).astype(np.float32) / 255
        images.append(small)
        labels.append(truth[::2, ::2].astype(np.int32)[: small.shape[0], : small.shape[1]])
    return images, labels


def stardist_network(tiles: Path, folder: Path, steps: int) -> Any:
    """A StarDist of the size of ``2D_versatile_he``, trained if it is not in the folder."""
    import tensorflow as tf
    from stardist import fill_label_holes
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
        train_patch_size=(PATCH_PX, PATCH_PX),
        train_batch_size=BATCH,
        train_epochs=max(steps // 100, 1),
        train_steps_per_epoch=100,
        train_tensorboard=False,
    )
    model = StarDist2D(config, name="stardist", basedir=str(folder))
    images, labels = pairs_of(tiles)
    labels = [fill_label_holes(each) for each in labels]
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


def by_stardist(slide: Path, tiles: Path, keep: Path, steps: int) -> dict[str, Any]:
    """``predict_instances_big`` of StarDist's package."""
    model = stardist_network(tiles, keep, steps)
    model.predict_instances(np.zeros((256, 256, 3), np.float32))  # compiled before the clock runs
    begin, cpu = perf_counter(), process_time()
    image = read_half(slide)
    read = perf_counter()
    block = min(BLOCK_PX, *image.shape[:2])
    _, found = model.predict_instances_big(
        image,
        axes="YXC",
        block_size=(block, block, None),
        min_overlap=(OVERLAP_PX, OVERLAP_PX, None),
        context=(CONTEXT_PX, CONTEXT_PX, None),
        n_tiles=N_TILES,
        normalizer=scaled(),
        labels_out=False,
        show_progress=False,
    )
    row = {"nuclei": len(found["points"]), "read_s": read - begin}
    return row | {"seconds": perf_counter() - begin, "cpu_s": process_time() - cpu}


def csmp_network(tiles: Path, folder: Path, steps: int) -> Any:
    """StarDist of ``cellseg_models_pytorch``, trained if it is not in the folder."""
    import torch
    from cellseg_models_pytorch.models.stardist import StarDist

    from histoscope.geometry import object_probability, star_distances

    weights = folder / "csmp.pt"
    model = StarDist(n_nuc_classes=2, n_rays=32, enc_pretrain=False, device=torch.device("cpu"))
    if weights.exists():
        model.model.load_state_dict(torch.load(weights))
    else:
        torch.manual_seed(0)
        rng, (images, labels) = np.random.default_rng(0), pairs_of(tiles)
        optimizer = torch.optim.AdamW(model.model.parameters(), 1e-3)
        for step in range(steps):
            batch = []
            for k in rng.integers(0, len(images), BATCH):
                y, x = (rng.integers(0, side - PATCH_PX) for side in labels[k].shape)
                window = np.s_[y : y + PATCH_PX, x : x + PATCH_PX]
                truth = labels[k][window]
                maps = object_probability(truth)[None], star_distances(truth, 32).transpose(2, 0, 1)
                batch.append(
                    [torch.from_numpy(np.array(m)) for m in (images[k][window].transpose(2, 0, 1), *maps)]
                )
            pixels, probability, distances = (torch.stack(each) for each in zip(*batch, strict=True))
            found = model.model(pixels)["nuc"]
            inside = probability > 0
            rays = (found.aux_map - distances).abs() * probability  # centres count most, as in StarDist
            loss = torch.nn.functional.mse_loss(found.binary_map, probability) + 0.2 * rays.mean()
            loss = loss + 0.1 * torch.nn.functional.cross_entropy(found.type_map, inside[:, 0].long())
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.model.parameters(), 1.0)
            optimizer.step()
            if step % 20 == 0:
                print(f"step {step}: loss {loss.item():.3f}", file=sys.stderr, flush=True)
        torch.save(model.model.state_dict(), weights)
    model.set_inference_mode(mixed_precision=False)
    return model


def by_csmp(slide: Path, tiles: Path, keep: Path, steps: int) -> dict[str, Any]:
    """``WsiSegmenter`` of ``cellseg_models_pytorch``."""
    import geopandas
    import torch
    from cellseg_models_pytorch.inference.wsi_segmenter import WsiSegmenter
    from cellseg_models_pytorch.wsi import SlideReader

    model, out = csmp_network(tiles, keep, steps), keep / "csmp"
    shutil.rmtree(out, ignore_errors=True)
    with torch.no_grad():  # loops are compiled before the clock runs
        noise = torch.rand(1, 3, TILE_PX, TILE_PX, generator=torch.Generator().manual_seed(0))
        model.post_process(model.predict(noise))
    predict, network = model.predict, 0.0

    def timed(pixels: Any) -> Any:
        nonlocal network
        begin = perf_counter()
        found = predict(pixels)
        network += perf_counter() - begin
        return found

    model.predict = timed
    begin, cpu = perf_counter(), process_time()
    reader = SlideReader(slide)
    factor = round(MPP / reader.pixel_size[0])
    level = next(k for k, (down, _) in reader.level_downsamples.items() if round(down) == factor)
    _, tissue = reader.get_tissue_mask()
    places = reader.get_tile_coordinates(
        TILE_PX * factor, tissue_mask=tissue, overlap=TILE_OVERLAP, max_background=0.95
    )
    segmenter = WsiSegmenter(reader, model, level, places.coordinates, batch_size=TILES_AT_ONCE)
    segmenter.segment(out / "tiles")
    done = perf_counter()
    segmenter.merge_instances(out / "tiles", out / "cells.parquet")
    row = {"seconds": perf_counter() - begin, "cpu_s": process_time() - cpu, "network_s": network}
    return row | {
        "merge_s": perf_counter() - done,
        "nuclei": len(geopandas.read_parquet(out / "cells.parquet")),
    }


RIVALS = {
    "tensorflow": ("stardist", by_stardist, 300),
    "cellseg_models_pytorch": ("cellseg_models_pytorch", by_csmp, 60),
}
"""By the module that tells whether it can run here; steps of training."""


def main() -> None:
    """Time one slide."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--tiles", type=Path, required=True, help="folder with images, labels and index.csv")
    parser.add_argument("--keep", type=Path, default=Path(), help="folder of the trained network")
    given = parser.parse_args()
    for module, (name, timed, steps) in RIVALS.items():
        if find_spec(module) is None:
            continue
        row = timed(given.slide, given.tiles, given.keep, steps)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            json.dumps({"name": f"{name} {version(name)}", "cores": os.cpu_count(), **row, "peak_mb": peak})
        )
        return
    raise SystemExit(f"none of {', '.join(RIVALS)} is installed in {sys.prefix}")


if __name__ == "__main__":
    main()
