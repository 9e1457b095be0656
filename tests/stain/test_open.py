import numpy as np
import pytest

from histoscope import stain
from histoscope.errors import ConfigError, UnknownNameError
from histoscope.files import write_image


def test_without_a_reference_it_is_the_bundled_one(tissue):
    bundled = stain.Macenko.default()
    for opened in (stain.open(), stain.open("macenko"), stain.open("macenko", "default")):
        assert (opened.values(), opened.origin) == (bundled.values(), bundled.origin)
    assert type(stain.open("vahadane")) is stain.Vahadane


def test_a_reference_is_pixels_or_a_file(tissue, tmp_path):
    fitted = stain.Reinhard.fit(tissue, origin="good.png")
    write_image(tmp_path / "good.png", tissue, mpp=0.5)
    fitted.save(tmp_path / "lab.JSON")
    image = np.ascontiguousarray(tissue[::-1])
    for opened in (
        stain.open("reinhard", tissue, origin="good.png"),
        stain.open("reinhard", [tissue], origin="good.png"),
        stain.open("reinhard", tmp_path / "good.png"),
        stain.open("reinhard", str(tmp_path / "lab.JSON")),
        stain.open(reference=tmp_path / "lab.JSON"),
    ):
        assert (opened.name, opened.origin, opened.pixels) == ("reinhard", "good.png", fitted.pixels)
        assert np.array_equal(opened(image), fitted(image))


def test_the_white_point_of_the_images_to_come_is_kept(tissue, tmp_path):
    stain.Macenko.default().save(tmp_path / "lab.json")
    assert stain.open().white is None
    for reference in (None, tmp_path / "lab.json", tissue):
        opened = stain.open("macenko", reference, white=(230, 228, 226))
        assert np.array_equal(opened.white, (230, 228, 226))


def test_what_is_no_reference_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"'lab\.txt' is not a stain reference; expected 'default', a \.json file"
    ):
        stain.open("macenko", "lab.txt")
    with pytest.raises(UnknownNameError):
        stain.open("macenco", "lab.txt")  # the name is checked before the file
