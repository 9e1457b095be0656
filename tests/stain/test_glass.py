"""White point, blank glass, pens, lamps and missing stains: what must hold for every method."""

import io

import numpy as np
import pytest
from PIL import Image as Pictures
from skimage.color import rgb2hsv

from histoscope import stain
from histoscope.errors import StainError
from histoscope.stain.glass import assumed_white, thumbnail, white_point
from histoscope.stain.normalizer import GAINS

METHODS = sorted(stain.NORMALIZERS)
every_method = pytest.mark.parametrize("method", METHODS)
LAMPS = [
    (255, 255, 255),
    (223, 215, 213),
    (218, 214, 222),
    (240, 232, 215),
    (200, 190, 175),
    (180, 185, 200),
    (150, 150, 150),
]
INKS = {
    "blue": (20, 60, 200),
    "pure blue": (0, 0, 255),
    "dull blue": (40, 50, 150),
    "green": (30, 140, 60),
    "black": (10, 10, 12),
    "thin black": (60, 60, 65),
    "red": (220, 30, 40),
    "dark red": (130, 10, 20),
}


def glass(lamp, noise=0.0, falls=0.0, darkens=0.0, quality=None, px=192, seed=0):
    """Bare glass under a lamp, with camera noise, light that falls off or vignetting, and JPEG."""
    rows, columns = np.mgrid[:px, :px] / (px - 1)
    light = (1 - falls * columns) * (1 - 2 * darkens * ((rows - 0.5) ** 2 + (columns - 0.5) ** 2))
    levels = light[..., None] * lamp + np.random.default_rng(seed).normal(0, 1, (px, px, 3)) * noise
    image = np.rint(levels.clip(0, 255)).astype(np.uint8)
    if quality is None:
        return image
    buffer = io.BytesIO()
    Pictures.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Pictures.open(buffer))


