"""A cohort of slides by every way of starting, with workers killed and frozen: the same bytes, and the time.

    python benchmarks/cohort_ways.py make SLIDES --tiles data/monuseg/images data/tnbc/images [--n 200]
    python benchmarks/cohort_ways.py WAY SLIDES OUT [--model nuclei-free]

WAY is one of

    one      one process
    workers  --workers 2
    claim    three calls with --claim; one is killed, one is frozen and goes on when the others have ended
    ray      three nodes of Ray on this machine; one is killed (needs the extra `ray`)
    slurm    the printed script as an array of three (needs a SLURM, and OUT on its disk)
    s3       --workers 2, the slides read from a server of S3 (needs moto and the extra `s3`)

`make` writes pyramids of 4,000 to 12,000 px from real tiles, two to six in each, on glass. Of 25 slides, one
is cut off, one is empty, one is a text, and one has a tile that does not decode. Each way prints a row:
seconds, and a digest of all results (tables, polygons, pictures; not of times), which should not differ.
"""

import argparse
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile

TILE_PX, MPP, GLASS = 256, 0.25, 243
LEVELS = (1, 4, 16)
CALL = [sys.executable, "-m", "histoscope"]


def make(folder: Path, tiles: list[Path], n: int) -> None:
    """Write the slides."""
    folder.mkdir(parents=True)
    paths = sorted(path for root in tiles for path in root.iterdir() if path.suffix in {".jpg", ".png"})
    for k in range(n):
        rng = np.random.default_rng(k)
        path = folder / f"P{k // 2:03d}-{k % 2}.{('svs', 'tif')[k % 2]}"
        height, width = (int(side) // 256 * 256 for side in rng.integers(4000, 12001, 2))
        canvas = np.full((height, width, 3), GLASS, np.uint8)
        for _ in range(int(rng.integers(2, 7))):
            tile = cv2.imread(str(paths[rng.integers(len(paths))]))[:1024, :1024, ::-1]
            top, left = (int(rng.integers(side - 1024)) for side in (height, width))
            canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
        write_slide(path, canvas)
        damage(path, k % 25)


def write_slide(path: Path, canvas: np.ndarray) -> None:
    """Write a pyramid of JPEG tiles; glass is encoded once."""
    glass = encoded(np.full((TILE_PX, TILE_PX, 3), GLASS, np.uint8))
    about = f"Aperio Image Library v12\r\n{canvas.shape[1]}x{canvas.shape[0]}|MPP = {MPP}"
    with tifffile.TiffWriter(path) as file:
        for step in LEVELS:
            small = cv2.resize(canvas, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
            file.write(
                tiles_of(small, glass),
                shape=small.shape,
                dtype=np.uint8,
                tile=(TILE_PX, TILE_PX),
                compression="jpeg",
                photometric="ycbcr",
                subsampling=(2, 2),
                description=about if path.suffix == ".svs" else None,
                metadata=None,
                subfiletype=1 if step > 1 and path.suffix != ".svs" else 0,
                resolution=(1e4 / MPP / step, 1e4 / MPP / step),
                resolutionunit="CENTIMETER",
            )
            if path.suffix == ".svs" and step == 1:
                file.write(canvas[:256, :256], photometric="rgb", description=about, metadata=None)


def tiles_of(image: np.ndarray, glass: bytes) -> Iterator[bytes]:
    """Encode the tiles of a level, row by row."""
    for top in range(0, image.shape[0], TILE_PX):
        for left in range(0, image.shape[1], TILE_PX):
            tile = image[top : top + TILE_PX, left : left + TILE_PX]
            if (tile == GLASS).all():
                yield glass
            else:
                full = np.full((TILE_PX, TILE_PX, 3), GLASS, np.uint8)
                full[: tile.shape[0], : tile.shape[1]] = tile
                yield encoded(full)


def encoded(tile: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(tile, level=90, subsampling="420"))


def damage(path: Path, k: int) -> None:
    """Break four slides of 25."""
    data = path.read_bytes()
    if k == 5:
        path.write_bytes(data[: len(data) // 2])
    elif k == 11:
        path.write_bytes(b"")
    elif k == 17:
        path.write_text("this is no slide\n")
    elif k == 23:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            largest = int(np.argmax(page.databytecounts))
            begin, n = page.dataoffsets[largest], page.databytecounts[largest]
        path.write_bytes(data[:begin] + b"\0" * n + data[begin + n :])


def predict(slides: str, out: Path, model: str, *options: str) -> list[str]:
    """Words of a call."""
    return [*CALL, "predict", model, slides, str(out), *options]


def begun(words: list[str], log: Path) -> subprocess.Popen:
    """Start a call that writes a log."""
    with log.open("ab") as file:
        return subprocess.Popen(words, stdout=file, stderr=file)


def waited(is_so: Callable[[], object], what: str, seconds: float = 600) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            raise SystemExit(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)


def n_done(out: Path) -> int:
    """How many slides have a row."""
    rows = out / ".ledger" / "rows"
    return len(list(rows.iterdir())) if rows.is_dir() else 0


def one(slides: Path, out: Path, model: str, log: Path) -> None:
    begun(predict(str(slides), out, model), log).wait()


def workers(slides: Path, out: Path, model: str, log: Path) -> None:
    begun(predict(str(slides), out, model, "--workers", "2"), log).wait()


def claim(slides: Path, out: Path, model: str, log: Path) -> None:
    calls = [begun(predict(str(slides), out, model, "--claim"), log) for _ in range(3)]
    claims = out / ".ledger" / "claims"
    waited(lambda: n_done(out) >= 10 and len(busy(claims)) >= 2, "two that work")
    killed, frozen = sorted(busy(claims))[:2]
    os.kill(killed, signal.SIGKILL)
    os.kill(frozen, signal.SIGSTOP)
    for call in calls:
        if call.pid != frozen:
            call.wait()
    os.kill(frozen, signal.SIGCONT)
    next(call for call in calls if call.pid == frozen).wait()


def busy(claims: Path) -> set[int]:
    """Processes that have a claim."""
    found = set()
    for path in claims.glob("*") if claims.is_dir() else ():
        try:
            found.add(json.loads(path.read_text())["pid"])
        except (OSError, ValueError):
            continue
    return found


def ray(slides: Path, out: Path, model: str, log: Path) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    os.environ["RAY_ADDRESS"] = cluster.address
    call = begun(predict(str(slides), out, model, "--workers", "ray"), log)
    waited(lambda: n_done(out) >= 10, "ten slides")
    cluster.remove_node(nodes[0], allow_graceful=False)
    call.wait()
    cluster.shutdown()


def slurm(slides: Path, out: Path, model: str, log: Path) -> None:
    array = ["slurm", "--tasks", "3", "--gpus", "0", "--cpus", "1", "--time", "120"]
    call = predict(str(slides), out, model)[len(CALL) :]
    script = subprocess.run([*CALL, *array, *call], check=True, capture_output=True, text=True).stdout
    words = ["sbatch", "--parsable", f"--output={log}", "--open-mode=append"]
    job = subprocess.run(words, input=script, check=True, capture_output=True, text=True).stdout.strip()
    waited(lambda: n_done(out) >= 10, "ten slides")
    subprocess.run(["scancel", "--signal=KILL", f"{job}_1"], check=True)  # a task is lost
    queue = ["squeue", "--noheader", f"--jobs={job}"]
    waited(
        lambda: not subprocess.run(queue, check=False, capture_output=True, text=True).stdout, "the end", 7200
    )


def s3(slides: Path, out: Path, model: str, log: Path) -> None:
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a"}
    os.environ["AWS_ENDPOINT_URL"] = url = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
    client.create_bucket(Bucket="lab")
    for path in sorted(slides.iterdir()):
        client.upload_file(str(path), "lab", f"slides/{path.name}")
    begun(predict("s3://lab/slides/", out, model, "--workers", "2"), log).wait()
    server.stop()


def digest(out: Path) -> tuple[str, int]:
    """Digest of all results but times, and how many files there are."""
    whole, n = hashlib.sha256(), 0
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out)
        if path.is_file() and name.name != "timings.csv" and not any(part[0] == "." for part in name.parts):
            whole.update(f"{name}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
            n += 1
    return whole.hexdigest()[:16], n


WAYS = {way.__name__: way for way in (one, workers, claim, ray, slurm, s3)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("way", choices=["make", *WAYS])
    parser.add_argument("slides", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--tiles", type=Path, nargs="+", help="folders of tiles at 0.25 um/px, for make")
    parser.add_argument("--n", type=int, default=200, help="slides, for make")
    parser.add_argument("--model", default="nuclei-free")
    given = parser.parse_args()
    if given.way == "make":
        make(given.slides, given.tiles, given.n)
        return
    begin = time.perf_counter()
    WAYS[given.way](given.slides, given.out, given.model, given.out.with_suffix(".log"))
    seconds = time.perf_counter() - begin
    table = (given.out / "summary.csv").read_text().splitlines()
    found, n = digest(given.out)
    print("| way | slides | seconds | files | digest |\n|---|--:|--:|--:|---|")
    print(f"| {given.way} | {len(table) - 1} | {seconds:.0f} | {n:,} | {found} |")


if __name__ == "__main__":
    main()
