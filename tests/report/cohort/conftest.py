"""A folder of slides that were never read: its tables, and pictures of two."""

from pathlib import Path

import numpy as np
import pytest

from histoscope.files import write_image, write_text
from histoscope.jobs.naming import COHORT, TIMINGS
from histoscope.predict.slides.cohort_table import write_cohort

N_PATIENTS = 12


def row_of(k: int, slide: str, **other) -> dict:
    """A row of the summary; patients with an even number have twice the cells of class a."""
    patient = k // 2
    rng = np.random.default_rng(k)
    area, twice = 2.0 + k % 3, 2.0 if patient % 2 == 0 else 1.0
    n_a, n_b = int(area * 300 * twice * rng.uniform(0.9, 1.1)), int(area * 200 * rng.uniform(0.9, 1.1))
    row = {"image": slide, "slide": f"{slide}.svs", "width_px": 100, "height_px": 100, "mpp_x": 0.25}
    row |= {"mpp_y": 0.25, "reader": "tiff", "network": "torch", "tissue_mm2": area, "blurred_mm2": 0.0}
    row |= {"focus": rng.uniform(0.8, 1.2), "haematoxylin_od": rng.uniform(1.3, 1.5), "eosin_od": 0.9}
    row |= {"stain_notes": "", "nuclei": n_a + n_b, "nuclei_per_mm2": (n_a + n_b) / area}
    for name, n in (("a", n_a), ("b", n_b)):
        row |= {f"n_{name}": n, f"share_{name}": n / (n_a + n_b), f"per_mm2_{name}": n / area}
    return {**row, "problems": 0, "error": "", **other}


@pytest.fixture(scope="session")
def rows() -> list[dict]:
    """Give two slides of each patient; one is pale, one out of focus; two more failed alike."""
    found = [row_of(k, f"P{k // 2:02d}-{k % 2}") for k in range(2 * N_PATIENTS)]
    found[3]["haematoxylin_od"], found[8]["focus"] = 0.2, 0.001
    for name in ("P00-x", "Q1-x"):
        text = f"/disk/{name}.svs: cut off after 7 bytes; copy it again"
        found.append({"image": name, "slide": f"{name}.svs", "stage": "open", "error": text})
    return sorted(found, key=lambda row: row["image"])


@pytest.fixture
def out(rows: list[dict], tmp_path: Path) -> Path:
    """Give the folder."""
    folder = tmp_path / "night"
    write_cohort(folder / COHORT, rows, {"model": "nuclei-free", "histoscope": "0.2"})
    times = "image,host,mm2,seconds,seconds_open,seconds_parts,seconds_files\n"
    times += "".join(f"{row['image']},n1,2.0,10.0,1.0,8.0,1.0\n" for row in rows if not row["error"])
    write_text(folder / TIMINGS, times)
    picture = np.full((200, 400, 3), 235, np.uint8)
    picture[50:150, 50:150], picture[:, 200:] = (190, 130, 180), 0
    write_image(folder / "P01-1" / "overview.png", picture)
    write_text(folder / "P04-0" / "overview.png", "no picture")
    return folder


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """Give a table of the lab's own: a row a patient, one without a slide, one whose slide failed."""
    lines = ["patient,arm,age", *(f"P{k:02d},{'drug' if k % 2 == 0 else 'none'},{40 + k}" for k in range(12))]
    path = tmp_path / "patients.csv"
    write_text(path, "\n".join([*lines, "P77,drug,50", "Q1,none,51"]) + "\n")
    return path
