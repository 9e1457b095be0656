"""Make a trained model one of those that come with Histoscope: scores, card, pictures and pages.

    python docs/make/ship_weights.py nuclei-free --run runs/nuclei_free --data data

The model is tested on every laboratory of `laboratories.py`, on images that it did not learn from; AJI is
measured against pixel size; what people say of it comes from `shipped_models.yaml`. Weights and card go into
the package, pictures and pages into docs. Without ``--run`` the weights that are shipped are tested again.
``--only tnbc`` (repeatable) tests on some laboratories alone, without curve and pictures: a card that is
made so lacks what the tests of the package ask for. ``--pictures`` makes the pictures and pages alone again.
"""

import argparse
import json
import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from laboratories import LABORATORIES
from model_curve import curve
from model_failures import failures
from model_scores import scored
from model_sheet import Cell, Tile, row_of, write_row
from models_page import FAILED, PAGE, PICTURES, page

from histoscope import models
from histoscope.files import write_text
from histoscope.models.card import read_card, write_card
from histoscope.models.pixel_sizes import ON_CARD
from histoscope.tables import write_table
from histoscope.train import provenance

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "src" / "histoscope" / "weights"
ABOUT: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "shipped_models.yaml").read_text(encoding="utf-8"))
FAILURES_OF = ("monuseg", "tnbc")
"""Laboratories with H&E and a licence that lets pictures show the outlines of the annotators."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=sorted(ABOUT))
    parser.add_argument("--run", type=Path, help="run folder of training; without, test what is shipped")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data sets")
    parser.add_argument(
        "--only", action="append", choices=list(LABORATORIES), help="a laboratory; repeatable"
    )
    parser.add_argument("--pictures", action="store_true", help="leave weights and card as they are")
    given = parser.parse_args()
    folder = SHIPPED / given.name if given.run is None else given.run / "model"
    card = {key: value for key, value in read_card(folder).items() if key != "split"}
    card |= ABOUT[given.name] | {"name": given.name, "pictures": f"docs/{PAGE.name}"}
    kept = card.get("test", {}) if given.only and given.run is None else {}
    tests, rows, failed = tested(folder, given.data, given.only or list(LABORATORIES))
    titles = [each.title for each in LABORATORIES.values()]
    card["test"] = {title: {**kept, **tests}[title] for title in titles if title in {**kept, **tests}}
    if not given.only:
        draw(given.name, rows | {FAILED: failed})
    if not given.pictures:
        card |= {} if given.only else {ON_CARD: curve(folder, given.data)}
        put(folder, given.name, card)
    write_text(PAGE, page())
    command_line = runpy.run_path(str(HERE / "cli.py"))  # the help of predict names the models
    write_text(command_line["OUT"], command_line["page"]())
    print(json.dumps({title: entry.get("aji") for title, entry in card["test"].items()}))


def tested(folder: Path, root: Path, names: list[str]) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    """Entries of the card, rows of the sheet, and pictures of failures."""
    tests, rows, seen = {}, {}, list[Tile]()
    for name in names:
        laboratory = LABORATORIES[name]
        tiles: dict[str, Tile] = {}

        def keep(sample: Any, nuclei: Any, tiles: dict[str, Tile] = tiles) -> None:
            pred = nuclei.instances
            tiles[sample.name] = Tile(sample.name, sample.image, sample.instances, pred, sample.mpp)

        entry, table = scored(folder, laboratory, root, keep)
        tests[laboratory.title] = entry
        print(laboratory.title, entry["saw"], entry.get("aji"), flush=True)
        if table is not None and laboratory.shown != "nothing":
            rows[laboratory.title] = row_of(laboratory, table, tiles)
        if name in FAILURES_OF:
            seen += tiles.values()
    return tests, rows, failures(seen)


def draw(name: str, rows: dict[str, list[Cell]]) -> None:
    """A picture of each row, and a table of what they show."""
    folders = {each.title: key for key, each in LABORATORIES.items()}
    said = []
    for title, cells in rows.items():
        file = f"{name}_{folders.get(title, title)}.jpg"
        write_row(PICTURES / file, cells)
        said += [[file, title, cell.words, cell.tile] for cell in cells]
    write_table(PICTURES / f"{name}.csv", pd.DataFrame(said, columns=["picture", "of", "said", "tile"]))


def put(folder: Path, name: str, card: dict[str, Any]) -> None:
    """Write weights, card and what was learned from into the package."""
    here = SHIPPED / name
    if folder == here:
        write_card(here, card)
        return
    models.save(models.load(folder, models.Segmenter), here, card)
    listed = provenance.read(folder)
    if listed is not None:  # where the files lay is nobody's business
        write_table(here / provenance.FILE, listed.assign(file=""))


if __name__ == "__main__":
    main()
