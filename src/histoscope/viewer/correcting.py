"""The addresses at which nuclei are corrected: what is known, one edit more, what to look at first."""

import errno
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as InAddress
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from histoscope.edits import folder_of
from histoscope.errors import ConfigError, HistoscopeError
from histoscope.files import require_writable
from histoscope.slides import Box
from histoscope.viewer.addresses import Id
from histoscope.viewer.body import TooLargeError, TooSlowError, body_of
from histoscope.viewer.desk import GONE, Desk, plain, said
from histoscope.viewer.forms import Answers, LeastSure, NewEdits, Selection, State, Why, flat
from histoscope.viewer.library import TRUTH
from histoscope.viewer.notebook import LEAST_CROP_PX, MOST_CROP_PX, Notebook, stamp_of_journals
from histoscope.viewer.reading import reading
from histoscope.viewer.shelf import Lately, Shelf, stamp_of

_MOST_BYTES = 4_000_000
_MOST_LEAST_SURE = 200
_NOTEBOOKS = 8
_CROP_PX = 320
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_OPENING_S = 600.0


Answered = dict[int | str, dict[str, Any]]
_READ: Answered = {
    404: {"model": Why, "description": "not found, or no nuclei: `detail` says what to do"},
    422: {"model": Why, "description": "cannot be read: `detail` says why"},
    504: {"model": Why, "description": "took too long"},
}
_SENT: Answered = _READ | {
    400: {"model": Why, "description": "the request is not valid: `detail` says where"},
    408: {"model": Why, "description": "the request arrived too slowly"},
    413: {"model": Why, "description": "the request is too large"},
}
_WRITTEN: Answered = _SENT | {
    403: {"model": Why, "description": "the folder cannot be written"},
    409: {
        "model": Why,
        "description": "the results, or the corrections beside them, come from another version",
    },
    503: {"model": Why, "description": "another process is writing; send it again"},
    507: {"model": Why, "description": "the disk is full; send it again later"},
}


def add_addresses(app: FastAPI, shelf: Shelf, desk: Desk, author: str) -> None:
    """Add the addresses to an application.

    Parameters
    ----------
    app : FastAPI
    shelf : Shelf
    desk : Desk
    author : str
        Who corrects through this page.
    """
    routes = Correcting(shelf, desk, author)
    edits = "/api/results/{results}/edits"

    def add(address: str, answer: Any, responses: Answered, gives: Any, takes: type | None = None) -> None:
        ok = {"content": {"image/jpeg": {}}} if gives is None else {"model": gives}
        body = takes and {"required": True, "content": {"application/json": {"schema": flat(takes)}}}
        app.add_api_route(
            address,
            answer,
            methods=["POST" if takes else "GET"],
            responses={**responses, 200: ok},
            response_class=Response,
            openapi_extra=body and {"requestBody": body},
        )

    add(edits, routes.state, _READ, State)
    add(edits, routes.add, _WRITTEN, Answers, NewEdits)
    add("/api/results/{results}/least-sure", routes.least_sure, _READ, LeastSure)
    add("/api/results/{results}/geojson", routes.geojson, _SENT, dict, Selection)
    add("/api/slides/{slide}/crops/{x}/{y}/{side}", routes.crop, _READ, None)


