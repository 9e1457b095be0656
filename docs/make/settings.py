"""Write docs/settings.md from the classes: python docs/make/settings.py. A test compares the two."""

from collections.abc import Iterable
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from histoscope import explained
from histoscope.data import Datasheet
from histoscope.studies.config import StudyConfig
from histoscope.train.experiment import Experiment
from histoscope.train.selfsup import Pretraining

OUT = Path(__file__).resolve().parents[1] / "settings.md"
HEAD = """\
# Every key of every YAML file

| you want | do |
|---|---|
| a file for your own images | `histoscope init FOLDER` [writes one](init.md) |
| a file with every key explained | `histoscope train --example` |
| to change one key for one run | `--set train.lr=1e-3`; it overrides the file |
| command keys | [train](#histoscope-train), [pretrain](#histoscope-pretrain), [study](#histoscope-study) |
| data set keys | [dataset.yaml](#datasetyaml-of-a-data-set) |

A file needs only the keys that differ from the defaults. Text is kept as written: dates, `on`, `no` and `010`
stay text where text is expected. An unknown or repeated key is an error.

??? note "Changing the settings of a run that exists"

    A run folder belongs to its settings. The same command resumes after a stop, or says that the run is
    finished. Other settings are refused, and both values are named.

    The exception is **more `train.steps`**: the run then continues from its last checkpoint. From that step
    on, its learning rate follows the schedule of the new length, so it rises again. The result is near that
    of an uninterrupted run of that length, but not the same; the card says where the length changed. The
    earlier scores are kept as `per_image_STEPS_steps.csv`.
"""

SHEET = """
A file beside the images, for what an index cannot hold; [your own images](data.md) has an example.
`format: 1` is the version of the format.
"""
KEYS = ("name", "title", "url", "licence", "citation", "classes", "mpp", "counts")


def page() -> str:
    """Text of docs/settings.md."""
    parts = [HEAD.rstrip()]
    told: list[type] = []
    for title, kind in (("train", Experiment), ("pretrain", Pretraining), ("study", StudyConfig)):
        parts.append(f"## `histoscope {title}`")
        for section in explained.sections_of(kind):
            if section not in told:
                parts += describe(section, is_top=section is kind)
                told.append(section)
    parts += ["## `dataset.yaml` of a data set", SHEET.strip(), table(Datasheet, KEYS)]
    return "\n\n".join(parts) + "\n"


def describe(kind: Any, *, is_top: bool) -> list[str]:
    """Heading and table of a section."""
    title = kind.__name__
    heading = [] if is_top else [f"### `{title}`", kind.__doc__.strip().splitlines()[0]]
    return [*heading, table(kind, explained.fields_of(kind))]


def table(kind: Any, names: Iterable[str]) -> str:
    """Settings of a class, each with its default and what it is."""
    words, rows = explained.described(kind), ["| key | default | meaning |", "|---|---|---|"]
    for name in names:
        told = words.get(name, "").replace("|", "\\|") or "A section, see below."
        rows.append(f"| `{name}` | {default(kind, name)} | {told} |")
    return "\n".join(rows)


def default(kind: Any, name: str) -> str:
    """The default of a setting, as YAML has it; none for a section or where one must be given."""
    fields = getattr(kind, "model_fields", None) or kind.__dataclass_fields__
    field = fields[name]
    required = field.is_required() if hasattr(field, "is_required") else False
    if required:
        return "**must be set**"
    if hasattr(field, "get_default"):
        value = field.get_default(call_default_factory=True)
    elif field.default_factory is not MISSING:
        value = field.default_factory()
    else:
        value = field.default
    if value is MISSING:
        return ""
    if hasattr(value, "__dataclass_fields__") or hasattr(type(value), "model_fields"):
        return ""
    return f"`{explained.flow(value)}`"


if __name__ == "__main__":
    OUT.write_text(page(), encoding="utf-8")
