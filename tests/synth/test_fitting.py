"""Fitting to a labelled data set: known settings are found again; odd data sets work or say why."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from histoscope import synth
from histoscope.errors import ConfigError, DataError, DatasetNotFoundError, FormatVersionError
from histoscope.synth import calibrate, styles
from histoscope.synth.target import ClassSpec, PatientSpec
from histoscope.types import Record, Sample

PURPLE = synth.StainSpec((0.53, 0.79, 0.30), (0.22, 0.93, 0.28), 1.5, 1.2)


def _dataset(samples: list[Sample], classes: dict[int, str] | None = None) -> SimpleNamespace:
    """Anything with records and [i] is a data set."""

    class Set(SimpleNamespace):
        def __getitem__(self, index: int) -> Sample:
            return samples[index]

    return Set(
        records=tuple(Record(s.name, patient=s.patient) for s in samples),
        info=SimpleNamespace(name="lab", licence="", classes=classes or {}),
    )


def _tiles(n: int, mpp: float = 0.5, **values: float) -> list[Sample]:
    tissue = synth.TissueSpec(**values)
    return [
        synth.generate(
            (360, 360), mpp=mpp, stain=PURPLE, tissue=tissue, rng=np.random.default_rng(k), name=f"t{k}"
        )
        for k in range(n)
    ]


@pytest.fixture(scope="module")
def plain() -> list[Sample]:
    return _tiles(2)


@pytest.fixture(scope="module")
def fitted(plain: list[Sample]) -> synth.Target:
    return synth.fit(_dataset(plain, {1: "tumour", 2: "small", 3: "slim", 4: "eccentric"}))


def test_known_settings_are_found_again(fitted: synth.Target) -> None:
    assert fitted.fitted_on["tiles"] == 2
    assert fitted.mpp == 0.5
    for patient in fitted.patients:
        h, e = (np.array(v) / np.linalg.norm(v) for v in (patient.stain.hematoxylin, patient.stain.eosin))
        true_h, true_e = PURPLE.vectors()
        assert h @ true_h / np.linalg.norm(true_h) > 0.98
        assert e @ true_e / np.linalg.norm(true_e) > 0.98
        measured, drawn = patient.measured, patient.drawn
        assert drawn["h_nuclei"] == pytest.approx(measured["h_nuclei"], rel=0.25)
        assert drawn["e_between"] == pytest.approx(measured["e_between"], rel=0.25)
        assert drawn["sharpness"] == pytest.approx(measured["sharpness"], rel=0.3)
    asked, fits = fitted.density()
    assert fits == pytest.approx(asked, rel=0.25)


def test_classes_take_the_kind_that_they_look_like(fitted: synth.Target) -> None:
    drawn_as = {name: one.style for name, one in fitted.by_class.items()}
    assert drawn_as == {
        "tumour": "epithelial",
        "small": "lymphocyte",
        "slim": "spindle",
        "eccentric": "plasma",
    }
    sample = next(iter(synth.like(fitted, [1], shape_px=(300, 300), seed=3)))
    assert set(np.unique(sample.classes)) <= {0, 1, 2, 3, 4}
    assert (sample.classes[1:] > 0).all()


def test_what_is_drawn_measures_like_the_data_set(plain: list[Sample], fitted: synth.Target) -> None:
    drawn = list(synth.like(fitted, [2, 2], shape_px=(360, 360), seed=1))

    def middle(samples: list[Sample]) -> np.ndarray:
        return np.mean([s.image.mean(axis=(0, 1)) for s in samples], axis=0)

    assert np.abs(middle(drawn) - middle(plain)).max() < 22
    counts = [np.mean([s.instances.max() for s in samples]) for samples in (drawn, plain)]
    assert 0.6 < counts[0] / counts[1] < 1.6
    areas = [
        np.median(np.concatenate([np.bincount(s.instances.ravel())[1:] for s in samples]))
        for samples in (drawn, plain)
    ]
    assert areas[0] == pytest.approx(areas[1], rel=0.3)


def test_tiles_of_a_patient_differ_in_density_as_far_as_was_measured(fitted: synth.Target) -> None:
    def counts(spread: float) -> np.ndarray:
        target = dataclasses.replace(fitted, density_spread=spread)
        return np.array(
            [s.instances.max() for s in synth.like(target, [12], shape_px=(150, 150), seed=1, distractors=0)]
        )

    alike, apart = counts(0.0), counts(0.8)
    assert np.log(apart + 1).std() > 1.5 * np.log(alike + 1).std()


def test_the_same_seed_gives_the_same_bytes_and_a_file_loses_little(
    fitted: synth.Target, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "spec.json")
    read = synth.Target.read(tmp_path / "spec.json")
    read.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "spec.json").read_bytes()
    one, two = (list(synth.like(read, [1, 1], shape_px=(80, 80), seed=4)) for _ in range(2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, two, strict=True))
    assert [s.patient for s in one] == ["p000", "p001"]
    from_memory = next(iter(synth.like(fitted, [1], shape_px=(80, 80), seed=4)))
    assert np.abs(from_memory.image.astype(int) - one[0].image).mean() < 6


def test_without_classes_kinds_are_guessed_from_shape() -> None:
    samples = [dataclasses.replace(s, classes=None) for s in _tiles(1)]
    target = synth.fit(_dataset(samples, {1: "never used"}))
    assert target.classes == {}
    measured = target.patients[0].measured
    assert measured["epithelial_per_mm2"] > 0
    assert measured["spindle_per_mm2"] > 0
    sample = next(iter(synth.like(target, [1], shape_px=(200, 200))))
    assert set(sample.classes[1:].tolist()) <= set(synth.CLASSES.values())


def test_mixed_pixel_sizes_and_one_tile_without_label() -> None:
    samples = [*_tiles(1), *(dataclasses.replace(s, name="fine") for s in _tiles(1, 0.25))]
    samples.append(dataclasses.replace(samples[0], instances=None, classes=None, name="bare"))
    target = synth.fit(_dataset(samples))
    assert target.fitted_on["tiles"] == 2
    assert len(target.patients) == 2
    log_areas = [p.measured["epithelial_log_area"] for p in target.patients]
    assert log_areas[0] == pytest.approx(log_areas[1], abs=0.25)


def test_blank_tiles_give_way_to_others() -> None:
    empty = np.zeros((360, 360), np.int32)
    drawn = [dataclasses.replace(s, patient="p") for s in _tiles(3)]
    blank = [dataclasses.replace(drawn[0], instances=empty, classes=None, name=f"b{k}") for k in range(20)]
    # Spread evenly, 16 tiles of these 23 would hold two of the three with nuclei.
    target = synth.fit(_dataset([*blank, *drawn]))
    assert target.fitted_on == {
        "tiles": 3,
        "patients": 1,
        "nuclei": sum(int(s.instances.max()) for s in drawn),
    }


def test_one_patient_is_known_by_more_tiles_than_one_of_many() -> None:
    small = [synth.generate((96, 96), mpp=0.5, rng=np.random.default_rng(k), name=f"t{k}") for k in range(20)]
    alone = synth.fit(_dataset([dataclasses.replace(s, patient="p") for s in small]))
    assert alone.fitted_on["tiles"] == 16


def test_nothing_labelled_is_an_error() -> None:
    bare = dataclasses.replace(_tiles(1)[0], instances=None, classes=None)
    with pytest.raises(DataError, match="none of the 1 tiles has a label map"):
        synth.fit(_dataset([bare]))
    with pytest.raises(DataError, match="no tiles"):
        synth.fit(_dataset([]))


def test_density_that_cannot_be_placed_stops_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    laid = calibrate.laid
    monkeypatch.setattr(calibrate, "laid", lambda *given: calls.append(1) or laid(*given))
    monkeypatch.setattr(calibrate, "FIELD_UM", 120.0)
    # A chequer of nuclei of six pixels each: nothing drawn can lie so near.
    labels = np.zeros((120, 120), np.int32)
    ids = np.arange(1, 40 * 40 + 1, dtype=np.int32).reshape(40, 40)
    labels[...] = np.kron(ids, np.ones((3, 3), np.int32))
    labels[2::3] = 0
    image = np.where(labels[..., None] > 0, np.uint8(90), np.uint8(200)) * np.ones(3, np.uint8)
    crowded = Sample(image.astype(np.uint8), 1.0, labels, name="crowded")
    target = synth.fit(_dataset([crowded]))
    asked, fits = target.density()
    assert len(calls) == calibrate.LAYOUT_ROUNDS + 1
    assert asked > 100_000
    assert 0 < fits < 0.85 * asked


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"format": 9}, FormatVersionError, "format 9"),
        ({"kind": "other"}, ConfigError, "not a synth spec"),
        ({"patients": []}, ConfigError, "at least one patient"),
        ({"mpp": 99}, ConfigError, "mpp"),
        ({"by_class": {}}, ConfigError, "by_class"),
        ({"patients": [{"stain": {}, "tissue": {"dens": 1}, "optics": {}}]}, ConfigError, "dens"),
    ],
)
def test_broken_specs_say_what_is_wrong(
    fitted: synth.Target, tmp_path: Path, change: dict, error: type, words: str
) -> None:
    fitted.save(tmp_path / "spec.json")
    values = json.loads((tmp_path / "spec.json").read_text()) | change
    (tmp_path / "spec.json").write_text(json.dumps(values))
    with pytest.raises(error, match=words):
        synth.Target.read(tmp_path / "spec.json")


def test_no_spec_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="no synth spec"):
        synth.Target.read(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="not readable JSON"):
        synth.Target.read(tmp_path / "bad.json")


def test_classes_of_one_style_are_told_apart_by_size() -> None:
    patient = PatientSpec(synth.StainSpec(), synth.TissueSpec(gland_fraction=1.0), synth.OpticsSpec())
    target = synth.Target(
        mpp=0.5,
        patients=(patient,),
        classes={3: "big", 7: "little"},
        by_class={
            "big": ClassSpec("epithelial", 1000, np.log(45), 0.2),
            "little": ClassSpec("epithelial", 1000, np.log(20), 0.2),
        },
    )
    sample = next(iter(synth.like(target, [1], shape_px=(300, 300))))
    area = synth.measure.shapes(sample.instances, 0.5).area_um2
    assert np.median(area[sample.classes[1:] == 3]) > 1.4 * np.median(area[sample.classes[1:] == 7])


def test_wrong_numbers_are_refused(fitted: synth.Target) -> None:
    for given, words in (([], "one for each"), ([0], "one for each")):
        with pytest.raises(ConfigError, match=words):
            synth.like(fitted, given)
    with pytest.raises(ConfigError, match="distractors"):
        synth.like(fitted, [1], distractors=-1)
    with pytest.raises(ConfigError, match="mpp"):
        synth.like(fitted, [1], mpp=99)


def test_names_are_kept_and_kinds_are_shared_only_if_need_be() -> None:
    small = styles.Look(100, 2.6, 0.2, 0.18, 1.25)
    assert styles.assign({"plasma": small}) == {"plasma": "plasma"}
    other = styles.Look(5, 2.8, 0.2, 0.18, 1.1)
    assert styles.assign({"a": small, "b": other}) == {
        "a": "lymphocyte",
        "b": "plasma",
    }


def test_fitting_needs_neither_torch_nor_pydantic() -> None:
    code = (
        "import sys, histoscope.synth.fitting; print([m for m in ('torch', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
