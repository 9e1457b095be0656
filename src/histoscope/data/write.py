"""Writing the folder format of Histoscope, one sample at a time."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from histoscope.data import origins
from histoscope.data.base import Datasheet, count_records
from histoscope.data.checks import unnamed_classes
from histoscope.data.readers.folder import UNFINISHED
from histoscope.data.readers.index import known_column, plain
from histoscope.data.readers.sheet import FORMAT
from histoscope.errors import DataError
from histoscope.files import require_writable, write_image, write_labels, write_png, write_text
from histoscope.tables import write_table
from histoscope.types import Record, Sample

_COLUMNS = ("image_id", "split", "patient", "source", "label", "mpp", "n_nuclei")
_MAX_PNG_ID = 65535


def write_folder(
    out: str | Path, samples: Iterable[Sample], info: Datasheet, *, records: Iterable[Record] = ()
) -> Path:
    """Write samples as ``images/``, ``labels/``, ``classes/``, ``index.csv`` and ``dataset.yaml``.

    Samples are read one at a time, so a generator of any length works. A file called ``UNFINISHED`` is in the
    folder until the last file is complete: the reader refuses the remains of a killed or failed write. Images
    are PNG, so reading gives the same pixels, ids and classes back.

    Parameters
    ----------
    out : str or Path
        A new or empty folder.
    samples : Dataset or iterable of Sample
        With unique names; either all or none with label maps, and the same for classes.
    info : Datasheet
        What is known about them.
    records : iterable of Record, optional
        Source of the published parts and tags, found by name; a data set has its own.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DataError
        If `out` holds files; a name is empty, duplicate (ignoring case) or not a valid file name; samples
        differ in what they contain or have a class that `info` does not name; a tag has the name of one of
        our columns; or there are no samples.
    """
    out = Path(out)
    require_new(out)
    known = {record.name: record for record in (*getattr(samples, "records", ()), *records)}
    write_text(
        out / UNFINISHED, "This folder is being written, or writing it was interrupted: do not use it.\n"
    )
    rows: list[dict[str, Any]] = []
    written: dict[str, Record] = {}
    carries: tuple[bool, bool] | None = None
    for sample in samples:
        _check_name(sample.name, written)
        for text in unnamed_classes(sample, info.classes):
            raise DataError(f"sample {sample.name!r}: {text}")
        carried = (sample.instances is not None, sample.classes is not None)
        if carries is not None and carried != carries:
            raise DataError(
                f"sample {sample.name!r} has (label map, classes) = {carried}, but those before have "
                f"{carries}; write them into two folders"
            )
        carries = carried
        _write_sample(out, sample)
        record = known.get(sample.name, Record(sample.name))
        rows.append(_row(sample, record))
        written[plain(sample.name)] = record
    if not rows:
        (out / UNFINISHED).unlink()
        raise DataError(f"no samples to write to {out}")
    _write_index(out / "index.csv", rows)
    mpp = float(np.median([float(row["mpp"]) for row in rows]))
    if info.origins:
        origins.write(out, info.origins)
    _write_sheet(out / "dataset.yaml", replace(info, mpp=mpp, counts=count_records(list(written.values()))))
    (out / UNFINISHED).unlink()
    return out


def require_new(out: Path) -> None:
    """Refuse a folder that is not empty, or cannot be created or written; nothing is created.

    Raises
    ------
    DataError
        If it holds files.
    ConfigError
        If it cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        unfinished = (
            ": writing to it was interrupted, or is still going on" if (out / UNFINISHED).exists() else ""
        )
        raise DataError(
            f"{out} exists and is not an empty folder{unfinished}; choose another one, or delete it first"
        )
    require_writable(out)


def _check_name(name: str, written: Mapping[str, Record]) -> None:
    if not name or name != name.strip() or name.startswith(".") or any(sign in name for sign in "/\\\0\n\r"):
        raise DataError(f"{name!r} cannot be a file name; rename the sample")
    same = written.get(plain(name))
    if same is not None:
        raise DataError(
            f"two samples are called {name!r}; names must be unique"
            if same.name == name
            else f"{same.name!r} and {name!r} are the same file on disks that ignore letter case; rename one"
        )


def _write_sample(out: Path, sample: Sample) -> None:
    # With its pixel size, so that a single image of the folder can be used as well.
    write_image(out / "images" / f"{sample.name}.png", sample.image, mpp=sample.mpp)
    if sample.instances is None:
        return
    fits = sample.instances.max(initial=0) <= _MAX_PNG_ID
    write_labels(out / "labels" / f"{sample.name}.{'png' if fits else 'tif'}", sample.instances)
    if sample.classes is not None:
        class_map = sample.classes[sample.instances].astype(np.uint8)
        write_png(out / "classes" / f"{sample.name}.png", class_map)


def _row(sample: Sample, record: Record) -> dict[str, Any]:
    nuclei = {}
    if sample.instances is not None:
        nuclei = {"n_nuclei": int(np.count_nonzero(np.bincount(sample.instances.ravel())[1:]))}
    for tag in record.tags:
        if known_column(tag) in {*_COLUMNS[:-1], "name", "file", "filename", "path", "group"}:
            raise DataError(
                f"sample {sample.name!r} has a tag called {tag!r}, which index.csv reserves for its own "
                "column; rename the tag"
            )
    return {
        **record.tags,
        "image_id": sample.name,
        "split": record.split,
        "patient": sample.patient or record.patient,
        "source": sample.source or record.source,
        "label": "" if sample.label is None else sample.label,
        "mpp": repr(float(sample.mpp)),
        **nuclei,
    }


def _write_index(path: Path, rows: list[dict[str, Any]]) -> None:
    import pandas as pd

    used = {key for row in rows for key, value in row.items() if value != ""}
    columns = [key for key in _COLUMNS if key in used]
    columns += [key for key in dict.fromkeys(key for row in rows for key in row) if key not in _COLUMNS]
    write_table(path, pd.DataFrame(rows, columns=columns, dtype=object))


def _write_sheet(path: Path, info: Datasheet) -> None:
    import yaml

    values = {
        "format": FORMAT,
        **{key: getattr(info, key) for key in ("name", "title", "url", "licence", "citation")},
        "mpp": info.mpp,
        "classes": {int(key): str(name) for key, name in info.classes.items()},
        "counts": dict(info.counts),
    }
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