def tissue_under(lamp, scale=(0.7, 0.4), px=192, seed=0):
    """Nuclei on stroma under a lamp: discs of haematoxylin on clouds of eosin, no glass between."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:px, :px]
    eosin = 1 + 0.5 * np.sin(columns / 7 + seed) * np.cos(rows / 11) + rng.normal(0, 0.1, (px, px))
    haematoxylin = 0.3 * eosin
    for _ in range(60):
        y, x, r = rng.uniform(0, px), rng.uniform(0, px), rng.uniform(4, 8)
        haematoxylin += rng.uniform(0.8, 1.8) * np.clip(r - np.hypot(rows - y, columns - x), 0, 2) / 2
    amounts = np.stack([haematoxylin * scale[0], np.maximum(eosin, 0.2) * scale[1]], axis=2)
    stains = np.array([[0.60, 0.70, 0.39], [0.18, 0.88, 0.44]])
    return np.rint(np.exp(-(amounts @ stains)) * lamp).astype(np.uint8)


def turns_green_or_yellow(out, image):
    """Share of pixels that are green or yellow in `out` and were not."""
    hue, saturation, value = np.moveaxis(rgb2hsv(np.stack([out, image])), -1, 0)
    green = (hue > 45 / 360) & (hue < 175 / 360) & (saturation > 0.12) & (value > 0.15)
    return np.mean(green[0] & ~green[1])


def apart(one, other):
    return np.abs(one.astype(int) - other).mean()


@pytest.mark.parametrize("lamp", LAMPS)
@pytest.mark.parametrize(
    "light",
    [
        {"noise": 1},
        {"noise": 6},
        {"noise": 2, "falls": 0.2},
        {"noise": 6, "darkens": 0.25},
        {"noise": 3, "falls": 0.1, "quality": 80},
        {"noise": 2, "quality": 50},
    ],
    ids=str,
)
def test_blank_glass_stays_blank_under_any_lamp(lamp, light):
    image = glass(lamp, **light)
    for method in METHODS:
        assert np.array_equal(stain.get(method).default()(image), image), method
        with pytest.raises(StainError, match="too little tissue"):
            stain.get(method).estimate(image)


@every_method
def test_dust_on_glass_is_no_tissue(method, rng):
    image = glass((223, 215, 213), noise=2)
    for _ in range(6):
        y, x = rng.integers(0, 180, 2)
        image[y : y + 5, x : x + 5] = rng.integers(20, 90)
    assert np.array_equal(stain.get(method).default()(image), image)


@every_method
@pytest.mark.parametrize("image", ["white", "black", "grey", "pink", "one pixel", "saturated"])
def test_images_of_one_colour_come_back(method, image, rng):
    level = {
        "white": 255,
        "black": 0,
        "grey": 120,
        "pink": (230, 150, 190),
        "one pixel": 99,
        "saturated": 254,
    }
    px = 1 if image == "one pixel" else 64
    picture = np.full((px, px, 3), level[image], np.uint8)
    noisy = np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
    for one in (picture, noisy):
        assert np.array_equal(stain.get(method).default()(one), one)


@pytest.mark.parametrize("lamp", LAMPS)
def test_white_point_of_glass_is_found_beside_tissue(lamp):
    image = tissue_under(lamp)
    image[:, :20] = glass(lamp, noise=3)[:, :20]
    assert np.abs(white_point(thumbnail(image)) - lamp).max() < 4
    assert np.abs(white_point([thumbnail(tissue_under(lamp)), thumbnail(image)]) - lamp).max() < 4


@pytest.mark.parametrize("scale", [(0.7, 0.4), (0.0, 0.4), (0.5, 0.25), (0.2, 0.1)])
def test_pale_tissue_is_not_taken_for_glass(scale):
    assert white_point(thumbnail(tissue_under((245, 243, 244), scale))) is None


def test_without_glass_the_white_point_is_usual_or_the_brightest_channel():
    image = tissue_under((230, 230, 230))
    assert assumed_white([image]).tolist() == [240, 240, 240]
    estimate = stain.Macenko.estimate(image)
    assert estimate.white.tolist() == [240, 240, 240]
    assert any("no bare glass" in note for note in estimate.notes)
    assert assumed_white([tissue_under((254, 254, 254), (0.2, 0.4))])[0] > 242


@every_method
def test_white_point_can_be_given(method):
    image = tissue_under((200, 190, 175))
    normalize = stain.get(method)
    estimate = normalize.estimate(image, white=(200, 190, 175))
    assert estimate.white.tolist() == [200, 190, 175]
    assert not any("glass" in note for note in estimate.notes)
    target = normalize.default().target
    assert np.array_equal(
        normalize(target, white=(200, 190, 175))(image), normalize(target)(image, source=estimate)
    )
    for wrong in [(0, 255, 255), (256, 255, 255), (200, 200), "white", (np.nan, 1, 1)]:
        with pytest.raises(StainError, match="each from 1 to 255"):
            normalize.estimate(image, white=wrong)
        with pytest.raises(StainError, match="each from 1 to 255"):
            normalize(target, white=wrong)


@every_method
@pytest.mark.parametrize("lamp", LAMPS[1:])
def test_glass_beside_tissue_keeps_its_colour(method, lamp):
    image = tissue_under(lamp)
    image[:, 96:] = glass(lamp, noise=2)[:, 96:]
    out = stain.get(method).default()(image)
    bare, new = image[:, 96:].reshape(-1, 3), out[:, 96:].reshape(-1, 3)
    assert np.abs(new.mean(axis=0) - bare.mean(axis=0)).max() < 0.5
    assert (new.std(axis=0) <= bare.std(axis=0) + 0.2).all()
    assert apart(out[:, :96], image[:, :96]) > 3  # tissue did change


@every_method
@pytest.mark.parametrize("lamp", [(223, 215, 213), (240, 232, 215), (180, 185, 200), (150, 150, 150)])
def test_a_lamp_changes_the_result_far_less_than_the_image(method, lamp):
    bright, dim = (tissue_under(light) for light in ((245, 245, 245), lamp))
    bright[:, :30], dim[:, :30] = (glass(light)[:, :30] for light in ((245, 245, 245), lamp))
    normalize = stain.get(method).default()
    inside = np.s_[:, 30:]
    assert apart(normalize(dim)[inside], normalize(bright)[inside]) < 0.2 * apart(dim[inside], bright[inside])


@every_method
def test_a_lamp_changes_the_result_less_than_the_image_without_glass(method):
    bright, dim = (tissue_under(light) for light in ((245, 245, 245), (200, 200, 200)))
    normalize = stain.get(method).default()
    assert apart(normalize(dim), normalize(bright)) < apart(dim, bright)


@every_method
@pytest.mark.parametrize("ink", INKS)
def test_pens_are_left_as_they_are_and_out_of_estimates(method, ink, rng):
    image = tissue_under((245, 245, 245))
    image[:, :40] = glass((245, 245, 245), noise=1)[:, :40]
    normalize = stain.get(method).default()
    marked = image.copy()
    marked[60:90] = np.clip(INKS[ink] + rng.normal(0, 1, (30, 192, 3)), 0, 255)
    out, plain = normalize(marked), normalize(image)
    assert apart(out[60:90], marked[60:90]) < 1
    assert apart(np.delete(out, np.s_[60:90], axis=0), np.delete(plain, np.s_[60:90], axis=0)) < 3
    assert any("pen" in note for note in normalize.estimate(marked).notes)


@every_method
@pytest.mark.parametrize("ink", ["blue", "green", "black", "red"])
def test_the_soft_rim_of_a_pen_does_not_move_the_estimate(method, ink):
    image = tissue_under((245, 245, 245))
    image[:, :40] = 245
    cover = np.zeros((192, 192))
    cover[60:90] = 1
    for _ in range(9):
        cover = (cover + np.roll(cover, 1, 0) + np.roll(cover, -1, 0)) / 3
    marked = np.rint(image * (1 - cover[..., None]) + np.array(INKS[ink]) * cover[..., None]).astype(np.uint8)
    normalize = stain.get(method).default()
    assert apart(normalize(marked)[cover < 0.01], normalize(image)[cover < 0.01]) < 3


@every_method
@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("blur", [0, 1, 3])
def test_a_picture_of_pen_alone_is_no_tissue(method, ink, blur):
    image = glass((240, 238, 236), noise=1).astype(float)
    image[40:80, 30:160] = INKS[ink]
    image[110:130, 20:170] = INKS[ink]
    for _ in range(blur * 3):
        image = (image + np.roll(image, 1, 0) + np.roll(image, -1, 0)) / 3
    image = np.rint(image).clip(0, 255).astype(np.uint8)
    assert np.array_equal(stain.get(method).default()(image), image)


@every_method
@pytest.mark.parametrize(
    "scale", [(0.7, 0.4), (0.15, 0.1), (0.7, 0.02), (0.7, 0.0), (0.02, 0.4), (0.0, 0.4), (1.5, 1.0)]
)
@pytest.mark.parametrize("lamp", [(245, 245, 245), (200, 190, 175)])
def test_tissue_of_any_stain_turns_neither_green_nor_yellow(method, scale, lamp, rng):
    image = tissue_under(lamp, scale)
    image[:, :30] = glass(lamp)[:, :30]
    image = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    out = stain.get(method).default()(image)
    assert turns_green_or_yellow(out, image) < 0.002
    assert out[:, 30:].std() < GAINS[1] * image[:, 30:].std() + 5


@every_method
@pytest.mark.parametrize("brown", [(120, 80, 50), (60, 35, 25)])
def test_brown_of_dab_or_melanin_turns_neither_green_nor_yellow(method, brown, rng):
    image = tissue_under((245, 245, 245), (0.6, 0.2))
    image[:60, :60] = np.clip(brown + rng.normal(0, 2, (60, 60, 3)), 0, 255)
    assert turns_green_or_yellow(stain.get(method).default()(image), image) < 0.01


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_a_stain_that_is_not_there_is_said_and_not_scaled(method):
    pink = tissue_under((245, 245, 245), (0.0, 0.5))
    pink[:, :30] = 245
    blue = tissue_under((245, 245, 245), (0.7, 0.0))
    blue[:, :30] = 245
    for image, missing, there in ((pink, 0, 1), (blue, 1, 0)):
        estimate = stain.get(method).estimate(image)
        assert not estimate.present[missing]
        assert estimate.present[there]
        assert f"no {('haematoxylin', 'eosin')[missing]} to measure" in estimate.notes
        normalize = stain.get(method).default()
        gain = np.linalg.pinv(normalize.target.stains.T) @ normalize.matrix(estimate) @ estimate.stains.T
        assert gain[missing, missing] == pytest.approx(1.0)
        assert GAINS[0] <= gain[there, there] <= GAINS[1]
    both = stain.get(method).estimate(tissue_under((245, 245, 245)))
    assert both.present == (True, True)


def test_eosin_alone_stays_pink_and_haematoxylin_alone_stays_blue():
    for scale, bluer in (((0.0, 0.5), False), ((0.7, 0.0), True)):
        image = tissue_under((245, 245, 245), scale)
        image[:, :30] = 245
        red, _, blue = stain.Macenko.default()(image)[:, 40:].reshape(-1, 3).mean(axis=0)
        assert (blue > red) == bluer


@every_method
def test_little_tissue_is_said(method):
    image = np.full((512, 512, 3), 244, np.uint8)
    image[:96, :96] = tissue_under((244, 244, 244))[:96, :96]
    assert "little tissue (less than 5 % of the image)" in stain.get(method).estimate(image).notes


@every_method
def test_twice_is_nearly_once(method):
    image = tissue_under((240, 240, 240))
    image[:, :30] = 240
    normalize = stain.get(method).default()
    once = normalize(image)
    assert apart(normalize(once), once) < 3


def test_tissue_mask_leaves_dim_glass_out():
    for lamp in LAMPS:
        image = tissue_under(lamp)
        image[:, 96:] = glass(lamp, noise=2)[:, 96:]
        mask = stain.tissue_mask(image)
        assert mask[:, 96:].mean() < 0.01
        assert mask[:, :96].mean() > 0.9


def test_restain_keeps_the_glass_of_a_dim_lamp():
    image = tissue_under((200, 190, 175))
    image[:, 96:] = glass((200, 190, 175), noise=2)[:, 96:]
    out = stain.restain(image, amounts=(0.5, 1.5))
    assert np.abs(out[:, 96:].mean(axis=(0, 1)) - image[:, 96:].mean(axis=(0, 1))).max() < 1
