#!/usr/bin/env bash
# All commands of docs/tutorials/study.md, in their order; made by docs/make/tutorials.py.
# In a new folder: bash study.sh
set -euo pipefail

printf '\n## %s\n' '1. Images with a test part'
cat > draw_laboratories.py <<'EOF'
"""Draw tissue of two laboratories and write it as a data set with parts."""

from dataclasses import replace
from pathlib import Path

import histoscope as hs

samples, rows = [], ["image_id,split,patient"]
for part, stain, seed, patients in (("train", "default", 0, 8), ("test", "purple", 1, 6)):
    for tile in hs.synth.cohort(patients, 2, shape_px=(192, 192), mpp=0.5, stains=(stain,), seed=seed):
        samples.append(replace(tile, name=f"{part}_{tile.name}", classes=None))
        rows.append(f"{part}_{tile.name},{part},{part}_{tile.patient}")
hs.data.write_folder("mine", samples, hs.data.Datasheet("mine", licence="drawn", mpp=0.5))
Path("mine/index.csv").write_text("\n".join(rows), encoding="utf-8")
EOF
python draw_laboratories.py
histoscope data audit folder mine

printf '\n## %s\n' '2. The question, in ten lines'
cat > study.yaml <<'EOF'
study: stain
data: {name: folder, root: mine, val: 0.25}
models:
  unet: {width: 8, depth: 2, mpp: 0.5}
levels: [none, macenko]
conditions: [test]
train: {steps: 120, batch_size: 8, patch_px: 64, lr: 0.003, evaluate_every: 60}
augment: basic
seeds: [0, 1]
out: runs/stain
EOF

printf '\n## %s\n' '3. How long will it take?'
histoscope study plan study.yaml

printf '\n## %s\n' '4. Run'
histoscope study run study.yaml

printf '\n## %s\n' '5. The report'
histoscope study report runs/stain
python - <<'EOF'
from pathlib import Path

report = Path("runs/stain/report.md").read_text(encoding="utf-8")
print(report.split("## Differences")[0])
EOF

printf '\n## %s\n' 'Where next'
