"""Layout: nuclei keep apart, lie where their tissue is, and cost grows with area alone."""

import numpy as np
import pytest

from histoscope.synth import _kernels
from histoscope.synth.layout import CELL_UM, DEPTH, LUMEN, MARGIN_UM, Layout, plan
from histoscope.synth.spec import CLASSES, TissueSpec
from histoscope.synth.texture import noise_tiles


@pytest.fixture(scope="module")
def layout() -> Layout:
    return plan(300.0, 260.0, TissueSpec(cluster_fraction=0.3), np.random.default_rng(0))


def _field(layout: Layout, which: int, kind: str) -> np.ndarray:
    chosen = layout.kind == CLASSES[kind]
    row = ((layout.y[chosen] + MARGIN_UM) / CELL_UM).astype(int)
    column = ((layout.x[chosen] + MARGIN_UM) / CELL_UM).astype(int)
    return layout.fields[row, column, which]


def test_epithelium_lies_in_glands_and_the_rest_outside(layout: Layout) -> None:
    assert (_field(layout, DEPTH, "epithelial") > 0).all()
    assert (_field(layout, LUMEN, "epithelial") < 0).all()
    for kind in ("lymphocyte", "spindle", "plasma"):
        assert (_field(layout, DEPTH, kind) < 0).all()


def test_centres_keep_apart(layout: Layout) -> None:
    centres = np.stack([layout.x, layout.y], axis=1)
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2) + 1e3 * np.eye(len(centres))
    least = 0.84 * (layout.short[:, None] + layout.short[None])
    assert (apart >= least - 1e-3).all()


def test_spindle_nuclei_follow_the_fibres(layout: Layout) -> None:
    spindle = layout.kind == CLASSES["spindle"]
    assert (layout.long[spindle] / layout.short[spindle]).mean() > 2
    row = ((layout.y[spindle] + MARGIN_UM) / CELL_UM).astype(int)
    column = ((layout.x[spindle] + MARGIN_UM) / CELL_UM).astype(int)
    dy, dx = (gradient[row, column] for gradient in np.gradient(layout.fields[..., 2]))
    across = np.abs(np.cos(layout.angle[spindle]) * dx + np.sin(layout.angle[spindle]) * dy) / np.hypot(
        dx, dy
    )
    assert np.median(across) < 0.25


@pytest.mark.parametrize("wanted", [0, 1, 50])
def test_placing_stops_at_what_is_wanted_or_what_fits(wanted: int) -> None:
    n = 400
    rng = np.random.default_rng(1)
    shape = np.empty((5, n), np.float32)
    shape[:2] = rng.uniform(0, 20, (2, n))  # room for about twenty
    shape[2:4], shape[4] = 2.0, 0.0
    kept = _kernels.place(shape, np.array([0, n]), np.array([wanted]), np.array([3, 3]), 8.0)
    assert len(kept) == min(wanted, len(kept))
    assert len(kept) == wanted or 12 < len(kept) < 40
    distance = np.linalg.norm(shape[:2, kept][:, :, None] - shape[:2, kept][:, None], axis=0)
    assert (distance + 99 * np.eye(len(kept)) >= 0.84 * 4 - 1e-3).all()


def test_noise_tiles_wrap_and_are_normal() -> None:
    tiles = noise_tiles()
    np.testing.assert_allclose(tiles.mean(axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(tiles.std(axis=(1, 2)), 1, rtol=1e-4)
    for x, y in ((0.3, 0.7), (511.6, 12.2), (-3.4, 1024.9)):
        here = _kernels.sample(tiles[0], x, y)
        assert _kernels.sample(tiles[0], x + 512, y - 1024) == pytest.approx(here, abs=1e-4)
    assert _kernels.sample(tiles[1], 7.0, 9.0) == tiles[1, 9, 7]
    assert not tiles.flags.writeable


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_shares_of_area_are_as_asked(share: float) -> None:
    def fields(**values: float) -> np.ndarray:
        tissue = TissueSpec(density=0, **values)
        return np.concatenate([plan(600, 600, tissue, np.random.default_rng(k)).fields for k in range(3)])

    assert (fields(gland_fraction=share)[..., DEPTH] > 0).mean() == pytest.approx(share, abs=0.08)
    clusters = fields(gland_fraction=0, cluster_fraction=share)[..., 4]
    assert (clusters > 0.5).mean() == pytest.approx(share, abs=0.06)
