"""Old names work, with a warning that says the new one: of keywords, of fields, in YAML, of options."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from histoscope.cli import renamed_options
from histoscope.config import Config, differences, dump, load, new_keys
from histoscope.errors import ConfigError
from histoscope.renamed import RenamedWarning, renamed


@renamed(thaw="unfreeze")
@dataclass(frozen=True, slots=True)
class Transfer:
    __pydantic_config__: ClassVar = {"extra": "forbid"}
    unfreeze: int = 0


@renamed(elsewhere="external", name_of="label")
class Study(Config):
    external: Transfer | None = None
    several: tuple[Transfer, ...] = ()
    by_name: dict[str, Transfer] = Field(default_factory=dict)
    label: str = ""


@renamed(turned="tta")
def predict(image: int, *, tta: bool = False) -> tuple[int, bool]:
    return image, tta


def load_text(folder: Path, text: str, *overrides: str) -> Study:
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    return load(Study, folder / "a.yaml", overrides)


def test_a_function_takes_the_old_keyword() -> None:
    with pytest.warns(RenamedWarning, match=r"predict\(turned=\) is now predict\(tta=\)") as told:
        assert predict(3, turned=True) == (3, True)
    assert told[0].filename == __file__  # the line to change
    assert predict(3, tta=True) == (3, True)


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(TypeError, match="both turned and its new name tta"):
        predict(3, turned=True, tta=False)


def test_fields_answer_to_their_old_names() -> None:
    with pytest.warns(RenamedWarning, match=r"Transfer\(thaw=\) is now Transfer\(unfreeze=\)"):
        old = Transfer(thaw=3)
    assert old == Transfer(unfreeze=3) == replace(Transfer(), unfreeze=3)
    with pytest.warns(RenamedWarning, match=r"Transfer\.thaw is now Transfer\.unfreeze"):
        assert old.thaw == 3
    with pytest.warns(RenamedWarning, match="elsewhere"):
        study = Study(elsewhere=old)
    with pytest.warns(RenamedWarning, match=r"Study\.elsewhere is now Study\.external"):
        assert study.elsewhere is study.external
    assert "elsewhere" not in dump(study)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("elsewhere: {unfreeze: 3}", "external: {unfreeze: 3}"),
        ("external: {thaw: 3}", "external: {unfreeze: 3}"),
        ("several: [{}, {thaw: 3}]", "several: [{}, {unfreeze: 3}]"),
        ("by_name: {thaw: {thaw: 3}}", "by_name: {thaw: {unfreeze: 3}}"),
        ("name_of: 010", "label: 010"),
    ],
)
def test_yaml_takes_old_keys_at_every_depth(tmp_path: Path, old: str, new: str) -> None:
    with pytest.warns(RenamedWarning, match="is now"):
        found = load_text(tmp_path, old)
    wanted = load_text(tmp_path, new)
    assert found == wanted
    assert not differences(found, wanted)
    assert load_text(tmp_path, dump(found)) == found  # written back under the new keys


def test_sections_given_as_dictionaries_take_old_keys() -> None:
    with pytest.warns(RenamedWarning, match="thaw is now unfreeze"):
        assert Study(several=({"thaw": 3},)) == Study(several=(Transfer(3),))


def test_set_takes_old_keys_at_every_depth(tmp_path: Path) -> None:
    with pytest.warns(RenamedWarning) as told:
        found = load_text(tmp_path, "external: {unfreeze: 1}", "elsewhere.thaw=5", "name_of=010")
    assert (found.external, found.label) == (Transfer(5), "010")
    assert [str(each.message).split(";")[0] for each in told] == [
        "elsewhere is now external",
        "thaw is now unfreeze",
        "name_of is now label",
    ]


def test_yaml_with_both_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both elsewhere and its new name external"):
        load_text(tmp_path, "elsewhere: {}\nexternal: {}")


def test_keys_of_an_earlier_file_become_those_of_today_without_a_word() -> None:
    assert new_keys({"elsewhere": {"thaw": 3}, "several": [{"thaw": 1}], "more": 1}, [Study]) == {
        "external": {"unfreeze": 3},
        "several": [{"unfreeze": 1}],
        "more": 1,
    }


@pytest.mark.parametrize("given", [["--turned"], ["--turned", "--", "--turned"], ["--size=3"]])
def test_options_take_old_names_that_help_does_not_show(given: list[str]) -> None:
    app, seen = typer.Typer(), {}

    @app.command(cls=renamed_options.taking({"--turned": "--tta", "--size": "--px"}))
    def verb(name: str = typer.Argument("x"), *, tta: bool = False, px: int = 1) -> None:
        seen.update(name=name, tta=tta, px=px)

    new = given[0].replace("turned", "tta").replace("size", "px")
    with pytest.warns(RenamedWarning, match=f"{given[0].split('=')[0]} is now {new.split('=')[0]}"):
        assert CliRunner().invoke(app, given).exit_code == 0
    assert seen == {
        "name": given[-1] if "--" in given else "x",
        "tta": "turned" in given[0],
        "px": 3 if "size" in given[0] else 1,
    }
    assert "turned" not in CliRunner().invoke(app, ["--help"]).output
