"""``histoscope synth``: write a folder of synthetic, exactly labelled H&E images."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from histoscope.cli.pixel_size import checked_mpp
from histoscope.words import count

if TYPE_CHECKING:
    from histoscope.data import Dataset
    from histoscope.data.base import Datasheet
    from histoscope.synth import Target
    from histoscope.types import Sample

SPEC = "spec.json"


@dataclasses.dataclass(slots=True)
class _Drawing:
    """Samples to come, and what is to be known of them."""

    samples: "Iterable[Sample]"
    info: "Datasheet"
    patients: int
    notes: list[str] = dataclasses.field(default_factory=list)
    spec: "Target | None" = None


def synth(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write: new, or empty.")],
    n: Annotated[int, typer.Option("--n", min=1, help="How many images.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    size: Annotated[int, typer.Option(min=16, max=20000, help="Height and width in pixels.")] = 256,
    mpp: Annotated[
        float | None,
        typer.Option(
            callback=checked_mpp,
            help="Micrometres per pixel: 0.25 is 40x, 0.5 is 20x, 1 is 10x [default: 0.25; with --like, that "
            "of the data set; with --method learned, 0.5].",
        ),
    ] = None,
    stain: Annotated[
        list[str] | None,
        typer.Option(help="default, purple, pink, faint, blue or dark; give several, patients take turns."),
    ] = None,
    patients: Annotated[
        int | None,
        typer.Option(min=1, help="Patients, who differ in tissue, stain and focus [default: n / 5]."),
    ] = None,
    hard: Annotated[
        bool,
        typer.Option(
            help="Pale, smudged and blurred nuclei, purple stroma, debris, pigment, ink, folds, mucin: "
            "better to learn from."
        ),
    ] = False,
    like: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a labelled data set to draw the like of: its stains, sizes, densities, classes, "
            "sharpness. If it has a part 'train', only that is looked at."
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="Reader of --like: folder, monuseg, consep, ... (see data list).")
    ] = "folder",
    like_mpp: Annotated[
        float | None,
        typer.Option(
            callback=checked_mpp, help="Micrometres per pixel of --like, where its files do not say."
        ),
    ] = None,
    like_tiles: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Look at so many tiles of --like alone, chosen by --seed: those that a study of few "
            "labelled tiles trains on with that seed [default: all].",
        ),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(help=f"Draw by the {SPEC} of an earlier --like, or one written by hand."),
    ] = None,
    method: Annotated[
        Literal["drawn", "learned"],
        typer.Option(
            help="With --like: drawn by rules fitted to the data set (a minute, no network), or painted by a "
            "network that is trained on it."
        ),
    ] = "drawn",
    generator: Annotated[
        Path | None,
        typer.Option(
            help="With --method learned: folder of the network. One that is there is used, and --like may be "
            "left out; else it is trained and written there [default: beside OUT]."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps of the network [default: 2000, 15 minutes].")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(min=1, help="Channels of the network; 48 is for accelerators [default: 16]."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for a machine to read.")
    ] = False,
) -> None:
    """Draw tissue with exact labels and write it as a data set that every other verb reads.

    Nothing is downloaded. Nuclei are epithelial, lymphocyte, spindle or plasma, and known to the pixel.
    With --like they carry the class names of your own data set, and the folder holds a readable spec.json.

    Examples: `histoscope synth tissue --n 40 --stain default --stain purple`;
    `histoscope synth mine --n 50 --like data/my_tiles`;
    `histoscope synth mine --n 50 --like data/my_tiles --method learned --generator my_generator`
    """
    from histoscope.cli.given import refuse_given
    from histoscope.data import write_folder
    from histoscope.data.write import require_new
    from histoscope.errors import ConfigError

    require_new(out)
    people = patients if patients is not None else max(1, n // 5)
    if people > n:
        raise ConfigError(f"--patients is {people} and --n is {n}; each patient needs at least one image")
    shares = [n // people + (k < n % people) for k in range(people)]
    _check(like, spec, None if method == "learned" else stain, method, generator)
    if like is None:
        refuse_given(
            context, "like_tiles", "like_mpp", "form", because="is about --like, whose folder is not given"
        )
    if method == "learned":
        refuse_given(context, "hard", "patients", because="is for synthetic tissue, not for --method learned")
    else:
        refuse_given(context, "steps", "width", because="is of the network that --method learned trains")
    dataset = None if like is None else _opened(form, like, like_mpp, like_tiles, seed)
    if method == "learned":
        folder = generator or out.with_name(f"{out.name}_generator")
        changes = {"steps": steps, "mpp": mpp, "width": width}
        drawing = _learned(dataset, folder, n, size, seed, stain, changes)
    elif dataset is not None or spec is not None:
        target = _fitted(dataset, seed) if dataset is not None else _read(spec)
        drawing = _like(target, shares, size, mpp, seed, hard=hard)
        tiles = _behind(target, dataset, spec)
        drawing.info = dataclasses.replace(drawing.info, origins=tiles)
    else:
        drawing = _free(shares, size, 0.25 if mpp is None else mpp, stain or ["default"], seed, hard=hard)
    counts, area_mm2 = Counter[int](), [0.0]
    write_folder(out, _shown(drawing.samples, n, counts, area_mm2), drawing.info)
    if drawing.spec is not None:
        drawing.spec.save(out / SPEC)
    reached = sum(counts.values()) / max(area_mm2[0], 1e-9)
    _report(out, n, drawing, counts, reached, as_json=as_json)


def _check(
    like: Path | None, spec: Path | None, stain: list[str] | None, method: str, generator: Path | None
) -> None:
    from histoscope.errors import ConfigError

    if like is not None and spec is not None:
        raise ConfigError("--like fits a spec and --spec reads one; give one of them")
    if stain and (like is not None or spec is not None):
        raise ConfigError("--stain names a stain and --like or --spec brings its own; leave one out")
    if generator is not None and method != "learned":
        raise ConfigError("--generator is the folder of a network; it goes with --method learned")
    if method == "learned" and like is None and generator is None:
        raise ConfigError(
            "--method learned learns from a data set; give its folder as --like, or that of a trained "
            "network as --generator"
        )


def _opened(form: str, root: Path, mpp: float | None, tiles: int | None, seed: int) -> "Dataset":
    """Open a data set; of its published parts, the one for training alone, and of this so many tiles."""
    from histoscope import data

    dataset = data.open(form, root, mpp=mpp)
    training = [index for index, record in enumerate(dataset.records) if record.split == "train"]
    if training and len(training) < len(dataset):
        typer.echo(f"looking at the {count(len(training), 'tile')} of part 'train' of {root}", err=True)
        dataset = data.subset(dataset, training)
    if tiles is not None:
        dataset = data.tile_subset(dataset, tiles, seed=seed)
        typer.echo(f"of these, at {', '.join(record.name for record in dataset.records)} alone", err=True)
    return dataset


def _fitted(dataset: "Dataset", seed: int) -> "Target":
    from histoscope import synth as generator
    from histoscope.cli.progress import progress

    with progress("fitting") as advance:
        return generator.fit(dataset, seed=seed, progress=advance)


def _read(spec: Path | None) -> "Target":
    from histoscope.synth import Target

    return Target.read(spec or "")


def _behind(target: "Target", dataset: "Dataset | None", spec: Path | None) -> "tuple[tuple[str, ...], ...]":
    """List the tiles that a spec was fitted to; of one that was read, the list beside it."""
    from histoscope.data import origins
    from histoscope.train import provenance

    if dataset is not None:
        return provenance.origins_of(dataset)
    if spec is None:
        return ()
    return origins.read(spec.parent) or ((provenance.unknown(spec),) if target.fitted_on else ())


def _free(shares: list[int], size: int, mpp: float, stains: list[str], seed: int, *, hard: bool) -> _Drawing:
    """Tissue of nobody."""
    from histoscope import synth as generator
    from histoscope.data.base import Datasheet

    samples = generator.cohort_stream(
        len(shares), shares, shape_px=(size, size), mpp=mpp, stains=stains, seed=seed, hard=hard
    )
    info = Datasheet(
        name="synth",
        title="Synthetic H&E with exact labels",
        licence="made by Histoscope: use it as you like",
        citation="Histoscope, histoscope.synth",
        classes={number: name for name, number in generator.CLASSES.items()},
        mpp=mpp,
    )
    return _Drawing(samples, info, len(shares))


def _like(
    target: "Target", shares: list[int], size: int, mpp: float | None, seed: int, *, hard: bool
) -> _Drawing:
    """Tissue like that of a data set, drawn."""
    from histoscope import synth as generator
    from histoscope.data.base import Datasheet

    samples = generator.like(
        target, shares, shape_px=(size, size), mpp=mpp, seed=seed, distractors=1.0 if hard else 0.5
    )
    info = Datasheet(
        name="synth",
        title=f"Synthetic H&E with exact labels, drawn like {target.name or 'a data set'}",
        licence="made by Histoscope from measurements; holds no pixel of the data set",
        citation="Histoscope, histoscope.synth",
        classes=target.classes or {number: name for name, number in generator.CLASSES.items()},
        mpp=target.mpp if mpp is None else mpp,
    )
    on = target.fitted_on
    notes = []
    if on:
        tiles, patients = count(on["tiles"], "tile"), count(on["patients"], "patient")
        notes.append(f"fitted to {on['nuclei']:,} nuclei in {tiles} of {patients}")
        if on["tiles"] == 1:
            notes.append("one tile alone: stain, density and sizes are those of one patient")
    if target.by_class:
        notes.append("drawn as " + ", ".join(f"{k}: {one.style}" for k, one in target.by_class.items()))
    asked, fits = target.density()
    if fits < 0.85 * asked:
        notes.append(f"{asked:,.0f} nuclei per mm2 were asked for, {fits:,.0f} fit: density stops there")
    return _Drawing(samples, info, len(shares), notes, target)


def _learned(  # the flags that reach it
    dataset: "Dataset | None",
    folder: Path,
    n: int,
    size: int,
    seed: int,
    stain: list[str] | None,
    changes: dict[str, Any],
) -> _Drawing:
    """Tissue like that of a data set, painted by a network that is fitted to it and kept in `folder`."""
    from histoscope.cli import scores
    from histoscope.errors import UnknownNameError
    from histoscope.generate.generator import (
        Tally,
        fit_generator,
        generate_dataset,
        is_fitted,
        load_generator,
    )
    from histoscope.generate.training import GeneratorConfig
    from histoscope.synth import STAINS

    for name in stain or []:
        if name not in STAINS:
            raise UnknownNameError("stain", name, STAINS)
    if dataset is None:
        made = load_generator(folder)
    else:
        known = {key: value for key, value in changes.items() if value is not None}
        settings = GeneratorConfig(seed=seed, **known)
        # One that is there is used, and nothing is trained.
        with nullcontext() if is_fitted(folder) else scores.steps_bar(settings.steps) as on_step:
            made = fit_generator(dataset, folder, settings, on_step=on_step, on_note=scores.note)
    tally = Tally()
    drawing = _Drawing((), made.info, 0)

    def told() -> "Iterator[Sample]":
        stains = [STAINS[name] for name in stain] if stain else None
        yield from generate_dataset(made, n, size_px=size, stains=stains, seed=seed, tally=tally)
        drawing.notes += tally.lines()

    drawing.samples = told()
    return drawing


def _shown(
    samples: "Iterable[Sample]", n: int, counts: Counter[int], area_mm2: list[float]
) -> "Iterator[Sample]":
    """Pass the samples on, counting their nuclei and showing how many are done."""
    from histoscope.cli.progress import progress

    with progress("drawing", n) as advance:
        for number, sample in enumerate(samples, start=1):
            if sample.classes is not None:
                counts.update(sample.classes[1:].tolist())
            rows, columns = sample.image.shape[:2]
            area_mm2[0] += rows * columns * sample.mpp**2 * 1e-6
            yield sample
            advance(number)


def _report(
    out: Path, n: int, drawing: _Drawing, counts: Counter[int], per_mm2: float, *, as_json: bool
) -> None:
    import json

    nuclei = {name: counts[number] for number, name in sorted(drawing.info.classes.items())}
    if as_json:
        answer = {"out": str(out), "images": n, "patients": drawing.patients, "nuclei": nuclei}
        answer |= {"per_mm2": round(per_mm2, 1), "notes": drawing.notes}
        typer.echo(json.dumps(answer, indent=2))
        return
    kinds = ", ".join(f"{number:,} {name}" for name, number in nuclei.items())
    of = f" of {count(drawing.patients, 'patient')}" if drawing.patients else ""
    typer.echo(
        f"{count(n, 'image')}{of} in {out}: {sum(nuclei.values()):,} nuclei ({kinds}), {per_mm2:,.0f} per mm2"
    )
    for line in drawing.notes:
        typer.echo(f"  {line}")
