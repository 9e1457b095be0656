"""LC25000, NCT-CRC, Kather 2016, BreakHis and PCam in miniature, in the layouts of their publishers."""

import builtins
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from histoscope import data
from histoscope.data.readers import pcam
from histoscope.errors import (
    ConfigError,
    CorruptDataError,
    DataError,
    DatasetNotFoundError,
    MissingDependencyError,
    ShapeError,
)


def _save(path: Path, shade: int, shape: tuple[int, int] = (24, 24), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(shade).integers(0, 255, (*shape, 3)).astype(np.uint8)
    Pillow.fromarray(pixels).convert(mode).save(path)


# --------------------------------------------------------------------------------------------- LC25000


@pytest.fixture
def lc25000(tmp_path: Path) -> Path:
    root = tmp_path / "lung_colon_image_set"
    for organ, classes in {"colon": ("ca", "n"), "lung": ("aca", "n", "scc")}.items():
        for number, kind in enumerate(classes):
            folder = {"ca": "colon_aca"}.get(kind, f"{organ}_{kind}")
            for k in (1, 2):
                _save(root / f"{organ}_image_sets" / folder / f"{organ}{kind}{k}.jpeg", 10 * number + k)
    return root


@pytest.mark.parametrize("above", [False, True])
def test_lc25000_all_classes(lc25000: Path, above: bool) -> None:
    dataset = data.open("lc25000", lc25000.parent if above else lc25000, mpp=0.5)
    assert list(dataset.info.classes.values()) == ["colon_aca", "colon_n", "lung_aca", "lung_n", "lung_scc"]
    assert [record.label for record in dataset.records] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    sample = dataset[0]
    assert (sample.name, sample.label, sample.mpp, sample.image.shape) == (
        "colon_aca__colonca1",
        0,
        0.5,
        (24, 24, 3),
    )
    assert dataset.records[0].tags["organ"] == "colon"
    assert dataset.verify() == []


def test_lc25000_needs_the_pixel_size(lc25000: Path) -> None:
    with pytest.raises(DataError, match="--mpp"):
        data.open("lc25000", lc25000)


def test_lc25000_one_organ_with_groups(lc25000: Path, tmp_path: Path) -> None:
    groups = tmp_path / "groups.csv"
    rows = [f"colon_aca/colonca{k}.png,photo1\ncolon_n/colonn{k}.png,photo{k + 1}" for k in (1, 2)]
    groups.write_text("path,group\n" + "\n".join(rows))
    dataset = data.open("lc25000", lc25000, mpp=0.5, organ="colon", groups=groups)
    assert [record.source for record in dataset.records] == ["photo1", "photo1", "photo2", "photo3"]
    assert dataset.info.counts["sources"] == 3
    with pytest.raises(DataError, match=r"no group for 6 of 10 patches \(first: 'lungaca1'\)"):
        data.open("lc25000", lc25000, mpp=0.5, groups=groups)
    with pytest.raises(DatasetNotFoundError, match="list of groups"):
        data.open("lc25000", lc25000, mpp=0.5, groups=tmp_path / "gone.csv")
    with pytest.raises(ConfigError, match="organ is 'liver'"):
        data.open("lc25000", lc25000, mpp=0.5, organ="liver")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path,cluster\na.jpeg,1\n", "no path or no group"),
        ("path,group\na.jpeg,g1\nx/a.jpeg,g2\n", "'a' is in the groups 'g1' and 'g2'"),
    ],
)
def test_wrong_list_of_groups(lc25000: Path, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        data.open("lc25000", lc25000, mpp=0.5, groups=tmp_path / "groups.csv")


def test_one_group_with_two_labels_is_told(lc25000: Path, tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("path,group\ncolonca1,g\ncolonca2,g\ncolonn1,g\ncolonn2,h\n")
    problems = data.open("lc25000", lc25000, mpp=0.5, organ="colon", groups=tmp_path / "g.csv").verify()
    assert [(p.name, p.severity, p.message) for p in problems] == [
        ("g", "warning", "one group with 2 classes: 2 colon_aca, 1 colon_n")
    ]


def test_missing_classes_are_warned_of_and_the_rest_goes_on(lc25000: Path) -> None:
    for path in (lc25000 / "lung_image_sets" / "lung_scc").iterdir():
        path.unlink()
    with pytest.warns(UserWarning, match="no patches of class lung_scc"):
        dataset = data.open("lc25000", lc25000, mpp=0.5)
    assert len(dataset) == 8
    assert dataset.info.classes[4] == "lung_scc"
    assert [p.name for p in dataset.verify()] == ["class lung_scc"]


def test_a_corrupt_patch_is_named_and_left_out(lc25000: Path, truncate: Callable[[Path], None]) -> None:
    truncate(lc25000 / "colon_image_sets" / "colon_n" / "colonn1.jpeg")
    dataset = data.open("lc25000", lc25000, mpp=0.5)
    seen: list[tuple[int, int]] = []
    good, skipped = data.readable(dataset, progress=lambda *now: seen.append(now))
    assert len(good) == 9
    assert [p.name for p in skipped] == ["colon_n__colonn1"]
    assert "colonn1.jpeg cannot be decoded" in skipped[0].message
    assert seen[-1] == (10, 10)
    assert [sample.name for sample in good] == [r.name for r in dataset.records if r.name != skipped[0].name]


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_greyscale_and_cmyk_become_rgb(lc25000: Path, mode: str) -> None:
    path = lc25000 / "colon_image_sets" / "colon_aca" / "colonca1.jpeg"
    _save(path, 3)
    before = data.open("lc25000", lc25000, mpp=0.5)[0].image.astype(int)
    _save(path, 3, mode=mode)
    after = data.open("lc25000", lc25000, mpp=0.5)[0].image
    assert (after.shape, after.dtype) == ((24, 24, 3), np.uint8)
    assert abs(after.mean() - before.mean()) < 8


# --------------------------------------------------------------------------------------------- NCT-CRC

TISSUES = ("ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")


@pytest.fixture
def nct(tmp_path: Path) -> Path:
    for archive, letters in {"NCT-CRC-HE-100K": "AAA", "CRC-VAL-HE-7K": "TCGA"}.items():
        for k, tissue in enumerate(TISSUES):
            _save(tmp_path / archive / tissue / f"{tissue}-{letters}FLCLY.tif", k)
    return tmp_path


def test_nct_has_its_published_parts(nct: Path) -> None:
    dataset = data.open("nct_crc", nct)
    assert tuple(dataset.info.classes.values()) == TISSUES
    assert (dataset.info.counts["train"], dataset.info.counts["test"]) == (9, 9)
    assert dataset[0].mpp == 0.5
    split = data.split_published(dataset)
    assert [record.name for record in split.test.records][-1] == "TUM-TCGAFLCLY"
    assert dataset.verify() == []
    alone = data.open("nct_crc", nct / "CRC-VAL-HE-7K")
    assert alone.info.counts["test"] == 9


def test_nct_without_normalisation(nct: Path) -> None:
    for k, tissue in enumerate(TISSUES):
        _save(nct / "NCT-CRC-HE-100K-NONORM" / tissue / f"{tissue}-AAAFLCLY.tif", k + 50)
    chosen = data.open("nct_crc", nct), data.open("nct_crc", nct, normalized=False)
    assert [dataset.info.counts["train"] for dataset in chosen] == [9, 9]
    first = [next(s for s in dataset if s.name == "ADI-AAAFLCLY") for dataset in chosen]
    assert not np.array_equal(first[0].image, first[1].image)


# ----------------------------------------------------------------------------------------- Kather 2016


@pytest.fixture
def kather(tmp_path: Path) -> Path:
    root = tmp_path / "Kather_texture_2016_image_tiles_5000"
    names = ["01_TUMOR", "02_STROMA", "03_COMPLEX", "04_LYMPHO"]
    names += ["05_DEBRIS", "06_MUCOSA", "07_ADIPOSE", "08_EMPTY"]
    for k, folder in enumerate(names):
        _save(root / folder / f"1A1{k}_CRC-Prim-HE-07_022.tif_Row_601_Col_151.tif", k)
        _save(root / folder / f"106{k}_CRC-Prim-HE-10c.tif_Row_1_Col_1.tif", k + 20)
    return root


def test_kather_slides_from_names(kather: Path) -> None:
    dataset = data.open("kather2016", kather.parent)
    assert list(dataset.info.classes.values())[::7] == ["TUMOR", "EMPTY"]
    assert {record.source for record in dataset.records} == {"CRC-Prim-HE-07", "CRC-Prim-HE-10"}
    assert {record.tags["region"] for record in dataset.records} == {
        "CRC-Prim-HE-07_022",
        "CRC-Prim-HE-10c",
    }
    assert dataset[0].mpp == 0.495
    assert dataset.verify() == []
    split = data.split_by(dataset, "source", val=0, train=1, test=1)
    assert [len(part) for _, part in split] == [8, 0, 8]


# -------------------------------------------------------------------------------------------- BreakHis


@pytest.fixture
def breakhis(tmp_path: Path) -> Path:
    root = tmp_path / "BreaKHis_v1"
    slides = [
        ("benign", "B", "tubular_adenoma", "TA", "14-4659"),
        ("benign", "B", "fibroadenoma", "F", "14-21998AB"),
        ("benign", "B", "fibroadenoma", "F", "14-21998CD"),
        ("malignant", "M", "ductal_carcinoma", "DC", "14-2523"),
    ]
    for side, letter, folder, kind, slide in slides:
        inner = root / "histology_slides" / "breast" / side / "SOB" / folder
        for zoom in (40, 100, 200, 400):
            name = f"SOB_{letter}_{kind}-{slide}-{zoom}-001.png"
            _save(inner / f"SOB_{letter}_{kind}_{slide}" / f"{zoom}X" / name, zoom, (23, 35))
    return root


def test_breakhis_patients_and_magnifications(breakhis: Path) -> None:
    dataset = data.open("breakhis", breakhis)
    assert dataset.info.classes == {0: "benign", 1: "malignant"}
    assert [(r.patient, r.source, r.label) for r in dataset.records] == [
        ("14-21998", "14-21998AB", 0),
        ("14-21998", "14-21998CD", 0),
        ("14-4659", "14-4659", 0),
        ("14-2523", "14-2523", 1),
    ]
    assert dataset[0].mpp == 0.49
    assert dataset.info.counts["patients"] == 3
    several = data.open("breakhis", breakhis, magnification=[100, 400])
    assert {several[k].mpp for k in range(len(several))} == {0.20, 0.05}
    split = data.split_by(several, "patient", train=1, val=0, test=1)
    assert not {r.patient for r in split.train.records} & {r.patient for r in split.test.records}


def test_breakhis_types(breakhis: Path) -> None:
    dataset = data.open("breakhis", breakhis, classes="type")
    assert [dataset.info.classes[r.label] for r in dataset.records] == ["F", "F", "TA", "DC"]


def test_breakhis_wrong_options(breakhis: Path) -> None:
    with pytest.raises(ConfigError, match="magnification is 50"):
        data.open("breakhis", breakhis, magnification=50)
    with pytest.raises(ConfigError, match="classes is 'grade'"):
        data.open("breakhis", breakhis, classes="grade")


@pytest.mark.parametrize("name", ["nct_crc", "kather2016", "breakhis"])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetNotFoundError, match="no patches"):
        data.open(name, tmp_path)


# ------------------------------------------------------------------------------------------------ PCam


@pytest.fixture
def pcam_tree(tmp_path: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    pcam._opened.cache_clear()
    rng = np.random.default_rng(0)
    for part, n in {"train": 6, "valid": 2, "test": 3}.items():
        stem = tmp_path / f"camelyonpatch_level_2_split_{part}"
        with h5py.File(f"{stem}_x.h5", "w") as file:
            file["x"] = rng.integers(0, 255, (n, 96, 96, 3)).astype(np.uint8)
        with h5py.File(f"{stem}_y.h5", "w") as file:
            file["y"] = (np.arange(n) % 2).astype(np.uint8).reshape(n, 1, 1, 1)
        rows = [f"{k},{k},{k},{k % 2 == 1},{k % 2 == 1},camelyon16_{part}_{k // 2:03d}" for k in range(n)]
        header = ",coord_y,coord_x,tumor_patch,center_tumor_patch,wsi"
        Path(f"{stem}_meta.csv").write_text("\n".join([header, *rows]))
    return tmp_path


def test_pcam_parts_labels_and_slides(pcam_tree: Path) -> None:
    h5py = pytest.importorskip("h5py")
    dataset = data.open("pcam", pcam_tree)
    assert (dataset.info.counts["train"], dataset.info.counts["val"], dataset.info.counts["test"]) == (
        6,
        2,
        3,
    )
    assert dataset.records[1].label == 1
    assert dataset.records[2].source == "camelyon16_train_001"
    with h5py.File(pcam_tree / "camelyonpatch_level_2_split_valid_x.h5") as file:
        assert np.array_equal(dataset[6].image, file["x"][0])
    assert dataset[0].mpp == 0.972
    assert data.split_published(dataset).parts().keys() == {"train", "val", "test"}
    assert dataset.verify() == []
    assert len(data.open("pcam", pcam_tree, part="valid")) == 2


def test_pcam_without_meta(pcam_tree: Path) -> None:
    for path in pcam_tree.glob("*_meta.csv"):
        path.unlink()
    assert {record.source for record in data.open("pcam", pcam_tree).records} == {""}


def test_pcam_goes_to_loader_workers(pcam_tree: Path) -> None:
    dataset = data.open("pcam", pcam_tree)
    here = dataset[3].image  # the file is open now, and is not sent along
    assert np.array_equal(pickle.loads(pickle.dumps(dataset))[3].image, here)


def test_pcam_bad_files(pcam_tree: Path) -> None:
    h5py = pytest.importorskip("h5py")
    test_y = pcam_tree / "camelyonpatch_level_2_split_test_y.h5"
    with h5py.File(test_y, "w") as file:
        file["y"] = np.zeros((2, 1, 1, 1), np.uint8)
    with pytest.raises(ShapeError, match="3 patches, 2 labels, 3 rows"):
        data.open("pcam", pcam_tree)
    pcam._opened.cache_clear()
    with h5py.File(test_y, "w") as file:
        file["labels"] = np.zeros(3)
    with pytest.raises(DataError, match="holds labels, expected 'y'"):
        data.open("pcam", pcam_tree, part="test")
    test_y.write_bytes(b"nothing")
    with pytest.raises(CorruptDataError, match="not a complete HDF5"):
        data.open("pcam", pcam_tree, part="test")
    test_y.unlink()
    with pytest.raises(DatasetNotFoundError, match="needs _x"):
        data.open("pcam", pcam_tree, part="test")
    with pytest.raises(ConfigError, match="part is 'val'"):
        data.open("pcam", pcam_tree, part="val")


def test_pcam_packed_or_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="no camelyonpatch_level_2_split_train_x"):
        data.open("pcam", tmp_path)
    (tmp_path / "camelyonpatch_level_2_split_train_x.h5.gz").write_bytes(b"")
    with pytest.raises(DatasetNotFoundError, match="gunzip"):
        data.open("pcam", tmp_path)


def test_pcam_says_what_to_install(pcam_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"pip install 'histoscope\[hdf5\]'"):
        data.open("pcam", pcam_tree)
