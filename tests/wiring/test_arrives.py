"""The values of a verb reach its work by their names: none is dropped, and no two are swapped."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from histoscope import demo
from histoscope.cli.main import app

TISSUE = ["real", "drawn", "out", "--format", "monuseg", "--synthetic-format", "tnbc"]
PARTS = ["lab", "root", "--by", "site", "--train", "0.5", "--val", "0.3", "--test", "0.2"]
LAB = {"name": "lab", "root": Path("root"), "mpp": 0.4, "licence": "mine"}
# Verb, its words -> the works that receive them, in the order of their calls, and what each receives.
CALLS: list[tuple[str, list[str], list[tuple[str, dict[str, Any]]]]] = [
    (
        "demo",
        ["out", "--seed", "3", "--quick"],
        [("demo:run_demo", {"out": Path("out"), "seed": 3, "size": demo.QUICK})],
    ),
    ("demo", ["out"], [("demo:run_demo", {"out": Path("out"), "seed": 0, "size": demo.FULL})]),
    (
        "study plan",
        ["study.yaml", "--jobs", "3", "--no-time", "--set", "seeds=[4]"],
        [("studies.plan:plan_study", {"config.seeds": (4,), "jobs": 3, "timed": False})],
    ),
    (
        "study run",
        ["study.yaml", "--jobs", "2", "--set", "seeds=[4]"],
        [("studies:run_study", {"config.seeds": (4,), "jobs": 2})],
    ),
    ("study report", ["done"], [("report.write:write_report", {"folder": Path("done")})]),
    ("models show", ["mine"], [("weights:card", {"name_or_path": "mine"})]),
    (
        "export",
        ["mine", "out", "--to", "qupath"],
        [("models.portable:export", {"model": "mine", "out": Path("out"), "to": "qupath"})],
    ),
    (
        "init",
        ["images", "--mpp", "0.4", "--task", "nuclei", "--out", "mine.yaml"],
        [("train.look:look", {"root": Path("images"), "task": "nuclei", "given": {"mpp": 0.4}})],
    ),
    (
        "data compare",
        [*TISSUE, "--mpp", "0.2", "--synthetic-mpp", "0.3", "--encoder", "mine", "--seed", "5"],
        [
            ("data:open", {"name": "monuseg", "root": Path("real"), "mpp": 0.2}),
            ("data:open", {"name": "tnbc", "root": Path("drawn"), "mpp": 0.3}),
            ("generate.realism_encoder:encoder", {"name": "mine"}),
            (
                "generate.realism:compare_tissue",
                {"real": "real", "synthetic": "drawn", "encode": "mine", "encoder": "mine", "seed": 5},
            ),
        ],
    ),
    (
        "data split",
        [*PARTS, "--seed", "5", "--stratify", "organ", "--mpp", "0.4", "--option", "licence=mine"],
        [
            ("data:open", LAB),
            (
                "data:split_by",
                {"by": "site", "train": 0.5, "val": 0.3, "test": 0.2, "stratify": "organ", "seed": 5},
            ),
        ],
    ),
    (
        "data audit",
        ["lab", "root", "--by", "site", "--stratify", "organ", "--seed", "5", "--min-similarity", "0.7"],
        [
            ("data:open", {"name": "lab", "root": Path("root"), "mpp": None}),
            ("data:split_by", {"by": "site", "stratify": "organ", "seed": 5}),
            ("cli.audit:compare_parts", {"min_similarity": 0.7, "as_json": False}),
        ],
    ),
    (
        "data convert",
        ["lab", "root", "out", "--mpp", "0.4", "--option", "licence=mine", "--to", "conic", "--to-mpp", "1"],
        [
            ("data:open", LAB),
            ("data.export:convert", {"dataset": "root", "out": Path("out"), "to": "conic", "mpp": 1.0}),
        ],
    ),
    *(
        (f"data {verb}", ["lab", "root", "--mpp", "0.4", "--option", "licence=mine"], [("data:open", LAB)])
        for verb in ("info", "verify")
    ),
]


class Received(Exception):  # noqa: N818  # the verb is left
    """The last work was called."""


class Opened(str):
    """A data set that knows its root alone, for works that tell nothing else apart."""

    __slots__ = ()

    @property
    def info(self) -> "Opened":
        return self

    def parts(self) -> str:
        return self


@pytest.fixture
def received(monkeypatch, tmp_path):
    """Give a function that calls a verb, and tells what its works received."""
    settings = {"study": "stain", "data": {"name": "folder", "root": str(tmp_path)}, "out": "runs/a"}
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    Path("images").mkdir()
    found: list[tuple[str, dict[str, Any]]] = []

    def watch(work: str, n: int) -> None:
        module = import_module(f"histoscope.{work.partition(':')[0]}")
        name = work.partition(":")[2]
        signature = inspect.signature(getattr(module, name))

        def spy(*args: Any, **given: Any) -> Any:
            bound = signature.bind(*args, **given)
            bound.apply_defaults()
            more = bound.arguments.pop("options", {})
            found.append((work, {**bound.arguments, **more}))
            if len(found) == n:
                raise Received
            return Opened(bound.arguments.get("root", bound.arguments.get("name", "cut")))

        monkeypatch.setattr(module, name, spy)

    def call(verb: str, words: list[str], works: list[str]) -> list[tuple[str, dict[str, Any]]]:
        monkeypatch.setattr("histoscope.data.readable", lambda dataset, **_: (dataset, []))
        for work in dict.fromkeys(works):
            watch(work, len(works))
        done = CliRunner().invoke(app, [*verb.split(), *words])
        assert isinstance(done.exception, Received), done.output
        return found

    return call


@pytest.mark.parametrize(("verb", "words", "works"), CALLS, ids=[verb for verb, _, _ in CALLS])
def test_a_value_reaches_the_work_by_its_name(verb, words, works, received):
    found = received(verb, words, [name for name, _ in works])
    assert [name for name, _ in found] == [name for name, _ in works]
    for (name, values), (_, expected) in zip(found, works, strict=True):
        for key, value in expected.items():
            first, *rest = key.split(".")
            assert first in values, f"{name} takes no {first}: {sorted(values)}"
            got = values[first]
            for part in rest:
                got = getattr(got, part)
            assert got == value, f"{name}: {key} is {got!r}"
