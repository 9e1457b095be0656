"""What fifty corrections buy: a person who knows the truth corrects nuclei of `nuclei`, and training goes on.

    python docs/make/corrections.py DATA OUT

Training images of MoNuSeg or CoNSeP in two halves; the test part is not touched. In each half nuclei are
found, and fifty edits (or `--edits`) made by the ground truth: false ones deleted, missed ones drawn. A model
that went on from these is tested on the other half, against the one that it went on from. Three people: one,
`trusting`, corrects a few nuclei on each tile and trusts the model with the rest (`--trust-model`); one,
`thorough`, corrects all of a few small regions, and confirms them; one, `complete`, outlines all nuclei.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import shapely

from histoscope import data, metrics, models
from histoscope.data import Dataset, Datasheet
from histoscope.edits import Corrections
from histoscope.export.cells import polygons_of
from histoscope.files import write_image
from histoscope.nuclei import Nuclei
from histoscope.tables import read_table, write_table
from histoscope.train.evaluation import evaluate
from histoscope.types import Sample

MPP, SEED = 0.25, 0
SCORES = ("aji", "pq", "f1_50", "dice")


class Mistake(NamedTuple):
    """Nuclei that are wrong together: rows of found ones to delete, outlines to draw."""

    delete: tuple[int, ...]
    draw: tuple[Any, ...]

    @property
    def edits(self) -> int:
        """How many edits mend it."""
        return len(self.delete) + len(self.draw)


def main() -> None:
    """Write tables of scores and print what the corrections bought."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="MoNuSeg or CoNSeP, as a folder of ours")
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--people", nargs="+", default=["trusting", "thorough"])
    parser.add_argument("--halves", nargs="+", type=int, default=[0, 1], help="halves that are corrected")
    parser.add_argument("--edits", type=int, default=50, help="in each half")
    parser.add_argument("--region-um", type=float, default=48.0, help="side of a region that is confirmed")
    parser.add_argument("--set", nargs="*", default=[], help="settings of training")
    given = parser.parse_args()
    tiles = data.split_published(data.open("folder", given.data, mpp=MPP)).train
    halves = [data.subset(tiles, range(half, len(tiles), 2)) for half in (0, 1)]
    before = _scores(given.out / "before.csv", [(given.model, half) for half in halves])
    for person in given.people:
        taught = [(_taught(halves[half], person, given, half), halves[1 - half]) for half in given.halves]
        after = _scores(given.out / f"{person}.csv", taught)
        same = before[before["name"].isin(after["name"])]
        by = "patient" if after["patient"].notna().all() and after["patient"].ne("").all() else "name"
        rows = []
        for score in SCORES:
            gap = metrics.compare(after, same, score, cluster=by)
            found = {"before": same[score].mean(), "after": after[score].mean(), "difference": gap.difference}
            about = {"diff_low": gap.low, "diff_high": gap.high, "p": gap.p_permutation, "n": gap.n}
            rows.append({"score": score, **found, **about})
            print(f"{person} {score}: {found['before']:.3f} -> {found['after']:.3f}, {gap}", flush=True)
        write_table(given.out / f"{person}_scores.csv", pd.DataFrame(rows).round(4))


def _scores(path: Path, pairs: Sequence[tuple[str | Path, Dataset]]) -> pd.DataFrame:
    """Scores of each model on its tiles, made once."""
    if not path.is_file():
        write_table(path, pd.concat([evaluate(models.load(model), tiles) for model, tiles in pairs]))
    return read_table(path)


def _taught(half: Dataset, person: str, given: argparse.Namespace, number: int) -> Path:
    """Model that went on from the corrections of a person on half of the tiles."""
    out = given.out / f"{person}_{number}"
    if not (out / "mine").exists():
        if person == "complete":
            data.write_folder(out / "mine", list(half), Datasheet("truth", mpp=MPP))
        else:
            _corrected(half, person, given, out)
    changes = [word for change in (f"out={out / 'run'}", *given.set) for word in ("--set", change)]
    _call("train", "--from", given.model, "--data", out / "mine", *changes)
    return out / "run" / "model"


def _corrected(half: Dataset, person: str, given: argparse.Namespace, out: Path) -> None:
    """Write what `from-edits` makes of a person's corrections."""
    for sample in half:
        write_image(out / "images" / f"{sample.name}.png", sample.image, mpp=sample.mpp)
    _call("predict", given.model, out / "images", out / "found", "--only", "geojson")
    if person == "trusting":
        _correct_here_and_there(half, out / "found", given.edits)
    else:
        _correct_regions(half, out / "found", given.edits, given.region_um)
    trust = ["--trust-model"] if person == "trusting" else []
    _call("data", "from-edits", out / "found", out / "mine", *trust)


