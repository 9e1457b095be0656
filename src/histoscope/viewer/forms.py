"""What the page sends and gets where nuclei are corrected."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from histoscope.edits import Wanted

MOST_EDITS, MOST_POINTS, MOST_ROWS = 500, 5_000, 20_000
_ANY = ConfigDict(extra="forbid")


class NewEdit(BaseModel):
    """A correction, with an id made by its sender: sent again, it is not written twice."""

    model_config = _ANY
    id: str = Field(pattern="^[0-9a-f]{16}$")
    kind: Literal["confirm", "reclassify", "delete", "draw", "undo"]
    row: int | None = Field(None, ge=0, le=2**32 - 1, description="row of the nucleus in the results")
    drawn: str = Field("", max_length=64, description="id of a drawn nucleus, in place of a row")
    class_name: str = Field("", max_length=500)
    polygon_px: list[tuple[FiniteFloat, FiniteFloat]] = Field([], max_length=MOST_POINTS)
    undoes: str = Field("", max_length=64)

    def wanted(self) -> Wanted:
        """It, with what its kind needs and nothing beside."""
        is_of_one = self.kind in {"confirm", "reclassify", "delete"}
        has_outline = self.kind == "draw" or (self.kind == "confirm" and self.row is None and not self.drawn)
        return Wanted(
            self.kind,
            row=self.row if is_of_one else None,
            drawn=self.drawn if is_of_one else "",
            class_name=self.class_name if self.kind in {"reclassify", "draw"} else "",
            polygon_px=self.polygon_px if has_outline else (),
            undoes=self.undoes if self.kind == "undo" else "",
            id=self.id,
        )


class NewEdits(BaseModel):
    """Corrections of nuclei that were shown."""

    model_config = _ANY
    digest: str = Field(max_length=64, description="digest of the nuclei that were shown, as GET returns it")
    author: str = Field(
        "", max_length=100, description="used instead of the name that the server was started with"
    )
    edits: list[NewEdit] = Field(min_length=1, max_length=MOST_EDITS)


class Selection(BaseModel):
    """Nuclei by their rows, and drawn ones by their ids."""

    model_config = _ANY
    rows: list[Annotated[int, Field(ge=0, le=2**32 - 1)]] = Field([], max_length=MOST_ROWS)
    drawn: list[Annotated[str, Field(max_length=64)]] = Field([], max_length=MOST_ROWS)


class Answer(BaseModel):
    """Of one edit: an empty problem if it is written, now or before."""

    id: str
    problem: str


class State(BaseModel):
    """All corrections of some results, merged over all people."""

    stamp: str
    author: str
    digest: str
    read_only: str
    classes: list[str]
    colours: list[list[int]]
    found: list[dict[str, Any]]
    drawn: list[dict[str, Any]]
    covered: list[dict[str, Any]]
    regions: list[dict[str, Any]]
    conflicts: list[dict[str, Any]]
    last: list[dict[str, Any]]
    notes: list[str]
    n_edits: int
    n_elsewhere: int
    n_lost: int


class Answers(BaseModel):
    """What became of each edit, and the state with them."""

    answers: list[Answer]
    state: State


class LeastSure(BaseModel):
    """Nuclei to look at first, and how many of all have been looked at."""

    nuclei: list[dict[str, Any]]
    n_looked_at: int
    n: int


class Why(BaseModel):
    """Why there is no answer."""

    detail: str | list[Any]


def flat(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a model with what it names put in place, as OpenAPI has definitions elsewhere."""
    schema = model.model_json_schema()
    known = schema.pop("$defs", {})

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return filled(known[part["$ref"].rpartition("/")[2]])
            return {key: filled(value) for key, value in part.items()}
        return [filled(each) for each in part] if isinstance(part, list) else part

    found: dict[str, Any] = filled(schema)
    return found
