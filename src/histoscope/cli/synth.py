"""``histoscope synth``: write a folder of synthetic, exactly labelled H&E images."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from histoscope.types import Sample


def synth(
    out: Annotated[Path, typer.Argument(help="Folder to write: new, or empty.")],
    n: Annotated[int, typer.Option("--n", min=1, help="How many images.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    size: Annotated[int, typer.Option(min=1, max=20000, help="Height and width in pixels.")] = 256,
    mpp: Annotated[
        float, typer.Option(help="Micrometres per pixel: 0.25 is 40x, 0.5 is 20x, 1 is 10x.")
    ] = 0.25,
    stain: Annotated[
        list[str] | None,
        typer.Option(help="default, purple, pink, faint, blue or dark; give several, patients take turns."),
    ] = None,
    patients: Annotated[
        int | None,
        typer.Option(min=1, help="Patients, who differ in tissue, stain and focus [default: n / 5]."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for a machine to read.")
    ] = False,
) -> None:
    """Draw tissue with exact labels and write it as a data set that every other verb reads.

    Nothing is downloaded. Nuclei are epithelial, lymphocyte, spindle or plasma, and known to the pixel.

    Example: `histoscope synth tissue --n 40 --stain default --stain purple`
    """
    from histoscope import synth as generator
    from histoscope.data import write_folder
    from histoscope.data.base import Datasheet
    from histoscope.errors import ConfigError

    people = patients if patients is not None else max(1, n // 5)
    if people > n:
        raise ConfigError(f"--patients is {people} and --n is {n}; each patient needs at least one image")
    shares = [n // people + (k < n % people) for k in range(people)]
    samples = generator.cohort_stream(
        people, shares, shape_px=(size, size), mpp=mpp, stains=stain or ["default"], seed=seed
    )
    info = Datasheet(
        name="synth",
        title="Synthetic H&E with exact labels",
        licence="made by Histoscope: use it as you like",
        citation="Histoscope, histoscope.synth",
        classes={number: name for name, number in generator.CLASSES.items()},
        mpp=mpp,
    )
    counts: Counter[int] = Counter()
    write_folder(out, _shown(samples, n, counts), info)
    _report(
        out, n, people, {name: counts[number] for name, number in generator.CLASSES.items()}, as_json=as_json
    )


def _shown(samples: "Iterator[Sample]", n: int, counts: Counter[int]) -> "Iterator[Sample]":
    """Pass the samples on under a progress bar, counting their nuclei."""
    from rich.console import Console
    from rich.progress import track

    for sample in track(samples, "drawing", total=n, console=Console(stderr=True), transient=True):
        if sample.classes is not None:
            counts.update(sample.classes[1:].tolist())
        yield sample


def _report(out: Path, n: int, patients: int, nuclei: dict[str, int], *, as_json: bool) -> None:
    import json

    if as_json:
        typer.echo(
            json.dumps({"out": str(out), "images": n, "patients": patients, "nuclei": nuclei}, indent=2)
        )
        return
    kinds = ", ".join(f"{count:,} {name}" for name, count in nuclei.items())
    typer.echo(f"{n} images of {patients} patients in {out}: {sum(nuclei.values()):,} nuclei ({kinds})")
