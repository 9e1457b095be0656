"""Tables and file names as spreadsheets, scripts and other systems write them."""

import unicodedata
from pathlib import Path

import pytest

from histoscope import data
from histoscope.data.readers.index import files_by_stem, read_index, read_text, sibling, to_number
from histoscope.errors import CorruptDataError, DataError

ROWS = [
    {"image_id": "tile0", "patient": "005", "Site": "Zürich"},
    {"image_id": "tile1", "patient": "NA", "Site": "a, b"},
]
PLAIN = 'image_id,patient,Site\ntile0,005,Zürich\ntile1,NA,"a, b"\n'


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.rstrip(),
        "image_id;patient;Site\ntile0;005;Zürich\ntile1;NA;a, b\n",
        'sep=;\nimage_id;patient;Site\ntile0;005;Zürich\ntile1;NA;"a, b"\n',
        "image_id\tpatient\tSite\ntile0\t005\tZürich\ntile1\tNA\ta, b\n",
        'image_id,patient,Site,,\ntile0,005,Zürich,,\ntile1,NA,"a, b",,\n,,,,\n',
        'image_id,patient,Site\ntile0,005,Zürich,,\ntile1,NA,"a, b",\n',
        '\n  \nImage ID , Patient,Site\n\n tile0 ,005 ,Zürich\n,,\n"tile1","NA", "a, b"\n\n',
        '"image-id","PATIENT","Site"\n"tile0","005","Zürich"\n"tile1","NA","a, b"\n',
        ',image_id,patient,Site\n0,tile0,005,Zürich\n1,tile1,NA,"a, b"\n',
        unicodedata.normalize("NFD", PLAIN),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_one_table_in_every_dress(tmp_path: Path, text: str, encoding: str) -> None:
    if encoding == "cp1252":
        text = unicodedata.normalize("NFC", text)
    path = tmp_path / "index.csv"
    path.write_bytes(text.encode(encoding))
    assert read_index(path) == ROWS


def test_known_columns_in_any_case_and_others_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    path.write_text("File,GROUP,Split,Label,MPP,TCGA Site\na.png,g,train,0,0.5,X\n")
    (row,) = read_index(path)
    assert list(row) == ["file", "group", "split", "label", "mpp", "TCGA Site"]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("image_id,Patient,patient\na,b,c\n", DataError, "twice"),
        ("image_id,split\na,b,c\n", CorruptDataError, r"line 2 has more fields \(3\) than the header \(2\)"),
        (
            "image_id,,split\na,b,c\n",
            DataError,
            "column 2 has no name in the header, but holds 'b' in line 2",
        ),
        ('image_id\n"a\n', CorruptDataError, "not a CSV table"),
    ],
)
def test_tables_that_mean_nothing_clear(tmp_path: Path, text: str, error: type[Exception], says: str) -> None:
    path = tmp_path / "index.csv"
    path.write_text(text)
    with pytest.raises(error, match=says):
        read_index(path)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    path.write_bytes(b"\x89PNG\x81\x00\x00\x9d")
    with pytest.raises(CorruptDataError, match="UTF-8, UTF-16 or Windows-1252"):
        read_text(path)
    path.write_bytes(b"")
    assert read_index(path) == []


def test_numbers_of_spreadsheets() -> None:
    assert [to_number(cell) for cell in ("0,25", "0.25", " 3", "1e-3")] == [0.25, 0.25, 3, 0.001]
    with pytest.raises(ValueError, match="could not convert"):
        to_number("a quarter")


def test_suffixes_in_capitals_and_parted_accents(tmp_path: Path) -> None:
    parted = unicodedata.normalize("NFD", "Züri")
    (tmp_path / f"{parted}.XML").touch()
    assert list(files_by_stem(tmp_path, {".xml"})) == ["Züri"]
    assert sibling(tmp_path, "Züri", ".mat", ".xml").name == f"{parted}.XML"
    assert sibling(tmp_path, "other", ".mat", ".xml").name == "other.mat"


@pytest.mark.parametrize(("on_disk", "in_index"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_folder_from_another_system(folder_tree: Path, on_disk: str, in_index: str) -> None:
    for kind in ("images", "labels", "classes"):
        (file,) = (folder_tree / kind).glob("tile0.*")
        file.rename(file.with_name(unicodedata.normalize(on_disk, "Größe") + file.suffix.upper()))
    cell = unicodedata.normalize(in_index, "images\\Größe.JPG")
    (folder_tree / "index.csv").write_text(f"File;Patient;MPP\n{cell};p;0,5\n", encoding="utf-8-sig")
    dataset = data.open("folder", folder_tree)
    assert [(r.name, r.patient) for r in dataset.records] == [("Größe", "p")]
    assert (dataset[0].mpp, dataset[0].instances.max()) == (0.5, 5)
