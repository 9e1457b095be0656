#!/usr/bin/env bash
# All commands of docs/tutorials/network.md, in their order; made by docs/make/tutorials.py.
# In a new folder: bash network.sh
set -euo pipefail

printf '\n## %s\n' '1. The network'
cat > our_net.py <<'EOF'
"""A small U-Net."""

import torch
from torch import nn


def block(inside, outside):
    """Two convolutions."""
    layers = []
    for channels in (inside, outside):
        layers += [nn.Conv2d(channels, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU()]
    return nn.Sequential(*layers)


class Net(nn.Module):
    """From images (B, 3, H, W), logits (B, 3, H, W): background, inside and rim of nuclei."""

    def __init__(self, width=16):
        super().__init__()
        self.fine, self.middle, self.coarse = (
            block(3, width),
            block(width, 2 * width),
            block(2 * width, 4 * width),
        )
        self.up_middle, self.up_fine = block(6 * width, 2 * width), block(3 * width, width)
        self.down, self.up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, image):
        fine = self.fine(image)  # (B, width, H, W)
        middle = self.middle(self.down(fine))
        coarse = self.coarse(self.down(middle))
        middle = self.up_middle(torch.cat([middle, self.up(coarse)], dim=1))
        return self.head(self.up_fine(torch.cat([fine, self.up(middle)], dim=1)))
EOF

printf '\n## %s\n' '2. Does it fit?'
python - <<'EOF'
import histoscope as hs

model = hs.models.create("our_net:Net", width=8, mpp=0.5, divisible_by=4)
image = hs.synth.generate((128, 128), mpp=0.5).image
print(hs.models.predict(image, model, mpp=0.5))
EOF

printf '\n## %s\n' '3. Train it'
histoscope synth drawn --n 24 --patients 12
cat > own.yaml <<'EOF'
data: {name: folder, root: drawn, split_by: patient, test: 0.33}
model:
  name: our_net:Net
  arguments: {width: 16, mpp: 0.5, divisible_by: 4}
augment: default
train: {steps: 150, batch_size: 8, patch_px: 64, evaluate_every: 50}
out: runs/own
EOF
histoscope train own.yaml
cat > ours.yaml <<'EOF'
data: {name: folder, root: drawn, split_by: patient, test: 0.33}
model:
  name: unet
  arguments: {width: 16, depth: 2, mpp: 0.5}
augment: default
train: {steps: 150, batch_size: 8, patch_px: 64, evaluate_every: 50}
out: runs/ours
EOF
histoscope train ours.yaml
python - <<'EOF'
import histoscope as hs
import pandas as pd

own, ours = pd.read_csv("runs/own/per_image.csv"), pd.read_csv("runs/ours/per_image.csv")
print("PQ of own and ours:", round(own["pq"].mean(), 2), round(ours["pq"].mean(), 2))
print("difference:", hs.metrics.compare(own, ours, "pq"))
EOF

printf '\n## %s\n' '4. Find nuclei'
histoscope --use our_net:Net predict runs/own drawn/images/p000_000.png out

printf '\n## %s\n' '5. Give it to others'
cat > pyproject.toml <<'EOF'
[project]
name = "our-net"
version = "1.0"
dependencies = ["histoscope"]

[project.entry-points."histoscope.models"]
our_net = "our_net:Net"

[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[tool.setuptools]
py-modules = ["our_net"]
EOF
python -m pip install --quiet --no-deps --no-build-isolation --target plugins .
PYTHONPATH=plugins:${PYTHONPATH:-} histoscope predict runs/own drawn/images/p001_000.png plugged

printf '\n## %s\n' 'Where next'
