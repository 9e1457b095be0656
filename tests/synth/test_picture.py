"""Pictures: the same seed gives the same bytes, and the labels are exact."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from histoscope import synth
from histoscope.errors import ConfigError
from histoscope.synth.nuclei import keep_largest_piece
from histoscope.types import Sample

DENSE = synth.TissueSpec(density=1.3, cluster_fraction=0.3)


@pytest.fixture(scope="module")
def tissue() -> list[Sample]:
    return [synth.generate((256, 256), tissue=DENSE, rng=np.random.default_rng(k)) for k in range(6)]


def _haematoxylin(image: np.ndarray, stain: synth.StainSpec) -> np.ndarray:
    """Amount of haematoxylin by least squares on the stain's own vectors, in plain NumPy."""
    od = -np.log((image + 1.0) / (np.array(stain.glass_rgb) + 1.0))
    return (od @ np.linalg.pinv(stain.vectors().astype(float)))[..., 0]


def _same(one: Sample, two: Sample) -> bool:
    pairs = ((one.image, two.image), (one.instances, two.instances), (one.classes, two.classes))
    return all(np.array_equal(a, b) for a, b in pairs)


def test_same_seed_gives_the_same_bytes() -> None:
    one, two, other = (synth.generate((120, 90), rng=np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert _same(one, two)
    assert not np.array_equal(one.image, other.image)
    assert _same(synth.generate((40, 40)), synth.generate((40, 40)))


def test_bytes_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    many = synth.generate((300, 280), rng=np.random.default_rng(1))
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert _same(many, synth.generate((300, 280), rng=np.random.default_rng(1)))


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 90),
    columns=st.integers(1, 90),
    mpp=st.sampled_from([0.2, 0.25, 0.5, 1.0, 2.0]),
    seed=st.integers(0, 2**32),
)
def test_labels_are_exact_at_every_size(rows: int, columns: int, mpp: float, seed: int) -> None:
    sample = synth.generate((rows, columns), mpp=mpp, tissue=DENSE, rng=np.random.default_rng(seed))
    assert sample.image.shape == (rows, columns, 3)
    assert sample.image.dtype == np.uint8
    assert sample.instances.shape == (rows, columns)
    assert sample.instances.dtype == np.int32
    n = len(sample.classes) - 1
    assert np.array_equal(np.unique(sample.instances[sample.instances > 0]), np.arange(1, n + 1))
    assert sample.classes.dtype == np.uint8
    assert sample.classes[0] == 0
    assert set(sample.classes[1:].tolist()) <= set(synth.CLASSES.values())
    for label in range(1, n + 1):
        assert ndimage.label(sample.instances == label)[1] == 1


def test_all_four_classes_appear(tissue: list[Sample]) -> None:
    seen = np.concatenate([sample.classes[1:] for sample in tissue])
    assert set(seen.tolist()) == set(synth.CLASSES.values())


def test_every_nucleus_is_darker_than_the_background(tissue: list[Sample]) -> None:
    for sample in tissue:
        h = _haematoxylin(sample.image, synth.StainSpec())
        background = np.median(h[sample.instances == 0])
        means = ndimage.mean(h, sample.instances, np.arange(1, len(sample.classes)))
        assert (means > background).all()


def test_no_nucleus_was_drawn_without_a_label(tissue: list[Sample]) -> None:
    # Away from labels nothing is as dark as a lymphocyte: what is drawn is labelled.
    for sample in tissue:
        h = _haematoxylin(sample.image, synth.StainSpec())
        far = ~ndimage.binary_dilation(sample.instances > 0, iterations=4)
        assert np.quantile(h[far], 0.999) < 0.85


def test_classes_differ_in_size_shape_and_darkness() -> None:
    area, slim, dark = ({kind: [] for kind in synth.CLASSES.values()} for _ in range(3))
    for seed in range(4):
        sample = synth.generate((512, 512), tissue=DENSE, rng=np.random.default_rng(seed))
        h = _haematoxylin(sample.image, synth.StainSpec())
        for label, box in enumerate(ndimage.find_objects(sample.instances), start=1):
            mask = sample.instances[box] == label
            spread = np.sqrt(np.linalg.eigvalsh(np.cov(np.nonzero(mask))))
            kind = sample.classes[label]
            area[kind].append(mask.sum() / 16)
            slim[kind].append(spread[0] / spread[1])
            dark[kind].append(h[box][mask].mean())
    median = {
        name: {kind: np.median(v) for kind, v in table.items()}
        for name, table in {"area": area, "slim": slim, "dark": dark}.items()
    }
    epithelial, lymphocyte, spindle, plasma = (
        synth.CLASSES[k] for k in ("epithelial", "lymphocyte", "spindle", "plasma")
    )
    assert median["area"][epithelial] > 1.5 * median["area"][lymphocyte]
    assert median["area"][epithelial] > median["area"][plasma] > median["area"][lymphocyte]
    assert median["slim"][spindle] < 0.55 < 0.75 < median["slim"][lymphocyte]
    assert median["dark"][lymphocyte] > 1.15 * median["dark"][epithelial]
    assert 9 < median["area"][lymphocyte] < 20
    assert 22 < median["area"][epithelial] < 45


def test_density_grows_with_the_density_asked_for_and_then_stops() -> None:
    def count(density: float) -> int:
        tissue = synth.TissueSpec(density=density)
        return sum(
            int(
                synth.generate(
                    (200, 200), mpp=0.5, tissue=tissue, rng=np.random.default_rng(k)
                ).instances.max()
            )
            for k in range(4)
        )

    counts = [count(density) for density in (0.0, 0.25, 0.5, 1.0, 20.0)]
    assert counts[0] == 0
    assert all(a < b for a, b in itertools.pairwise(counts))
    assert counts[-1] < 20 * counts[-2]  # it did not fit, and it did not hang


