"""Jinja templates of HTML and Markdown pages."""

import base64
import io

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image as Pillow

from histoscope.types import Image


def templates(*, html: bool) -> Environment:
    """Templates of ``histoscope/templates``; undefined names are errors.

    Every page includes ``page.css``, so that all look the same, also on phones and in both colour schemes.
    Filters: ``jpeg_uri`` and ``svg_uri``, for pages that need no other file.
    """
    environment = Environment(
        loader=PackageLoader("histoscope", "templates"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"jpeg_uri": jpeg_uri, "svg_uri": svg_uri}
    return environment


def jpeg_uri(picture: Image) -> str:
    """Data URI of an image, (H, W, 3) uint8, as JPEG."""
    buffer = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(picture)).save(buffer, "JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def svg_uri(text: str) -> str:
    """Data URI of an SVG drawing."""
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode("utf-8")).decode("ascii")
