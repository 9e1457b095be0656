"""Write docs/models.md from the cards of the models that ship: python docs/make/models_page.py."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from laboratories import LABORATORIES

from histoscope.cli.model_card import MEANING, NAMES, name_of, worst_of
from histoscope.files import write_text
from histoscope.metrics.intervals import counted
from histoscope.weights import WEIGHTS, card, find

DOCS = Path(__file__).resolve().parents[1]
PAGE = DOCS / "models.md"
PICTURES = DOCS / "img" / "models"
FAILED = "failures"
SCORES = ("aji", "pq", "f1_50", "dice")
CHOICE = {
    "nuclei": "Start here: any use, with credit.",
    "nuclei-free": "Use without credit; trained on synthetic tissue only.",
    "nuclei-research": "Classes of nuclei, for research only; classes were learned on colon.",
}
HEAD = """\
# Which model should I take?

Take `nuclei`, unless you need classes:

```bash
histoscope predict nuclei slide.svs out/
```

{choice}

**Colon is their weakest tissue**: a third to a half of the crowded pale nuclei of glands is missed or merged.
For colon, and for any tissue that you have labels for, [fine-tune `nuclei` on your labels](init.md).
A StarDist trained on labelled colon reaches an AJI (aggregated Jaccard index) of
[0.469](results/stardist_consep.md) on the CoNSeP test part below.

