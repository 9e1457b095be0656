"""A network that a library other than torch runs for prediction."""

from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from histoscope.models import precision
from histoscope.models.backends import TORCH
from histoscope.models.base import Heads, Model, Segmenter

if TYPE_CHECKING:
    from histoscope.models.backends.session import Backend, Session

M = TypeVar("M", bound=Model)
Run: TypeAlias = Callable[[Tensor], Heads]
CPU = torch.device("cpu")


class Runner:
    """A network in a file, and the backend that runs it.

    Parameters
    ----------
    backend : str
        A key of `histoscope.models.backends.BACKENDS` but torch.
    network : Path
        ONNX, from normalised images to heads.
    bfloat16 : bool
        Whether torch would multiply bfloat16 there; then the backend may, too.
    """

    def __init__(self, backend: str, network: Path, *, bfloat16: bool) -> None:
        self.backend, self.network = backend, network
        self.module = module_of(backend)
        self.bfloat16 = bfloat16 and self.module.HAS_BFLOAT16
        self._sessions: dict[tuple[int, int], Session] = {}
        self._lock = Lock()

    def __deepcopy__(self, _: Any) -> "Runner":
        """Itself: copies of a network for prediction share it."""
        return self

    def __str__(self) -> str:
        """Name, version and precision."""
        return f"{self.backend} {metadata.version(self.backend)}, {_precision(bfloat16=self.bfloat16)}"

    def heads(self, *, at_once: int, threads: int) -> Run:
        """What computes heads, for so many calls at the same time, with so many threads each."""
        with self._lock:
            key = at_once, threads
            if key not in self._sessions:
                self._sessions[key] = self.module.opened(
                    str(self.network), at_once=at_once, threads=threads, bfloat16=self.bfloat16
                )
            session = self._sessions[key]

        def run(images: Tensor) -> Heads:
            found = session(np.ascontiguousarray(images.numpy()))
            return {name: torch.from_numpy(head) for name, head in found.items()}

        return run


def module_of(backend: str) -> "Backend":
    """Module of a backend."""
    return cast("Backend", import_module(f"histoscope.models.backends.{backend}"))


def in_bfloat16(model: Model) -> bool:
    """Whether torch predicts with a model in bfloat16: with segmenters, where the device multiplies it."""
    return isinstance(model, Segmenter) and precision.has_bfloat16(model.mean.device)


def ready(model: M, *, at_once: int, threads: int) -> M:
    """Copy of a model for prediction: folded, and on its backend if it has one.

    All prediction uses this.

    Parameters
    ----------
    model : Model
    at_once, threads : int
        Calls at the same time, and threads of each.
    """
    quick = model.quick()
    if (runner := _runner_of(model)) is not None:
        quick.heads = runner.heads(at_once=at_once, threads=threads)  # type: ignore[method-assign, assignment]
    return quick


def used(model: Model) -> str:
    """What a model predicts with: the library, its version and the precision.

    Examples
    --------
    >>> import histoscope as hs
    >>> used(hs.models.create("unet", width=4, depth=2)).split()[0]
    'torch'
    """
    if (runner := _runner_of(model)) is not None:
        return str(runner)
    return f"{TORCH} {torch.__version__}, {_precision(bfloat16=in_bfloat16(model))}"


def _runner_of(model: Model) -> Runner | None:
    """Backends are for processors; elsewhere torch is used."""
    return model.runner if model.mean.device.type == "cpu" else None


def _precision(*, bfloat16: bool) -> str:
    return "bfloat16" if bfloat16 else "float32"
