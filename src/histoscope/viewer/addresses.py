"""What addresses of the page are made of, and what may come back from them."""

from typing import Annotated, Any

from fastapi import Path as InAddress
from fastapi import Query

MOST_ZOOM = 16
Id = Annotated[str, InAddress(pattern="^[0-9a-f]{12}$")]
Place = Annotated[int, InAddress(ge=0, le=65_535)]
Zoom = Annotated[int, InAddress(ge=0, le=MOST_ZOOM)]
Word = Annotated[str, Query(min_length=1, max_length=200)]
WHY = {
    404: "not found: `detail` says what to do",
    422: "cannot be read: `detail` says why",
    504: "took too long",
}


def answers(media: str = "application/json", **more: str) -> dict[int | str, dict[str, Any]]:
    """What a route may answer, for the description of the addresses.

    Parameters
    ----------
    media : str
        Of an answer that has what was asked for.
    **more : str
        Further answers that have no such thing, and why: ``s503="busy"``.
    """
    found: dict[int | str, dict[str, Any]] = {200: {"content": {media: {}}}}
    for status, said in (WHY | {int(name[1:]): said for name, said in more.items()}).items():
        found[status] = {"description": said, "content": {"application/json": {}}}
    return found