Use your own model folder, or a model of the Hugging Face Hub (`hf:owner/name`), in the same way.
`histoscope models list` lists all models, and `histoscope models show NAME` prints a model's card, with
`--json` for scripts ([all options](cli.md#histoscope-models)).

## How good are they?

{scores}

AJI is the overlap of all nuclei at once; at 1, every pixel is right
([all scores explained](metrics.md#nuclei)). Scores are means over images that the model was not trained on,
with a 95 % interval by patient. If the data set does not name patients, the unit is the source image, a group
of tiles that look alike, or the single image; such an interval may be too narrow.
"""
CREDITS = "## Licences of the pictures"


def page() -> str:
    """Text of docs/models.md."""
    cards = {name: card(name) for name in WEIGHTS}
    rows = [
        [f"`{name}`", CHOICE[name], ", ".join(about["input"]["classes"]) or "none", about["weights licence"]]
        for name, about in cards.items()
    ]
    choice = _table(["", "take it for", "classes", "licence"], rows)
    head = HEAD.strip().replace("{choice}", choice).replace("{scores}", compared(cards))
    return "\n\n".join([head, *map(section, cards, cards.values()), CREDITS, credits_of()]) + "\n"


def compared(cards: Mapping[str, Mapping[str, Any]]) -> str:
    """AJI of all models on all laboratories."""
    titles = dict.fromkeys(title for about in cards.values() for title in about["test"])
    rows = [[title, *(_short(about["test"].get(title)) for about in cards.values())] for title in titles]
    names = [f"`{name}`" for name in cards]
    table = _table(["AJI on", *names], rows)
    notes = [
        "\\* Other patients of this data set were used in training.",
        "Of TNBC, `nuclei-free` used two patients, and only to choose its thresholds.",
        "Two patients say little: their interval is the whole range.",
    ]
    return "\n\n".join([table, " ".join(notes)])


def section(name: str, about: Mapping[str, Any]) -> str:
    """All about one model."""
    size = (find(name) / "model.safetensors").stat().st_size / 1e6
    classes = ", ".join(about["input"]["classes"]) or "none"
    facts = [
        ["network", f"StarDist, {size:.1f} MB, {about['input']['mpp']:g} micrometres per pixel"],
        ["classes", classes],
        ["licence of the weights", about["weights licence"]],
        ["trained on", f"{about['training data']['name']} ({about['training data']['licence']})"],
        ["made by", f"`{about['training command']}`"],
    ]
    credit = f"Credit: {about.get('credit') or about['training data']['citation']}."
    tests = about["test"]
    scores = [f"{MEANING}.", _scores(tests), *_by_class(tests), *_by_organ(tests)]
    parts = [f"## `{name}`", about["about"], _table(["", ""], facts), credit, *_pictures(name)]
    parts.append(_folded("All scores, by laboratory and organ", scores))
    return "\n\n".join([*parts, _folded("Pixel sizes", _sizes(about)), *_failures(name, about)])


def _scores(tests: Mapping[str, Any]) -> str:
    rows = []
    for title, found in tests.items():
        what = f"{title} ({found['tissue']})" if "tissue" in found else title
        if "unit" in found:
            of = counted(found["aji"][3], found["unit"])
            rows.append([what, found.get("saw", ""), of, *(_span(found[key]) for key in SCORES)])
        else:
            rows.append([what, found["saw"], *[""] * 5])
    return _table(["Tested on", "", "unit", *(NAMES[key] for key in SCORES)], rows)


def _by_class(tests: Mapping[str, Any]) -> Iterable[str]:
    for title, found in tests.items():
        keys = [key for key, value in found.items() if isinstance(value, list) and key not in SCORES]
        if keys:
            yield _table(
                [f"{title}: classes, all images pooled", ""],
                [[name_of(key), _span(found[key])] for key in keys],
            )


def _by_organ(tests: Mapping[str, Any]) -> Iterable[str]:
    for title, found in tests.items():
        organs = found.get("by organ") or {}
        rows = [
            [organ, str(one["images"]), *(_span(one[key]) for key in SCORES)] for organ, one in organs.items()
        ]
        if rows:
            yield _table([f"{title}: organ", "images", *(NAMES[key] for key in SCORES)], rows)


def _sizes(about: Mapping[str, Any]) -> Iterable[str]:
    found = about.get("pixel sizes")
    if found:
        low, high = found["range"]
        yield (
            f"**From {low:g} to {high:g} µm per pixel**, AJI is within 0.05 of its best; outside this range, "
            f"`predict` warns. Measured on {found['measured on']}."
        )
        yield _table(["µm per pixel", "AJI"], [[f"{mpp:g}", f"{aji:.3f}"] for mpp, aji in found["aji"]])


def _failures(name: str, about: Mapping[str, Any]) -> Iterable[str]:
    known = [f"- {text}" for text in about["known failures"]]
    worst = [
        f"- Worst image of {title}: {said}"
        for title, found in about["test"].items()
        if (said := worst_of(found))
    ]
    yield _folded(
        "Known failures, and the worst images", ["\n".join([*known, *worst]), *_failed_windows(name)]
    )


def _failed_windows(name: str) -> Iterable[str]:
    for title, picture, said in _rows(name):
        if title == FAILED:
            yield f"![Windows with the most mistakes of {name}]({picture})"
            yield (
                f"*Left to right: {said}. They are the windows of 72 µm with the most mistakes of each kind "
                "in the test tiles of MoNuSeg and TNBC; other outlines in yellow. This picture is under "
                "CC BY-NC-SA 4.0, like MoNuSeg (Kumar et al. 2017); TNBC: CC BY 4.0 (Naylor et al. 2019).*"
            )


def _pictures(name: str) -> Iterable[str]:
    rows = [row for row in _rows(name) if row[0] != FAILED]
    if rows:
        yield (
            "Best, median and worst tile of each laboratory by AJI, each shown as a window of at most 72 µm "
            "with about the same score. Yellow: the model. Cyan: the annotators. "
            "[Licences](#licences-of-the-pictures), "
            f"[names of the tiles]({PICTURES.relative_to(DOCS).as_posix()}/{name}.csv)."
        )
    for title, picture, said in rows:
        yield f"![Best, median and worst tile of {title}, with the outlines of {name}]({picture})"
        yield f"*{title}: {said}.*"


def _rows(name: str) -> Iterable[tuple[str, str, str]]:
    """What each picture of a model is of, its place, and what is said of its windows."""
    table = PICTURES / f"{name}.csv"
    if table.is_file():
        for picture, shown in pd.read_csv(table).groupby("picture", sort=False):
            place = (PICTURES / str(picture)).relative_to(DOCS).as_posix()
            yield shown["of"].iloc[0], place, "; ".join(shown["said"])


def _folded(title: str, parts: Iterable[str]) -> str:
    """What opens at a click."""
    inner = "\n\n".join(parts)
    return f'??? note "{title}"\n\n' + "\n".join(f"    {line}" if line else "" for line in inner.splitlines())


def credits_of() -> str:
    """Licences of the images on the sheets, and what may not be shown."""
    shown = [each for each in LABORATORIES.values() if each.shown == "truth"]
    images = [each for each in LABORATORIES.values() if each.shown == "image"]
    seen = {each.folder for each in [*shown, *images]}
    hidden = [each.title.partition(",")[0] for each in LABORATORIES.values() if each.folder not in seen]
    lines = [f"- {each.title.partition(',')[0]}: {each.licence} ({each.credit})" for each in shown]
    names = " and ".join(each.title.partition(",")[0] for each in images)
    lines += [
        f"- {names}: images of The Cancer Genome Atlas, open access; outlines have no licence, so not shown.",
        f"- {', '.join(hidden)} has no licence and is not shown.",
    ]
    return "\n".join(["The pictures of tiles are under CC BY-NC-SA 4.0, because MoNuSeg is.", "", *lines])


def _short(found: Mapping[str, Any] | None) -> str:
    if not found or "aji" not in found:
        return "" if not found else "trained on it"
    return _span(found["aji"]) + (" \\*" if "learned" in found.get("saw", "") else "")


def _span(value: Sequence[float | None]) -> str:
    estimate, low, high, _ = value
    return f"{estimate:.3f}" if low is None else f"{estimate:.3f} ({low:.3f} to {high:.3f})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    write_text(PAGE, page())
