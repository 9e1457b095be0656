"""``histoscope models``: the models that come with Histoscope, and model cards."""

import json
from typing import Annotated, Any

import typer

from histoscope.words import listed


def models(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="Show the card of this one: a name, a model or run folder, or hf:owner/name.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: the card, or all cards.")] = False,
) -> None:
    """List the models that come with Histoscope, for `predict` and `evaluate`.

    AJI, the aggregated Jaccard index, is of MoNuSeg's published test images: 1 is every pixel right.

    - `histoscope models`

    - `histoscope models nuclei-free`
    """
    from histoscope.weights import WEIGHTS, card

    if model is not None:
        about = card(model)
        typer.echo(json.dumps(about, indent=2) if as_json else "\n".join(described(about)))
        return
    cards = {name: card(name) for name in WEIGHTS}
    if as_json:
        typer.echo(json.dumps(cards, indent=2))
        return
    for name, about in cards.items():
        typer.echo(line(name, about))
    typer.echo("histoscope models NAME says more; a model or run folder of yours does in place of a name")


def line(name: str, about: dict[str, Any]) -> str:
    """Summary of a model in one line."""
    tests: dict[str, dict[str, Any]] = about.get("test") or {}
    scores = next((found for part, found in tests.items() if "monuseg" in part), {})
    parts = [
        "classes of patches" if about["input"].get("patch_px") else "nuclei",
        _classes(about),
        f"{about['input']['mpp']} um per pixel",
        *([f"AJI {_interval(scores['aji'], scores)}"] if "aji" in scores else []),
        f"licence {about.get('weights licence') or 'not stated'}",
    ]
    return f"{name}: {', '.join(parts)}"


def described(about: dict[str, Any]) -> list[str]:
    """Model card as lines."""
    data = about.get("training data") or {}
    lines = [
        str(about.get("about") or about["architecture"]),
        f"architecture: {about['architecture']}, at {about['input']['mpp']} um per pixel",
        _classes(about),
        f"stain normaliser: {about.get('stain normaliser', 'none')}",
        f"licence: {about.get('weights licence') or 'not stated'}",
        f"trained on: {data.get('name', 'not stated')} ({data.get('licence', 'licence not stated')})",
    ]
    tests = about.get("test") or {}
    by_part = {part: found for part, found in tests.items() if isinstance(found, dict)}
    own = {key: value for key, value in tests.items() if key not in by_part}
    for part, found in {**by_part, **({"own test part": own} if own else {})}.items():
        told = [
            f"{key} {_told(value, found)}" for key, value in found.items() if isinstance(value, list | float)
        ]
        lines.append(f"{part}: {', '.join(told)}")
    return lines + [f"known failure: {failure}" for failure in about.get("known failures", [])]


def _classes(about: dict[str, Any]) -> str:
    names = about["input"]["classes"]
    return f"classes {listed(names)}" if names else "tells no classes apart"


def _told(value: float | list[float | None], about: dict[str, Any]) -> str:
    """One score, with its interval where the card has it."""
    if isinstance(value, list):
        return _interval(value, about)
    return f"{value:.3f}"


def _interval(value: list[float | None], about: dict[str, Any]) -> str:
    """Estimate, confidence interval, and number of patients (or other units)."""
    from histoscope.metrics.intervals import counted

    estimate, low, high, n = value
    of = counted(int(n or 0), about["unit"])
    return f"{estimate:.3f} ({of})" if low is None else f"{estimate:.3f} ({low:.3f} to {high:.3f}, {of})"