def _correct_here_and_there(half: Dataset, found: Path, edits: int) -> None:
    """Mend mistakes by chance, one on each tile in turn."""
    rng, left = np.random.default_rng(SEED), edits
    known = [
        (Corrections(found / f"{sample.name}.geojson"), list(mistakes(sample, found))) for sample in half
    ]
    for _, wrong in known:
        rng.shuffle(wrong)
    while left and any(wrong for _, wrong in known):
        for corrections, wrong in known:
            if wrong and wrong[-1].edits <= left:
                left -= mend(corrections, wrong[-1])
            del wrong[-1:]
    print(f"{edits - left} edits on {len(half)} tiles", flush=True)


def _correct_regions(half: Dataset, found: Path, edits: int, region_um: float) -> None:
    """Mend all of a small region and confirm it, region by region, by chance."""
    side, left, regions = region_um / MPP, edits, 0
    places = [(k, x, y) for k in range(len(half)) for x, y in np.ndindex(*_regions(half[k], side))]
    for index, x, y in np.random.default_rng(SEED).permutation(places):
        sample, region = half[int(index)], shapely.box(x * side, y * side, (x + 1) * side, (y + 1) * side)
        wrong = list(mistakes(sample, found, region))
        if sum(one.edits for one in wrong) > left:
            break
        corrections = Corrections(found / f"{sample.name}.geojson")
        left -= sum(mend(corrections, one) for one in wrong)
        corrections.add("confirm", "truth", polygon_px=list(region.exterior.coords))
        regions += 1
    print(f"{edits - left} edits in {regions} regions of {region_um:g} um", flush=True)


def _regions(sample: Sample, side: float) -> tuple[int, int]:
    """How many whole regions a tile has across and down."""
    height, width = sample.image.shape[:2]
    return int(width // side), int(height // side)


def mend(corrections: Corrections, mistake: Mistake) -> int:
    """Make the edits of a mistake; how many they are."""
    for row in mistake.delete:
        corrections.add("delete", "truth", row=row)
    for shape in mistake.draw:
        corrections.add("draw", "truth", polygon_px=list(shape.exterior.coords))
    return mistake.edits


def mistakes(sample: Sample, found: Path, region: Any = None) -> Iterator[Mistake]:
    """False and missed nuclei of a tile, those that touch each other together."""
    table = Corrections(found / f"{sample.name}.geojson").found.table
    seen = shapely.from_wkb(table["geometry"].to_numpy())
    true = polygons_of(Nuclei.from_labels(sample.instances, mpp=sample.mpp))
    true = np.array(
        [max(shapely.get_parts(one), key=shapely.area) for one in true if not one.is_empty], object
    )
    t, s = shapely.STRtree(seen).query(true, predicate="intersects")
    common = shapely.area(shapely.intersection(true[t], seen[s]))
    both = shapely.area(true[t]) + shapely.area(seen[s]) - common
    right = common / both > 0.5
    false, missed = (
        np.setdiff1d(np.arange(len(all_)), known[right]) for all_, known in ((seen, s), (true, t))
    )
    shapes = np.concatenate([seen[false], true[missed]])
    if not len(shapes):
        return
    for group in _touching(shapes):
        if region is None or shapely.intersects(shapes[group], region).any():
            rows = tuple(int(false[k]) for k in group if k < len(false))
            yield Mistake(rows, tuple(true[missed[k - len(false)]] for k in group if k >= len(false)))


def _touching(shapes: Any) -> Iterator[list[int]]:
    """Groups of polygons that share more than an edge, directly or through others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, b = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    deep = shapely.area(shapely.intersection(shapes[a], shapes[b])) > 0.1 * shapely.area(shapes[a])
    n = len(shapes)
    _, group = connected_components(
        coo_array((np.ones(deep.sum()), (a[deep], b[deep])), (n, n)), directed=False
    )
    for k in range(group.max() + 1):
        yield np.flatnonzero(group == k).tolist()


def _call(*words: object) -> None:
    """Run a verb of the command line, as a person would."""
    subprocess.run([sys.executable, "-m", "histoscope", *map(str, words)], check=True)


if __name__ == "__main__":
    main()
