"""TensorFlow Lite files, written here field by field."""

import struct

import numpy as np
import pytest

from histoscope.errors import CorruptDataError
from histoscope.models.patches.tflite import read_convolutions


class File:
    """A FlatBuffer written from the front: a table first, then what its offsets point to."""

    def __init__(self):
        self.bytes = bytearray(struct.pack("<I4s", 0, b"TFL3"))

    def place(self):
        self.bytes += b"\0" * (-len(self.bytes) % 8)
        return len(self.bytes)

    def point(self, at, target):
        self.bytes[at : at + 4] = struct.pack("<I", target - at)

    def write(self, value):
        """Position of a table (dict of field -> value), of a list of tables, or of an array."""
        if isinstance(value, dict):
            n = max(value, default=-1) + 1
            fields = self.place()
            offsets = [4 + 4 * sorted(value).index(k) if k in value else 0 for k in range(n)]
            self.bytes += struct.pack(f"<HH{n}H", 4 + 2 * n, 4 + 4 * len(value), *offsets)
            at = self.place()
            self.bytes += struct.pack("<i", at - fields) + bytes(4 * len(value))
            for k, inner in value.items():
                slot = at + offsets[k]
                if isinstance(inner, int):
                    self.bytes[slot : slot + 4] = struct.pack("<i", inner)
                else:
                    self.point(slot, self.write(inner))
            return at
        at = self.place()
        self.bytes += struct.pack("<I", len(value))
        if isinstance(value, np.ndarray):
            self.bytes += value.tobytes()
            return at
        slots = at + 4
        self.bytes += bytes(4 * len(value))
        for number, inner in enumerate(value):
            self.point(slots + 4 * number, self.write(inner))
        return at


def tensor(shape, kind, buffer, scale=None, zero=None):
    found = {0: np.array(shape, np.int32), 1: kind, 2: buffer}
    if scale is not None:
        found[4] = {2: np.array([scale], np.float32), 3: np.array([zero], np.int64)}
    return found


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    usual, depth = rng.integers(0, 255, (4, 3, 3, 2), np.uint8), rng.integers(0, 255, (1, 3, 3, 4), np.uint8)
    bias = rng.integers(-1000, 1000, 4, np.int32)
    data = [{}, {0: usual.ravel()}, {0: bias.view(np.uint8)}, {0: depth.ravel()}]
    tensors = [
        tensor((1, 8, 8, 2), 3, 0, 0.01, 128),
        tensor((4, 3, 3, 2), 3, 1, 0.5, 100),
        tensor((4,), 2, 2, 0.25, 0),
        tensor((1, 3, 3, 4), 3, 3, 2.0, 7),
    ]
    inputs = [np.array(numbers, np.int32) for numbers in ([0, 1, 2], [0], [0, 3, 2])]
    operators = [{0: number, 1: given} for number, given in enumerate(inputs)]
    codes = [{0: 3}, {0: 25}, {3: 4}]  # a convolution, a softmax, and a depthwise one in the newer field
    graph = {0: tensors, 3: operators}
    file = File()
    root = file.write({1: codes, 2: [graph], 4: data})
    file.bytes[:4] = struct.pack("<I", root)
    (tmp_path / "net.tflite").write_bytes(file.bytes)
    return tmp_path / "net.tflite", usual, depth, bias


def test_convolutions_come_in_order_and_as_floats(path):
    path, usual, depth, bias = path
    found = read_convolutions(path)
    assert list(found) == ["000.weight", "000.bias", "001.weight", "001.bias"]
    np.testing.assert_allclose(found["000.weight"], 0.5 * (usual.transpose(0, 3, 1, 2) - 100.0))
    np.testing.assert_allclose(found["001.weight"], 2.0 * (depth.transpose(3, 0, 1, 2) - 7.0))
    np.testing.assert_allclose(found["000.bias"], 0.25 * bias)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_a_torn_file_is_an_error(path, keep):
    path = path[0]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(CorruptDataError, match="download it again"):
        read_convolutions(path)
