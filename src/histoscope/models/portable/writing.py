"""Write a trained network, its card and what it needs, for other programs."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

import histoscope
from histoscope import weights
from histoscope.errors import ConfigError, UnknownNameError
from histoscope.files import require_writable, whole, write_text
from histoscope.models.base import Model
from histoscope.models.card import CARD, NORMALISER, STAIN_REFERENCE, normalizer_of, read_card
from histoscope.models.checkpoint import load
from histoscope.models.nuclei.stardist import StarDist
from histoscope.models.portable import TARGETS, qupath, runtimes
from histoscope.models.portable.network import OUTPUTS, ForQuPath, Portable
from histoscope.models.portable.opencv import OpenCvError

TOLERANCE = 1e-3
"""How far another runtime may be from torch; relative for values above 1."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` wrote.

    Parameters
    ----------
    files : tuple of Path
        The network first.
    about : dict
        The file's own description: input, outputs, mpp, classes, thresholds, licence.
    errors : dict of str to float
        Largest difference of each runtime from torch, on images of noise.
    refused : str
        Why OpenCV's DNN module cannot run it; "" if it can, or was not asked.
    """

    files: tuple[Path, ...]
    about: dict[str, Any]
    errors: dict[str, float]
    refused: str = ""


def export(model: str | Path, out: str | Path, to: str = "onnx") -> Exported:
    """Write a trained model for other programs, and compare what they compute with torch.

    The network takes (B, 3, H, W) float32, RGB of 0 to 255, and normalises by itself. Its outputs are the
    heads of a segmentation model, which ``decode`` turns into nuclei, or the probabilities of a classifier.
    For QuPath they are one output in its StarDist extension's layout.

    Parameters
    ----------
    model : str or Path
        A name such as ``"nuclei"``, a model folder, or a run folder with one in it.
    out : str or Path
        Folder, new or empty. It gets the network, the model's card, its stain reference if it has one, and
        for QuPath a script.
    to : {"onnx", "torchscript", "qupath"}
        See `TARGETS`.

    Raises
    ------
    UnknownNameError
        If there is no such model or target.
    ConfigError
        If `out` is not empty, the target cannot run the model, or computes something else.
    MissingDependencyError
        If the extra ``onnx`` is needed and not installed.
    DatasetNotFoundError, CorruptDataError, FormatVersionError
        If the model cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> written = export("nuclei", tempfile.mkdtemp(), to="torchscript")
    >>> [file.name for file in written.files], written.about["mpp"]
    (['model.pt', 'card.json'], 0.5)
    """
    if to not in TARGETS:
        raise UnknownNameError("target of an export", to, TARGETS)
    out = Path(out)
    require_writable(out)
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"OUT is {out}, which is not empty; name a new folder")
    if to != "torchscript":
        runtimes.require_onnx()
    folder, trained, name = weights.find(model), load(model), Path(model).name
    normalizer = normalizer_of(folder)
    stain_method = (
        "none" if normalizer is None else str(getattr(normalizer, "name", type(normalizer).__name__))
    )
    network = ForQuPath(_for_qupath(trained, name, stain_method)) if to == "qupath" else Portable(trained)
    about = described(name, trained, network, read_card(folder)) | {NORMALISER: stain_method}
    file, errors, refused = _WRITERS[to](network.eval(), out, about)
    files = [file]
    if isinstance(network, ForQuPath) and isinstance(trained, StarDist):
        files.append(_write_script(trained, file, about))
    for each in (CARD, *([STAIN_REFERENCE] if normalizer is not None else [])):
        with whole(out / each) as temporary:
            shutil.copyfile(folder / each, temporary)
        files.append(out / each)
    return Exported(tuple(files), about, errors, refused)


def _for_qupath(model: Model, name: str, stain_method: str) -> StarDist:
    if stain_method != "none":
        raise ConfigError(
            f"{name} takes images whose stain is normalised ({stain_method}), which QuPath cannot do; "
            f"{qupath.INSTEAD}"
        )
    return qupath.require_stardist(model, name)


def described(name: str, model: Model, network: Portable, card: dict[str, Any]) -> dict[str, Any]:
    """What a program needs to know to use the network."""
    spec = model.spec
    about = {
        "model": name,
        "histoscope": histoscope.__version__,
        "input": "image: (n, 3, height, width) float32, RGB of 0 to 255; the network normalises it",
        "layout": "NCHW",
        "mpp": spec.to_dict()["mpp"],
        "size divisor": spec.divisible_by,
        "context_px": spec.context_px,
        "grid": spec.grid,
        "classes": list(spec.classes),
        "thresholds": model.thresholds,
        "outputs": {each: OUTPUTS.get(each, "") for each in network.outputs},
        "weights licence": card.get("weights licence") or "not stated",
        "training data": card.get("training data") or {},
    }
    if spec.patch_px:
        about["patch_px"] = spec.patch_px
    if isinstance(model, StarDist):
        about["rays"] = model.n_rays
    return about


_Written = tuple[Path, dict[str, float], str]


def _onnx(network: Portable, out: Path, about: dict[str, Any]) -> _Written:
    """ONNX, checked by ONNX Runtime; OpenCV cannot run every network, and says why."""
    refused = ""
    with whole(out / "model.onnx") as temporary:
        runtimes.write_onnx(network, temporary, about)
        errors = {"ONNX Runtime": _checked("ONNX Runtime", runtimes.onnxruntime_error(network, temporary))}
        name = f"OpenCV {cv2.__version__}"
        try:
            errors[name] = _checked(name, runtimes.opencv_error(network, temporary))
        except (OpenCvError, ConfigError) as error:
            refused = str(error)
            if isinstance(network, ForQuPath):
                raise ConfigError(
                    f"OpenCV, which QuPath uses to run networks, cannot run it: {refused}; {qupath.INSTEAD}"
                ) from None
    return out / "model.onnx", errors, refused


def _torchscript(network: Portable, out: Path, about: dict[str, Any]) -> _Written:
    with whole(out / "model.pt") as temporary:
        runtimes.write_torchscript(network, temporary, about)
        error = _checked("TorchScript", runtimes.torchscript_error(network, temporary))
    return out / "model.pt", {"TorchScript": error}, ""


_WRITERS: dict[str, Callable[[Portable, Path, dict[str, Any]], _Written]] = {
    "onnx": _onnx,
    "torchscript": _torchscript,
    "qupath": _onnx,
}


def _checked(runtime: str, error: float) -> float:
    if not error <= TOLERANCE:
        raise ConfigError(
            f"{runtime} disagrees with torch on this network: off by {error:.2g}, expected "
            f"at most {TOLERANCE:g}. Branches that depend on an image or its size are lost in tracing"
        )
    return error


def _write_script(model: StarDist, network: Path, about: dict[str, Any]) -> Path:
    path = network.parent / qupath.SCRIPT
    text = qupath.script(
        model,
        name=about["model"],
        licence=about["weights licence"],
        version=about["histoscope"],
        path=network.resolve().as_posix(),
    )
    write_text(path, text)
    return path
