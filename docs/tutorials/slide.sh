#!/usr/bin/env bash
# All commands of docs/tutorials/slide.md, in their order; made by docs/make/tutorials.py.
# In a new folder: bash slide.sh
set -euo pipefail

printf '\n## %s\n' '1. A slide'
cat > draw_slide.py <<'EOF'
"""Draw tissue on glass and write it as a pyramid of tiles."""

import histoscope as hs
import numpy as np
import tifffile

slide = np.full((1536, 1536, 3), 244, np.uint8)
slide[256:1280, 256:1280] = hs.synth.generate((1024, 1024), mpp=0.5, rng=5).image
with tifffile.TiffWriter("slide.tif") as file:
    for step in (1, 4):
        file.write(
            np.ascontiguousarray(slide[::step, ::step]),
            tile=(256, 256),
            compression="jpeg",
            photometric="rgb",
            subfiletype=int(step > 1),
            resolution=(20_000 / step, 20_000 / step),  # pixels per centimetre: 0.5 um a pixel
            resolutionunit="CENTIMETER",
        )
EOF
python draw_slide.py

printf '\n## %s\n' '2. Find the nuclei'
histoscope predict nuclei slide.tif out

printf '\n## %s\n' '3. Into QuPath'

printf '\n## %s\n' '4. Correct'
python - <<'EOF'
import gzip
import json
from pathlib import Path

from shapely import box
from shapely.geometry import mapping

found = json.loads(gzip.decompress(Path("out/slide/cells.0001.geojson.gz").read_bytes()))["features"]
region = {"objectType": "annotation", "classification": {"name": "Region*"}}
drawn = {"objectType": "annotation"}
by_hand = [
    {"type": "Feature", "geometry": mapping(box(400, 400, 800, 800)), "properties": region},
    {"type": "Feature", "geometry": mapping(box(500, 500, 514, 514)), "properties": drawn},
]
corrected = {"type": "FeatureCollection", "features": [*found[2:], *by_hand]}
Path("corrected.geojson").write_text(json.dumps(corrected), encoding="utf-8")
EOF

printf '\n## %s\n' '5. Back into Histoscope'
histoscope data from-qupath slide.tif corrected.geojson from_qupath --objects all
python - <<'EOF'
from histoscope.edits import Corrections

corrections = Corrections("out/slide/cells.parquet")
corrections.add("delete", "ada", row=int(corrections.least_sure(1)[0]))
for x in (300, 800):
    for y in (300, 800):
        corner = [(x, y), (x + 400, y), (x + 400, y + 400), (x, y + 400)]
        corrections.add("confirm", "ada", polygon_px=corner)
EOF
histoscope data from-edits out mine
histoscope data verify folder mine

printf '\n## %s\n' '6. Fine-tune'
histoscope train --from nuclei --data mine --set train.steps=10
histoscope predict runs/mine slide.tif again

printf '\n## %s\n' 'Where next'
