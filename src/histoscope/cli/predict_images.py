"""``histoscope predict`` of images and patches."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from histoscope.words import count

if TYPE_CHECKING:
    from histoscope.jobs.journal import Job
    from histoscope.predict.batch import OnBegin, OnImage, Outcome
    from histoscope.predict.tilemap import OnTiles

Found: TypeAlias = "tuple[Outcome, dict[str, Any], list[str]]"


def nuclei_of(
    folder: Path,
    jobs: "list[Job]",
    out: Path,
    only: list[str],
    devices: tuple[str, ...],
    opened: dict[str, Any],
    **settings: Any,
) -> Found:
    """Find nuclei in all images: the outcome, its summary for JSON, and lines to print."""
    from histoscope.export.overlay import colour_names
    from histoscope.export.result import OUTPUTS
    from histoscope.models.backends import used
    from histoscope.predict import Detector, batch

    kinds = _known(only, OUTPUTS, "a model of nuclei")
    detector = Detector.open(folder, **opened)
    if devices:
        detector.network.to(devices[0])
    with _watched() as (on_begin, on_image, _):
        outcome = batch.run(
            detector, jobs, out, kinds=kinds, on_begin=on_begin, on_image=on_image, **settings
        )
    n_nuclei = sum(row["nuclei"] for row in outcome.done)
    found = f"{count(n_nuclei, 'nucleus')} in {count(len(outcome.done), 'image')}"
    lines = [f"{found}; results in {out}"]
    names = detector.names
    if names and n_nuclei:
        counts = [sum(row[f"n_{name}"] for row in outcome.done) for name in names]
        by_class = zip(names, counts, colour_names(names), strict=True)
        lines.append(", ".join(f"{name}: {n:,} ({colour})" for name, n, colour in by_class))
    about = {"classes": list(names), "nuclei": n_nuclei, "network": used(detector.network)}
    return outcome, about, lines


def classes_of(
    folder: Path,
    jobs: "list[Job]",
    out: Path,
    only: list[str],
    devices: tuple[str, ...],
    opened: dict[str, Any],
    *,
    overwrite: bool,
    **settings: Any,
) -> Found:
    """Classify all patches and large images: the outcome, its summary for JSON, and lines to print."""
    from histoscope.export.overlay import colour_names
    from histoscope.jobs import naming
    from histoscope.models.backends import used
    from histoscope.predict import PatchClassifier, classify

    kinds = _known(only, classify.OUTPUTS, "a classifier")
    classifier = PatchClassifier.open(folder, **opened)
    if devices:
        classifier.network.to(devices[0])
    with _watched() as (on_begin, on_image, on_tiles):
        outcome = classify.run(
            classifier,
            jobs,
            out,
            classify.Settings(kinds=kinds, **settings),
            overwrite=overwrite,
            on_begin=on_begin,
            on_image=on_image,
            on_tiles=on_tiles,
        )
    patches = [row["predicted"] for row in outcome.done if "predicted" in row]
    maps = [row for row in outcome.done if "tiles" in row]
    counts = {name: patches.count(name) for name in classifier.classes}
    lines = []
    if patches or not maps:
        shares = ", ".join(f"{name}: {n:,}" for name, n in counts.items())
        lines.append(f"{count(len(patches), 'patch')}, {shares}; results in {out / naming.PREDICTIONS}")
    if maps:
        tiles = {name: sum(row[f"tiles_{name}"] for row in maps) for name in classifier.classes}
        by_class = zip(tiles.items(), colour_names(classifier.classes), strict=True)
        shares = ", ".join(f"{name}: {n:,} ({colour})" for (name, n), colour in by_class)
        of = f"{count(sum(tiles.values()), 'tile')} in {count(len(maps), 'image')}"
        lines.append(f"{of}, {shares}; results in {out}")
    about = {"classes": list(classifier.classes), "patches": len(patches), "predictions": counts}
    return outcome, {**about, "maps": len(maps), "network": used(classifier.network)}, lines


def _known(only: list[str], outputs: Mapping[str, Any], what: str) -> list[str]:
    """Outputs to write: the given ones, or all that such a model has."""
    from histoscope.errors import ConfigError

    foreign = [kind for kind in only if kind not in outputs]
    if foreign:
        raise ConfigError(f"--only {foreign[0]}: {what} writes {', '.join(outputs)}; choose from these")
    return [kind for kind in outputs if not only or kind in only]


@contextmanager
def _watched() -> Iterator[tuple["OnBegin", "OnImage", "OnTiles"]]:
    """Progress over images, and over the tiles of a large image."""
    from histoscope.cli.progress import Board

    done, total = 0, 0
    with Board() as board:

        def on_begin(n_images: int) -> None:
            nonlocal total
            total = n_images
            if total:
                board.move("predicting", 0, total)

        def on_image(_: str) -> None:
            nonlocal done
            done += 1
            board.move("predicting", done, total)

        def on_tiles(n_done: int, n_tiles: int) -> None:
            board.move("tiles", n_done, n_tiles)
            if n_done == n_tiles:
                board.end("tiles")

        yield on_begin, on_image, on_tiles