class Correcting:
    """What is answered at each address."""

    def __init__(self, shelf: Shelf, desk: Desk, author: str) -> None:
        self._shelf, self._desk, self._author = shelf, desk, author
        self._notebooks: Lately[Notebook] = Lately(_NOTEBOOKS)

    async def state(self, request: Request, results: Id) -> Response:
        """Corrections of some results, merged: who is none, of another class, drawn; conflicts, notes."""

        def work() -> Response:
            return plain(self._notebook(results).shown())

        def tag() -> str:
            path = self._shelf.found(results).path
            return f"{stamp_of(path)}-{stamp_of_journals(folder_of(path))}"

        return await self._desk.answer(request, work, tag=tag, limit_s=_OPENING_S)

    async def add(self, request: Request, results: Id) -> Response:
        """Correct nuclei: edits are appended; one whose id is known is not written again."""
        try:
            wanted = NewEdits.model_validate_json(await body_of(request, _MOST_BYTES))
        except (TooLargeError, TooSlowError, ClientDisconnect, ValidationError) as error:
            return _refused(error)

        def work() -> Response:
            book = self._notebook(results)
            try:
                require_writable(book.folder)
            except ConfigError as error:
                return said(403, f"corrections cannot be kept: {error}")
            try:
                answers = book.add(wanted.digest, [one.wanted() for one in wanted.edits], wanted.author)
                return plain({"answers": answers, "state": book.shown()})
            except ConfigError as error:
                return said(503, str(error))
            except HistoscopeError as error:
                return said(409, str(error))
            except OSError as error:
                why = f"corrections cannot be kept: {book.folder} cannot be written ({error.strerror})"
                return said(403 if error.errno in _READ_ONLY else 507, why)

        return await self._desk.answer(request, work)

    async def least_sure(
        self, request: Request, results: Id, n: Annotated[int, Query(ge=1, le=_MOST_LEAST_SURE)] = 60
    ) -> Response:
        """Nuclei to look at first, which nobody has looked at, each with the square to show it in."""

        def work() -> Response:
            return plain(self._notebook(results).least_sure(n))

        return await self._desk.answer(request, work, limit_s=_OPENING_S)

    async def geojson(self, request: Request, results: Id) -> Response:
        """Some nuclei with all corrections applied, for QuPath."""
        try:
            chosen = Selection.model_validate_json(await body_of(request, _MOST_BYTES))
        except (TooLargeError, TooSlowError, ClientDisconnect, ValidationError) as error:
            return _refused(error)

        def work() -> Response:
            book, offset = self._notebook(results), self._origin(results)
            return plain(book.geojson(chosen.rows, chosen.drawn, offset))

        return await self._desk.answer(request, work)

    async def crop(
        self,
        request: Request,
        slide: Id,
        x: Annotated[int, InAddress(ge=-(10**6), le=10**7)],
        y: Annotated[int, InAddress(ge=-(10**6), le=10**7)],
        side: Annotated[int, InAddress(ge=LEAST_CROP_PX, le=MOST_CROP_PX)],
    ) -> Response:
        """A square of level 0, as JPEG; white beyond the slide."""

        def work() -> Response:
            pyramid = self._shelf.pyramid(self._shelf.item(slide))
            return Response(pyramid.crop(Box(x, y, side, side), _CROP_PX), media_type="image/jpeg")

        def tag() -> str:
            path = self._shelf.item(slide).path
            return f"{'none' if path is None else stamp_of(path)}-crop-{x}-{y}-{side}"

        return await self._desk.answer(request, work, tag=tag)

    def _notebook(self, results: str) -> Notebook:
        found = self._shelf.found(results)
        if found.kind != "nuclei" or found.label == TRUTH:
            what = TRUTH if found.label == TRUTH else found.kind
            raise ConfigError(f"{what}: only nuclei found by a model can be corrected; choose such results")
        marks = self._shelf.marks(found)

        def opened() -> Notebook:
            with reading(found.path):
                return Notebook(found.path, marks, self._author)

        return self._notebooks.get((found.path, stamp_of(found.path)), opened)

    def _origin(self, results: str) -> tuple[float, float]:
        """Where QuPath has the origin of the slide."""
        for item in self._shelf.library.items.values():
            if item.path is not None and any(one.id == results for one in item.results):
                bounds = self._shelf.pyramid(item).slide.bounds
                return float(bounds.x), float(bounds.y)
        return 0.0, 0.0


def _refused(error: Exception) -> Response:
    """The answer to what cannot be taken."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=GONE)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        return said(400, f"{where or 'what was sent'}: {first['msg']}")
    return said(413 if isinstance(error, TooLargeError) else 408, str(error))
