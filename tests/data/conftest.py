"""Miniature data sets in the layouts of their publishers, drawn from discs."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from histoscope.files import write_image, write_labels
from histoscope.types import Sample

SHAPE = (48, 64)
Polygons = Sequence[Sequence[tuple[float, float]]]


def draw(seed: int = 0, shape: tuple[int, int] = SHAPE, n: int = 5) -> Sample:
    """Pink noise with purple discs, numbered in the order in which they were drawn; every id has pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    instances = np.zeros(shape, np.int32)
    centres = [(8 + 10 * k % (shape[0] - 16), 8 + 11 * k) for k in range(n)]
    for number, (row, column) in enumerate(centres, start=1):
        instances[(y - row) ** 2 + (x - column) ** 2 <= rng.uniform(9, 16)] = number
    coarse = rng.integers(150, 250, (shape[0] // 8, shape[1] // 8, 3))
    image = np.kron(coarse, np.ones((8, 8, 1), int))
    image[instances > 0] = (110, 60, 140)
    classes = np.concatenate([[0], np.arange(n) % 2 + 1]).astype(np.uint8)
    return Sample(
        image=image.astype(np.uint8),
        mpp=0.5,
        instances=instances,
        classes=classes,
        name=f"tile{seed}",
        source=f"slide{seed}",
        patient=f"patient{seed // 2}",
    )


def write_index(path: Path, rows: Sequence[dict[str, object]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _square(x: float, y: float) -> list[tuple[float, float]]:
    return [(x - 5.5, y - 5.5), (x + 5.5, y - 5.5), (x + 5.5, y + 5.5), (x - 5.5, y + 5.5)]


@pytest.fixture
def write_aperio() -> Callable[[Path, Polygons], None]:
    """Write polygons as Aperio ImageScope does."""

    def write(path: Path, polygons: Polygons) -> None:
        regions = "".join(
            f'<Region Id="{k}" Type="0" NegativeROA="0"><Attributes/><Vertices>'
            + "".join(f'<Vertex X="{x:.6f}" Y="{y:.6f}"/>' for x, y in polygon)
            + "</Vertices></Region>"
            for k, polygon in enumerate(polygons, start=1)
        )
        path.write_text(
            '<Annotations MicronsPerPixel="0.252500"><Annotation Id="1"><Regions>'
            f"{regions}</Regions><Plots/></Annotation></Annotations>"
        )

    return write


@pytest.fixture
def folder_tree(tmp_path: Path) -> Path:
    """Six tiles of three patients in our own layout without dataset.yaml; the third is published as test."""
    root = tmp_path / "own"
    (root / "classes").mkdir(parents=True)
    rows = []
    for k in range(6):
        sample = draw(k)
        write_image(root / "images" / f"{sample.name}.jpg", sample.image)
        write_labels(root / "labels" / f"{sample.name}.png", sample.instances)
        write_labels(
            root / "classes" / f"{sample.name}.png", sample.classes[sample.instances].astype(np.int32)
        )
        rows.append(
            {
                "image_id": sample.name,
                "split": ("train", "train", "test")[k // 2],
                "patient": sample.patient,
                "site": "AB"[k % 2],
                "n_nuclei": 5,
            }
        )
    write_index(root / "index.csv", rows)
    (root / "classes.json").write_text('{"1": "round", "2": "long"}')
    return root


@pytest.fixture
def monuseg_tree(tmp_path: Path, write_aperio: Callable[[Path, Polygons], None]) -> Path:
    """The unpacked training and test archives side by side."""
    import tifffile

    root = tmp_path / "MoNuSeg"
    train, test = root / "MoNuSeg 2018 Training Data", root / "MoNuSegTestData"
    for folder in (train / "Tissue Images", train / "Annotations", test):
        folder.mkdir(parents=True)
    places = {
        "TCGA-A7-A13E-01Z-00-DX1": (train / "Tissue Images", train / "Annotations"),
        "TCGA-18-5592-01Z-00-DX1": (train / "Tissue Images", train / "Annotations"),
        "TCGA-HC-7209-01A-01-TS1": (test, test),
    }
    for k, (name, (images, annotations)) in enumerate(places.items()):
        tifffile.imwrite(images / f"{name}.tif", draw(k).image)
        write_aperio(annotations / f"{name}.xml", [_square(20, 20), _square(40, 20)])
    return root


@pytest.fixture
def dsb_tree(tmp_path: Path) -> Path:
    """Two training images with masks (RGBA, as published) and a test image without."""
    from PIL import Image as Pillow

    root = tmp_path / "dsb"
    for k, part in enumerate(("stage1_train", "stage1_train", "stage1_test")):
        sample = draw(k)
        folder = root / part / f"{k:064x}"
        (folder / "images").mkdir(parents=True)
        opaque = np.full((*SHAPE, 1), 255, np.uint8)
        Pillow.fromarray(np.concatenate([sample.image, opaque], axis=2)).save(
            folder / "images" / f"{folder.name}.png"
        )
        if part == "stage1_train":
            (folder / "masks").mkdir()
            for number in range(1, 6):
                mask = np.where(sample.instances == number, 255, 0).astype(np.uint8)
                Pillow.fromarray(mask).save(folder / "masks" / f"mask{number}.png")
    return root


@pytest.fixture
def class_tree(tmp_path: Path) -> Path:
    """Patches in a folder per class."""
    root = tmp_path / "patches"
    for k in range(6):
        write_image(root / ("tumour" if k % 2 else "normal") / f"p{k}.png", draw(k).image)
    return root


@pytest.fixture
def truncate() -> Callable[[Path], None]:
    """Cut a file in the middle, as an interrupted download leaves it."""

    def cut(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return cut


@pytest.fixture
def tile() -> Callable[..., Sample]:
    """Draw a tile with discs, their ids and two classes (see `draw`)."""
    return draw
