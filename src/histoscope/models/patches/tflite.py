"""Weights out of a TensorFlow Lite file: convolutions in the order that they are computed in, as floats.

A quantised MobileNet of a few megabytes holds real ImageNet features, and is published where weights of torch
are not, such as ``mobilenet_v2_1.0_224_quant.tflite`` in https://github.com/google-coral/edgetpu
(``test_data``, Apache-2.0). Only what is needed of the format is read: a FlatBuffer is a file of offsets.

References
----------
.. [1] https://flatbuffers.dev/internals
.. [2] Jacob et al., CVPR 2018, doi:10.1109/CVPR.2018.00286 (quantisation: value = scale (q - zero point))
"""

from collections.abc import Iterator
from pathlib import Path
from struct import error as StructError  # noqa: N812
from struct import unpack_from
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import CorruptDataError

# Places of fields in TensorFlow Lite's schema.
_CODES, _SUBGRAPHS, _BUFFERS = 1, 2, 4
_TENSORS, _OPERATORS = 0, 3
_SHAPE, _TYPE, _BUFFER, _QUANTIZATION = 0, 1, 2, 4
_SCALE, _ZERO_POINT = 2, 3
_CONVOLUTION, _DEPTHWISE = 3, 4
_DTYPES = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 9: np.int8}


def read_convolutions(path: Path) -> dict[str, NDArray[np.float32]]:
    """Weights and biases by number, as `histoscope.models.patches.mobilenet.unfolded` takes them.

    Returns
    -------
    dict of arrays
        ``NNN.weight`` (out, in, height, width), of depthwise convolutions (channels, 1, height, width), and
        ``NNN.bias`` (out,).

    Raises
    ------
    CorruptDataError
        If it is no TensorFlow Lite file, or a broken one.
    """
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise CorruptDataError(f"{path} is no TensorFlow Lite file; download it again")
    try:
        return _convolutions(content)
    except (StructError, ValueError, IndexError, KeyError, TypeError) as error:
        raise CorruptDataError(f"{path} is broken ({error}); download it again") from error


def _convolutions(content: bytes) -> dict[str, NDArray[np.float32]]:
    model = _Table(content, unpack_from("<I", content, 0)[0])
    kinds = [max(code.number("b", 0), code.number("i", 3)) for code in model.tables(_CODES)]
    buffers = list(model.tables(_BUFFERS))
    graph = next(model.tables(_SUBGRAPHS))
    tensors = list(graph.tables(_TENSORS))
    found: dict[str, NDArray[np.float32]] = {}
    for operator in graph.tables(_OPERATORS):
        kind = kinds[operator.number("I", 0)]
        if kind not in {_CONVOLUTION, _DEPTHWISE}:
            continue
        _, weight, bias = (_array(tensors[i], buffers) for i in operator.array(1, np.int32))
        # Stored (out, height, width, in), depthwise (1, height, width, channels).
        order = (0, 3, 1, 2) if kind == _CONVOLUTION else (3, 0, 1, 2)
        number = f"{len(found) // 2:03d}"
        found |= {f"{number}.weight": np.ascontiguousarray(weight.transpose(order)), f"{number}.bias": bias}
    return found


def _array(tensor: "_Table", buffers: list["_Table"]) -> NDArray[np.float32]:
    """Values of a tensor."""
    # Values are stored as bytes, whatever they mean.
    stored = buffers[tensor.number("I", _BUFFER)].array(0, np.uint8).view(_DTYPES[tensor.number("b", _TYPE)])
    values = stored.astype(np.float32)
    quantization = next(tensor.table(_QUANTIZATION), None)
    if quantization is not None and stored.dtype.kind in "iu":
        scale, zero = quantization.array(_SCALE, np.float32), quantization.array(_ZERO_POINT, np.int64)
        if scale.size != 1:
            raise ValueError("weights with a scale for each channel are not supported")
        values = (values - np.float32(zero[0] if zero.size else 0)) * scale[0]
    # The tensor that flows in has no values of its own.
    return values.reshape(tensor.array(_SHAPE, np.int32)) if values.size else values


class _Table:
    """A table of a FlatBuffer: fields found by way of a table of their offsets."""

    def __init__(self, content: bytes, at: int) -> None:
        self.content, self.at = content, at
        self.fields = at - unpack_from("<i", content, at)[0]
        self.n_fields = (unpack_from("<H", content, self.fields)[0] - 4) // 2

    def _place(self, field: int) -> int | None:
        """Where a field lies; None if it has its default."""
        if field >= self.n_fields:
            return None
        offset = unpack_from("<H", self.content, self.fields + 4 + 2 * field)[0]
        return self.at + offset if offset else None

    def number(self, kind: str, field: int) -> int:
        place = self._place(field)
        return 0 if place is None else int(unpack_from("<" + kind, self.content, place)[0])

    def array(self, field: int, dtype: Any) -> NDArray[Any]:
        begin, count = self._vector(field)
        return np.frombuffer(self.content, dtype, count, begin)

    def table(self, field: int) -> Iterator["_Table"]:
        place = self._place(field)
        if place is not None:
            yield _Table(self.content, place + unpack_from("<I", self.content, place)[0])

    def tables(self, field: int) -> Iterator["_Table"]:
        begin, count = self._vector(field)
        for place in range(begin, begin + 4 * count, 4):
            yield _Table(self.content, place + unpack_from("<I", self.content, place)[0])

    def _vector(self, field: int) -> tuple[int, int]:
        """Where a vector's items begin, and how many they are."""
        place = self._place(field)
        if place is None:
            return 0, 0
        begin = place + unpack_from("<I", self.content, place)[0]
        return begin + 4, unpack_from("<I", self.content, begin)[0]
