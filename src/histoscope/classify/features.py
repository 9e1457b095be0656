"""Features of patches from a frozen network, with a cache."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from histoscope.brief import brief
from histoscope.classify.batches import BATCH, OnSkip, Patches, through
from histoscope.data.base import Progress
from histoscope.errors import DataError, HistoscopeError
from histoscope.files import whole
from histoscope.models.patches.classifier import Classifier
from histoscope.types import Record, Sample

Row = NDArray[np.float32]
_KEY_BYTES = 16
# What features do not depend on.
_OF_THE_HEAD = {"classes", "dropout", "freeze_norm"}


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of patches, one row per patch that could be read.

    Parameters
    ----------
    values : (N, D) float32
    labels : (N,) int64
        -1 where a patch has no class.
    indices : (N,) int64
        Place of each patch among the samples.
    computed : int
        Rows that were not in the cache.
    """

    values: NDArray[np.float32]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]
    computed: int

    def __len__(self) -> int:
        return len(self.labels)


def extract(
    model: Classifier,
    samples: Patches,
    *,
    cache: str | Path | None = None,
    batch_size: int = BATCH,
    progress: Progress | None = None,
    on_skip: OnSkip | None = None,
) -> Features:
    """Features of every patch.

    Parameters
    ----------
    model : Classifier
        Its head plays no part.
    samples : sequence of Sample, or Dataset
        Each is read when it is needed.
    cache : str or Path, optional
        Folder in which features are kept, one file per network. Patches in it are not computed again,
        in whatever split they come: a patch is known by the content of its file, or by its pixels where it
        has no file of its own.
    batch_size : int
        Patches a batch.
    progress : callable, optional
        Called with (patches done, all patches).
    on_skip : callable, optional
        Called for each patch that cannot be read, which is then left out; without it, that is an error.

    Raises
    ------
    DataError
        If no patch can be read, or one cannot and `on_skip` is not given.
    """
    store = _Store.open(cache, model)
    keys = {} if store is None else _keys(samples)
    known = {} if store is None else {i: store.rows[key] for i, key in keys.items() if key in store.rows}
    absent = [index for index in range(len(samples)) if index not in known]
    rows: dict[int, Row] = dict(known)
    labels = {index: _label(samples, index) for index in known}
    for seen in through(
        model, samples, Classifier.features, chosen=absent, batch_size=batch_size, on_skip=on_skip
    ):
        rows |= dict(zip(seen.indices, seen.values, strict=True))
        labels |= {i: sample.label for i, sample in zip(seen.indices, seen.samples, strict=True)}
        if progress is not None:
            progress(len(known) + seen.indices[-1] + 1 - absent[0], len(samples))
    if not rows:
        raise DataError("there are no patches that can be read; check the split and the data set's folder")
    if store is not None:
        store.add({keys[index]: rows[index] for index in absent if index in rows and index in keys})
    order = sorted(rows)
    return Features(
        np.stack([rows[index] for index in order]),
        np.array([-1 if labels[index] is None else labels[index] for index in order], np.int64),
        np.array(order, np.int64),
        len(rows) - len(known),
    )


def fingerprint(model: Classifier) -> str:
    """Digest of all that features depend on: weights, architecture and preprocessing."""
    shown = {key: value for key, value in model.arguments.items() if key not in _OF_THE_HEAD}
    digest = hashlib.sha256(json.dumps(shown, sort_keys=True, default=str).encode())
    for name, tensor in model.backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]


class _Store:
    """Features of one network by patch, in one file."""

    def __init__(self, path: Path, rows: dict[bytes, Row]) -> None:
        self.path, self.rows = path, rows

    @classmethod
    def open(cls, folder: str | Path | None, model: Classifier) -> "_Store | None":
        """Read what is stored; a file that cannot be read counts as none, since it can be made again."""
        if folder is None:
            return None
        path = Path(folder) / f"{fingerprint(model)}.safetensors"
        try:
            found = load_file(path) if path.is_file() else {}
            pairs = zip(found["keys"], found["values"], strict=True) if found else ()
            return cls(path, {key.tobytes(): row for key, row in pairs})
        except (SafetensorError, OSError, ValueError, KeyError):
            return cls(path, {})

    def add(self, fresh: dict[bytes, Row]) -> None:
        """Keep more rows, in the file too."""
        if not fresh:
            return
        self.rows |= fresh
        keys = np.frombuffer(b"".join(self.rows), np.uint8).reshape(-1, _KEY_BYTES)
        with whole(self.path) as temporary:
            save_file({"keys": keys.copy(), "values": np.stack(list(self.rows.values()))}, temporary)


def _keys(samples: Any) -> dict[int, bytes]:
    """Digest of each patch that has a file of its own, or can be read."""
    found = {}
    shared = _shared_files(samples)
    for index in range(len(samples)):
        path = samples.image_path(index) if hasattr(samples, "image_path") else None
        try:
            if path is not None and path not in shared:
                about = f"file\t{samples.info.mpp}\t".encode()
                found[index] = _digest(about + path.read_bytes())
            else:
                sample = samples[index]
                about = f"{sample.image.shape}\t{sample.mpp}\t".encode()
                found[index] = _digest(about + np.ascontiguousarray(sample.image).tobytes())
        except (HistoscopeError, OSError):
            continue
    return found


def _shared_files(samples: Any) -> set[Path]:
    """Files that hold several patches, whose content identifies none."""
    if not hasattr(samples, "image_path"):
        return set()
    times = Counter(samples.image_path(index) for index in range(len(samples)))
    return {path for path, n in times.items() if path is not None and n > 1}


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:_KEY_BYTES]


def _label(samples: Any, index: int) -> int | None:
    """Label of a patch, without reading its pixels where that can be."""
    known: Record | Sample = samples.records[index] if hasattr(samples, "records") else samples[index]
    return known.label
