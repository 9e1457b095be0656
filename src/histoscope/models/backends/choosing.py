"""Which backend a model predicts with: the named one, or the fastest on this machine."""

import json
import platform
import warnings
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

import histoscope
from histoscope.errors import ConfigError, HistoscopeError, MissingDependencyError, UnknownNameError
from histoscope.files import write_text
from histoscope.models.backends import AUTO, BACKENDS, TORCH
from histoscope.models.backends.runner import CPU, Runner, in_bfloat16, module_of, ready
from histoscope.models.backends.written import cache_folder, digest, onnx_of
from histoscope.models.base import Heads, Model

LEAST_GAIN = 1.1
"""Another backend than torch must be faster by this factor to be chosen."""
_SECONDS, _SIDE_PX, _PATCHES = 0.3, 512, 8
_CLOSE = {"float32": 1e-3, "bfloat16": 0.1}
"""How far heads may be from those of torch in float32, as a share of the largest value."""


def use(model: Model, backend: str, fingerprint: str) -> None:
    """Let a model predict with a backend; it trains with torch in any case.

    Parameters
    ----------
    model : Model
        Keeps the backend until it is trained. A named backend other than torch brings it to the processor.
    backend : str
        A key of `BACKENDS`, or ``auto``: the fastest of those that are installed, by a measurement that is
        kept in the user's cache.
    fingerprint : str
        Of weights and card, as `histoscope.models.open_model` gives it.

    Raises
    ------
    UnknownNameError
        If there is no such backend.
    MissingDependencyError
        If its packages are not installed.
    ConfigError
        If it cannot run the model.
    """
    if backend not in {AUTO, *BACKENDS}:
        raise UnknownNameError("backend", backend, [AUTO, *BACKENDS])
    model.runner = None
    if backend == AUTO:
        _use_fastest(model, fingerprint)
    elif backend != TORCH:
        require(backend)
        try:
            model.runner = _runner(model.to(CPU), backend, fingerprint)
        except Exception as error:
            raise ConfigError(
                f"{backend} cannot run this model ({_why(error)}); leave the backend out, or name another "
                f"one: {', '.join(BACKENDS)}"
            ) from error


def installed() -> list[str]:
    """Names of the installed backends, torch first.

    Examples
    --------
    >>> installed()[0]
    'torch'
    """
    return [name for name in BACKENDS if name == TORCH or not missing(name)]


def missing(backend: str) -> list[str]:
    """Packages that a backend needs and that are not installed."""
    return [name for name in module_of(backend).PACKAGES if find_spec(name) is None]


def require(backend: str) -> None:
    """Check that a backend's packages are installed, before any work.

    Raises
    ------
    MissingDependencyError
        With the line that installs it.
    """
    if lacking := missing(backend):
        raise MissingDependencyError(
            f"backend {backend} needs {' and '.join(lacking)}, not installed here: "
            f"pip install 'histoscope[{module_of(backend).EXTRA}]'"
        )


def _use_fastest(model: Model, fingerprint: str) -> None:
    """Choose by what was measured, now or before; if anything goes wrong torch is kept, with a warning."""
    others = [name for name in installed() if name != TORCH]
    if not others or model.mean.device.type != "cpu":
        return
    try:
        seconds = _seconds_of(model, others, fingerprint)
        best = min(seconds, key=seconds.__getitem__)
        if best != TORCH and seconds[TORCH] >= LEAST_GAIN * seconds[best]:
            model.runner = _runner(model, best, fingerprint)
    except Exception as error:  # noqa: BLE001  (a faster way that is broken must not end what works)
        warnings.warn(
            f"predicting with torch, since no other backend could be tried: {_why(error)}", stacklevel=4
        )


def _seconds_of(model: Model, others: list[str], fingerprint: str) -> dict[str, float]:
    """Seconds that each backend takes for an example, from the cache if they are there."""
    key = {
        "model": fingerprint,
        "architecture": type(model).__name__,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "bfloat16": in_bfloat16(model),
        "histoscope": histoscope.__version__,
        **{name: metadata.version(name) for name in (TORCH, *others)},
    }
    path = cache_folder() / f"{digest(key)}.json"
    known = _read(path)
    if known is None:
        known = _measured(model, others, fingerprint)
        write_text(path, json.dumps({**known, "of": key}, indent=2) + "\n")
    return {name: float(found) for name, found in known["seconds"].items()}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return known if TORCH in known["seconds"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _measured(model: Model, others: list[str], fingerprint: str) -> dict[str, Any]:
    """Seconds of each backend, and why one cannot run the model."""
    image = _example(model, large=True)
    seconds, refused = {TORCH: _seconds(model, image)}, {}
    for name in others:
        try:
            model.runner = _runner(model, name, fingerprint)
            seconds[name] = _seconds(model, image)
        except Exception as error:  # noqa: BLE001
            refused[name] = _why(error)
        finally:
            model.runner = None
    if refused:
        told = "; ".join(f"{name} cannot run this model ({why})" for name, why in refused.items())
        warnings.warn(f"{told}: skipped", stacklevel=6)
    return {"seconds": seconds, "refused": refused}


def _runner(model: Model, backend: str, fingerprint: str) -> Runner:
    """A backend with a network that gives the heads of torch; a file that does not is written once more."""
    for anew in (False, True):
        network = onnx_of(model, fingerprint, anew=anew)
        runner = Runner(backend, network, bfloat16=in_bfloat16(model))
        try:
            _check(model, runner)
        except Exception:
            if anew:
                raise
        else:
            return runner
    raise AssertionError("unreachable")


def _check(model: Model, runner: Runner) -> None:
    """Refuse heads that are not those of torch."""
    image = _example(model, large=False)
    close = _CLOSE["bfloat16" if runner.bfloat16 else "float32"]
    with torch.inference_mode():
        x = model.normalised(image)
        expected = model.heads(x)
        found = runner.heads(at_once=1, threads=torch.get_num_threads())(x)
    for name, head in expected.items():
        got = found.get(name)
        if got is None or got.shape != head.shape:
            raise ConfigError(f"its {name} has a different shape from torch's")
        apart = float((got - head).abs().max() / head.abs().max().clamp(min=1.0))
        if not apart <= close:
            raise ConfigError(
                f"its {name} is off by {apart:.2g} of the largest value, expected at most {close:g}"
            )


@torch.inference_mode()
def _seconds(model: Model, image: Tensor) -> float:
    """Least time for an example; a call before that warms up."""
    network = ready(model, at_once=1, threads=torch.get_num_threads())

    def look() -> Heads:
        with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16(model)):
            return network.heads(network.normalised(image))

    look()
    times: list[float] = []
    while not times or sum(times) < _SECONDS:
        begin = perf_counter()
        look()
        times.append(perf_counter() - begin)
    return min(times)


def _example(model: Model, *, large: bool) -> Tensor:
    """Images of noise, (B, 3, H, W) uint8: patches for a classifier, else one image."""
    spec = model.spec
    side = spec.patch_px or spec.divisible_by * -(-(_SIDE_PX if large else 64) // spec.divisible_by)
    shape = (_PATCHES if large and spec.patch_px else 1, 3, side, side)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _processor() -> str:
    """Name of the processor."""
    told = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return told
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), told)


def _why(error: Exception) -> str:
    """Line of an error that says something: of ours the first, else the last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
    return lines[0] if isinstance(error, HistoscopeError) else f"{type(error).__name__}: {lines[-1]}"
