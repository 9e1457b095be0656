"""``histoscope export``: a trained model for other programs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Target(StrEnum):
    """What the network is exported for."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    QUPATH = "qupath"


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Name of a model (`histoscope models`), or model or run folder."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to, new or empty.")],
    to: Annotated[
        Target,
        typer.Option(
            help="onnx: for ONNX Runtime, OpenCV and others; torchscript: for libtorch and the Deep Java "
            "Library; qupath: ONNX and a script for QuPath's StarDist extension."
        ),
    ] = Target.ONNX,
) -> None:
    """Write a trained model for other programs: ONNX, TorchScript, or QuPath.

    The network takes RGB of 0 to 255 as float32, (n, 3, height, width), and normalises it by itself. OUT gets

    - `model.onnx` or `model.pt`: the network; its metadata give layout, resolution, classes and thresholds;

    - `detect_nuclei.groovy`, for QuPath: open it in QuPath's script editor and run it;

    - `card.json`: the model's card, with licence and training data.

    The outputs of other runtimes are compared with torch's before anything is left in OUT. ONNX needs
    `pip install 'histoscope[onnx]'`.

    Example: `histoscope export nuclei out/ --to qupath`
    """
    from histoscope.models.portable import export as write

    done = write(model, out, str(to))
    about = done.about
    sides = (
        f"patches of {about['patch_px']} pixels"
        if "patch_px" in about
        else f"sides multiples of {about['size divisor']}"
    )
    scale = "" if about["mpp"] is None else f", {about['mpp']:g} um per pixel"
    typer.echo(f"{done.files[0]}: RGB of 0 to 255, float32, (n, 3, height, width), {sides}{scale}")
    for runtime, error in done.errors.items():
        typer.echo(f"{runtime}: within {error:.1g} of torch")
    if done.refused:
        typer.echo(f"OpenCV cannot run it: {done.refused}")
    for file in done.files[1:]:
        typer.echo(f"{file}: {_FILES[file.name]}")
    data = about["training data"]
    typer.echo(f"licence of the weights: {about['weights licence']}")
    typer.echo(f"trained on: {data.get('name', 'not stated')} ({data.get('licence', 'licence not stated')})")


_FILES = {
    "card.json": "training data, licence, scores; pass it on with the network",
    "stain_reference.json": "images must go through this stain normaliser first",
    "detect_nuclei.groovy": "open it in QuPath's script editor and run it on an annotation",
}
