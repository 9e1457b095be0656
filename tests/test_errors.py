"""Every error can be caught as ours and as the builtin one would expect; wrong names meet the nearest."""

import inspect

import pytest

from histoscope import errors
from histoscope.errors import HistoscopeError, UnknownNameError

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, HistoscopeError) and value is not HistoscopeError
}


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("ConfigError", ValueError),
        ("DataError", ValueError),
        ("DatasetNotFoundError", FileNotFoundError),
        ("CorruptDataError", ValueError),
        ("LeakError", ValueError),
        ("ShapeError", ValueError),
        ("StainError", ValueError),
        ("FormatVersionError", ValueError),
        ("TrainingError", RuntimeError),
        ("UnknownNameError", KeyError),
        ("MissingDependencyError", ImportError),
    ],
)
def test_builtin_parents(name: str, builtin: type[Exception]) -> None:
    assert issubclass(CLASSES[name], builtin)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    for name in CLASSES:
        assert name in errors.__doc__


@pytest.mark.parametrize("name", sorted(set(CLASSES) - {"UnknownNameError"}))
def test_the_message_comes_out_as_it_went_in(name: str) -> None:
    assert str(CLASSES[name]("what came, what was expected")) == "what came, what was expected"


@pytest.mark.parametrize(
    ("came", "offered"), [("mackenko", "macenko"), ("Macenko", "macenko"), ("REINHART", "reinhard")]
)
def test_a_wrong_name_is_answered_with_the_nearest(came: str, offered: str) -> None:
    message = str(UnknownNameError("normaliser", came, {"reinhard", "macenko"}))
    assert message == f"unknown normaliser {came!r}: did you mean {offered!r}? Known: macenko, reinhard"


def test_a_hopeless_name_is_answered_with_the_list() -> None:
    assert str(UnknownNameError("model", "qqqq", ["unet"])) == "unknown model 'qqqq': Known: unet"
    assert str(UnknownNameError("class", "tumour", [])) == "unknown class 'tumour': Known: none"


def test_what_is_not_text_does_not_break_the_message() -> None:
    assert "None" in str(UnknownNameError("model", None, ["unet"]))  # a YAML file may hold anything
