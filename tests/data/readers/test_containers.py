"""Arrays inside files: what fits comes back, what does not is named."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.io import savemat

from histoscope.data.readers.containers import open_npy, read_mat, whole_numbers
from histoscope.errors import CorruptDataError, DataError, DatasetNotFoundError, ShapeError


def test_mat_gives_the_variables_asked_for(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"inst_map": np.eye(3), "other": np.ones(2)})
    held = read_mat(tmp_path / "a.mat", "inst_map")
    assert list(held) == ["inst_map"]
    assert np.array_equal(held["inst_map"], np.eye(3))
    with pytest.raises(DataError, match=r"no variable 'type_map' \(found: inst_map\)"):
        read_mat(tmp_path / "a.mat", "inst_map", "type_map")


@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_mat(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "a.mat"
    values = np.random.default_rng(0).integers(0, 9, (40, 40)).astype(float)
    savemat(path, {"inst_map": values}, do_compression=compressed)
    whole = path.read_bytes()
    for share in (0, 60, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:share])
        with pytest.raises(CorruptDataError, match=r"a\.mat"):
            read_mat(path, "inst_map")


def test_matlab_73_says_how_to_save_it_again(tmp_path: Path) -> None:
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    (tmp_path / "a.mat").write_bytes(header + b"\x89HDF\r\n\x1a\n" + bytes(600))
    with pytest.raises(DataError, match="-v7"):
        read_mat(tmp_path / "a.mat", "inst_map")


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"a\.mat"):
        read_mat(tmp_path / "a.mat", "x")
    with pytest.raises(DatasetNotFoundError, match=r"a\.npy"):
        open_npy(tmp_path / "a.npy", -1)


def test_npy_is_mapped_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(24.0).reshape(2, 3, 4))
    assert isinstance(open_npy(path, -1, 3, 4), np.memmap)
    with pytest.raises(ShapeError, match=r"\(2, 3, 4\), expected \(N, 3, 5\)"):
        open_npy(path, -1, 3, 5)
    with pytest.raises(ShapeError):
        open_npy(path, -1, 3)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CorruptDataError, match=r"a\.npy"):
        open_npy(path, -1, 3, 4)
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(CorruptDataError):
        open_npy(path, -1)


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(np.int64, (3, 4), elements=st.integers(0, 2**31 - 1)),
    st.sampled_from([np.float64, np.uint32, np.int64]),
)
def test_whole_numbers_survive_any_type(values: np.ndarray, dtype: type) -> None:
    found = whole_numbers(values.astype(dtype), "x")
    assert found.dtype == np.int32
    assert np.array_equal(found, values)


@pytest.mark.parametrize("value", [-1, 0.5, np.nan, np.inf, 2.0**31])
def test_what_is_no_id(value: float) -> None:
    with pytest.raises(ShapeError, match="labels"):
        whole_numbers(np.array([1.0, value]), "labels")
    with pytest.raises(ShapeError):
        whole_numbers(np.array(["a"]), "labels")
