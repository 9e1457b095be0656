"""Networks as ONNX and TorchScript, and how much other runtimes differ from torch."""

import io
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from histoscope.errors import ConfigError, MissingDependencyError
from histoscope.models.portable import opencv
from histoscope.models.portable.network import Portable

OPSET = 14
"""Of ONNX: the first with attention, and old enough for OpenCV 4."""
INPUT = "image"
"""Name of the input in ONNX."""
Arrays = list[NDArray[np.float32]]


def require_onnx() -> None:
    """Check that the packages for ONNX are installed, before any work.

    Raises
    ------
    MissingDependencyError
        With the line that installs it.
    """
    try:
        for name in ("onnx", "onnxruntime"):
            import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            "export to ONNX needs onnx and onnxruntime, which are not both installed: "
            "pip install 'histoscope[onnx]'"
        ) from error


def write_onnx(network: Portable, path: Path, about: Mapping[str, Any]) -> None:
    """Write a network as ONNX, for images of any number and, unless it takes patches, of any size.

    Parameters
    ----------
    network : Portable
    path : Path
    about : mapping
        Goes into the file's metadata; values that are not text are stored as JSON.

    Raises
    ------
    ConfigError
        If the network has an operation that ONNX does not have.
    """
    import onnx

    sides = {} if network.spec.patch_px else {2: "height", 3: "width"}
    names = list(network.outputs)
    of_grid = {} if network.spec.patch_px else {2: "rows", 3: "columns"}
    with _traced("ONNX"), torch.no_grad(), _FixedRatios():
        # The exporter by tracing: the other needs onnxscript.
        torch.onnx.export(
            network,
            (examples(network)[0],),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=names,
            dynamic_axes={INPUT: {0: "n", **sides}} | {name: {0: "n", **of_grid} for name in names},
        )
    model = onnx.load(str(path))
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value if isinstance(value, str) else json.dumps(value))
    onnx.save(model, str(path))


def write_torchscript(network: Portable, path: Path, about: Mapping[str, Any]) -> None:
    """Write a network as TorchScript, with ``about.json`` among its extra files.

    Raises
    ------
    ConfigError
        If it cannot be traced.
    """
    with _traced("TorchScript"), torch.no_grad():
        traced = torch.jit.trace(network, examples(network)[0], check_trace=False)  # type: ignore[no-untyped-call]
        # By a buffer: a file's own name would be part of what is written.
        written = io.BytesIO()
        torch.jit.save(traced, written, _extra_files={"about.json": json.dumps(about).encode()})
    path.write_bytes(written.getvalue())


class _FixedRatios(TorchFunctionMode):
    """Enlarge by ratios and pad by numbers while tracing, in place of sizes that OpenCV cannot compute.

    Sides are multiples of the divisor, so ratios and paddings are the same for images of any size; that they
    are, the comparison with torch shows.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is functional.interpolate and kwargs.get("size") is not None:
            before, size = [int(side) for side in args[0].shape[2:]], kwargs["size"]
            if min(before) > 1 and not isinstance(size, int):  # a single pixel is spread over any size
                ratios = [int(after) / side for after, side in zip(size, before, strict=True)]
                kwargs |= {"size": None, "scale_factor": ratios}
        elif func is functional.pad and len(args) > 1:
            args = (args[0], [int(each) for each in args[1]], *args[2:])
        return func(*args, **kwargs)


@contextmanager
def _traced(target: str) -> Iterator[None]:
    """Say which network cannot be traced; torch's warnings that tracing is old are ours to mind."""
    try:
        # Where it fails, torch prints all of the network.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
        why = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(
            f"the network cannot be written as {target}: {why.strip()}; it contains an operation, or a "
            "branch that depends on the image, that cannot be traced"
        ) from error


def examples(network: Portable) -> list[Tensor]:
    """Images of noise, of two sizes unless the network takes patches, (B, 3, H, W) float32 of 0 to 255."""
    spec = network.spec
    small = spec.patch_px or spec.divisible_by * -(-64 // spec.divisible_by)
    large = small if spec.patch_px else small + spec.divisible_by
    rng = torch.Generator().manual_seed(0)
    return [
        255.0 * torch.rand(shape, generator=rng)
        for shape in ((1, 3, small, small), (1, 3, large, small), (2, 3, small, large))
    ]


def onnxruntime_error(network: Portable, path: Path) -> float:
    """Largest difference of ONNX Runtime from torch; relative for values above 1."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(image: NDArray[np.float32]) -> Arrays:
        found: Arrays = session.run(list(network.outputs), {INPUT: image})
        return found

    return max(_apart(network, image, run(image.numpy())) for image in examples(network))


def opencv_error(network: Portable, path: Path) -> float:
    """Largest difference of OpenCV's DNN module from torch; relative for values above 1.

    Raises
    ------
    histoscope.models.portable.opencv.OpenCvError
        If it cannot read or run the network.
    """
    images = examples(network)
    found = opencv.outputs(path, [image.numpy() for image in images], network.outputs)
    return max(_apart(network, image, each) for image, each in zip(images, found, strict=True))


def torchscript_error(network: Portable, path: Path) -> float:
    """Largest difference of what was written from the network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return max(
            _apart(network, image, [each.numpy() for each in read(image)]) for image in examples(network)
        )


@torch.no_grad()
def _apart(network: Portable, image: Tensor, found: Sequence[NDArray[np.float32]]) -> float:
    """Largest difference; infinite for another shape."""
    apart = 0.0
    for expected, got in zip((each.numpy() for each in network(image)), found, strict=True):
        if got.shape != expected.shape:
            return float("inf")
        scale = np.maximum(1.0, np.abs(expected))
        apart = max(apart, float(np.max(np.abs(got - expected) / scale)))
    return apart
