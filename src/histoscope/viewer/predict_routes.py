"""The addresses of prediction: nuclei of an image that is sent, or of a rectangle of a slide."""

import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Request, Response

from histoscope.errors import ConfigError, HistoscopeError
from histoscope.export import measure, write_geojson
from histoscope.export.features import class_names
from histoscope.files import read_image, write_labels
from histoscope.images.reading import size_of
from histoscope.images.resolution import check_mpp, mpp_of
from histoscope.slides import Box
from histoscope.types import Image
from histoscope.viewer.addresses import answers
from histoscope.viewer.body import TooLargeError, TooSlowError, body_of
from histoscope.viewer.desk import Desk, plain, said
from histoscope.viewer.library import TRUTH, Item
from histoscope.viewer.predicting import Answer, Line, Predictor, busy, check_size
from histoscope.viewer.scratch import write_image
from histoscope.viewer.shelf import Shelf
from histoscope.weights import DEFAULT

_MOST_BYTES = 64_000_000
_UPLOAD_S = 60.0
_MOST_COMING = 4
_PICTURES = {
    "requestBody": {
        "description": "An image file; omitted where a slide is named.",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("image/png", "image/jpeg", "image/tiff", "application/octet-stream")
        },
    }
}
_WHY = {
    "s408": "the request took too long to arrive",
    "s413": "too large",
    "s501": "a package that models need is missing",
    "s503": "other requests are waiting: try again",
}
_UNKNOWN = "has no pixel size: give mpp, such as 0.25 for a 40x scan, 0.5 for 20x"
_Pixel = Annotated[int, Query(ge=0, le=10_000_000)]
_Side = Annotated[int | None, Query(ge=1, le=10_000_000)]
_Mpp = Annotated[float | None, Query(gt=0, le=100)]
_Name = Annotated[str, Query(min_length=1, max_length=500)]


@dataclass(frozen=True)
class Part:
    """A rectangle of a slide, in pixels of level 0; the whole of it without sides."""

    slide: Annotated[str | None, Query(pattern="^[0-9a-f]{12}$")] = None
    x: _Pixel = 0
    y: _Pixel = 0
    width: _Side = None
    height: _Side = None
    against: Annotated[str | None, Query(pattern="^[0-9a-f]{12}$")] = None
    """Results with the ground truth of the whole slide, which the nuclei are compared with."""


def add_prediction(app: FastAPI, shelf: Shelf, desk: Desk) -> None:
    """Answer with nuclei."""
    routes = Routes(shelf, desk)
    more: dict[str, Any] = {"responses": answers(**_WHY), "response_class": Response}
    app.add_api_route("/api/models", routes.models, methods=["GET"], **more)
    app.add_api_route("/predict", routes.predict, methods=["POST"], openapi_extra=_PICTURES, **more)
    app.add_api_route("/api/images", routes.drop, methods=["POST"], openapi_extra=_PICTURES, **more)


