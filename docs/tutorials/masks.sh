#!/usr/bin/env bash
# All commands of docs/tutorials/masks.md, in their order; made by docs/make/tutorials.py.
# In a new folder: bash masks.sh
set -euo pipefail

printf '\n## %s\n' '1. Images to practise on'
python - <<'EOF'
from pathlib import Path

import histoscope as hs
from PIL import Image

for folder in ("images", "masks", "annotations"):
    Path("lab", folder).mkdir(parents=True)
for tile in hs.synth.cohort(12, 2, shape_px=(256, 256), mpp=0.25, stains=("purple",), seed=0):
    hs.write_image(f"lab/images/{tile.name}.png", tile.image)
    Image.fromarray(tile.instances > 0).save(f"lab/masks/{tile.name}.png")
    nuclei = hs.types.Nuclei.from_labels(tile.instances, mpp=tile.mpp)
    hs.export.write_geojson(f"lab/annotations/{tile.name}.geojson", nuclei)
EOF

printf '\n## %s\n' '2. Masks become nuclei'
cat > number.py <<'EOF'
"""Write the folder `mine`: images, label maps, the patient of each image, and the pixel size."""

from pathlib import Path

import histoscope as hs
import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.measure import label
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

Path("mine/images").mkdir(parents=True)
Path("mine/labels").mkdir()
rows, blobs, nuclei = ["image_id,patient"], 0, 0
for path in sorted(Path("lab/masks").glob("*.png")):
    mask = np.array(Image.open(path)) > 0
    depth = gaussian_filter(distance_transform_edt(mask), 2)  # 2 px: half a micrometre
    labels = watershed(-depth, label(h_maxima(depth, 1)), mask=mask)
    blobs, nuclei = blobs + label(mask).max(), nuclei + labels.max()
    hs.write_labels(f"mine/labels/{path.name}", labels.astype(np.int32))
    hs.write_image(f"mine/images/{path.name}", hs.read_image(f"lab/images/{path.name}"))
    rows.append(f"{path.stem},{path.stem.split('_')[0]}")  # p003_001 is an image of patient p003
Path("mine/index.csv").write_text("\n".join(rows), encoding="utf-8")
Path("mine/dataset.yaml").write_text("format: 1\nname: mine\nlicence: ours\nmpp: 0.25\n", encoding="utf-8")
print(blobs, "blobs became", nuclei, "nuclei")
EOF
python number.py

printf '\n## %s\n' '3. Or: from QuPath'
histoscope data from-qupath lab/images lab/annotations outlined --mpp 0.25

printf '\n## %s\n' '4. Check before you train'
histoscope data verify folder mine

printf '\n## %s\n' '5. Train'
histoscope init mine --no-time
histoscope train mine.yaml --set data.test=0.33 --set train.steps=60

printf '\n## %s\n' '6. Is it better than before?'
histoscope evaluate nuclei mine --out before.csv
histoscope evaluate runs/mine mine --out after.csv
python - <<'EOF'
import histoscope as hs
import pandas as pd

before, after = pd.read_csv("before.csv"), pd.read_csv("after.csv")
test = after[after["seen"].isna()]
print(len(test), "test images: AJI", round(test["aji"].mean(), 3))
print("gain:", hs.metrics.compare(test, before, "aji"))
EOF

printf '\n## %s\n' '7. Find nuclei in new images'
histoscope predict runs/mine lab/images/p011_001.png out --mpp 0.25

printf '\n## %s\n' 'Where next'
