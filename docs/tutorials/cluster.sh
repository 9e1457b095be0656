#!/usr/bin/env bash
# All commands of docs/tutorials/cluster.md, in their order; made by docs/make/tutorials.py.
# In a new folder: bash cluster.sh
set -euo pipefail

printf '\n## %s\n' '1. Slides'
cat > draw_cohort.py <<'EOF'
"""Draw a small slide for each patient, and a table of the patients."""

from pathlib import Path

import histoscope as hs
import numpy as np
import tifffile

Path("slides").mkdir()
rows = ["patient,response"]
for number in range(6):
    group = ("no", "yes")[number % 2]
    tissue = hs.synth.TissueSpec(cluster_fraction=0.15 if group == "no" else 0.3)
    slide = np.full((768, 768, 3), 244, np.uint8)
    slide[128:640, 128:640] = hs.synth.generate((512, 512), mpp=0.5, tissue=tissue, rng=number).image
    with tifffile.TiffWriter(f"slides/P{number:02d}.tif") as file:
        for step in (1, 4):  # a pyramid, as in slides
            file.write(
                np.ascontiguousarray(slide[::step, ::step]),
                tile=(128, 128),
                compression="jpeg",
                photometric="rgb",
                subfiletype=int(step > 1),
                resolution=(20_000 / step, 20_000 / step),  # pixels per centimetre: 0.5 um a pixel
                resolutionunit="CENTIMETER",
            )
    rows.append(f"P{number:02d},{group}")
Path("patients.csv").write_text("\n".join(rows), encoding="utf-8")
EOF
python draw_cohort.py

printf '\n## %s\n' '2. The job script'
histoscope slurm --tasks 3 --gpus 0 --cpus 4 --time 4:00:00 predict nuclei slides/ out/ > cohort.sbatch
cat cohort.sbatch

printf '\n## %s\n' '3. Run it'
for task in 1 2; do histoscope predict nuclei slides/ out/ --claim > task$task.log 2>&1 & done; wait
cat task1.log task2.log

printf '\n## %s\n' '4. What if ...'
histoscope predict nuclei slides/ out/

printf '\n## %s\n' '5. One table, one page'
histoscope cohort report out/ --clinical patients.csv --by patient --group response

printf '\n## %s\n' 'Where next'
