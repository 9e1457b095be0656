"""Which images of a folder of results are finished, one line each, so that an interrupted call can go on."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from histoscope.errors import ConfigError, CorruptDataError, FormatVersionError
from histoscope.files import whole, write_text
from histoscope.slides.result import is_written

JOURNAL, SUMMARY = "predictions.jsonl", "summary.csv"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Job:
    """An image, and the name that its files get in the folder of results.

    Parameters
    ----------
    image : Path
    name : str
        Sub-folders and name, without suffix.
    """

    image: Path
    name: str

    def file(self) -> list[Any]:
        """What tells the image from another: its place, its size, and when it was changed."""
        known = self.image.stat()
        return [str(self.image.resolve()), known.st_size, known.st_mtime_ns]


@dataclass(slots=True)
class Journal:
    """The finished images of a folder of results; made by `open`.

    Parameters
    ----------
    out : Path
        The folder.
    lines : dict
        Of each finished image its ``name``, its ``file``, and its ``row`` of the summary.
    """

    out: Path
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, out: Path, settings: dict[str, Any], *, overwrite: bool = False) -> "Journal":
        """Read the journal of a folder, or begin one.

        Raises
        ------
        ConfigError
            If it was begun with other settings.
        """
        path, head = out / JOURNAL, {"format": FORMAT, **settings}
        if overwrite or not path.is_file():
            write_text(path, json.dumps(head) + "\n")
            return cls(out)
        before, lines = _read(path)
        if before.get("format") != FORMAT:
            raise FormatVersionError(
                f"{path} has format {before.get('format')!r}, this version of Histoscope reads {FORMAT}; "
                "choose another folder, or begin anew with --overwrite"
            )
        for key, value in settings.items():
            if before.get(key) != value:
                raise ConfigError(
                    f"{out} holds results with {key} {before.get(key)!r}, now it is {value!r}; "
                    "choose another folder, or begin anew with --overwrite"
                )
        # Written again, since a call that was killed may have left half a line.
        write_text(path, "".join(json.dumps(line) + "\n" for line in [before, *lines.values()]))
        return cls(out, lines)

    def check(self, jobs: Iterable[Job]) -> None:
        """Raise if an image has the name of another one that is finished."""
        for job in jobs:
            line = self.lines.get(job.name)
            if line is None or not job.image.is_file():
                continue
            here, there = job.file(), line["file"]
            if here[0] != there[0] and here[1:] != there[1:]:
                raise ConfigError(
                    f"{self.out} holds results of {there[0]} under the name of {job.image}; "
                    "choose another folder, or begin anew with --overwrite"
                )

    def is_finished(self, job: Job, endings: Iterable[Collection[str]]) -> bool:
        """Whether this very image has been predicted, and a file of each of these endings is there."""
        line = self.lines.get(job.name)
        same = line is not None and job.file()[1:] == line["file"][1:]
        return same and is_written(self.out / job.name, endings)

    def row(self, job: Job) -> dict[str, Any]:
        """Row of the summary of a finished image."""
        row: dict[str, Any] = self.lines[job.name]["row"]
        return row

    def add(self, job: Job, row: dict[str, Any]) -> None:
        """Write down that an image is finished."""
        line = {"name": job.name, "file": job.file(), "row": {"image": job.name, **row}}
        self.lines[job.name] = line
        with (self.out / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def write_summary(
        self, columns: Sequence[str], *, path: str = SUMMARY, key: str = "image", always: bool = True
    ) -> None:
        """Write one row an image, in the order of their names.

        Parameters
        ----------
        columns : sequence of str
            Behind the name; images whose row lacks the first of these are left out.
        path : str
            Name of the file.
        key : str
            Column of the name.
        always : bool
            Also if there are no rows.
        """
        rows = [self.lines[name]["row"] for name in sorted(self.lines)]
        rows = [row for row in rows if columns[0] in row]
        if rows or always:
            table = pd.DataFrame(rows, columns=["image", *columns]).rename(columns={"image": key})
            with whole(self.out / path) as temporary:
                table.to_csv(temporary, index=False)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """First line, and the others by name; half a line at the end is left out."""
    text = path.read_text(encoding="utf-8")
    try:
        head, *lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return head, {line["name"]: line for line in lines}
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(
            f"{path} is not readable ({error}); delete it, and the images are predicted again"
        ) from error
