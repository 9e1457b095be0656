"""``histoscope models``: the models that come with Histoscope, and model cards."""

import inspect
import json
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class _ListedByDefault(TyperGroup):
    """``models`` alone lists them, ``models NAME`` shows the card of one, as in version 0.1."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not {*args[:1]} & {"--help", *self.commands}:
            is_name = bool(args) and not args[0].startswith("-")
            args = ["show" if is_name else "list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ListedByDefault, help="List the models that come with Histoscope; show a model's card."
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models that come with Histoscope, for `predict` and `evaluate`.

    AJI, the aggregated Jaccard index, is measured on MoNuSeg's published test images; 1 is every pixel right.
    """
    from histoscope.weights import WEIGHTS, card

    cards = {name: card(name) for name in WEIGHTS}
    if as_json:
        typer.echo(json.dumps(cards, indent=2))
        return
    for name, about in cards.items():
        typer.echo(line(name, about))
    typer.echo(
        "histoscope models show NAME prints a model's card; instead of a name, a model or run "
        "folder works, too"
    )


@app.command("show")
def show_model(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name, a model or run folder, or hf:owner/name.")
    ],
    as_json: Json = False,
) -> None:
    """Show the card of a model: data, licence, scores by laboratory and organ, pixel sizes, failures.

    Scores have 95 % intervals by patient. For each data set, the card says whether the model was trained on
    it.

    - `histoscope models show nuclei`

    - `histoscope models show runs/first --json`
    """
    from histoscope.cli.model_card import described
    from histoscope.weights import card

    about = card(model)
    typer.echo(json.dumps(about, indent=2) if as_json else "\n".join(described(about)))


def naming(verb: Callable[..., None]) -> str:
    """Help text of a command, with a line for each model that comes with Histoscope, from its card."""
    from histoscope.weights import WEIGHTS, card

    first, rest = inspect.cleandoc(str(verb.__doc__)).split("\n\n", 1)
    cards = {name: card(name) for name in WEIGHTS}
    named = [f"- `{name}`: {about['about']} {about['weights licence']}." for name, about in cards.items()]
    head = "Models that come with Histoscope (`histoscope models show NAME` has all about them):"
    return "\n\n".join([first, head, *named, rest])


def line(name: str, about: dict[str, Any]) -> str:
    """Summary of a model in one line."""
    from histoscope.cli.model_card import classes_of, score

    tests: dict[str, dict[str, Any]] = about.get("test") or {}
    scores = next((found for part, found in tests.items() if "monuseg" in part.lower()), {})
    parts = [
        "classes of patches" if about["input"].get("patch_px") else "nuclei",
        classes_of(about),
        f"{about['input']['mpp']} um per pixel",
        *([f"AJI {score(scores['aji'], scores)} on MoNuSeg"] if "aji" in scores else []),
        f"licence {about.get('weights licence') or 'not stated'}",
    ]
    return f"{name}: {', '.join(parts)}"
