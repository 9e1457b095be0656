import json
from dataclasses import replace

import numpy as np
import pytest

from histoscope import stain
from histoscope.errors import DataError, DatasetNotFoundError, FormatVersionError, UnknownNameError
from histoscope.stain import reference

METHODS = sorted(stain.NORMALIZERS)


@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_it_does_the_same(method, tissue, mix, tmp_path):
    normalize = stain.get(method).fit(mix(seed=5))
    path = tmp_path / "reference.json"
    normalize.save(path)
    loaded = stain.load(path)
    assert type(loaded) is type(normalize)
    assert np.array_equal(loaded(tissue), normalize(tissue))
    document = json.loads(path.read_text())
    assert (document["format"], document["kind"]) == (1, "histoscope-stain-reference")


def test_residual_travels_along(tissue, tmp_path):
    stain.Macenko.fit(tissue, keep_residual=True).save(tmp_path / "a.json")
    assert stain.load(tmp_path / "a.json").keep_residual


def test_default_follows_from_its_origin():
    """The bundled numbers are those of a mixture of the two published vectors, made here anew."""
    target = stain.Macenko.default().target
    quantiles = -np.log(1 - (np.arange(256) + 0.5) / 256) / -np.log(0.01)  # exponential, 99th percentile 1
    amounts = np.stack(np.meshgrid(quantiles * target.amounts[0], quantiles * target.amounts[1]), axis=2)
    image = np.rint(255 * np.exp(-(amounts @ target.stains))).astype(np.uint8)
    pixels = image[stain.tissue_mask(image, white=(255, 255, 255))]
    bundled = stain.Reinhard.default().target
    assert np.abs(stain.lab(pixels).mean(axis=0) - bundled.mean).max() < 0.1
    assert np.abs(stain.lab(pixels).std(axis=0) - bundled.std).max() < 0.1
    sparse, factorised = (
        stain.Vahadane.default().target,
        stain.Vahadane.estimate(image, white=(255, 255, 255)),
    )
    assert np.abs(factorised.stains - sparse.stains).max() < 0.005
    assert np.allclose(factorised.amounts, sparse.amounts, rtol=0.02)
    on_ruifrok = stain.separate(pixels[None], stain.RUIFROK[:2])[0]
    assert np.allclose(
        np.percentile(on_ruifrok, 99, axis=0), stain.Ruifrok.default().target.amounts, rtol=0.02
    )


def test_files_of_before_count_from_255_and_new_ones_keep_their_white_point(tissue, tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps(document()))
    assert stain.load(path).target.white.tolist() == [255, 255, 255]
    assert stain.load(path).target.present == (True, True)
    dim = (tissue * np.array([0.9, 0.85, 0.8])).astype(np.uint8)
    fitted = stain.Macenko.fit(dim, white=(230, 217, 204))
    replace(fitted, white=(200, 190, 180)).save(path)
    loaded = stain.load(path)
    assert loaded.target.white.tolist() == [230, 217, 204]
    assert np.asarray(loaded.white).tolist() == [200, 190, 180]


GOOD = {"stains": [[0.6, 0.7, 0.4], [0.2, 0.8, 0.5]], "amounts": [2.0, 1.0]}


def document(**changes):
    return {"format": 1, "kind": reference.KIND, "methods": {"macenko": GOOD}} | changes


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("not json", DataError, "not JSON"),
        ("[1, 2]", DataError, "not a stain reference"),
        (json.dumps({"kind": "other"}), DataError, "not a stain reference"),
        (json.dumps(document(format=2)), FormatVersionError, "format 2"),
        (json.dumps(document(methods={})), DataError, "names no methods"),
        (json.dumps(document(methods={"macenka": GOOD})), UnknownNameError, "macenko"),
        (json.dumps(document(methods={"macenko": {"stains": GOOD["stains"]}})), DataError, "amounts"),
        (json.dumps(document(methods={"macenko": GOOD | {"amounts": [1, 0]}})), DataError, "above 0"),
        (json.dumps(document(methods={"macenko": GOOD | {"amounts": ["a", 0]}})), DataError, "not numbers"),
        (json.dumps(document(methods={"macenko": GOOD | {"stains": [[1, 2]]}})), DataError, "shape"),
        (json.dumps(document(methods={"macenko": GOOD | {"white": [0, 255, 255]}})), DataError, "1 to 255"),
        (json.dumps(document(methods={"macenko": GOOD | {"white": [255, 255]}})), DataError, "shape"),
        (json.dumps(document(methods={"macenko": GOOD, "ruifrok": GOOD})), DataError, "say which"),
    ],
)
def test_wrong_files_are_named_errors(tmp_path, text, error, says):
    path = tmp_path / "reference.json"
    path.write_text(text)
    with pytest.raises(error, match=says):
        stain.load(path)


def test_missing_file_and_missing_method(tmp_path):
    with pytest.raises(DatasetNotFoundError):
        stain.load(tmp_path / "none.json")
    path = tmp_path / "both.json"
    path.write_text(json.dumps(document(methods={"macenko": GOOD, "vahadane": GOOD})))
    assert type(stain.load(path, "vahadane")) is stain.Vahadane
    with pytest.raises(UnknownNameError):
        stain.load(path, "reinhard")


@pytest.mark.parametrize("method", METHODS)
def test_a_reference_says_where_it_comes_from(method, mix, tmp_path):
    path = tmp_path / "lab.json"
    stain.get(method).fit(mix(seed=5), origin="good.png").save(path)
    assert json.loads(path.read_text())["origin"] == "good.png"
    loaded = stain.load(path)
    assert loaded.origin == "good.png"
    loaded.save(tmp_path / "again.json")
    assert stain.load(tmp_path / "again.json").origin == "good.png"
    assert "No image" in stain.get(method).default().origin
    assert stain.get(method).fit(mix(seed=5)).origin == ""


def test_origin_changes_nothing_of_what_a_normaliser_does(mix):
    named, plain = (stain.Macenko.fit(mix(seed=5), origin=origin) for origin in ("a.png", ""))
    assert named.values() == plain.values()
