"""Time whole slides, from the file to the table of nuclei; print a Markdown report.

    python benchmarks/slides.py --tiles FOLDER [--blocks 5 15] [--kinds aperio generic] [--model nuclei-free]
        [--alone] [--mpp 0.25] [--levels 1 4 16] [--rivals PYTHON ...]

A slide is made of real tiles of 0.25 um/px (1024 px a side are taken of each), laid in blocks of 4096 px
that are tissue within a disc and glass outside. Each block is the same, so that a slide of 61,440 px is
written in seconds; a network does not notice. ``cpu_s`` are seconds of the processor, which tell more than
seconds where others work beside. Each run is a process of its own, so that its peak of memory is its own.
``--mpp 0.25`` gives the same network pixels of that size: its cost is right, its nuclei are not.
``--rivals`` takes the Pythons of environments with other packages, see ``benchmarks/slides_rivals.py``; the
folder of tiles then has ``images``, ``labels`` and ``index.csv``.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import cv2
import imagecodecs
import numpy as np
import tifffile

BLOCK_PX, TILE_PX, MPP = 4096, 256, 0.25
GLASS = 243


def block_of(folder: Path) -> np.ndarray:
    """4096 x 4096 px of the first sixteen images of a folder."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".png", ".tif", ".jpg"})
    out, row, column = np.empty((BLOCK_PX, BLOCK_PX, 3), np.uint8), 0, 0
    for path in paths * 16:
        image = cv2.imread(str(path))
        if image is None or min(image.shape[:2]) < 700:
            continue
        tile = cv2.copyMakeBorder(image[:1024, :1024, ::-1], 0, 1024, 0, 1024, cv2.BORDER_REFLECT_101)
        out[row : row + 1024, column : column + 1024] = tile[:1024, :1024]
        row, column = (row, column + 1024) if column + 1024 < BLOCK_PX else (row + 1024, 0)
        if row == BLOCK_PX:
            return out
    raise SystemExit(f"no image of 700 px or more in {folder}")


def encoded(image: np.ndarray, compression: str) -> list[list[bytes]]:
    """Tiles of an image, ready to be written."""

    def encode(tile: np.ndarray) -> bytes:
        if compression == "jpeg":
            return bytes(imagecodecs.jpeg8_encode(tile, level=85, subsampling="420"))
        return bytes(imagecodecs.jpeg2k_encode(tile, level=35, codecformat="j2k", mct=False))

    height, width = image.shape[:2]
    return [
        [
            encode(np.ascontiguousarray(image[y : y + TILE_PX, x : x + TILE_PX]))
            for x in range(0, width, TILE_PX)
        ]
        for y in range(0, height, TILE_PX)
    ]


def is_tissue(row: int, column: int, blocks: int) -> bool:
    """Whether a block lies in the disc."""
    middle = (blocks - 1) / 2
    return bool(np.hypot(row - middle, column - middle) <= 0.45 * blocks)


