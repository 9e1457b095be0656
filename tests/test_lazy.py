"""Old names work with a warning that says the new one."""

import importlib

import pytest

import histoscope as hs
from histoscope import slides

OLD = [
    ("slides", "Detector", "histoscope.predict"),
    ("slides", "draw", "histoscope.export"),
    ("slides", "mpp_of", "histoscope.images.resolution"),
    ("metrics", "cost", "histoscope.report.cost"),
]


@pytest.mark.parametrize(("package", "name", "module"), OLD)
def test_old_names_work_and_tell_the_new_one(package: str, name: str, module: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{package}.{name} is now {module}.{name}"):
        found = getattr(getattr(hs, package), name)
    assert found is getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(
    ("package", "old", "new"),
    [
        ("geometry", "settle", "refine_with_mask"),
        ("explain", "Shown", "Example"),
        ("explain", "patches_by_sureness", "patches_by_confidence"),
    ],
)
def test_names_that_changed_work_and_tell_the_new_one(package: str, old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{package}.{old} is now .*{new}"):
        assert getattr(getattr(hs, package), old) is getattr(getattr(hs, package), new)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = slides.nonsense
    with pytest.raises(AttributeError, match=r"it has .*metrics.*stain"):
        _ = hs.nonsense
