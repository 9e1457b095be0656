"""One image with exact labels."""

from collections.abc import Sequence

import numpy as np

from histoscope.errors import ConfigError
from histoscope.seeds import RandomSource, generator
from histoscope.synth.distractors import scatter
from histoscope.synth.layout import plan
from histoscope.synth.nuclei import draw
from histoscope.synth.render import photograph, stain_amounts
from histoscope.synth.spec import DistractorSpec, OpticsSpec, StainSpec, TissueSpec
from histoscope.types import Sample

_MPP_RANGE = (0.05, 4.0)
_MOST_PX = 65_000  # as far as JPEG goes


def generate(
    shape_px: tuple[int, int] = (256, 256),
    *,
    mpp: float = 0.25,
    stain: StainSpec | None = None,
    tissue: TissueSpec | None = None,
    optics: OpticsSpec | None = None,
    distractors: DistractorSpec | None = None,
    rng: RandomSource | None = None,
    name: str = "",
) -> Sample:
    """Draw H&E-like tissue with exact instance and class labels.

    Parameters
    ----------
    shape_px : (rows, columns)
        Size in pixels, each from 1 to 65,000.
    mpp : float
        Micrometres per pixel, from 0.05 to 4; everything is drawn in micrometres.
    stain, tissue, optics, distractors : StainSpec, TissueSpec, OpticsSpec, DistractorSpec, optional
        What to draw; None takes the defaults. `STAINS` holds named stains.
    rng : int or numpy.random.Generator, optional
        A seed draws the same image each time; None is seed 0.
    name : str
        Name of the sample.

    Returns
    -------
    Sample
        ``instances`` has ids 1 to N without gaps, each one connected piece; ``classes`` (N + 1,) uint8 holds
        1 epithelial, 2 lymphocyte, 3 spindle, 4 plasma.

    Raises
    ------
    ConfigError
        If the size or mpp is out of range.

    Examples
    --------
    >>> faint = generate((128, 128), stain=StainSpec(h_amount=0.5), rng=3)
    >>> sorted(set(faint.classes.tolist()) - {0}) != []
    True
    """
    check_size(shape_px, mpp)
    rng = generator(0 if rng is None else rng)
    stain, tissue, optics = stain or StainSpec(), tissue or TissueSpec(), optics or OpticsSpec()
    rows, columns, mpp = int(shape_px[0]), int(shape_px[1]), float(mpp)
    layout = plan(rows * mpp, columns * mpp, tissue, rng)
    drawn = draw(layout, (rows, columns), mpp, tissue, rng)
    strays = scatter(layout, distractors, rng) if distractors is not None else None
    dye = stain_amounts(layout, drawn, mpp, tissue, rng, strays)
    image = photograph(dye, stain, optics, mpp, rng, strays)
    classes = np.concatenate([[0], drawn.kind]).astype(np.uint8)
    return Sample(image=image, mpp=mpp, instances=drawn.instances, classes=classes, name=name)


def check_size(shape_px: tuple[int, int], mpp: float) -> None:
    """Refuse a size in pixels or a pixel size that cannot be drawn.

    Raises
    ------
    ConfigError
        Names the value and what was expected.
    """
    sizes = tuple(shape_px) if isinstance(shape_px, Sequence) else ()
    whole = all(isinstance(size, int | np.integer) and 1 <= size <= _MOST_PX for size in sizes)
    if len(sizes) != 2 or not whole:
        raise ConfigError(
            f"shape_px is {shape_px!r}, expected (rows, columns) in whole pixels, each from 1 to {_MOST_PX}"
        )
    low, high = _MPP_RANGE
    if not low <= mpp <= high:
        raise ConfigError(f"mpp is {mpp!r}, expected micrometres per pixel from {low} to {high}")
