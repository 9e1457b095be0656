"""Pipelined inference on patches.

On a CPU each core takes whole batches, from decoding the files to the output, so that cores wait neither for
a loader nor for each other in every layer. On an accelerator two threads read ahead.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from histoscope.cores import a_core_each
from histoscope.data import Dataset
from histoscope.errors import HistoscopeError
from histoscope.memory import is_out_of_memory
from histoscope.models.backends.runner import ready
from histoscope.models.patches.classifier import Classifier
from histoscope.types import Sample

# Small enough that what one layer gives is still near when the next one asks for it.
BATCH = 8
READERS = 2
Patches: TypeAlias = Sequence[Sample] | Dataset
"""Samples by number; of a data set, each is read when it is asked for."""
OnSkip: TypeAlias = Callable[[str, str], None]
"""Called with the name of a patch that cannot be read, and why."""


class Seen(NamedTuple):
    """A batch of patches, and the output of a function for them.

    Parameters
    ----------
    indices : list of int
        Of the patches among all samples.
    samples : list of Sample
    values : (B, ...) float32
    """

    indices: list[int]
    samples: list[Sample]
    values: NDArray[np.float32]


@dataclass(slots=True)
class _Batch:
    """A batch in the pipeline."""

    indices: list[int]
    samples: list[Sample]
    skipped: list[tuple[str, str]]
    pixels: Tensor | None = None
    values: NDArray[np.float32] | None = None


def through(
    model: Classifier,
    samples: Patches,
    function: Callable[[Classifier, Tensor], Tensor],
    *,
    chosen: Sequence[int] | None = None,
    batch_size: int = BATCH,
    on_skip: OnSkip | None = None,
) -> Iterator[Seen]:
    """Apply a function to patches, batch by batch and in their order.

    Parameters
    ----------
    model : Classifier
        Brings each image to its patch; a copy that is folded for inference is used, so it stays as it was.
    samples : sequence of Sample, or Dataset
        Each is read when it is needed.
    function : callable
        From a model and normalised patches (B, 3, H, W) to (B, ...), such as ``Classifier.features``.
    chosen : sequence of int, optional
        Which samples; all if left out.
    batch_size : int
    on_skip : callable, optional
        Called for each patch that cannot be read, which is then left out; without it, that is an error.
    """
    device = model.mean.device
    on_processor = device.type == "cpu"
    threads = torch.get_num_threads() if on_processor else READERS
    quick = ready(model, at_once=threads, threads=1)

    def see(batch: _Batch) -> _Batch:
        if batch.pixels is not None:
            with torch.inference_mode():
                x = quick.normalised(batch.pixels.to(device).permute(0, 3, 1, 2))
                batch.values = function(quick, x).float().cpu().numpy()
        return batch

    def work(part: Sequence[int]) -> _Batch:
        batch = _read(model, samples, part, must=on_skip is None)
        return see(batch) if on_processor else batch

    indices = range(len(samples)) if chosen is None else chosen
    parts = [indices[first : first + batch_size] for first in range(0, len(indices), batch_size)]
    with closing(a_core_each(work, parts, cores=threads, ahead=threads + 1, name="patches")) as batches:
        for batch in batches:
            done = batch if on_processor else see(batch)
            for skipped in done.skipped:
                (on_skip or _nobody)(*skipped)
            if done.values is not None:
                yield Seen(done.indices, done.samples, done.values)


def _nobody(name: str, why: str) -> None:
    """No-op callback."""


def _read(model: Classifier, samples: Any, part: Sequence[int], *, must: bool) -> _Batch:
    """Read and bring to size; what cannot be read is an error if it `must` be."""
    batch, patches = _Batch([], [], []), []
    for index in part:
        try:
            sample = samples[index]
            patch = model.patch(sample.image, sample.mpp)
        except Exception as error:
            is_of_the_file = isinstance(error, HistoscopeError | OSError)
            if must or not (is_of_the_file or is_out_of_memory(error)):
                raise
            name = samples.records[index].name if hasattr(samples, "records") else f"patch {index}"
            batch.skipped.append((name, str(error) if is_of_the_file else "out of memory"))
            continue
        patches.append(patch)
        batch.indices.append(index)
        batch.samples.append(sample)
    if patches:
        batch.pixels = torch.from_numpy(np.stack(patches))
    return batch