def test_half_the_mpp_doubles_the_nuclei_in_pixels() -> None:
    def median_area(mpp: float, size: int) -> float:
        areas = []
        for seed in range(4):
            labels = synth.generate((size, size), mpp=mpp, rng=np.random.default_rng(seed)).instances
            areas.append(np.bincount(labels.ravel())[1:])
        return float(np.median(np.concatenate(areas)))

    assert median_area(0.25, 320) / median_area(0.5, 160) == pytest.approx(4, rel=0.12)


def test_stains_are_clearly_different() -> None:
    means = np.array(
        [synth.generate((96, 96), stain=stain).image.mean(axis=(0, 1)) for stain in synth.STAINS.values()]
    )
    apart = np.linalg.norm(means[:, None] - means[None], axis=2) + 1e3 * np.eye(len(means))
    assert len(means) >= 5
    assert apart.min() > 12


def test_stain_changes_colour_and_not_labels() -> None:
    one, two = (
        synth.generate((96, 96), stain=synth.STAINS[name], rng=np.random.default_rng(2))
        for name in ("pink", "blue")
    )
    assert np.array_equal(one.instances, two.instances)
    assert one.image[..., 0].mean() > two.image[..., 0].mean() + 10


def test_twice_the_dye_is_twice_the_density() -> None:
    optics = synth.OpticsSpec(blur_um=0, noise=0, jpeg_quality=0)
    density = []
    for amount in (0.3, 0.6):
        stain = synth.StainSpec(h_amount=amount, e_amount=amount)
        image = synth.generate((64, 64), stain=stain, optics=optics, rng=np.random.default_rng(0)).image
        density.append(-np.log(image / np.array(stain.glass_rgb)).mean())
    assert density[1] / density[0] == pytest.approx(2, rel=0.02)


def test_blur_noise_and_jpeg_do_what_they_say() -> None:
    def picture(**values: float) -> np.ndarray:
        optics = synth.OpticsSpec(**{"blur_um": 0, "noise": 0, "jpeg_quality": 0, **values})
        return synth.generate((128, 128), optics=optics, rng=np.random.default_rng(0)).image.astype(float)

    sharp = picture()
    assert np.diff(picture(blur_um=1.0), axis=0).std() < 0.7 * np.diff(sharp, axis=0).std()
    assert (picture(noise=0.03) - sharp).std() == pytest.approx(0.03 * 244 * 0.85, rel=0.15)
    assert 0.5 < np.abs(picture(jpeg_quality=60) - sharp).mean() < 10


def test_clefts_take_the_share_of_stroma_asked_for() -> None:
    def white(share: float) -> float:
        tissue = synth.TissueSpec(gland_fraction=0, cluster_fraction=0, density=0, cleft_fraction=share)
        optics = synth.OpticsSpec(blur_um=0, noise=0, jpeg_quality=0)
        images = [
            synth.generate(
                (256, 256), mpp=1.0, tissue=tissue, optics=optics, rng=np.random.default_rng(k)
            ).image
            for k in range(3)
        ]
        return float(np.mean(np.array(images).min(axis=-1) > 228))

    closed = white(0.0)
    assert closed < 0.08
    for share in (0.1, 0.3):
        assert white(share) - closed == pytest.approx(share, abs=0.08)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shape_px": (0, 5)}, "shape_px"),
        ({"shape_px": (5.0, 5)}, "whole pixels"),
        ({"shape_px": (5, 5, 3)}, "shape_px"),
        ({"shape_px": 64}, "shape_px"),
        ({"mpp": 0}, "mpp"),
        ({"mpp": float("nan")}, "mpp"),
        ({"mpp": 40}, "from 0.05"),
    ],
)
def test_wrong_arguments_say_what_was_expected(arguments: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        synth.generate(**arguments)


def test_pieces_cut_off_by_a_nucleus_in_front_are_erased() -> None:
    labels = np.zeros((7, 12), np.int32)
    labels[1:4, 0:4] = 1  # 12 pixels
    labels[1:3, 6:8] = 1  # 4 pixels, and touching only by a corner:
    labels[3, 8] = 1
    labels[5, 2:10] = 2
    sizes = keep_largest_piece(labels, 3)
    assert sizes.tolist() == [12, 8, 0]
    assert np.bincount(labels.ravel()).tolist() == [84 - 20, 12, 8]


def test_larger_piece_found_later_wins() -> None:
    labels = np.zeros((3, 9), np.int32)
    labels[0, 0] = 1
    labels[1:, 3:9] = 1
    assert keep_largest_piece(labels, 1).tolist() == [12]
    assert labels[0, 0] == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 30), st.integers(1, 5))
def test_what_is_kept_is_the_largest_piece_that_scipy_finds(seed, rows, columns, n):
    rng = np.random.default_rng(seed)
    before = rng.integers(0, n + 1, (rows, columns)).repeat(3, axis=1).astype(np.int32)
    after = before.copy()
    sizes = keep_largest_piece(after, n)
    for label in range(1, n + 1):
        pieces, _ = ndimage.label(before == label)
        largest = np.bincount(pieces.ravel())[1:].max(initial=0)
        kept, n_kept = ndimage.label(after == label)
        assert sizes[label - 1] == largest == (kept > 0).sum()
        assert n_kept == (largest > 0)
    assert np.isin(after[after > 0], before).all()
    assert (after[after > 0] == before[after > 0]).all()
