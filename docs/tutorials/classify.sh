#!/usr/bin/env bash
# All commands of docs/tutorials/classify.md, in their order; made by docs/make/tutorials.py.
# In a new folder: bash classify.sh
set -euo pipefail

printf '\n## %s\n' '1. Patches that are copies'
cat > draw_patches.py <<'EOF'
"""Draw patches of two classes: shifted, rotated and mirrored parts of a few photographs."""

from pathlib import Path

import histoscope as hs
import numpy as np

usual = hs.synth.TissueSpec()
large = hs.synth.TissueSpec(nucleus_scale=1.4, pleomorphism=0.3)
for folder, classes in {
    "same": {"benign": usual, "tumour": usual},
    "other": {"benign": usual, "tumour": large},
}.items():
    rng = np.random.default_rng(0)
    for name, tissue in classes.items():
        Path(folder, name).mkdir(parents=True)
        numbers = iter(rng.permutation(96))  # file names give nothing away
        for _ in range(12):
            photograph = hs.synth.generate((144, 144), mpp=0.5, tissue=tissue, rng=rng).image
            for _ in range(8):
                y, x = rng.integers(0, 17, 2)
                patch = np.rot90(photograph[y : y + 128, x : x + 128], rng.integers(4))
                patch = np.ascontiguousarray(patch[:: rng.choice([1, -1])])
                hs.write_image(f"{folder}/{name}/{next(numbers):04d}.png", patch)
EOF
python draw_patches.py

printf '\n## %s\n' '2. Fool yourself'
cat > probe.yaml <<'EOF'
data: {name: class_folder, root: same, mpp: 0.5, split_by: name, val: 0.2, test: 0.3}
model:
  name: classifier
  arguments: {backbone: unet, options: {width: 32, depth: 4, grid: 2}, patch_px: 128, weights: nuclei}
probe: {}
out: runs/random
EOF
histoscope train probe.yaml

printf '\n## %s\n' '3. Find the copies'
histoscope data audit class_folder same --mpp 0.5 --by name || echo "the split leaks"
histoscope data audit class_folder same --mpp 0.5 --groups groups.csv

printf '\n## %s\n' '4. Split by photograph'
histoscope train probe.yaml --set data.index=groups.csv --set data.split_by=source --set out=runs/grouped

printf '\n## %s\n' '5. Classes that differ'
histoscope data audit class_folder other --mpp 0.5 --groups other.csv
histoscope train probe.yaml --set data.root=other --set data.index=other.csv --set data.split_by=source \
  --set out=runs/other

printf '\n## %s\n' '6. Look at its mistakes'
histoscope explain runs/other other why --mpp 0.5 --n 8
histoscope predict runs/other other/tumour predicted --mpp 0.5

printf '\n## %s\n' 'Where next'
