import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.metrics import contingency_table

from histoscope.errors import ShapeError
from histoscope.metrics import Overlap, aji, match, overlap, per_image

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=12)
IDS = st.sampled_from([0, 0, 0, 1, 2, 3, 65535, 65536, 2**31 - 1])
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*[arrays(np.int32, shape, elements=IDS)] * 2))


def slow_table(true, pred):
    """Count pixels of each (true id, pred id) pair, background included, as a dict, one pixel at a time."""
    counts: dict[tuple[int, int], int] = {}
    for pair in zip(true.ravel().tolist(), pred.ravel().tolist(), strict=True):
        counts[pair] = counts.get(pair, 0) + 1
    return counts


def as_dict(table: Overlap):
    """Write an `Overlap` as `slow_table` does, from every part of it."""
    counts = {}
    for row, column, shared in zip(table.true_index, table.pred_index, table.pixels, strict=True):
        counts[int(table.true_ids[row]), int(table.pred_ids[column])] = int(shared)
    on_background = [
        areas - np.bincount(index, table.pixels, len(areas)).astype(int)
        for areas, index in ((table.true_areas, table.true_index), (table.pred_areas, table.pred_index))
    ]
    counts |= {(int(k), 0): int(n) for k, n in zip(table.true_ids, on_background[0], strict=True) if n}
    counts |= {(0, int(k)): int(n) for k, n in zip(table.pred_ids, on_background[1], strict=True) if n}
    return counts | ({(0, 0): table.background} if table.background else {})


@given(PAIRS)
def test_equals_counting_pixel_by_pixel(maps):
    table = overlap(*maps)
    assert as_dict(table) == slow_table(*maps)
    assert table.n_pixels == maps[0].size
    for ids, areas, labels in (
        (table.true_ids, table.true_areas, maps[0]),
        (table.pred_ids, table.pred_areas, maps[1]),
    ):
        assert dict(zip(ids.tolist(), areas.tolist(), strict=True)) == {
            k: int((labels == k).sum()) for k in np.unique(labels[labels > 0]).tolist()
        }


def test_equals_skimage_on_nuclei(nuclei):
    true, pred = nuclei(0)
    reference = contingency_table(true, pred).tocoo()
    expected = {
        (int(r), int(c)): int(n) for r, c, n in zip(*reference.coords, reference.data, strict=True) if n
    }
    assert as_dict(overlap(true, pred)) == expected


def test_more_pairs_than_the_first_hash_table_holds(rng):
    true, pred = rng.integers(0, 2**31, (2, 150, 150), dtype=np.int32)
    assert as_dict(overlap(true, pred)) == slow_table(true, pred)
    clash = np.arange(22_500, dtype=np.int32).reshape(150, 150) * 65536 % (2**31 - 1)
    assert as_dict(overlap(clash, clash)) == slow_table(clash, clash)


@pytest.mark.parametrize("width", [1, 15, 16, 17, 31, 33, 64])
def test_runs_of_every_length(width):
    true = np.repeat(np.arange(1, 8, dtype=np.int32), width)[None]
    pred = np.roll(true, width // 2, axis=1)
    assert as_dict(overlap(true, pred)) == slow_table(true, pred)


@given(PAIRS, st.randoms(use_true_random=False))
def test_nothing_depends_on_how_nuclei_are_numbered(maps, random):
    def renumber(labels):
        ids = np.unique(labels[labels > 0]).tolist()
        names = dict(zip(ids, random.sample(range(1, 2**31), len(ids)), strict=True)) | {0: 0}
        return np.array([names[k] for k in labels.ravel().tolist()], np.int32).reshape(labels.shape)

    before, after = per_image(*maps), per_image(*map(renumber, maps))
    assert before == pytest.approx(after, nan_ok=True, abs=0)
    assert match(*maps, iou_threshold=0.1) == match(*map(renumber, maps), iou_threshold=0.1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int64, np.uint64])
def test_every_integer_type_reads_the_same(dtype, nuclei):
    true, pred = nuclei(1, side=5)
    assert as_dict(overlap(true.astype(dtype), pred)) == as_dict(overlap(true, pred))


def test_any_memory_layout_reads_the_same(nuclei):
    true, pred = nuclei(1, side=5)
    expected = as_dict(overlap(true, pred))
    wide = np.repeat(true, 2, axis=1)
    assert as_dict(overlap(wide[:, ::2], np.asfortranarray(pred))) == expected
    frozen = true.copy()
    frozen.setflags(write=False)
    assert as_dict(overlap(frozen, pred)) == expected
    assert as_dict(overlap(true.tolist(), pred.tolist())) == expected


def test_inputs_stay_as_they_were(nuclei):
    true, pred = nuclei(2, side=4)
    copies = true.copy(), pred.copy()
    per_image(true, pred)
    assert (true == copies[0]).all()
    assert (pred == copies[1]).all()
    assert true.flags.writeable


def test_a_mask_is_one_nucleus():
    table = overlap(np.array([[True, False, True]]), np.array([[3, 3, 3]]))
    assert (table.true_ids.tolist(), table.true_areas.tolist()) == ([1], [2])


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 4)])
def test_maps_without_nuclei(shape):
    table = overlap(np.zeros(shape, np.int32), np.zeros(shape, np.int32))
    assert len(table.true_ids) == len(table.pred_ids) == len(table.pixels) == 0
    assert table.background == table.n_pixels == np.prod(shape)


GOOD = np.ones((2, 3), np.int32)


@pytest.mark.parametrize(
    ("true", "pred", "message"),
    [
        (GOOD, np.ones((3, 2), np.int32), r"\(2, 3\).*\(3, 2\)"),
        (GOOD.astype(float), GOOD, "true labels are float64"),
        (GOOD, GOOD.astype(complex), "pred labels are complex128"),
        (GOOD, np.array([["a", "b", "c"]] * 2), "pred labels are <U1"),
        (GOOD, -3 * GOOD, "pred labels contain the id -3"),
        (-1 * GOOD, GOOD, "true labels contain the id -1"),
        (GOOD.astype(np.int64) * 2**31, GOOD, "from 2147483648 to 2147483648"),
        (GOOD.astype(np.int64) * -1, GOOD, "from -1 to -1"),
        (GOOD.astype(np.int8) * -1, GOOD, "true labels contain the id -1"),
        (np.ones((2, 3, 3), np.uint8), GOOD, r"\(2, 3, 3\), expected \(height, width\)"),
        (np.ones(3, np.int32), GOOD, r"shape \(3,\)"),
        (GOOD, None, "got one label map"),
    ],
)
def test_bad_input_is_named(true, pred, message):
    with pytest.raises(ShapeError, match=message):
        aji(true, pred)


def test_a_table_and_a_map_do_not_mix():
    with pytest.raises(ShapeError, match="got an Overlap together"):
        aji(overlap(GOOD, GOOD), GOOD)


@settings(max_examples=20)
@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_one_pixel(t, p):
    assert as_dict(overlap([[t]], [[p]])) == {(t, p): 1}
