"""``histoscope data``: list, info, verify, convert, split, audit."""

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from histoscope.cli.pixel_size import Mpp, checked_mpp
from histoscope.cli.progress import progress
from histoscope.cli.terminal import show
from histoscope.words import count

if TYPE_CHECKING:
    from histoscope.data import Dataset, Split
    from histoscope.data.checks import Problem

_TEXT_OPTIONS = {"index", "groups", "licence", "citation"}
"""Reader options that are always text, such as a file called 5."""

app = typer.Typer(
    no_args_is_help=True,
    help="Inspect, verify, convert and split data sets, and audit splits for leakage. Nothing is downloaded.",
)

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The reader: folder, monuseg, consep, pannuke, ... (see data list)."),
]
Root = Annotated[Path, typer.Argument(metavar="ROOT", help="The folder of the data set.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
By = Annotated[
    str | None,
    typer.Option(
        help="What to keep together: patient, source, name, or a column of the index such as tcga_site."
    ),
]
Stratify = Annotated[str | None, typer.Option(help="Stratify by this column, or by label.")]
Seed = Annotated[int, typer.Option(help="Seed of the split.")]
ReaderOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        help="An option of the reader, such as merge=false (consep), fold=3 (conic) or magnification=200 "
        "(breakhis). Repeatable.",
    ),
]
Share = Annotated[float, typer.Option(help="Share of the images; shares are scaled to sum to 1.", min=0)]


@app.command("list")
def list_datasets(as_json: Json = False) -> None:
    """List the data sets that can be read: layout, licence and source."""
    import json

    from histoscope import plugins
    from histoscope.data import DATASETS, GROUP

    given = [
        (name, reader.sheet.title, reader.layout, reader.sheet.licence, reader.sheet.url)
        for name, reader in sorted(DATASETS.items())
    ]
    others = [one for one in plugins.offers(GROUP).items() if one[0] not in DATASETS]
    given += [(name, "a plug-in", f"as defined by {what}", "", "") for name, what in others]
    rows = [dict(zip(("name", "title", "layout", "licence", "url"), each, strict=True)) for each in given]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        typer.secho(row["name"], bold=True)
        typer.echo(f"  {row['title']}{row['licence'] and ', ' + row['licence']}")
        typer.echo(f"  reads  {row['layout']}")
        if row["url"]:
            typer.echo(f"  from   {row['url']}")


@app.command("info")
def info(name: Name, root: Root, mpp: Mpp = None, option: ReaderOption = None, as_json: Json = False) -> None:
    """Print the datasheet: licence, classes, pixel size, counts, and the nuclei of each class.

    Label maps are read to count nuclei; images that cannot be read are named and not counted.
    """
    import dataclasses
    import json

    from histoscope.data.checks import count_nuclei

    dataset = open_dataset(name, root, mpp, option)
    with progress("counting nuclei") as advance:
        nuclei, unreadable = count_nuclei(dataset, advance)
    sheet = dataclasses.asdict(dataclasses.replace(dataset.info, origins=()))
    del sheet["origins"]
    if as_json:
        failed = {problem.name: problem.message for problem in unreadable}
        typer.echo(json.dumps(sheet | {"nuclei": nuclei, "unreadable": failed}, indent=2))
        return
    for inner in ("classes", "counts"):
        sheet[inner] = ", ".join(f"{key}: {value}" for key, value in sheet[inner].items())
    if nuclei:
        sheet["nuclei"] = ", ".join(f"{kind}: {count}" for kind, count in nuclei.items())
    show([{"": key, " ": value} for key, value in sheet.items()])
    for problem in unreadable:
        typer.echo(f"not counted: {problem.name}: {problem.message}", err=True)


@app.command("verify")
def verify(
    name: Name,
    root: Root,
    mpp: Mpp = None,
    strict: Annotated[bool, typer.Option(help="Exit with 1 on warnings, too.")] = False,
    option: ReaderOption = None,
    as_json: Json = False,
) -> None:
    """Read every file and list errors and warnings. Exit code 1 on errors; with --strict, on warnings too."""
    import dataclasses
    import json

    dataset = open_dataset(name, root, mpp, option)
    with progress("verifying") as advance:
        problems = dataset.verify(progress=advance)
    errors = sum(problem.severity == "error" for problem in problems)
    if as_json:
        rows = [dataclasses.asdict(problem) for problem in problems]
        typer.echo(json.dumps({"images": len(dataset), "errors": errors, "problems": rows}, indent=2))
    else:
        if problems:
            show([dataclasses.asdict(problem) for problem in problems])
        told = f"{count(errors, 'error')}, {count(len(problems) - errors, 'warning')}"
        typer.echo(f"{count(len(dataset), 'image')}: {told}")
    if errors or (strict and problems):
        raise typer.Exit(1)


@app.command("convert")
def convert_dataset(
    name: Name,
    root: Root,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new or empty folder.")],
    mpp: Mpp = None,
    to: Annotated[
        str,
        typer.Option(
            help="Layout to write: folder (our own), or 256 px patches in arrays, as in conic (0.5 "
            "um/px) or pannuke (0.25 um/px); the data must have the same class names."
        ),
    ] = "folder",
    to_mpp: Annotated[
        float | None,
        typer.Option(
            callback=checked_mpp,
            help="Resample to this pixel size (default: unchanged, or that of the arrays).",
        ),
    ] = None,
    option: ReaderOption = None,
) -> None:
    """Convert a data set to another layout, with classes, parts and tags.

    Exit code 1 if samples were left out. Nothing is overwritten. The readers refuse the incomplete folder of
    an interrupted run: delete it and run again.
    """
    from histoscope.data.export import convert

    dataset = open_dataset(name, root, mpp, option)
    left_out: list[Problem] = []
    try:
        with progress("converting") as advance:
            convert(dataset, out, to=to, mpp=to_mpp, on_skip=left_out.append, progress=advance)
    finally:
        for problem in left_out:
            typer.echo(f"left out {problem.name}: {problem.message}", err=True)
    written = count(len(dataset) - len(left_out), "sample")
    typer.echo(f"{written} written to {out}, {len(left_out)} left out")
    typer.echo(f"next: {shlex.join(['histoscope', 'data', 'verify', to, str(out)])}")
    if left_out:
        raise typer.Exit(1)


