from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import histoscope as hs
from histoscope import export, models, predict, stain
from histoscope.errors import ConfigError, DatasetNotFoundError, UnknownNameError
from histoscope.files import write_image
from histoscope.predict import detector
from histoscope.predict.detector import visible
from histoscope.types import Nuclei


def test_an_array_a_file_a_folder_and_a_detector_agree(blobs, model_folder, painted, tmp_path):
    image = painted()
    write_image(tmp_path / "a.png", image)
    found = predict.predict(image, blobs, mpp=0.25)
    assert len(found) == 9
    assert sorted(found.class_id.tolist()) == [1] * 5 + [2] * 4
    for same in (
        predict.predict(tmp_path / "a.png", blobs, mpp=0.25),
        hs.predict.predict(image, model_folder, mpp=0.25),
        predict.predict(image, predict.Detector.open(str(model_folder)), mpp=0.25),
    ):
        assert np.array_equal(same.instances, found.instances)


def test_augmentation_reaches_a_model_however_it_is_given(blobs, model_folder, painted, monkeypatch):
    asked = []
    found = models.predict
    monkeypatch.setattr(models, "predict", lambda *given, tta: asked.append(tta) or found(*given, tta=False))
    for model in (blobs, model_folder, predict.Detector(blobs, tta=True)):
        predict.predict(painted(), model, mpp=0.25, tta=True)
    predict.predict(painted(), model_folder, mpp=0.25)
    assert asked == [True, True, True, False]


def test_nuclei_of_a_large_image_keep_no_map(blobs, painted, monkeypatch):
    image = painted()
    found = predict.Detector(blobs)(image, 0.25)
    monkeypatch.setattr(detector, "KEPT_PX", image.shape[0] * image.shape[1] - 1)
    light = predict.Detector(blobs)(image, 0.25)
    assert not [value for value in vars(light).values() if np.shape(value) == found.shape]
    assert np.array_equal(light.instances, found.instances)


def test_another_resolution_gives_the_same_nuclei(blobs, painted):
    fine, coarse = painted(mpp=0.25), painted(mpp=0.5)
    assert coarse.shape[0] * 2 == fine.shape[0]
    tables = [
        export.measure(predict.predict(image, blobs, mpp=mpp), image, ["red", "blue"])
        for image, mpp in [(fine, 0.25), (coarse, 0.5)]
    ]
    here, there = (table.sort_values(["x_um", "y_um"], ignore_index=True).round(3) for table in tables)
    here, there = (t.iloc[np.lexsort((t["y_um"].round(), t["x_um"].round()))] for t in (here, there))
    assert len(here) == len(there) == 9
    assert np.abs(here[["x_um", "y_um"]].to_numpy() - there[["x_um", "y_um"]].to_numpy()).max() < 0.3
    assert here["area_um2"].to_numpy() == pytest.approx(there["area_um2"].to_numpy(), rel=0.1)
    assert here["class"].tolist() == there["class"].tolist()
    assert len(predict.predict(coarse, blobs, mpp=0.25)) == 0  # at a wrong resolution they are too small


def test_a_resolution_that_the_model_was_found_not_to_work_at_is_warned_of(blobs, painted, recwarn):
    card = {"name": "blobs", "pixel sizes": {"aji": [[0.2, 0.6], [0.4, 0.6], [0.6, 0.3]]}}
    model = predict.Detector(blobs, card=card)
    assert len(predict.predict(painted(mpp=0.25), model, mpp=0.25)) == 9
    assert not recwarn.list
    with pytest.warns(
        UserWarning, match=r"0\.5 um/px is outside the range of blobs, 0\.2 to 0\.43 um/px.*0\.45 at"
    ):
        assert len(predict.predict(painted(mpp=0.5), model, mpp=0.5)) == 9


def test_a_file_says_its_resolution(blobs, painted, tmp_path):
    Image.fromarray(painted(mpp=0.5)).save(tmp_path / "a.png", dpi=(50_800, 50_800))
    assert len(predict.predict(tmp_path / "a.png", blobs)) == 9
    write_image(tmp_path / "b.png", painted())
    with pytest.raises(ConfigError, match="--mpp"):
        predict.predict(tmp_path / "b.png", blobs)
    with pytest.raises(ConfigError, match="mpp="):
        predict.predict(painted(), blobs)


def test_the_models_normaliser_is_applied(model_folder, painted):
    image = painted()
    seen = []
    detector = predict.Detector.open(model_folder)

    def normalizer(pixels):
        seen.append(pixels)
        return np.full_like(pixels, 255)

    assert len(replace(detector, normalizer=normalizer)(image, 0.25)) == 0
    assert np.array_equal(seen[0], image)
    stain.Macenko.default().save(model_folder / "stain_reference.json")
    assert isinstance(predict.Detector.open(model_folder).normalizer, stain.Macenko)


def test_non_commercial_weights_say_so(model_folder, painted, recwarn):
    from histoscope import models

    predict.predict(painted(), model_folder, mpp=0.25)
    assert not recwarn
    models.save(models.load(model_folder), model_folder, {"weights licence": "CC BY-NC-SA 4.0"})
    with pytest.warns(UserWarning, match="non-commercial use only: CC BY-NC-SA"):
        predict.predict(painted(), model_folder, mpp=0.25)


def test_wrong_models_and_images_are_clear_errors(blobs, tmp_path, painted):
    with pytest.raises(UnknownNameError, match="path of a model folder"):
        predict.predict(painted(), "nuclei-freee", mpp=0.25)
    with pytest.raises(DatasetNotFoundError, match="no model"):
        predict.predict(painted(), tmp_path, mpp=0.25)
    with pytest.raises(DatasetNotFoundError, match="no image"):
        predict.predict(tmp_path / "none.png", blobs, mpp=0.25)


def test_nuclei_without_pixels_are_left_out_and_the_others_numbered():
    labels = np.array([[0, 2], [4, 4]], np.int32)
    classes = np.eye(4, dtype=np.float32)
    numbers = np.arange(1, 5)
    nuclei = Nuclei(
        np.zeros((4, 2), np.float32), numbers.astype(np.uint8), numbers / 4, labels, 0.25, classes
    )
    seen = visible(nuclei)
    assert seen.instances.tolist() == [[0, 1], [2, 2]]
    assert seen.class_id.tolist() == [2, 4]
    assert seen.class_probability.tolist() == classes[[1, 3]].tolist()
    assert visible(seen) is seen
