"""Output of ``histoscope data audit``."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from histoscope.cli.given import refuse_given
from histoscope.cli.progress import progress
from histoscope.errors import ConfigError

if TYPE_CHECKING:
    from histoscope.data import Dataset

_CUTTING = ("by", "stratify", "seed")


def compare_parts(parts: "Mapping[str, Dataset]", min_similarity: float, *, as_json: bool) -> bool:
    """Print leaks and wrong labels; True if there are none, and all images could be read."""
    from histoscope.data import audit

    with progress("comparing images") as advance:
        report = audit(parts, min_similarity=min_similarity, progress=advance)
    if as_json:
        answer = {"clean": report.clean, "parts": dict(report.sizes), "counts": report.counts()}
        answer |= {"unseen_classes": report.unseen_classes, "labels": list(map(asdict, report.labels))}
        typer.echo(json.dumps(answer | {"leaks": report.rows(), "unreadable": report.unreadable}, indent=2))
    else:
        typer.echo(str(report))
    return report.clean and not report.unreadable


def next_command(dataset: "Dataset", groups: Path) -> str:
    """Command that splits the data set by the written groups."""
    words = ["histoscope", "data", "split", "class_folder", str(getattr(dataset, "root", "."))]
    words += ["--mpp", str(dataset.info.mpp), "--by", "source", "--option", f"index={groups}"]
    return shlex.join(words)


def write_proposed(
    dataset: "Dataset",
    out: Path,
    *,
    min_similarity: float,
    min_overlap: float,
    features: Path | None,
    as_json: bool,
) -> bool:
    """Propose groups, write and describe them; True if all images could be read."""
    from histoscope.data import propose_groups, write_groups
    from histoscope.data.leaks.groups import places_in_index
    from histoscope.data.readers.containers import open_npy

    places_in_index(dataset)  # groups that cannot be written are refused before images are compared

    rows = None if features is None else open_npy(features, -1, -1)
    with progress("comparing images") as advance:
        found = propose_groups(
            dataset,
            min_similarity=min_similarity,
            min_overlap=min_overlap,
            features=rows,
            progress=advance,
        )
    write_groups(out, dataset, found)
    if as_json:
        answer = {
            "patches": len(found.records),
            "groups": len(found),
            "links": len(found.links),
            "sizes": found.sizes,
            "agreement": found.agreement and asdict(found.agreement),
            "conflicts": [f"{problem.name}: {problem.message}" for problem in found.conflicts],
            "unreadable": found.unreadable,
        }
        typer.echo(json.dumps(answer, indent=2))
    else:
        typer.echo(f"{found}\ngroups written to {out}")
        typer.echo(f"next: {next_command(dataset, out)}")
    return not found.unreadable


def refuse_unused(context: typer.Context, *, n_roots: int, has_groups: bool, is_cut: bool) -> None:
    """Refuse options that have no effect with the others."""
    if has_groups:
        if n_roots > 1:
            raise ConfigError(f"--groups takes one folder, got {n_roots}; run it for each")
        refuse_given(context, *_CUTTING, because="makes parts, but --groups does not compare parts")
        return
    refuse_given(context, "min_overlap", "features", because="only works with --groups")
    if n_roots > 1:
        refuse_given(context, *_CUTTING, because="makes parts, but here each folder is a part")
    elif not is_cut:
        refuse_given(
            context, *_CUTTING[1:], because="only works with --by; published parts are used as they are"
        )
