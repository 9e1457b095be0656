import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from histoscope import export
from histoscope.errors import ShapeError
from histoscope.export.overlay import COLOURS, UNCLASSED, with_legend
from histoscope.types import Nuclei

# Colours as they are seen without one kind of cone (Machado, Oliveira and Fernandes 2009, severity 1).
SIGHT = {
    "full": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
TISSUE = [(92, 54, 138), (70, 40, 110), (236, 190, 214), (215, 140, 185), (245, 240, 245), (200, 60, 80)]


def seen(colours, sight):
    levels = np.array(colours) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(SIGHT[sight]), 0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_are_told_apart_from_each_other_and_from_tissue(sight):
    ours, tissue = seen([*COLOURS.values(), UNCLASSED], sight), seen(TISSUE, sight)
    apart = deltaE_ciede2000(ours[:, None], ours[None])
    assert apart[~np.eye(len(ours), dtype=bool)].min() > 15
    assert deltaE_ciede2000(ours[:, None], tissue[None]).min() > 9


def two():
    labels = np.zeros((40, 60), np.int32)
    labels[10:30, 5:25], labels[10:30, 35:55] = 1, 2
    return Nuclei(
        np.zeros((2, 2), np.float32), np.array([1, 2], np.uint8), np.ones(2, np.float32), labels, 0.5
    )


def test_outlines_are_where_the_nuclei_end_in_the_colour_of_their_class():
    image = np.full((40, 60, 3), 200, np.uint8)
    drawn = export.draw(image, two(), ["a", "b"])
    assert (image == 200).all()
    changed = (drawn != image).any(axis=2)
    assert not changed[13:27, 8:22].any()  # inside
    assert not changed[:8].any()  # outside
    assert changed[15, 4:6].any()
    red, green, blue = drawn[15, 4:6].astype(int)[np.argmax(changed[15, 4:6])]
    assert min(red, green) > blue  # yellow, maybe mixed with what is below
    assert drawn[15, 34:36].astype(int)[:, 2].max() >= 200
    assert drawn[15, 34:36].astype(int)[:, 0].min() < 120


def test_seven_classes_differ_and_more_come_again():
    assert len(set(export.colours("abcdefg"))) == 8
    assert len(export.colours("abcdefghi")) == 10


def test_other_images_are_refused():
    with pytest.raises(ShapeError, match="give the image that they were found in"):
        export.draw(np.zeros((5, 5, 3), np.uint8), two())


def test_a_label_map_is_drawn_as_its_nuclei_are():
    image = np.full((40, 60, 3), 200, np.uint8)
    labels = two().instances
    of_map = export.draw(image, labels.astype(np.uint16), mpp=0.5)
    assert np.array_equal(of_map, export.draw(image, Nuclei.from_labels(labels, mpp=0.5)))
    assert (of_map != image).any()
    with pytest.raises(ShapeError, match="give the image that they were found in"):
        export.draw(image[1:], labels)


def test_the_legend_goes_where_the_fewest_nuclei_are():
    labels = np.zeros((400, 600), np.int32)
    labels[:, :300], labels[:200, 300:] = 1, 2  # only the lower right corner is free
    nuclei = Nuclei.from_labels(labels, mpp=0.5, classes=[0, 1, 2])
    image = np.full((400, 600, 3), 200, np.uint8)
    changed = (with_legend(image, nuclei.without_map(), ["a", "b"]) != image).any(axis=2)
    assert changed[200:, 300:].any()
    assert not changed[:200].any()
    assert not changed[:, :300].any()


def test_outlines_are_no_longer_given():
    with pytest.warns(DeprecationWarning, match="nuclei have their own outlines"):
        export.draw(np.zeros((40, 60, 3), np.uint8), two(), outlines=two().outlines)
