import pytest
from jinja2 import UndefinedError

from histoscope.pages import templates


def test_html_is_escaped_and_markdown_is_not():
    said = {"name": "<b>"}
    assert templates(html=True).from_string("{{ name }}").render(said) == "&lt;b&gt;"
    assert templates(html=False).from_string("{{ name }}").render(said) == "<b>"


def test_a_name_that_nothing_was_given_for_is_an_error():
    with pytest.raises(UndefinedError, match="name"):
        templates(html=True).from_string("{{ name }}").render()