def laid(tissue: list[list[bytes]], glass: bytes, blocks: int) -> Iterator[bytes]:
    """Tiles of a level, row by row."""
    n = len(tissue)
    for r in range(n * blocks):
        for c in range(n * blocks):
            yield tissue[r % n][c % n] if is_tissue(r // n, c // n, blocks) else glass


def write_slide(
    path: Path, block: np.ndarray, blocks: int, *, kind: str, compression: str, levels: Sequence[int]
) -> None:
    """Write a pyramid of so many blocks a side."""
    side = blocks * BLOCK_PX
    tags = {"jpeg": 7, "jpeg2000": 33005}
    with tifffile.TiffWriter(path, bigtiff=True, ome=kind == "ome") as file:
        for step in levels:
            small = cv2.resize(block, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
            tissue = encoded(small, compression)
            glass = encoded(np.full_like(small[:TILE_PX, :TILE_PX], GLASS), compression)[0][0]

            about = f"Aperio Image Library v12\r\n{side}x{side}|MPP = {MPP}" if kind == "aperio" else None
            metadata = {"axes": "YXS", "PhysicalSizeX": MPP, "PhysicalSizeY": MPP} if kind == "ome" else None
            file.write(
                laid(tissue, glass, blocks),
                shape=(side // step, side // step, 3),
                dtype=np.uint8,
                tile=(TILE_PX, TILE_PX),
                compression=tags[compression],
                photometric="ycbcr" if compression == "jpeg" else "rgb",
                subsampling=(2, 2) if compression == "jpeg" else None,
                description=about,
                metadata=metadata,
                subifds=len(levels) - 1 if kind == "ome" and step == 1 else None,
                subfiletype=1 if step > 1 and kind != "aperio" else 0,
                resolution=(1e4 / MPP, 1e4 / MPP),
                resolutionunit="CENTIMETER",
            )
            if kind == "aperio" and step == 1:
                thumbnail = np.full((256, 256, 3), GLASS, np.uint8)
                file.write(thumbnail, photometric="rgb", description=about, metadata=None)


def detector_of(model: str, mpp: float | None) -> Any:
    """A model; at another resolution, the same network with the same weights."""
    from histoscope import models
    from histoscope.predict import Detector

    detector = Detector.open(model)
    if mpp is None:
        return detector
    network = models.create("stardist", **{**detector.network.arguments, "mpp": mpp})
    network.load_state_dict(detector.network.state_dict())
    network.thresholds = dict(detector.network.thresholds)
    return Detector(network.eval(), detector.normalizer)


def one(path: Path, out: Path, model: str, only: str, mpp: float | None) -> dict[str, float]:
    """Predict one slide in this process; what it took."""
    from histoscope.memory import keep_freed
    from histoscope.predict.slides import part as part_module
    from histoscope.predict.slides.finish import write_slide as write_results
    from histoscope.predict.slides.parts import plan_parts
    from histoscope.predict.slides.run import plan_of, predict_slide
    from histoscope.predict.slides.stains import Sample, recolor_of
    from histoscope.predict.slides.store import STAINS, Store
    from histoscope.slides import open_slide
    from histoscope.slides.tissue import find_tissue

    keep_freed()  # as the command line does
    shutil.rmtree(out, ignore_errors=True)
    detector = detector_of(model, mpp)
    slide = open_slide(path)
    times = {"network": 0.0, "cpu": 0.0}
    gather = part_module.gather

    def timed(*arguments: Any) -> Any:
        begin, cpu = perf_counter(), process_time()
        found = gather(*arguments)
        times["network"] += perf_counter() - begin
        times["cpu"] += process_time() - cpu
        return found

    part_module.gather = timed
    begin, cpu = perf_counter(), process_time()
    mpp = detector.network.spec.mpp
    if only == "network":  # nothing beside it
        tissue, _ = find_tissue(slide)
        out.mkdir(parents=True, exist_ok=True)
        recolor = recolor_of(Sample.of(slide, tissue, mpp), detector.normalizer, out / STAINS)
        divisor = detector.network.spec.divisible_by
        for part in plan_parts(slide.size_at(mpp), tissue, mpp, part_px=4096, divisor=divisor):
            if part.region is not None:
                pixels = part_module.read_part(slide, part, detector.network.spec, recolor)
                timed(pixels, detector, tissue)
        return {"network_s": times["network"], "cpu_s": times["cpu"]}
    with Store.hold(out, plan_of(slide, detector)) as store:
        found = predict_slide(slide, detector, store)
        predicted = perf_counter()
        write_results(slide, found)
    end = perf_counter()
    return {
        "nuclei": found.n_rows,
        "tissue_mm2": round(found.tissue.area_mm2, 2),
        "seconds": end - begin,
        "cpu_s": process_time() - cpu,
        "predict_s": predicted - begin,
        "write_s": end - predicted,
        "network_s": times["network"],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "s_per_mm2": (end - begin) / max(found.tissue.area_mm2, 1e-9),
    }


def run(path: Path, out: Path, model: str, only: str = "", mpp: float | None = None) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--one", str(path), str(out), "--model", model, "--only", only]
    command += [] if mpp is None else ["--mpp", str(mpp)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def rival(python: Path, path: Path, tiles: Path, keep: Path) -> str:
    """What another package takes, or why it could not run."""
    script = Path(__file__).with_name("slides_rivals.py")
    command = [str(python), str(script), str(path), "--tiles", str(tiles), "--keep", str(keep)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        return f"{python}: {done.stderr.strip().splitlines()[-1]}"
    found = json.loads(done.stdout.splitlines()[-1])
    part = "".join(
        f", {key[:-2]} {found[key]:.1f} s" for key in ("read_s", "network_s", "merge_s") if key in found
    )
    return (
        f"{found['name']}: {found['nuclei']:,} nuclei in {found['seconds']:.1f} s{part}; "
        f"{found['cpu_s']:.1f} s of the processor; peak {found['peak_mb']:,.0f} MB"
    )


def main() -> None:
    """Run the comparison that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tiles", type=Path, help="folder of real tiles of 0.25 um/px")
    parser.add_argument("--blocks", type=int, nargs="+", default=[5], help="4096 px each, a side")
    parser.add_argument("--kinds", nargs="+", default=["aperio"], choices=["aperio", "generic", "ome"])
    parser.add_argument("--compressions", nargs="+", default=["jpeg"], choices=["jpeg", "jpeg2000"])
    parser.add_argument("--model", default="nuclei-free")
    parser.add_argument("--mpp", type=float, help="of the network, in place of its own")
    parser.add_argument("--alone", action="store_true", help="also time the network with nothing beside it")
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 4, 16], help="of the pyramid")
    parser.add_argument("--rivals", type=Path, nargs="+", default=[], metavar="PYTHON")
    parser.add_argument("--keep", type=Path, help="folder for slides and results")
    parser.add_argument("--one", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one[0], given.one[1], given.model, given.only, given.mpp)))
        return
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {given.model}\n")
    names = ["slide", "px", "MB", "nuclei", "tissue_mm2", "s", "s/mm2", "network_s", "alone_s", "ratio"]
    names += ["writing_s", "peak_MB", "cpu_s", "alone_cpu_s"]
    print("| " + " | ".join(names) + " |")
    print("|---" + "|--:" * (len(names) - 1) + "|")
    block = block_of(given.tiles)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write_slide(folder / "small.svs", block, 1, kind="aperio", compression="jpeg", levels=given.levels)
        run(folder / "small.svs", folder / "small", given.model)  # loops are compiled once, and kept
        for blocks in given.blocks:
            for kind in given.kinds:
                for compression in given.compressions:
                    name = f"{kind}-{compression}-{blocks * BLOCK_PX}"
                    path = folder / f"{name}.{'svs' if kind == 'aperio' else 'tif'}"
                    if not path.exists():
                        write_slide(
                            path, block, blocks, kind=kind, compression=compression, levels=given.levels
                        )
                    alone = {"network_s": np.nan, "cpu_s": np.nan}
                    if given.alone:
                        alone = run(path, folder / name, given.model, "network", given.mpp)
                    row = run(path, folder / name, given.model, mpp=given.mpp)
                    cells = [name, blocks * BLOCK_PX, round(path.stat().st_size / 1e6)]
                    cells += [f"{row['nuclei']:,}", row["tissue_mm2"], round(row["seconds"], 1)]
                    cells += [round(row["s_per_mm2"], 2), round(row["network_s"], 1)]
                    cells += [round(alone["network_s"], 1)]
                    cells += [
                        round(row["seconds"] / alone["network_s"], 2),
                        round(row["write_s"], 1),
                        round(row["peak_mb"]),
                        round(row["cpu_s"], 1),
                        round(alone["cpu_s"], 1),
                    ]
                    print("| " + " | ".join(map(str, cells)) + " |", flush=True)
                    for python in given.rivals:
                        print(rival(python, path, given.tiles, folder), flush=True)


if __name__ == "__main__":
    main()
