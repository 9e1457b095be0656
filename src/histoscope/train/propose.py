"""Proposed settings of a training for a data set, each with its reason."""

import shlex
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from histoscope import config, data
from histoscope.data import Split
from histoscope.data.split import PART_NAMES
from histoscope.errors import ConfigError, DataError, HistoscopeError
from histoscope.explained import flow
from histoscope.pages import templates
from histoscope.train.experiment import Experiment
from histoscope.train.look import PATIENTS, USUAL_UM, Seen
from histoscope.train.parts import SplitDataConfig, open_parts
from histoscope.train.proposals import LEAST_STEPS, of_nuclei, of_patches
from histoscope.words import count

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Proposal:
    """Proposed settings.

    Parameters
    ----------
    seen : Seen
    text : str
        The YAML file: each value under its reason.
    parts : Split
        What they make of the data set.
    notes : list of str
        What a person should know before the scores are believed.
    """

    seen: Seen
    text: str
    parts: Split
    notes: list[str] = field(default_factory=list)

    def values(self) -> dict[str, Any]:
        """Plain settings, as the file holds them."""
        found: dict[str, Any] = yaml.safe_load(self.text)
        return found

    def experiment(self, changes: Sequence[str] = ()) -> Experiment:
        """The experiment, with ``key=value`` lines that win.

        Another model takes none of the proposed arguments, and a changed one begins from random weights.
        """
        values, changed = self.values(), config.overridden(Experiment, {}, changes)
        other = (changed.get("model") or {}).get("name", values["model"]["name"])
        if other != values["model"]["name"]:
            values["model"] = {"name": other}
        if changed.get("model") and values.pop("initial_weights", None):  # of another network
            values["train"]["steps"] = max(values["train"]["steps"], LEAST_STEPS)
        return config.parse(Experiment, config.overridden(Experiment, values, changes), where="settings")


def propose(seen: Seen, start: str | Path = "") -> Proposal:
    """Choose settings that train well on a data set.

    Parameters
    ----------
    seen : Seen
        From `histoscope.train.look.look`.
    start : str or Path
        A model of nuclei that training starts from, by name or folder.

    Raises
    ------
    DataError
        If the images are too few for a training, a validation and a test part, or of one class.
    ConfigError
        If `start` is for another task, or finds no nuclei.
    """
    if start and seen.task != "nuclei":
        raise ConfigError(
            f"{seen.root} has patches with classes, but --from takes a model that finds nuclei; a classifier "
            "starts "
            "from other weights with --set model.arguments.weights=FOLDER"
        )
    if seen.task == "patches" and sum(n > 0 for n in seen.classes.values()) < 2:
        raise DataError(
            f"all patches of {seen.root} are of one class ({next(iter(seen.classes), 'without a name')}): "
            "there is nothing to learn; add a folder with patches of another class"
        )
    chosen, parts, notes = _parted(seen)
    found = of_nuclei(seen, parts, str(start)) if seen.task == "nuclei" else of_patches(seen, parts)
    out = str(Path("runs") / seen.root.resolve().name)
    environment = templates(html=False)
    environment.filters["flow"] = flow
    filled = environment.get_template(f"init_{seen.task}.yaml.j2").render(
        seen=seen, out=out, **chosen, **found
    )
    text = "\n".join(line for each in filled.splitlines() if each for line in _wrapped(each)) + "\n"
    return Proposal(seen, text, parts, [*notes, *_doubts(seen)])


def _wrapped(line: str) -> list[str]:
    """Lines of a comment that is too long; settings stay on one line."""
    lead, mark, comment = line.partition("# ")
    if lead.strip() or not mark:
        return [line]
    return textwrap.wrap(comment, WIDTH, initial_indent=lead + mark, subsequent_indent=lead + mark)


