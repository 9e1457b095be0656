"""The slides of a result folder, in the order of processing; all starting processes agree on it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from histoscope import __version__
from histoscope.errors import ConfigError
from histoscope.jobs.journal import Job
from histoscope.jobs.naming import digits_of
from histoscope.ledger import Rows, Task, agree, agreed, busy_in
from histoscope.ledger.plans import difference
from histoscope.ledger.tasks import asked_of

LEDGER = ".ledger"
"""Folder of the ledger, below that of the results."""
ROW = "summary.json"
_SAME_S = 2.0
"""File dates seen through different network disks may differ by this much."""


def names_in_plan(out: Path) -> dict[str, str]:
    """Path of each planned slide -> name of its result folder."""
    slides: Mapping[str, Any] = agreed(out / LEDGER / "plan").get("slides", {})
    return {one["path"]: name for name, one in slides.items()}


def planned(
    jobs: Sequence[Job],
    out: Path,
    settings: Mapping[str, Any],
    own: Mapping[str, Any],
    shown: Mapping[str, Any],
    extra: Mapping[Path, Sequence[Path]],
    *,
    overwrite: bool = False,
) -> list[Task]:
    """Agree with all starting processes on names, order and settings; one task per slide, in job order.

    Parameters
    ----------
    jobs : sequence of Job
    out : Path
        Folder of the results.
    settings : mapping
        What the rows of all slides in `out` depend on, such as the model.
    own : mapping
        What the rows of these slides depend on in addition.
    shown : mapping
        Files to write for a slide; a slide with other files is processed again.
    extra : mapping
        Slide -> further files that are read, such as annotations.
    overwrite : bool
        Discard the results of these slides in `out`.

    Raises
    ------
    ConfigError
        If `out` holds results of other settings (the message says what differs), or if it would be
        overwritten while others work in it.
    """
    folder = out / LEDGER
    rows = Rows(folder / "rows")
    wanted = {"histoscope": __version__, **settings}
    if overwrite and (others := busy_in(folder)):
        raise ConfigError(
            f"{out} is being written by process {others[0].pid} on {others[0].host}; wait until it is done, "
            "or leave out --overwrite"
        )
    found = [(job, str(job.image.resolve()), _seen(job.image, extra.get(job.image, ()))) for job in jobs]

    def change(plan: dict[str, Any]) -> dict[str, Any]:
        slides = dict(plan.get("slides", {}))
        names = _names(slides, [(job, path) for job, path, _ in found])
        known = [("", plan.get("settings", wanted), wanted)]
        known += [(name, slides[name]["settings"], dict(own)) for name in names if name in slides]
        changed = [one for one in known if one[1] != one[2]]
        if changed and not overwrite:
            _refuse(out, changed, {row.name for row in rows.all() if not row.error})
        for name, (_, path, seen) in zip(names, found, strict=True):
            before = slides.get(name, {})
            stamp_of = seen if _differ(before, seen) else {key: before[key] for key in seen}
            slides[name] = {"path": path, "settings": dict(own), **stamp_of}
        return {"format": 1, "settings": wanted, "slides": slides}

    slides = agree(folder / "plan", change)["slides"]
    tasks = []
    for name, (job, _, _) in zip(_names(slides, [(job, path) for job, path, _ in found]), found, strict=True):
        one = slides[name]
        asked = asked_of({**wanted, **own, **shown, "bytes": one["bytes"], "date_s": one["date_s"]})
        tasks.append(Task(name, asked, one["weight"], str(job.image)))
    if overwrite:
        _begin_anew(folder, rows, tasks)
    return tasks


def anew_of(out: Path, task: Task) -> Path:
    """A file that exists until the earlier results of a slide are discarded."""
    return out / LEDGER / "anew" / task.key


def forget(tasks: Iterable[Task], out: Path, *, retry_failed: bool = False) -> None:
    """Forget results whose files are gone, and failures to retry."""
    rows = Rows(out / LEDGER / "rows")
    there = rows.names()
    for task in tasks:
        row = rows.read(task.row) if task.row in there else None
        if row is None:
            continue
        is_kept = not (retry_failed or row.may_pass) if row.error else (out / task.name / ROW).is_file()
        if not is_kept:
            rows.forget(task.row)


def stamp(paths: Iterable[Path]) -> list[int]:
    """Bytes of some files, and the latest of their dates in seconds."""
    stats = [path.stat() for path in paths if path.is_file()]
    return [sum(one.st_size for one in stats), max((int(one.st_mtime) for one in stats), default=0)]


def _refuse(out: Path, changed: Sequence[tuple[str, Any, Any]], finished: set[str]) -> None:
    """Refuse settings that differ from those of finished results: of one slide, or of any."""
    for name, known, wanted in changed:
        if name in finished or (not name and finished):
            what = difference(known, wanted)
            raise ConfigError(
                f"{out / name} holds results of another plan ({what}); choose another OUT, or --overwrite"
            )


def _begin_anew(folder: Path, rows: Rows, tasks: Sequence[Task]) -> None:
    (folder / "anew").mkdir(exist_ok=True)
    keys = {task.key for task in tasks}
    for key in keys:
        (folder / "anew" / key).touch()
    for name in rows.names():
        if name.partition(".")[0] in keys:
            rows.forget(name)


def _names(slides: Mapping[str, Any], jobs: Sequence[tuple[Job, str]]) -> list[str]:
    """Names of slides; with a digest of the path if another process gave the name to another slide."""
    names = []
    for job, path in jobs:
        is_free = slides.get(job.name, {"path": path})["path"] == path
        names.append(job.name if is_free else f"{job.name}-{digits_of(job.image.resolve())}")
    return names


def _seen(image: Path, extra: Sequence[Path]) -> dict[str, float]:
    """Bytes, latest date, and weight of the files that a slide is read from; zeros if it is missing."""
    size, date_s = stamp([*_files(image), *extra])
    weight = size
    if image.suffix.lower() in {".dcm", ""} and image.is_file():  # a slide consists of many of them
        weight = sum(path.stat().st_size for path in image.parent.iterdir() if path.is_file())
    return {"bytes": size, "date_s": date_s, "weight": weight}


def _files(image: Path) -> Iterator[Path]:
    yield image
    folder = image.with_suffix("")
    if image.suffix.lower() == ".mrxs" and folder.is_dir():
        yield from sorted(folder.iterdir())


def _differ(before: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    return not before or before["bytes"] != seen["bytes"] or abs(before["date_s"] - seen["date_s"]) > _SAME_S
