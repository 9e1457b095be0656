"""The addresses of the page: slides as tiles, results as outlines and numbers, and the page itself.

Addresses name slides and results by ids that the library gave them, never by paths.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi import Path as InAddress
from fastapi.staticfiles import StaticFiles

from histoscope import __version__
from histoscope.export.overlay import colours
from histoscope.viewer.addresses import Id, Place, Zoom, answers
from histoscope.viewer.correcting import add_addresses as add_corrections
from histoscope.viewer.desk import Desk, plain
from histoscope.viewer.guard import App, Guard
from histoscope.viewer.library import Item, Library
from histoscope.viewer.marks import BANDS, BINS, TILE_PX
from histoscope.viewer.predict_routes import add_prediction
from histoscope.viewer.reading import reading
from histoscope.viewer.running import author_of
from histoscope.viewer.shelf import Shelf, stamp_of
from histoscope.viewer.study_folders import name_of
from histoscope.viewer.study_routes import add_studies

PAGE = Path(__file__).parent / "page"
_THUMBNAIL_PX = 320
_SORTING_S = 600.0

_PACKED = "application/octet-stream"
_MEDIA = {"tile": "image/jpeg", "thumbnail": "image/jpeg"} | dict.fromkeys(
    ("outlines", "density", "heat"), _PACKED
)


def create_app(library: Library, *, token: str = "", author: str = "") -> App:
    """The ASGI application that shows a library.

    Parameters
    ----------
    library : Library
        Searched.
    token : str
        What requests must bring; empty for the machine itself.
    author : str
        Who corrects nuclei through this page; the login name if empty.
    """
    app = FastAPI(title="Histoscope", version=__version__, docs_url=None, redoc_url=None)
    shelf, desk = Shelf(library), Desk()
    routes = Routes(shelf, desk)
    for address, answer in {
        "/api/library": routes.library,
        "/api/slides/{slide}": routes.slide,
        "/api/slides/{slide}/thumbnail": routes.thumbnail,
        "/api/slides/{slide}/tissue": routes.tissue,
        "/api/slides/{slide}/tiles/{layer}/{column}/{row}": routes.tile,
        "/api/results/{results}": routes.results,
        "/api/results/{results}/outlines/{zoom}/{column}/{row}": routes.outlines,
        "/api/results/{results}/density/{zoom}/{column}/{row}": routes.density,
        "/api/results/{results}/rows/{number}": routes.row,
        "/api/results/{results}/heat/{kind}": routes.heat,
    }.items():
        responses = answers(_MEDIA.get(answer.__name__, "application/json"))
        app.add_api_route(address, answer, methods=["GET"], responses=responses, response_class=Response)
    app.add_api_route(
        "/api/library", routes.search, methods=["POST"], responses=answers(), response_class=Response
    )
    add_studies(app, library, desk)
    add_corrections(app, shelf, desk, author_of(author))
    add_prediction(app, shelf, desk)
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return Guard(app, token)


class Routes:
    """What is answered at each address.

    Parameters
    ----------
    shelf : Shelf
    desk : Desk
    """

    def __init__(self, shelf: Shelf, desk: Desk) -> None:
        self._shelf, self._desk = shelf, desk

    async def library(self, request: Request) -> Response:
        """All slides and images, with the results of each."""
        return await self._desk.answer(request, lambda: plain(_shown(self._shelf)))

    async def search(self, request: Request) -> Response:
        """Search the folder again."""

        def work() -> Response:
            self._shelf.library.search()
            return plain(_shown(self._shelf))

        return await self._desk.answer(request, work)

    async def slide(self, request: Request, slide: Id) -> Response:
        """Size, resolution and layers of a slide."""
        return await self._desk.answer(request, lambda: plain(self._facts(self._shelf.item(slide))))

    async def thumbnail(self, request: Request, slide: Id) -> Response:
        """The whole slide, small, as JPEG."""

        def work() -> Response:
            return _jpeg(self._shelf.pyramid(self._shelf.item(slide)).picture(_THUMBNAIL_PX))

        return await self._desk.answer(request, work, tag=lambda: self._stamp(slide))

    async def tile(
        self,
        request: Request,
        slide: Id,
        layer: Zoom,
        column: Place,
        row: Place,
        stain: Literal["none", "reinhard", "macenko", "vahadane"] = "none",
    ) -> Response:
        """One tile of a layer, as JPEG; `stain` names a normaliser that it goes through."""

        def work() -> Response:
            item = self._shelf.item(slide)
            change = None if stain == "none" else self._shelf.recolouring(item, stain)
            return _jpeg(self._shelf.pyramid(item).tile(layer, column, row, change))

        return await self._desk.answer(
            request, work, tag=lambda: f"{self._stamp(slide)}-{layer}-{column}-{row}-{stain}"
        )

    async def tissue(self, request: Request, slide: Id) -> Response:
        """Outlines of the tissue, and of what was left out of focus."""
        return await self._desk.answer(request, lambda: plain(self._shelf.tissue(self._shelf.item(slide))))

    async def results(self, request: Request, results: Id) -> Response:
        """Classes, colours and numbers of results; sorts them when they are asked for first."""

        def work() -> Response:
            found = self._shelf.found(results)
            marks = self._shelf.marks(found)
            classes = marks.about.get("classes", [])
            return plain(
                {
                    "kind": found.kind,
                    "classes": classes,
                    "colours": [list(each) for each in marks.about.get("colours") or colours(classes)],
                    "counts": marks.counts(),
                    "n": len(marks),
                    "n_true": marks.about.get("n_true"),
                    "busiest": marks.busiest(),
                    "size_px": marks.about.get("size_px"),
                    "mpp": marks.about.get("mpp"),
                    "reach_px": marks.reach_px(),
                    "square_px": TILE_PX,
                    "bins": BINS,
                    "bands": BANDS,
                    "stamp": stamp_of(found.path),
                }
            )

        return await self._desk.answer(request, work, limit_s=_SORTING_S)

    async def outlines(
        self, request: Request, results: Id, zoom: Zoom, column: Place, row: Place
    ) -> Response:
        """Outlines of what lies in a square, packed."""
        return await self._square(request, "outlines", results, (zoom, column, row))

    async def density(self, request: Request, results: Id, zoom: Zoom, column: Place, row: Place) -> Response:
        """Numbers of what lies in a square by place, class and band of probability, packed."""
        return await self._square(request, "density", results, (zoom, column, row))

    async def row(
        self, request: Request, results: Id, number: Annotated[int, InAddress(ge=0, le=2**32 - 1)]
    ) -> Response:
        """What is known of one nucleus or tile."""

        def work() -> Response:
            found = self._shelf.found(results)
            with reading(found.path):
                return plain(self._shelf.results(found).features(number))

        return await self._desk.answer(request, work)

    async def heat(
        self, request: Request, results: Id, kind: Annotated[int, InAddress(ge=1, le=255)]
    ) -> Response:
        """The probability of a class at each tile, packed."""

        def work() -> Response:
            return Response(self._shelf.heat(self._shelf.found(results), kind), media_type=_PACKED)

        return await self._desk.answer(
            request, work, tag=lambda: f"{stamp_of(self._shelf.found(results).path)}-heat-{kind}"
        )

    async def _square(
        self, request: Request, what: str, results: str, square: tuple[int, int, int]
    ) -> Response:
        def work() -> Response:
            marks = self._shelf.marks(self._shelf.found(results))
            packed: bytes = getattr(marks, what)(*square)
            return Response(packed, media_type=_PACKED)

        def tag() -> str:
            return f"{stamp_of(self._shelf.found(results).path)}-{what}-{'-'.join(map(str, square))}"

        return await self._desk.answer(request, work, tag=tag)

    def _stamp(self, slide: str) -> str:
        path = self._shelf.item(slide).path
        return "none" if path is None else stamp_of(path)

    def _facts(self, item: Item) -> dict[str, Any]:
        pyramid = self._shelf.pyramid(item)
        slide = pyramid.slide
        return {
            "id": item.id,
            "name": item.name,
            "size_px": slide.size,
            "mpp": item.mpp if slide.mpp is None else slide.mpp[0],
            "vendor": slide.vendor,
            "reader": slide.reader_name,
            "is_stored": pyramid.passes,
            "stamp": self._stamp(item.id),
            "layers": [
                {"size_px": (one.width, one.height), "tile_px": one.tile, "downsample": one.downsample}
                for one in pyramid.layers
            ],
        }


def _shown(shelf: Shelf) -> dict[str, Any]:
    """The library as the page lists it; images that were dropped on the page come first."""
    library = shelf.library
    items = sorted(library.items.values(), key=lambda item: (item.folder, item.name))
    items = [*reversed(shelf.scratch.items.values()), *items]
    return {
        "folder": ", ".join(folder.name or str(folder) for folder in library.folders),
        "items": [
            {
                "id": item.id,
                "name": item.name,
                "folder": item.folder,
                "has_picture": item.path is not None,
                "has_tissue": item.tissue is not None,
                "study": item.study,
                "results": [
                    {"id": one.id, "label": one.label, "kind": one.kind, "n": one.n, "problem": one.problem}
                    for one in item.results
                ],
            }
            for item in items
        ],
        "studies": [{"id": key, "name": name_of(folder)} for key, folder in library.studies.items()],
        "left_out": [{"path": path, "why": why} for path, why in library.left_out],
    }


def _jpeg(packed: bytes) -> Response:
    return Response(packed, media_type="image/jpeg")