class Routes:
    """What is answered at each address.

    Parameters
    ----------
    shelf : Shelf
    desk : Desk
    """

    def __init__(self, shelf: Shelf, desk: Desk) -> None:
        self._shelf, self._desk = shelf, desk
        self._predictor, self._line = Predictor(shelf.library), Line()
        self._coming = 0

    async def models(self, request: Request) -> Response:
        """The models that can be named, and what is missing to use them."""
        return await self._desk.answer(request, lambda: plain(self._predictor.models()))

    async def predict(
        self,
        request: Request,
        part: Annotated[Part, Depends()],
        model: _Name = DEFAULT,
        mpp: _Mpp = None,
        answer: Literal["geojson", "results"] = "geojson",
    ) -> Response:
        """Nuclei of the image in the body, or of a rectangle of a slide, in pixels of its level 0.

        As GeoJSON; or kept as results that are asked for like others, with their id and numbers.
        """
        packed = b""
        if part.slide is None:
            packed = await self._sent(request)
            if isinstance(packed, Response):
                return packed

        def work() -> Response:
            if part.slide is None:
                image, known = _decoded(packed, mpp)
                corner, name = (0, 0), "image"
            else:
                item = self._shelf.item(part.slide)
                image, known = self._rectangle(item, part, mpp)
                corner, name = (part.x, part.y), item.name
            if part.against is not None:
                return self._compared(self._predictor(image, known, model), part.against)
            return self._told(image, self._predictor(image, known, model), corner, name, answer)

        return await self._line.answer(request, work)

    async def drop(self, request: Request, name: _Name = "image", mpp: _Mpp = None) -> Response:
        """Keep the image in the body while the server runs, as one more image to look at; gives its id."""
        packed = await self._sent(request)
        if isinstance(packed, Response):
            return packed

        def work() -> Response:
            item = self._shelf.scratch.add_image(packed, name, mpp)
            try:
                self._shelf.pyramid(item)
            except HistoscopeError:
                self._shelf.scratch.items.pop(item.id, None)
                raise
            return plain({"id": item.id, "name": item.name})

        return await self._desk.answer(request, work)

    async def _sent(self, request: Request) -> bytes | Response:
        """The body, or why it is not taken."""
        if self._coming >= _MOST_COMING:
            return busy(f"{self._coming} images are already being sent")
        self._coming += 1
        try:
            return await body_of(request, _MOST_BYTES, limit_s=_UPLOAD_S)
        except TooLargeError as error:
            return said(413, str(error))
        except TooSlowError as error:
            return said(408, str(error))
        finally:
            self._coming -= 1

    def _rectangle(self, item: Item, part: Part, mpp: float | None) -> tuple[Image, float]:
        """Pixels of the part of a rectangle that lies on the slide, and their size."""
        opened = self._shelf.pyramid(item).slide
        across, down = opened.size
        x, y = part.x, part.y
        right, bottom = (
            far if side is None else min(at + side, far)
            for at, side, far in ((x, part.width, across), (y, part.height, down))
        )
        if x >= right or y >= bottom:
            raise ConfigError(
                f"the rectangle begins at ({x:,}, {y:,}), beyond the slide, which has {across:,} x {down:,} "
                "pixels"
            )
        check_size(right - x, bottom - y)
        known = mpp or (opened.mpp[0] if opened.mpp else item.mpp)
        if known is None:
            raise ConfigError(f"{item.name} {_UNKNOWN}")
        return opened.read(Box(x, y, right - x, bottom - y), 0), check_mpp(known, "mpp")

    def _compared(self, found: Answer, truth: str) -> Response:
        """Keep nuclei as results that say what became of each."""
        true = self._shelf.found(truth)
        if true.label != TRUTH:
            raise ConfigError(f"{truth} is not a ground truth")
        kept = self._shelf.scratch.new_comparison(f"{found.model}, run now", true.path)
        write_labels(kept.path, found.nuclei.instances)
        return plain({"id": kept.id, "label": kept.label, "kind": kept.kind, "n": None, "problem": ""})

    def _told(self, image: Image, found: Answer, corner: tuple[int, int], name: str, answer: str) -> Response:
        nuclei = found.nuclei
        counts = Counter(class_names(nuclei, found.classes))
        about = {
            "model": found.model,
            "mpp": nuclei.mpp,
            "seconds": found.seconds,
            "note": found.note,
            "n": len(nuclei),
            "counts": {name: counts[name] for name in [*found.classes, *counts]},
        }
        kept = self._shelf.scratch.new_preview(f"preview by {found.model}", found.classes)
        table = measure(nuclei, image, found.classes)
        write_geojson(kept.path, nuclei, classes=found.classes, table=table, offset_px=corner, name=name)
        if answer == "results":
            height, width = nuclei.shape
            return plain({"id": kept.id, **about, "box": [*corner, width, height]})
        root = json.loads(kept.path.read_text(encoding="utf-8"))
        root["metadata"] = {**root.get("metadata", {}), **about}
        return plain(root)


def _decoded(packed: bytes, mpp: float | None) -> tuple[Image, float]:
    """An image and its micrometres per pixel; its header is looked at before a pixel is decoded."""
    with tempfile.TemporaryDirectory(prefix="histoscope-") as folder:
        path = write_image(Path(folder), packed)
        height, width = size_of(path)
        check_size(width, height)
        known = mpp or mpp_of(path)
        if known is None:
            raise ConfigError(f"the image {_UNKNOWN}")
        return read_image(path), check_mpp(known, "mpp")
