"""Configuration: what is unknown or wrong is refused with the key's place and the nearest right name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from histoscope.config import Config, differences, dump, load, parse
from histoscope.errors import ConfigError


@dataclass(frozen=True)
class Jitter:
    __pydantic_config__: ClassVar = {"extra": "forbid"}
    strength: float = 0.5


class Train(Config):
    lr: Annotated[float, Field(gt=0)] = 1e-3
    steps: int = 100
    jitter: Jitter = Jitter()
    maybe: Jitter | None = None
    several: tuple[Jitter, ...] = ()


class Experiment(Config):
    model: Literal["unet", "resunet"]
    train: Train = Train()
    seeds: tuple[int, ...] = (0,)


@pytest.fixture
def yaml_file(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "a.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_short_file_is_enough(yaml_file) -> None:
    config = load(Experiment, yaml_file("model: unet\ntrain: {lr: 0.01}\nseeds: [1, 2]\n"))
    assert config == Experiment(model="unet", train=Train(lr=0.01), seeds=(1, 2))


def test_configurations_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Experiment(model="unet").train.lr = 1.0


@pytest.mark.parametrize(
    ("text", "place", "offered"),
    [
        ("modle: unet", "modle", "model"),
        ("model: unet\ntrain: {stepps: 3}", "train.stepps", "steps"),
        ("model: unet\ntrain: {jitter: {strenght: 1}}", "train.jitter.strenght", "strength"),
        ("model: unet\ntrain: {maybe: {strenght: 1}}", "train.maybe.*strenght", "strength"),
        ("model: unet\ntrain: {several: [{}, {strenght: 1}]}", "train.several.1.strenght", "strength"),
    ],
)
def test_an_unknown_key_is_answered_with_its_place_and_the_nearest(yaml_file, text, place, offered) -> None:
    with pytest.raises(ConfigError, match=rf"a\.yaml: .*{place}.*did you mean '{offered}'"):
        load(Experiment, yaml_file(text))


def test_a_missing_key_is_named(yaml_file) -> None:
    with pytest.raises(ConfigError, match="model: missing; set it"):
        load(Experiment, yaml_file("seeds: [1]"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: vnet", r"model: .*'unet' or 'resunet'.*got 'vnet'"),
        ("model: unet\ntrain: {lr: -1}", r"train\.lr: .*greater than 0.*got -1"),
        ("model: unet\ntrain: {steps: many}", r"train\.steps: .*got 'many'"),
        ("model: unet\nseeds: [1, x]", r"seeds\.1: .*got 'x'"),
        ("model: unet\ntrain: 3", r"train: .*got 3"),
    ],
)
def test_a_wrong_value_is_answered_with_what_came(yaml_file, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(Experiment, yaml_file(text))


def test_all_errors_come_at_once(yaml_file) -> None:
    with pytest.raises(ConfigError, match=r"lr.*steps"):
        load(Experiment, yaml_file("model: unet\ntrain: {lr: -1, steps: x}"))


@pytest.mark.parametrize(
    "text", ["model: [unet", "a: b: c", "model: unet\n\tseeds: 1", "!!python/object:os.x y"]
)
def test_what_is_no_yaml_is_refused(yaml_file, text: str) -> None:
    with pytest.raises(ConfigError, match="not readable YAML"):
        load(Experiment, yaml_file(text))


@pytest.mark.parametrize("text", ["- a\n- b", "just words", "3"])
def test_yaml_without_keys_is_refused(yaml_file, text: str) -> None:
    with pytest.raises(ConfigError, match="expected keys and values"):
        load(Experiment, yaml_file(text))


def test_binary_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00model")
    with pytest.raises(ConfigError, match="not readable YAML"):
        load(Experiment, tmp_path / "b.yaml")
    with pytest.raises(ConfigError, match="no configuration file"):
        load(Experiment, tmp_path / "no.yaml")


def test_an_empty_file_takes_the_defaults(yaml_file) -> None:
    assert load(Train, yaml_file("")) == Train()


@pytest.mark.parametrize(
    ("line", "check"),
    [
        ("train.lr=1e-3", lambda c: c.train.lr == 0.001),
        ("train.lr=1e-03", lambda c: c.train.lr == 0.001),
        ("train.lr = 0.5", lambda c: c.train.lr == 0.5),
        ("train.steps=7", lambda c: c.train.steps == 7),
        ("train.jitter.strength=0", lambda c: c.train.jitter.strength == 0),
        ("train.maybe=null", lambda c: c.train.maybe is None),
        ("seeds=[4, 5]", lambda c: c.seeds == (4, 5)),
        ("model=resunet", lambda c: c.model == "resunet"),
    ],
)
def test_set_wins_over_the_file(yaml_file, line: str, check) -> None:
    assert check(load(Experiment, yaml_file("model: unet\ntrain: {lr: 0.2, steps: 9}"), [line]))


def test_later_set_wins(yaml_file) -> None:
    assert load(Train, yaml_file(""), ["steps=1", "steps=2"]).steps == 2


@pytest.mark.parametrize("line", ["train.lr", "=3", "", "model.name=x", "train.lr=[1", "train..lr=1"])
def test_a_set_that_makes_no_sense_is_refused(yaml_file, line: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        load(Experiment, yaml_file("model: unet"), [line])


def test_an_unknown_key_in_set_is_refused(yaml_file) -> None:
    with pytest.raises(ConfigError, match=r"train\.stepps.*did you mean 'steps'"):
        load(Experiment, yaml_file("model: unet"), ["train.stepps=3"])


def test_set_reaches_into_a_section_left_empty(yaml_file) -> None:
    assert load(Experiment, yaml_file("model: unet\ntrain:\n"), ["train.steps=3"]).train.steps == 3


def test_text_that_reads_as_a_number_by_chance_stays_text(yaml_file) -> None:
    class Named(Config):
        name: str = ""

    for text in ("nan", "inf", "infinity"):
        assert load(Named, yaml_file(""), [f"name={text}"]).name == text


def test_dump_and_parse_agree(tmp_path: Path) -> None:
    config = Experiment(model="resunet", train=Train(lr=3e-4, maybe=Jitter(0.1)), seeds=(3, 1))
    text = dump(config)
    assert text.startswith("model: resunet\n")
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    assert load(Experiment, tmp_path / "a.yaml") == config


def test_parse_names_where_it_came_from() -> None:
    with pytest.raises(ConfigError, match=r"^run 3: lr"):
        parse(Train, {"lr": "x"}, where="run 3")


class Written(Config):
    name: str = ""
    out: Path = Path("runs")
    maybe: str | None = None
    rate: float = 0.0
    count: int = 0
    flag: bool = False
    size: int | Literal["all"] = "all"
    words: tuple[str, ...] = ()
    by_name: dict[str, dict[str, Any]] = Field(default_factory=dict)
    kind: Literal["on", "off"] = "on"


@pytest.mark.parametrize(
    "text", ["2024-11-05", "on", "no", "010", "1e-3", "5", "null", "true", "1_000", "12:30", "~"]
)
def test_text_is_kept_as_it_was_written(yaml_file, text) -> None:
    empty = yaml_file("")
    assert load(Written, empty, [f"name={text}"]).name == text
    assert load(Written, yaml_file(f"name: {text}")).name == text
    assert load(Written, yaml_file(f"words: [{text}]")).words == (text,)
    assert list(load(Written, yaml_file(f"by_name: {{{text}: {{}}}}")).by_name) == [text]
    if text not in {"~", "null"}:
        assert load(Written, yaml_file(f"out: {text}")).out == Path(text)
        assert load(Written, empty, [f"out={text}"]).out == Path(text)
        assert load(Written, yaml_file(f"maybe: {text}")).maybe == text
    else:
        assert load(Written, yaml_file(f"maybe: {text}")).maybe is None


@pytest.mark.parametrize("text", ["run #3", "a: b", "*x", "@home", "[1", "{a}", "- a", "'odd", "a, b", "%x"])
def test_set_takes_text_letter_by_letter(yaml_file, text) -> None:
    assert load(Written, yaml_file(""), [f"name={text}"]).name == text


def test_set_takes_quotes_off(yaml_file) -> None:
    assert load(Written, yaml_file(""), ["name='a b'"]).name == "a b"


def test_numbers_stay_numbers(yaml_file) -> None:
    text = "{rate: 1e-3, count: 010, flag: on, size: 8, by_name: {unet: {width: 16, rate: 1e-3, on: off}}}"
    found = load(Written, yaml_file(text))
    assert (found.rate, found.count, found.flag, found.size) == (0.001, 10, True, 8)
    assert found.by_name == {"unet": {"width": 16, "rate": 0.001, "on": "off"}}
    assert load(Written, yaml_file("size: all")).size == "all"
    assert load(Written, yaml_file("kind: off")).kind == "off"


def test_home_is_found_in_paths_alone(yaml_file, monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    found = load(Written, yaml_file("out: ~/runs"), ["name=~/x"])
    assert (found.out, found.name) == (Path("/home/someone/runs"), "~/x")
    assert load(Written, yaml_file(""), ["out=~/runs"]).out == Path("/home/someone/runs")


def test_a_key_that_stands_twice_is_refused_in_one_line(yaml_file) -> None:
    with pytest.raises(ConfigError, match="line 3, column 1: duplicate key 'rate'") as refused:
        load(Written, yaml_file("rate: 1\nname: a\nrate: 2\n"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["2024-11-05", "010", "on", "1e-3", "null", "~", "a: b", "12:30", "'", "é", "#"]
)
def test_what_is_written_is_read_back(tmp_path: Path, text) -> None:
    config = Written(name=text, maybe=text, words=(text,), by_name={text: {}}, out=Path("x") / text)
    (tmp_path / "a.yaml").write_text(dump(config), encoding="utf-8")
    assert load(Written, tmp_path / "a.yaml") == config


def test_our_own_errors_are_not_wrapped(yaml_file) -> None:
    @dataclass(frozen=True)
    class Picky:
        lr: float = 1.0

        def __post_init__(self) -> None:
            if self.lr < 0:
                raise ConfigError(f"lr is {self.lr}, expected 0 or more")

    class Holder(Config):
        train: Picky = Picky()

    with pytest.raises(ConfigError, match=r"a\.yaml: train: lr is -1\.0, expected 0 or more$"):
        load(Holder, yaml_file("train: {lr: -1}"))


def test_differences_are_told_by_place() -> None:
    old = Experiment(model="unet", train=Train(steps=3))
    new = Experiment(model="resunet", train=Train(steps=3, maybe=Jitter(0.1)))
    found = differences(old, new)
    assert found == {
        "model": ("unet", "resunet"),
        "train.maybe.strength": (None, 0.1),
    }