@app.command("split")
def split(
    name: Name,
    root: Root,
    mpp: Mpp = None,
    by: By = "patient",
    train: Share = 0.7,
    val: Share = 0.15,
    test: Share = 0.15,
    stratify: Stratify = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(help="Write name,split,group to this CSV file.")] = None,
    option: ReaderOption = None,
    as_json: Json = False,
) -> None:
    """Split a data set into train, val and test parts that share no patient (or source, or hospital).

    Training uses the table of --out as its setting data.split.
    """
    import json

    from histoscope.data import split_by, write_parts

    by = by or "patient"
    dataset = open_dataset(name, root, mpp, option)
    parts = split_by(dataset, by, train=train, val=val, test=test, stratify=stratify, seed=seed)
    if out is not None:
        write_parts(out, parts, by)
    published_parts = Counter(record.split for record in dataset.records if record.split)
    if published_parts:
        found = ", ".join(f"{part} {n}" for part, n in sorted(published_parts.items()))
        typer.echo(
            f"note: the published parts ({found}) are not used here; training uses them with "
            "data.split_by: published, and data audit without --by",
            err=True,
        )
    if as_json:
        typer.echo(json.dumps({part: [r.name for r in members.records] for part, members in parts}, indent=2))
        return
    rows = [
        {
            "part": part,
            "images": len(members),
            "share": f"{len(members) / len(dataset):.3f}",
            by: len({record.group(by) for record in members.records}),
        }
        for part, members in parts
    ]
    show(rows)
    if out is not None:
        typer.echo(f"parts written to {out}")
        typer.echo(f"next: histoscope train CONFIG.yaml --set data.split={shlex.quote(str(out))}")


@app.command("audit")
def audit(
    context: typer.Context,
    name: Name,
    roots: Annotated[
        list[Path],
        typer.Argument(
            metavar="ROOTS",
            help="One folder: its published parts (or parts made with --by). Several: each is a part.",
        ),
    ],
    mpp: Mpp = None,
    by: By = None,
    stratify: Stratify = None,
    seed: Seed = 0,
    min_similarity: Annotated[
        float,
        typer.Option(help="Minimum correlation of two aligned images to count as copies.", min=0.5, max=1),
    ] = 0.8,
    groups: Annotated[
        Path | None,
        typer.Option(
            help="Instead of comparing parts, propose groups of patches of one folder, and write "
            "path,class,group to this CSV file, an index for class_folder."
        ),
    ] = None,
    min_overlap: Annotated[
        float,
        typer.Option(
            help="With --groups: minimum shared area of two images; 0.5 joins copies only, not images that "
            "overlap at an edge.",
            min=0,
            max=1,
        ),
    ] = 0.0,
    features: Annotated[
        Path | None,
        typer.Option(
            help="With --groups: .npy array of features, one row per patch; also compares nearest neighbours."
        ),
    ] = None,
    option: ReaderOption = None,
    as_json: Json = False,
) -> None:
    """Audit a split for leakage: patients, sources and images (even if rotated) that are in two parts.

    Exit code 1 if there are any, or if label maps do not match the nuclei of their images.
    With --groups, it finds rotated, flipped, zoomed, skewed and overlapping images in one data set instead,
    and proposes groups that a split must keep together. Exit code 1 if images could not be read.
    """
    from histoscope.cli.audit import compare_parts, refuse_unused, write_proposed
    from histoscope.data import split_by

    refuse_unused(context, n_roots=len(roots), has_groups=groups is not None, is_cut=by is not None)
    datasets = {str(root): open_dataset(name, root, mpp, option) for root in roots}
    first = next(iter(datasets.values()))
    if groups is not None:
        good = write_proposed(
            first,
            groups,
            min_similarity=min_similarity,
            min_overlap=min_overlap,
            features=features,
            as_json=as_json,
        )
    else:
        if len(roots) == 1:
            cut = published(first) if by is None else split_by(first, by, stratify=stratify, seed=seed)
            datasets = cut.parts()
        good = compare_parts(datasets, min_similarity, as_json=as_json)
    if not good:
        raise typer.Exit(1)


def open_dataset(name: str, root: Path, mpp: float | None, options: list[str] | None = None) -> "Dataset":
    """Open a data set with ``KEY=VALUE`` options."""
    from contextlib import suppress

    from histoscope import data, plain
    from histoscope.errors import ConfigError

    given: dict[str, Any] = {"mpp": mpp}
    for text in options or ():
        key, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"option {text!r}: expected KEY=VALUE, such as fold=3")
        if given.get(key.strip()) is not None:
            raise ConfigError(f"option {key.strip()!r} is given twice; keep one")
        given[key.strip()] = value
        if key.strip() not in _TEXT_OPTIONS:
            with suppress(ValueError):  # text stays text
                given[key.strip()] = plain.bare(plain.read(value))
    return data.open(name, root, **given)


def published(dataset: "Dataset") -> "Split":
    """Published parts, without a warning about leaks: the audit reports them."""
    import warnings

    from histoscope.data import split_published

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return split_published(dataset, on_leak="warn")
