"""A model card as lines of text."""

from collections.abc import Mapping, Sequence
from typing import Any

from histoscope.words import count, listed

NAMES = {"aji": "AJI", "pq": "PQ", "f1_50": "F1", "dice": "Dice", "mpq_plus": "mPQ+"}
"""Display names of scores, those of all nuclei first."""
MEANING = (
    "AJI and PQ score detection and outlines (1: every pixel right), F1 detection at an IoU of 0.5, Dice "
    "the pixels of all nuclei"
)


def described(about: Mapping[str, Any]) -> list[str]:
    """Model card as lines of text."""
    data = about.get("training data") or {}
    credit = about.get("credit") or data.get("citation") or "not stated"
    lines = [
        str(about.get("about") or about["architecture"]),
        f"architecture: {about['architecture']}, at {about['input']['mpp']} um per pixel",
        classes_of(about),
        *_class_rule(about),
        f"stain normaliser: {about.get('stain normaliser', 'none')}",
        f"licence: {about.get('weights licence') or 'not stated'}",
        f"trained on: {data.get('name', 'not stated')} ({data.get('licence', 'licence not stated')})",
        f"credit: {credit}",
    ]
    if made := about.get("training command"):
        lines.append(f"made by: {made}")
    lines += _tests(about.get("test") or {})
    lines += _pixel_sizes(about.get("pixel sizes") or {})
    failures = [f"known failure: {failure}" for failure in about.get("known failures", [])]
    if failures:
        lines += ["", *failures]
    if about.get("pictures"):
        lines.append(f"pictures, including the worst: {about['pictures']}")
    return lines


def classes_of(about: Mapping[str, Any]) -> str:
    """Classes of a model in words."""
    names = about["input"]["classes"]
    return f"classes {listed(names)}" if names else "no classes"


def _class_rule(about: Mapping[str, Any]) -> list[str]:
    """The data that classes were learned from, and how many nuclei the network is sure of."""
    looks, told = about.get("classes learned from") or {}, about.get("validation") or {}
    lines = []
    if looks:
        lines.append(
            f"classes learned from: {looks.get('name') or 'not stated'}, {count(looks['images'], 'image')}"
        )
    if "class precision" in told:
        n, share = told["nuclei of known class"], told["share with a class"]
        right = f"{told['class precision']:.0%} of these correctly; the others are unsure"
        lines.append(f"of {n:,} validation nuclei, {share:.0%} get a class, {right}")
    return lines


def score(value: float | Sequence[float | None], about: Mapping[str, Any]) -> str:
    """One score; for several images, with its 95 % interval and number of patients (or other units)."""
    if isinstance(value, float):
        return f"{value:.3f}"
    from histoscope.metrics.intervals import counted

    estimate, low, high, n = value
    of = counted(int(n or 0), about["unit"])
    return f"{estimate:.3f} ({of})" if low is None else f"{estimate:.3f} ({low:.3f} to {high:.3f}, {of})"


def name_of(key: str) -> str:
    """Display name of a score.

    Examples
    --------
    >>> name_of("f1_50"), name_of("pq_misc")
    ('F1', 'PQ of misc')
    """
    metric, _, of_class = key.partition("_")
    return NAMES.get(key) or (f"{NAMES[metric]} of {of_class}" if of_class and metric in NAMES else key)


def worst_of(found: Mapping[str, Any]) -> str:
    """The worst image of a data set in words; "" if the card does not give it."""
    worst = found.get("worst")
    if not worst:
        return ""
    return (
        f"{worst['image'][:24]}, AJI {worst['aji']:.2f}: {worst['missed']:,} of "
        f"{count(worst['nuclei'], 'nucleus')} missed, {count(worst['wrong'], 'outline')} of something else"
    )


def _tests(tests: Mapping[str, Any]) -> list[str]:
    """Scores on each data set, those written by training first."""
    by_set = {part: found for part, found in tests.items() if isinstance(found, dict)}
    own = {key: value for key, value in tests.items() if key not in by_set}
    lines = []
    if own:
        told = [f"{name_of(key)} {value:.3f}" for key, value in own.items() if isinstance(value, float)]
        lines += ["", f"own test part: {', '.join(told)}"]
    if by_set:
        lines += ["", "Scores: mean over images, 95 % interval by patient", MEANING]
    for part, found in by_set.items():
        lines += ["", *_of_set(part, found)]
    return lines


def _of_set(part: str, found: Mapping[str, Any]) -> list[str]:
    """Scores on one data set: of all nuclei, classes and organs."""
    about = [found[key] for key in ("tissue", "saw") if found.get(key)]
    if "nuclei" in found:
        about.insert(0, f"{count(found['images'], 'image')}, {count(found['nuclei'], 'nucleus')}")
    lines = [f"{part}: {'; '.join(about)}"]
    scores = [key for key, value in found.items() if isinstance(value, list)]
    lines += _aligned([[name_of(key), score(found[key], found)] for key in scores])
    rows = [
        [organ, count(each["images"], "image"), *(_of_organ(each, key) for key in ("aji", "f1_50"))]
        for organ, each in (found.get("by organ") or {}).items()
    ]
    lines += _aligned(rows)
    if worst := worst_of(found):
        lines.append(f"  worst image: {worst}")
    return lines


def _of_organ(found: Mapping[str, Any], key: str) -> str:
    estimate, low, high, _ = found[key]
    span = "" if low is None else f" ({low:.3f} to {high:.3f})"
    return f"{NAMES[key]} {estimate:.3f}{span}"


def _pixel_sizes(found: Mapping[str, Any]) -> list[str]:
    """The curve of AJI against pixel size, and its good range."""
    if not found:
        return []
    low, high = found["range"]
    points = [[f"{mpp:g}", f"{aji:.3f}"] for mpp, aji in found["aji"]]
    return [
        "",
        f"Pixel sizes: {low:g} to {high:g} um, AJI within 0.05 of its best, on {found['measured on']}",
        *_aligned([["um", *(mpp for mpp, _ in points)], ["AJI", *(aji for _, aji in points)]]),
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
