"""Real beside synthetic: alike sets look alike, others do not, and copies are found."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from histoscope import synth
from histoscope.cli.main import app
from histoscope.data import Datasheet, InMemory, resample, write_folder
from histoscope.errors import ConfigError, DataError
from histoscope.generate import realism, realism_encoder, realism_page
from histoscope.models import create, save
from histoscope.types import Record, Sample

SHEET = Datasheet("lab", mpp=0.5, classes={number: name for name, number in synth.CLASSES.items()})


def _encode(patches: list[Sample]) -> np.ndarray:
    return np.array([[*p.image.mean(axis=(0, 1)), *p.image.std(axis=(0, 1))] for p in patches])


def _set(n: int, seed: int, stain: str = "default", prefix: str = "a") -> InMemory:
    samples = synth.cohort(n, 1, shape_px=(260, 260), mpp=0.5, stains=stain, seed=seed)
    return InMemory.of(
        [
            dataclasses.replace(s, name=prefix + s.name, patient=prefix + s.patient, source="")
            for s in samples
        ],
        SHEET,
    )


@pytest.fixture(scope="module")
def real() -> InMemory:
    return _set(6, 1)


@pytest.fixture(scope="module")
def alike(real: InMemory) -> realism.Comparison:
    return realism.compare_tissue(real, _set(6, 2, prefix="b"), _encode, encoder="colours")


@pytest.fixture(scope="module")
def fine() -> list[Sample]:
    samples = synth.cohort(4, 1, shape_px=(520, 520), mpp=0.25, seed=4)
    return [dataclasses.replace(s, name=f"f{k}", patient=f"f{k}", source="") for k, s in enumerate(samples)]


@pytest.fixture(scope="module")
def coarse(fine: list[Sample]) -> InMemory:
    # The very same tissue in larger pixels, under other names: nothing may tell the two apart.
    samples = [resample(s, 0.5) for s in fine]
    return InMemory.of([dataclasses.replace(s, name="c" + s.name) for s in samples], SHEET)


def test_alike_sets_are_no_farther_than_halves(real: InMemory, alike: realism.Comparison) -> None:
    other = realism.compare_tissue(real, _set(6, 3, "blue", prefix="c"), _encode)
    assert alike.distance.share_beyond < 0.98
    assert other.distance.share_beyond > 0.95
    assert other.distance.share_beyond > alike.distance.share_beyond
    gaps = [found.table().set_index("measure")["gap"] for found in (alike, other)]
    assert gaps[1]["red, nuclei"] > gaps[0]["red, nuclei"]
    assert gaps[0]["area (µm²)"] < 0.25


def test_table_measures_what_is_there(real: InMemory, alike: realism.Comparison) -> None:
    tiles = alike.real.tiles
    expected = [s.instances.max() / (260 * 260 * 0.25e-6) for s in real.samples]
    assert tiles["per_mm2"].to_numpy() == pytest.approx(expected)
    assert tiles["covered"].to_numpy() == pytest.approx([(s.instances > 0).mean() for s in real.samples])
    assert len(alike.real.nuclei) == sum(int(s.instances.max()) for s in real.samples)
    assert {p.image.shape for p in alike.real.patches} == {(128, 128, 3)}


def test_copies_of_training_tiles_are_found(real: InMemory) -> None:
    fresh = _set(3, 9, prefix="d").samples
    stolen = [
        Sample(np.ascontiguousarray(s.image[:, ::-1]), 0.5, np.ascontiguousarray(s.instances[:, ::-1]))
        for s in real.samples[:3]
    ]
    stolen = [dataclasses.replace(s, name=f"stolen{k}", patient=f"x{k}") for k, s in enumerate(stolen)]
    found = realism.compare_tissue(real, InMemory.of([*stolen, *fresh], SHEET), _encode)
    assert sorted(line.split(" = ")[0] for line in found.nearest.shared) == ["stolen0", "stolen1", "stolen2"]
    assert found.nearest.suspicious > 0.2


def test_held_out_parts_are_the_reference(real: InMemory) -> None:
    records = [
        Record(s.name, patient=s.patient, split="train" if k < 4 else "test")
        for k, s in enumerate(real.samples)
    ]
    parted = InMemory(SHEET, records, real.samples)
    found = realism.compare_tissue(parted, _set(4, 2, prefix="b"), _encode)
    assert found.nearest.held_out
    assert len(found.nearest.reference) == sum(
        p.source in {r.name for r in records[4:]} for p in found.real.patches
    )


def test_page_is_one_file_with_its_key_after_the_sheet(alike: realism.Comparison, tmp_path: Path) -> None:
    page = realism_page.write_page(tmp_path, alike, real="my <lab>", synthetic="drawn").read_text("utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    assert "my &lt;lab&gt;" in page
    assert page.index("Which are real?") < page.index("The key")
    # A picture of its own for each measure, that a narrow screen can put below the last.
    for label in [*alike.labels["nuclei"].values(), *alike.labels["tiles"].values()]:
        assert page.count(f"<figcaption>{label}</figcaption>") == 1
    numbers = json.loads((tmp_path / "realism.json").read_text())
    assert numbers["kernel_distance"]["value"] == pytest.approx(alike.distance.value)
    assert numbers["nearest"]["shared_pictures"] == []
    tiles, key = realism_page.shuffled(alike, np.random.default_rng(0))
    assert len(tiles) == len(key) == 2 * sum(key)
    real = {p.image.tobytes() for p in alike.real.patches}
    assert [tile.tobytes() in real for tile in tiles] == key


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_readable_on_every_screen(alike: realism.Comparison, in_browser, tmp_path, scheme) -> None:
    long = "tiles_of_a_laboratory_with_a_long_name"
    in_browser(realism_page.write_page(tmp_path, alike, real=long, synthetic="drawn"), scheme)


def test_the_key_names_every_patch_of_the_sheet(alike: realism.Comparison, tmp_path: Path) -> None:
    page = realism_page.write_page(tmp_path, alike, real="a", synthetic="b").read_text("utf-8")
    _, key = realism_page.shuffled(alike, np.random.default_rng(0))
    for number, is_real in enumerate(key, 1):
        kind = "real" if is_real else "synthetic"
        assert page.count(f'aria-label="Patch {number}"') == 1
        assert page.count(f'aria-label="Patch {number}, {kind}"') == 1


def test_ids_with_gaps_are_no_nuclei(real: InMemory, alike: realism.Comparison) -> None:
    spread = []
    for sample in real.samples:
        classes = np.zeros(2 * len(sample.classes) - 1, np.uint8)
        classes[::2] = sample.classes
        spread.append(dataclasses.replace(sample, instances=2 * sample.instances, classes=classes))
    tissue = realism.look(InMemory.of(spread, SHEET), 0.5, np.random.default_rng(0))
    assert tissue.nuclei["class"].tolist() == alike.real.nuclei["class"].tolist()
    assert tissue.tiles["per_mm2"].tolist() == alike.real.tiles["per_mm2"].tolist()


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([Sample(np.zeros((200, 200, 3), np.uint8), 0.5, name="bare")], "no label map"),
        ([Sample(np.zeros((9, 9, 3), np.uint8), 0.5, np.zeros((9, 9), np.int32), name="a")], "as large as"),
        ([], "empty"),
        (synth.cohort(1, 1, shape_px=(260, 260), mpp=0.5), "from 1 patient.*at least 2"),
    ],
)
def test_odd_data_sets_say_what_is_wrong(real: InMemory, samples: list[Sample], words: str) -> None:
    with pytest.raises(DataError, match=words):
        realism.compare_tissue(real, InMemory.of(samples, SHEET), _encode)


def test_encoders() -> None:
    patches = [Sample(np.full((128, 128, 3), level, np.uint8), 0.5, name=str(level)) for level in (90, 200)]
    rows = realism_encoder.encoder("nuclei-free")(patches)
    assert rows.shape[0] == 2
    assert np.isfinite(rows).all()
    assert np.abs(rows[0] - rows[1]).max() > 0


def test_encoder_of_another_body_is_refused(tmp_path: Path) -> None:
    save(create("smp", encoder="resnet18", pretrained=False, mpp=0.5), tmp_path / "model")
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert "encoder" in card["arguments"]
    with pytest.raises(ConfigError, match="resnet18"):
        realism_encoder.classifier(str(tmp_path / "model"))


def test_verb_writes_page_and_numbers(real: InMemory, tmp_path: Path) -> None:
    write_folder(tmp_path / "real", real.samples, SHEET)
    write_folder(tmp_path / "made", _set(4, 5, prefix="b").samples, SHEET)
    arguments = ["data", "compare", *(str(tmp_path / name) for name in ("real", "made", "out")), "--json"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["encoder"] == "nuclei-free"
    assert (tmp_path / "out" / "realism.html").stat().st_size > 50_000


def test_verb_leaves_out_what_it_cannot_read_and_says_so(real: InMemory, tmp_path: Path) -> None:
    write_folder(tmp_path / "real", real.samples, SHEET)
    write_folder(tmp_path / "made", _set(5, 5, prefix="b").samples, SHEET)
    broken = min((tmp_path / "made" / "images").iterdir())
    broken.write_bytes(b"x")
    done = CliRunner().invoke(
        app, ["data", "compare", *(str(tmp_path / name) for name in ("real", "made", "out"))]
    )
    assert done.exit_code == 1, done.output
    assert f"left out {broken.stem}: " in done.stderr
    assert (tmp_path / "out" / "realism.html").is_file()


class TestPixelSizes:
    """Sets of different pixel size are measured at the coarser one, tile by tile."""

    def test_tissue_is_as_fine_as_itself_in_larger_pixels(self, fine: list[Sample], coarse: InMemory) -> None:
        for order in ((InMemory.of(fine, SHEET), coarse), (coarse, InMemory.of(fine, SHEET))):
            found = realism.compare_tissue(*order, _encode)
            assert found.mpp == 0.5
            table = found.table().set_index("measure")
            assert "fine contrast (grey levels, at 0.5 µm/px)" in table.index
            assert (table["gap"] == 0).all()

    def test_its_own_pixels_would_have_told_it_apart(self, fine: list[Sample], coarse: InMemory) -> None:
        own = [realism.look(data, mpp, np.random.default_rng(0)).tiles["fine"].to_numpy()
               for data, mpp in ((InMemory.of(fine, SHEET), 0.25), (coarse, 0.5))]  # fmt: skip
        assert realism.gap(*own) > 0.7

    def test_tiles_of_one_set_may_differ(self, fine: list[Sample], coarse: InMemory, tmp_path: Path) -> None:
        mixed = InMemory.of([*fine[:3], resample(fine[3], 0.4)], SHEET)
        found = realism.compare_tissue(mixed, coarse, _encode)
        assert found.mpp == 0.5
        assert found.real.tiles["mpp"].tolist() == [0.25, 0.25, 0.25, 0.4]
        assert {p.mpp for p in found.real.patches} == {0.5}
        apart = found.real.tiles["fine"] / found.synthetic.tiles["fine"]
        assert apart[:3].tolist() == [1, 1, 1]
        assert 0.5 < apart[3] < 1.5
        assert found.summary()["mpp"] == {"measured_at": 0.5, "real": [0.25, 0.4], "synthetic": [0.5]}
        page = realism_page.write_page(tmp_path, found, real="a", synthetic="b").read_text("utf-8")
        assert "at 0.5 µm per pixel, the pixel size of the coarsest tile" in page
        assert "resampled: all real tiles from 0.25 to 0.4." in page
        assert "synthetic tiles from" not in page

    def test_one_size_is_not_called_the_coarsest(self, alike: realism.Comparison, tmp_path: Path) -> None:
        page = realism_page.write_page(tmp_path, alike, real="a", synthetic="b").read_text("utf-8")
        assert "Everything is measured at 0.5 µm per pixel.</p>" in page

    def test_a_pixel_size_that_cannot_be_is_refused(self, real: InMemory, fine: list[Sample]) -> None:
        wrong = InMemory.of([dataclasses.replace(s, mpp=250.0) for s in fine], SHEET)
        with pytest.raises(DataError, match=r"250 micrometres per pixel.*correct its mpp"):
            realism.compare_tissue(real, wrong, _encode)
