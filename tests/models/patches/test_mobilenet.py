"""MobileNets with folded normalisation, against the same arithmetic written out slowly."""

import numpy as np
import pytest
import torch

from histoscope import models
from histoscope.errors import CorruptDataError
from histoscope.models.patches.initial import initialise

# Output channels and stride of each pair of version 1 (at a quarter), and of each block of version 2.
V1 = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
V2 = [
    *[(24, 2), (24, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1), (64, 1)],
    *[(96, 1), (96, 1), (96, 1), (160, 2), (160, 1), (160, 1), (320, 1)],
]


class Layers:
    """Random weights in the layout of the files, made as they are used, and the slow arithmetic on them."""

    def __init__(self, seed):
        self.rng, self.arrays, self.number = np.random.default_rng(seed), {}, 0

    def conv(self, x, out, size=1, stride=1, depthwise=False):
        channels = x.shape[0]
        shape = (channels, 1, size, size) if depthwise else (out, channels, size, size)
        w = self.rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        b = self.rng.normal(0, 0.3, shape[0]).astype(np.float32)
        # TensorFlow numbers layers without weights too, so the numbers have gaps.
        self.arrays |= {f"{self.number:03d}.weight": w, f"{self.number:03d}.bias": b}
        self.number += 1 + self.number % 2
        height, width = (-(-n // stride) for n in x.shape[1:])
        pads = [
            max((m - 1) * stride + size - n, 0) for m, n in zip((height, width), x.shape[1:], strict=True)
        ]
        x = np.pad(x, [(0, 0), *((p // 2, p - p // 2) for p in pads)])
        y = np.zeros((shape[0], height, width))
        for i in range(size):
            for j in range(size):
                seen = x[:, i : i + stride * height : stride, j : j + stride * width : stride]
                tap = w[:, :, i, j]
                y += tap[:, 0, None, None] * seen if depthwise else np.tensordot(tap, seen, 1)
        return y + b[:, None, None]


def relu6(x):
    return np.clip(x, 0, 6)


def slow_v1(layers, x):
    x = relu6(layers.conv(x, 8, 3, 2))
    for out, stride in V1:
        x = relu6(layers.conv(x, None, 3, stride, depthwise=True))
        x = relu6(layers.conv(x, out))
    return x.mean(axis=(1, 2))


def slow_v2(layers, x):
    x = relu6(layers.conv(x, 32, 3, 2))
    x = layers.conv(relu6(layers.conv(x, None, 3, 1, depthwise=True)), 16)
    for out, stride in V2:
        y = relu6(layers.conv(x, 6 * x.shape[0]))
        y = layers.conv(relu6(layers.conv(y, None, 3, stride, depthwise=True)), out)
        x = x + y if stride == 1 and out == x.shape[0] else y
    return relu6(layers.conv(x, 1280)).mean(axis=(1, 2))


@pytest.mark.parametrize(
    ("name", "slow", "side"), [("mobilenet_v1_025_tf", slow_v1, 48), ("mobilenet_v2_tf", slow_v2, 33)]
)
def test_features_and_classes_are_those_of_the_slow_arithmetic(name, slow, side, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    layers = Layers(1)
    features = slow(layers, np.moveaxis((image.astype(np.float64) - 128) / 128, 2, 0))
    logits = layers.conv(features[:, None, None], 5)[:, 0, 0]
    np.savez(tmp_path / "w.npz", **layers.arrays)
    model = models.create("classifier", backbone=name, classes=list("abcde"), weights=tmp_path / "w.npz")
    model.eval()
    assert model.freeze_norm
    assert model.loaded.skipped == ("classifier.weight", "classifier.bias")
    assert model.loaded.made == ("head.weight", "head.bias")
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    with torch.no_grad():
        found = model.features(model.normalised(x))[0].numpy()
        np.testing.assert_allclose(found, features, rtol=2e-3, atol=2e-4 * np.abs(features).max())
        report = initialise(model, tmp_path / "w.npz", head=True)
        whole = model(x)["logits"][0].numpy()
    np.testing.assert_allclose(whole, logits, rtol=2e-3, atol=1e-3 * np.abs(logits).max())
    assert report.made == ()


def test_another_mobilenet_is_refused(tmp_path):
    layers = Layers(0)
    slow_v1(layers, np.zeros((3, 32, 32)))
    layers.conv(np.zeros((256, 1, 1)), 5)
    np.savez(tmp_path / "w.npz", **layers.arrays)
    with pytest.raises(CorruptDataError, match=r"w\.npz: .*another MobileNet"):
        models.create("classifier", backbone="mobilenet_v2_tf", weights=tmp_path / "w.npz")
    layers.arrays.pop("000.bias")
    np.savez(tmp_path / "w.npz", **layers.arrays)
    with pytest.raises(CorruptDataError, match=r"lack 000\.bias"):
        models.create("classifier", backbone="mobilenet_v1_025_tf", weights=tmp_path / "w.npz")
