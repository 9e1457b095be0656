"""Rendering: from layout and nuclei to dyes, to light, to pixels."""

from math import ceil

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from histoscope.synth._paint import develop, expose, paint_bodies, paint_nuclei, paint_tissue
from histoscope.synth._stray import paint_blots, paint_folds, paint_mucin
from histoscope.synth.bodies import bodies
from histoscope.synth.distractors import Strays
from histoscope.synth.layout import CELL_UM, MARGIN_UM, Layout, normal_quantile
from histoscope.synth.nuclei import Drawn
from histoscope.synth.spec import OpticsSpec, StainSpec, TissueSpec
from histoscope.synth.texture import noise_tiles
from histoscope.threads import over
from histoscope.types import Image

_BUCKET_UM = 10.0
_BAND = 128


def stain_amounts(
    layout: Layout,
    drawn: Drawn,
    mpp: float,
    tissue: TissueSpec,
    rng: Generator,
    strays: Strays | None = None,
) -> NDArray[np.float32]:
    """Haematoxylin and eosin at each pixel, (H, W, 2): 1 is what a usual dense nucleus holds."""
    dye = np.empty((*drawn.instances.shape, 2), dtype=np.float32)
    cells = _cells(layout, rng)
    # The gaps open where noise of this spread exceeds its quantile.
    cleft = 1.2 * normal_quantile(1 - tissue.cleft_fraction)
    knobs = np.array(
        [mpp, MARGIN_UM, CELL_UM, cleft, tissue.unevenness, *rng.uniform(0, 512, 10), tissue.basophilia],
        dtype=np.float32,
    )
    tiles = noise_tiles()
    over(paint_tissue, len(dye), _BAND, dye, layout.fields, cells, tiles, knobs)
    paint_bodies(dye, bodies(layout, tissue, rng), tiles, mpp)
    if strays is not None:
        if strays.mucin is not None:
            pools, place = strays.mucin, (mpp, MARGIN_UM, CELL_UM, float(knobs[5]))
            over(paint_mucin, len(dye), _BAND, dye, pools, tiles, place)
        paint_blots(dye, strays.blots, tiles, mpp)
    nuclei = (drawn.x_px, drawn.y_px, drawn.radii_px, drawn.look)
    over(paint_nuclei, len(drawn.kind), _BAND, dye, drawn.instances, nuclei, tiles, mpp)
    if strays is not None:
        paint_folds(dye, strays.folds, tiles, mpp)
    return dye


def photograph(
    dye: NDArray[np.float32],
    stain: StainSpec,
    optics: OpticsSpec,
    mpp: float,
    rng: Generator,
    strays: Strays | None = None,
) -> Image:
    """Light through the section (Beer-Lambert), blurred by the lens, with the sensor's noise, as 8-bit RGB.

    Notes
    -----
    The light that passes is ``I = I0 * exp(-(h * H + e * E))`` in each colour, with amounts h, e and vectors
    H, E of optical density; see Ruifrok and Johnston, Anal. Quant. Cytol. Histol. 23(4), 2001.
    """
    import cv2

    light = np.empty((*dye.shape[:2], 3), dtype=np.float32)
    vectors = stain.vectors()
    over(expose, len(dye), _BAND, light, dye, vectors)
    if strays is not None and len(strays.specks):
        _colour(light, strays, mpp)
    if optics.blur_um > 0:
        light = cv2.GaussianBlur(light, (0, 0), optics.blur_um / mpp, borderType=cv2.BORDER_REFLECT_101)
    if strays is not None and strays.unfocused is not None:
        light = _unfocused(light, strays.unfocused, strays.blur_um, mpp)
    image = np.empty(light.shape, dtype=np.uint8)
    glass = np.asarray(stain.glass_rgb, dtype=np.float32)
    seed = rng.integers(0, 2**63, dtype=np.uint64)
    over(develop, len(dye), _BAND, image, light, glass, float(optics.noise), seed)
    if optics.jpeg_quality > 0:
        options = [cv2.IMWRITE_JPEG_QUALITY, int(optics.jpeg_quality)]
        code = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1]
        image = cv2.cvtColor(np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    return image


def _colour(light: NDArray[np.float32], strays: Strays, mpp: float) -> None:
    """Let the light pass through specks of pigment and ink, too."""
    layers = np.zeros((*light.shape[:2], 2), dtype=np.float32)
    paint_blots(layers, strays.specks, noise_tiles(), mpp)
    here = np.flatnonzero(layers.max(axis=2).ravel() > 0)
    light.reshape(-1, 3)[here] *= np.exp(-layers.reshape(-1, 2)[here] @ strays.colours)


def _unfocused(
    light: NDArray[np.float32], patches: NDArray[np.float32], blur_um: float, mpp: float
) -> NDArray[np.float32]:
    """Blur the image where it is out of focus."""
    import cv2

    rows, columns = light.shape[:2]
    # From pixels to the coarse grid, whose nodes lie `CELL_UM` apart from `MARGIN_UM` outside the image.
    scale, start = mpp / CELL_UM, (0.5 * mpp + MARGIN_UM) / CELL_UM
    place = np.array([[scale, 0, start], [0, scale, start]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    share = np.asarray(cv2.warpAffine(patches, place, (columns, rows), flags=how))[..., None]
    soft = cv2.GaussianBlur(light, (0, 0), blur_um / mpp, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(light + share * (soft - light), np.float32)


def _cells(
    layout: Layout, rng: Generator
) -> tuple[NDArray[np.float32], tuple[NDArray[np.int64], NDArray[np.int64], int, float]]:
    """Row per cell (x, y, mean radius, tone, class), and a grid of buckets that lists the cells in each."""
    rows, columns = (ceil(size * CELL_UM / _BUCKET_UM) + 1 for size in layout.fields.shape[:2])
    cells = np.stack(
        [
            layout.x + MARGIN_UM,
            layout.y + MARGIN_UM,
            0.5 * (layout.long + layout.short),
            rng.random(len(layout.x)),
            layout.kind,
        ],
        axis=1,
    ).astype(np.float32)
    row = np.clip((cells[:, 1] / _BUCKET_UM).astype(np.int64), 0, rows - 1)
    column = np.clip((cells[:, 0] / _BUCKET_UM).astype(np.int64), 0, columns - 1)
    bucket = row * columns + column
    start = np.concatenate([[0], np.cumsum(np.bincount(bucket, minlength=rows * columns))]).astype(np.int64)
    return cells, (start, np.argsort(bucket, kind="stable"), columns, _BUCKET_UM)
