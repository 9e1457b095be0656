"""Modules of 0.1 are found under their old names, with a warning that says the new one."""

import importlib
import sys

import pytest

from histoscope import moved


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in moved.MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
        package, _, module = name.rpartition(".")
        monkeypatch.delattr(importlib.import_module(package), module, raising=False)


@pytest.mark.parametrize(("old", "new"), moved.MODULES.items())
def test_a_module_is_found_under_its_old_name(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}; the old name"):
        found = importlib.import_module(old)
    assert found is importlib.import_module(new)
    assert found.__spec__ is not None
    assert found.__spec__.name == new


def test_from_imports_find_them_too() -> None:
    with pytest.warns(DeprecationWarning, match=r"slides\.batch is now histoscope\.predict\.batch"):
        from histoscope.slides import batch
    from histoscope.predict import batch as new

    assert batch is new


def test_what_never_was_is_missing() -> None:
    with pytest.raises(ModuleNotFoundError, match="nonsense"):
        importlib.import_module("histoscope.slides.nonsense")
    with pytest.raises(ImportError, match="nonsense"):
        from histoscope.slides import nonsense  # noqa: F401


def test_the_audit_stays_a_function() -> None:
    from histoscope import data

    module = importlib.import_module("histoscope.data.audit")
    assert module.audit is data.audit
