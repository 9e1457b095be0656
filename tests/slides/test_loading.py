"""Opening a model to predict loads no trainer."""

import subprocess
import sys

TRAINER = ("lightning_fabric", "histoscope.train.loop", "histoscope.train.experiment")


def test_prediction_loads_no_trainer():
    code = (
        "import sys; from histoscope.slides import Detector; Detector.open('nuclei-free'); "
        f"print([name for name in {TRAINER} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
