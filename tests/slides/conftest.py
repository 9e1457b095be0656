"""Slides that the tests write: pyramids of synthetic tissue, in the layouts of scanners."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

import histoscope as hs

WriteSlide = Callable[..., Path]


@pytest.fixture(scope="session")
def tissue() -> np.ndarray:
    """Give 700 x 900 px of tissue of 0.5 um on glass."""
    image = np.full((700, 900, 3), 244, np.uint8)
    image[100:612, 150:662] = hs.synth.generate((512, 512), mpp=0.5, rng=3).image
    return image


def aperio(mpp: float | None) -> str:
    """Description by which OpenSlide takes a TIFF for Aperio's."""
    known = "" if mpp is None else f"|MPP = {mpp}"
    return (
        f"Aperio Image Library v12.0.15\r\n900x700 [0,0 900x700] (240x240) JPEG/RGB Q=70|AppMag = 20{known}"
    )


def halved(image: np.ndarray) -> np.ndarray:
    """Half the size, as scanners do it: what is left over at the far edges is dropped."""
    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
    return cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="session")
def write_slide() -> WriteSlide:
    """Give a writer of pyramids, of the kinds aperio, generic, bigtiff and ome."""

    def write(
        path: Path,
        image: np.ndarray,
        *,
        kind: str = "aperio",
        mpp: float | None = 0.5,
        levels: int = 3,
        compression: str = "jpeg",
        tile: tuple[int, int] = (240, 240),
    ) -> Path:
        shared: dict[str, Any] = {"tile": tile, "compression": compression, "photometric": "rgb"}
        if compression == "jpeg":
            shared["compressionargs"] = {"level": 85, "outcolorspace": "rgb"}
        if kind == "ome":
            with tifffile.TiffWriter(path, ome=True) as file:
                about = {"axes": "YXS"}
                if mpp:
                    about |= {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
                file.write(image, subifds=levels - 1, metadata=about, **shared)
                for _ in range(levels - 1):
                    image = halved(image)
                    file.write(image, subfiletype=1, **shared)
            return path
        with tifffile.TiffWriter(path, bigtiff=kind == "bigtiff") as file:
            for level in range(levels):
                about = aperio(mpp) if kind == "aperio" else None
                resolution: dict[str, Any] = {}
                if kind != "aperio" and mpp:
                    resolution = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
                file.write(
                    image,
                    description=about,
                    metadata=None,
                    subfiletype=1 if level and kind != "aperio" else 0,
                    **shared,
                    **resolution,
                )
                if level == 0 and kind == "aperio":  # Aperio's second page is a thumbnail, in strips
                    file.write(image[::8, ::8], description=about, metadata=None, photometric="rgb")
                image = halved(image)
        return path

    return write


@pytest.fixture(scope="session")
def slide_path(write_slide: WriteSlide, tissue: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give one such slide, as Aperio writes them."""
    return write_slide(tmp_path_factory.mktemp("slides") / "a slide.svs", tissue)
