"""Write docs/settings.md from the classes: python docs/make/settings.py. A test compares the two."""

from pathlib import Path
from typing import Any

from histoscope import explained
from histoscope.train.experiment import Experiment
from histoscope.train.selfsup import Pretraining

OUT = Path(__file__).resolve().parents[1] / "settings.md"
HEAD = """\
# Settings of a training

`histoscope train` and `histoscope pretrain` read a YAML file. `histoscope train --example > my.yaml` writes
one with every key explained; a file needs only the keys that differ from the defaults. `--set train.lr=1e-3`
wins over the file. Text is taken as it is written: dates, `on`, `no` and `010` stay text where text is
wanted. A key that is unknown, or stands twice, is an error.

A run folder belongs to its settings. The same call goes on after a stop, or says that the run is finished.
Other settings are refused with both values, but for **more `train.steps`**: the run then goes on from its
last checkpoint. Its learning rate follows the schedule of the new length from that step on, so it rises
again, and the end is near that of an unbroken run of that length, but not the same; the card says where the
length changed. The earlier scores are kept as `per_image_STEPS_steps.csv`.
"""


def page() -> str:
    """Text of docs/settings.md."""
    parts = [HEAD.rstrip()]
    for title, kind in (("train", Experiment), ("pretrain", Pretraining)):
        parts.append(f"## `histoscope {title}`")
        known = explained.sections_of(kind)
        first = explained.sections_of(Experiment) if kind is Pretraining else []
        for section in known:
            if section not in first:
                parts += describe(section, is_top=section is kind)
    return "\n\n".join(parts) + "\n"


def describe(kind: Any, *, is_top: bool) -> list[str]:
    """Heading and table of a section."""
    words, rows = explained.described(kind), ["| key | default | |", "|---|---|---|"]
    for name in explained.fields_of(kind):
        told = words.get(name, "").replace("|", "\\|") or "A section, see below."
        rows.append(f"| `{name}` | {default(kind, name)} | {told} |")
    title = kind.__name__
    heading = [] if is_top else [f"### `{title}`", kind.__doc__.strip().splitlines()[0]]
    return [*heading, "\n".join(rows)]


def default(kind: Any, name: str) -> str:
    """The default of a setting, as YAML has it; none for a section or where one must be given."""
    fields = getattr(kind, "model_fields", None) or kind.__dataclass_fields__
    field = fields[name]
    required = field.is_required() if hasattr(field, "is_required") else False
    if required:
        return "**must be set**"
    value = field.get_default(call_default_factory=True) if hasattr(field, "get_default") else field.default
    if hasattr(value, "__dataclass_fields__") or hasattr(type(value), "model_fields"):
        return ""
    return f"`{explained.flow(value)}`"


if __name__ == "__main__":
    OUT.write_text(page(), encoding="utf-8")
