"""YAML that keeps what people write, against what YAML 1.1 would make of it."""

import math

import pytest
import yaml

from histoscope import plain


@pytest.mark.parametrize(
    "text",
    [
        "2024-11-05",
        "2024-11-05 10:30:00",
        "on",
        "off",
        "yes",
        "no",
        "Yes",
        "NO",
        "y",
        "12:30:45",
        "0x1F",
        "0o7",
        "=",
    ],
)
def test_what_yaml_11_would_change_stays_text(text):
    assert plain.bare(plain.read(f"key: {text}")) == {"key": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("1_000", 1000),
        ("1_", 1),
        ("-3", -3),
        ("+7", 7),
        ("1e-3", 0.001),
        ("1E5", 1e5),
        (".5", 0.5),
        ("2.", 2.0),
        ("-.inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_numbers_truth_and_null_are_read_and_their_text_is_kept(text, value):
    read = plain.read(f"key: {text}")["key"]
    assert read == plain.Plain(value, text)
    assert type(read.value) is type(value)


def test_quotes_make_text():
    assert plain.read("{a: '5', b: \"true\"}") == {"a": "5", "b": "true"}


@pytest.mark.parametrize("text", [".", "-", "+", "..5", "1.2.3", "1e", "nan", "inf", "tRuE", "1-2", "5 um"])
def test_what_only_looks_like_a_number_is_text(text):
    assert plain.bare(plain.read(f"[a, '{text}']"))[1] == text
    if text not in {"-"}:  # the mark of a list
        assert plain.bare(plain.read(f"key: {text}"))["key"] == text


def test_ordinary_documents_mean_what_they_always_meant():
    text = "a: {b: [1, 2.5, x], c: null}\nbase: &base {k: 1}\nmore: {<<: *base, l: true}\nlong: |\n  a\n  b\n"
    assert plain.bare(plain.read(text)) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3", "{x: {k: 1, k: 1}}", "1: a\n1: b", "a: 1\n'a': 2"])
def test_a_key_that_stands_twice_is_named_with_its_line(text):
    with pytest.raises(ValueError, match=r"^line \d, column \d+: duplicate key ('a'|'k'|1)$"):
        plain.read(text)


@pytest.mark.parametrize(
    "text", ["a: [1", "a: b: c", "\t- a", "!!python/object:os.x y", "&a [*b]", "--- a\n--- b"]
)
def test_an_error_is_one_line(text):
    with pytest.raises(ValueError, match=r"\w") as refused:
        plain.read(text)
    assert "\n" not in str(refused.value)