def _parted(seen: Seen) -> tuple[dict[str, Any], Split, list[str]]:
    """Variables of the template for the safest split that works, its parts, and why not the safer ones."""
    if len(seen.dataset) < 3:
        raise DataError(
            f"{seen.root} has {count(len(seen.dataset), 'image')}, too few for training, validation and "
            "test: label more, or cut them into tiles"
        )
    refused = list[str]()
    for by, val_by in _ways(seen):
        chosen = SplitDataConfig(
            name=seen.reader,
            root=seen.root,
            mpp=None if seen.mpp_from == "data" else seen.mpp,
            split_by=by,
            val_by=val_by or "patient",
        )
        try:
            parts = open_parts(chosen)
            _check(parts)
        except HistoscopeError as error:
            refused.append(f"not split by {by!r}: {error}")
            continue
        if by == "name":
            refused.append(_by_name(seen))
        return _data(seen, chosen, parts, val_by), parts, refused
    raise DataError(
        f"{seen.root} has {count(len(seen.dataset), 'image')}, which cannot be split into training, "
        f"validation and test ({'; '.join(refused)}); label more images, or cut large ones into tiles"
    )


def _ways(seen: Seen) -> Iterator[tuple[str, str]]:
    """Ways to split, the safest first: `split_by` and, for published parts, `val_by`."""
    records = seen.dataset.records
    named = {record.split.lower() for record in records}
    few = {key for key, n in seen.groups.items() if n < 3}
    if named and named <= PART_NAMES.keys() and any(name.startswith("test") for name in named):
        train = [record for record in records if record.split.lower().startswith("train")]
        if any(name.startswith("val") for name in named):
            yield "published", ""
        else:
            keys = [key for key in seen.groups if len({record.group(key) for record in train}) > 1]
            yield from (("published", key) for key in [*keys, "name"])
    yield from ((key, "") for key in seen.groups if key not in few)
    yield "name", ""


def _check(parts: Split) -> None:
    """Refuse empty parts, and classes without training images."""
    for name, part in parts:
        if not len(part):
            raise DataError(f"the {name} part would hold no image")
    unseen = data.unseen_classes(parts.train, parts.val, parts.test)
    if unseen:
        raise DataError(f"no training patch would be of class {', '.join(unseen)}")


def _by_name(seen: Seen) -> str:
    """Note on the leakage that a split by image risks."""
    few = {key: n for key, n in seen.groups.items() if n < 3}
    if few:
        key, n = next(iter(few.items()))
        why = f"there {'is' if n == 1 else 'are'} {n} by {key!r}, too few for three parts"
    else:
        why = "no usable column groups the images by patient"
    return (
        f"images are split one by one, since {why}: images of one patient may be on both sides, so the "
        "scores say little about new patients. Add a column patient to index.csv to change that"
    )


def _data(seen: Seen, chosen: SplitDataConfig, parts: Split, val_by: str) -> dict[str, Any]:
    """Variables of the template about the data and their parts."""
    by = chosen.split_by
    why = {
        "published": "The parts published with the data set.",
        "name": "Each image on its own: no better grouping works here.",
    }.get(by, f"All images of one {by} stay in one part.")
    return {
        "data": chosen,
        "split_why": why + (" So the test is on new patients." if by.lower() in PATIENTS else ""),
        "counts": ", ".join(f"{name} {len(part):,}" for name, part in parts),
        "others": list(dict.fromkeys(key for key, _ in _ways(seen) if key != by)),
        "val_by": val_by,
    }


def _doubts(seen: Seen) -> list[str]:
    """Notes on what may be wrong."""
    said = []
    low, high = USUAL_UM
    if seen.task == "nuclei" and not low <= seen.diameter_um <= high:
        said.append(
            f"nuclei of {seen.diameter_um:.1f} um (median) are unusual: is {seen.mpp:g} the right pixel "
            "size? --mpp changes it"
        )
    if seen.task == "nuclei" and not seen.classes and len(seen.dataset) and _has_classes(seen):
        said.append(
            "nuclei have classes without names, so they are not classified; name them in dataset.yaml"
        )
    said += [f"class {name!r} does not occur in the images read" for name, n in seen.classes.items() if not n]
    if seen.faults:
        command = shlex.join(["histoscope", "data", "verify", seen.reader, str(seen.root)])
        said.append(f"faults in {count(len(seen.faults), 'image')}: {command}")
    return said


def _has_classes(seen: Seen) -> bool:
    classes = seen.dataset[0].classes
    return classes is not None and bool(classes.any())
