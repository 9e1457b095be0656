"""Tables and page of a cohort of many slides, from a ledger of rows that were made up; print a Markdown row.

    python benchmarks/cohort.py [--slides 10000] [--folder DIR] [--keep]

OUT has what workers leave of slides that are done: a plan, a row each in the ledger, and a picture. One slide
in 50 failed, one in 40 is far from the others. The tables and the page are made in a process each, whose
memory is measured; the page compares five groups of half as many patients by six densities.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from histoscope.files import write_image, write_text
from histoscope.ledger import Row, Rows, Task, agree
from histoscope.predict.slides.planning import LEDGER

CLASSES = ("neoplastic", "inflammatory", "connective", "necrosis", "epithelial")


def row_of(k: int, rng: np.random.Generator) -> Row:
    """What a worker says of a slide."""
    slide = f"P{k // 2:05d}-{k % 2}.svs"
    if k % 50 == 7:
        text = f"/slides/{slide}: cut off after {'1,000' if k % 100 == 7 else '2,000'} bytes; copy it again"
        return Row({"slide": slide, "stage": "open", "error": text}, text, about={"seconds": 0.1})
    area = float(rng.lognormal(4.5, 0.6))
    far = 6.0 if k % 40 == 3 else 1.0
    counts = {name: int(area * far * rng.lognormal(5.5, 0.4)) for name in CLASSES}
    total = sum(counts.values())
    row = {"slide": slide, "width_px": 90_000, "height_px": 70_000, "mpp_x": 0.25, "mpp_y": 0.25}
    row |= {"reader": "tiff", "network": "torch float32", "tissue_mm2": round(area, 4), "blurred_mm2": 0.0}
    row |= {"focus": float(rng.lognormal(-0.5, 0.4)), "haematoxylin_od": float(rng.normal(1.4, 0.15))}
    row |= {"eosin_od": float(rng.normal(0.9, 0.1)), "stain_notes": "", "problems": 0, "nuclei": total}
    row |= {"nuclei_per_mm2": round(total / area, 2), "nearest_um": 9.0, "clark_evans": 1.1}
    for name, n in counts.items():
        row |= {f"n_{name}": n, f"share_{name}": n / total, f"per_mm2_{name}": round(n / area, 2)}
    about = {"host": f"node{k % 8}", "seconds": area, "seconds_parts": 0.9 * area, "mm2": area}
    return Row({**row, "error": ""}, about=about)


def made_up(out: Path, n: int) -> None:
    """Leave what workers leave of so many slides, and a table of the lab's own beside it."""
    rng = np.random.default_rng(0)
    rows, names = Rows(out / LEDGER / "rows"), [f"P{k // 2:05d}-{k % 2}" for k in range(n)]
    rows.folder.mkdir(parents=True)
    slides = {name: {"path": f"/slides/{name}.svs"} for name in names}
    plan = {"settings": {"model": "made up", "histoscope": "0"}, "slides": slides}
    agree(out / LEDGER / "plan", lambda _: plan)
    picture = np.full((600, 1200, 3), 235, np.uint8)
    picture[100:500, 100:500] = (190, 130, 180)
    for k, name in enumerate(names):
        task = Task(name)
        text = json.dumps({**vars_of(row_of(k, rng)), "name": name})
        (rows.folder / task.row).write_text(text, encoding="utf-8")
        if k % 40 == 3:  # those that will be shown
            write_image(out / name / "overview.png", picture)
    patients = sorted({name.partition("-")[0] for name in names})
    group = [("low", "middle", "high", "highest", "none")[k % 5] for k in range(len(patients))]
    table = pd.DataFrame({"patient": patients, "group": group})
    write_text(out / "lab.csv", table.to_csv(index=False))


def vars_of(row: Row) -> dict[str, object]:
    return {"row": row.row, "error": row.error, "may_pass": row.may_pass, "about": row.about}


def measured(code: str) -> tuple[float, float, float]:
    """Seconds, processor seconds, and peak memory in MB of a process of its own, its start included."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, used, after.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="keep what is made here")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = (chosen.folder or Path(temporary)) / "out"
        made_up(out, chosen.slides)
        tables = "from pathlib import Path; from histoscope.predict.slides import summary; "
        tables += f"summary.write(Path({str(out)!r}))"
        options = ["--clinical", str(out / "lab.csv"), "--group", "group"]
        words = ["histoscope", "cohort", "report", str(out), *options]
        page = f"import sys; from histoscope.cli.main import main; sys.argv = {words!r}; main()"
        table, page = measured(tables), measured(page)
        size = (out / "cohort.parquet").stat().st_size, (out / "cohort.html").stat().st_size
        print(
            "| slides | tables, s | page, s | processor seconds of both | peak, MB | parquet, kB | page, kB |"
        )
        print("|--:|--:|--:|--:|--:|--:|--:|")
        print(
            f"| {chosen.slides:,} | {table[0]:.1f} | {page[0]:.1f} | {table[1]:.1f} + {page[1]:.1f} | "
            f"{max(table[2], page[2]):.0f} | {size[0] / 1000:.0f} | {size[1] / 1000:.0f} |"
        )


if __name__ == "__main__":
    main()
