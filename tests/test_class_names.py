"""Names of classes keep their numbers, and what would shift or merge them is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope import models
from histoscope.class_names import names_in_order, names_of_nuclei, names_of_patches
from histoscope.errors import DataError


@pytest.mark.parametrize(
    "zero", ["background", "Background", "BG", "unlabelled", "nolabe", "no-class", "", None, "none"]
)
@pytest.mark.parametrize("key", [0, "0", " 0"])
def test_background_has_no_name_and_shifts_none(zero: str | None, key: int | str) -> None:
    assert names_of_nuclei({key: zero, "2": "stroma", 1: " tumour "}, "x") == {1: "tumour", 2: "stroma"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({0: "tumour", 1: "stroma"}, "class 0 is called 'tumour', but 0 is background"),
        ({1: "background", 2: "tumour"}, "class 1 is called 'background', but background is 0"),
        ({1: "tumour", 2: "tumour"}, "classes 1 and 2 are called 'tumour' and 'tumour'"),
        ({1: "Tumour", 2: "tumour "}, "upper and lower case"),
        ({1: "tumour", "1": "stroma"}, "class 1 is given twice"),
        ({"tumour": 1, "stroma": 2}, "swapped: write 1: tumour"),
        ({"tumour": "a"}, "not a class number; expected classes as 1: name"),
        ({1.5: "tumour"}, "'1.5' is not a class number"),
        ({-1: "tumour"}, "'-1' is not a class number"),
        ({True: "tumour"}, "'True' is not a class number"),
        ({256: "tumour"}, "from 0 to 255"),
        ({1: ""}, "class 1 has no name"),
        ({1: False}, "put it in quotes"),
        (["tumour", "stroma"], "classes are list"),
    ],
)
def test_what_would_mix_names_up_is_refused(given: object, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        names_of_nuclei(given, "here/classes.json")
    assert str(caught.value).startswith("here/classes.json: ")


def test_background_is_a_class_of_patches_like_others() -> None:
    assert names_of_patches({"1": "tumour", "0": "background"}, "x") == {0: "background", 1: "tumour"}


@given(st.dictionaries(st.integers(1, 255), st.integers(), min_size=1, max_size=20))
def test_a_name_stands_where_its_number_says(numbers: dict[int, int]) -> None:
    classes = {number: f"kind {number}" for number in numbers}
    for first in (0, 1):
        names = names_in_order(classes, first=first)
        assert all(names[number - first] == name for number, name in classes.items())
        assert len(names) == max(classes) + 1 - first


@pytest.mark.parametrize(
    ("classes", "name", "expected"),
    [
        ({0: "background", 1: "a", 3: "c"}, "stardist", ("a", "class 2", "c")),
        ({1: "a", 2: "b"}, "unet", None),
        ({0: "normal", 2: "tumour"}, "classifier", ("normal", "class 1", "tumour")),
        ({1: "a", 2: "b"}, "classifier", ("a", "b")),
    ],
)
def test_a_network_gives_each_number_the_name_of_the_data_set(
    classes: dict[int, str], name: str, expected: tuple[str, ...] | None
) -> None:
    arguments = {
        "stardist": {"width": 4, "depth": 2, "head_width": 8, "n_rays": 8, "mpp": 0.5},
        "unet": {"width": 4, "depth": 2, "mpp": 0.5},
        "classifier": {"backbone": "unet", "options": {"width": 4, "depth": 2}},
    }[name]
    model = models.create_for(classes, name, arguments)
    if expected is not None:
        assert tuple(model.spec.classes) == expected


def test_a_network_of_nuclei_takes_no_class_for_background() -> None:
    with pytest.raises(DataError, match="class 0 is called 'tumour'"):
        models.create_for({0: "tumour", 1: "stroma"}, "stardist", {"mpp": 0.5})
