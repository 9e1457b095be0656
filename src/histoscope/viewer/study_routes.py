"""The addresses of studies."""

from fastapi import FastAPI, Request, Response

from histoscope.viewer.addresses import Id, Word, answers
from histoscope.viewer.desk import Desk, plain
from histoscope.viewer.library import Library
from histoscope.viewer.studies import StudyPages

_EFFECTS_S = 300.0
"""Intervals and tests of a large study, once."""


def add_studies(app: FastAPI, library: Library, desk: Desk) -> None:
    """Answer for the studies of a library."""
    pages = StudyPages(library)

    async def study(request: Request, study: Id) -> Response:
        """The numbers of a study's report."""
        return await desk.answer(request, lambda: plain(pages.page(study)), limit_s=_EFFECTS_S)

    async def images(
        request: Request, study: Id, model: Word, level: Word, condition: Word, metric: Word
    ) -> Response:
        """The images behind a number, the worst first."""
        return await desk.answer(request, lambda: plain(pages.images(study, model, level, condition, metric)))

    for address, answer in {"/api/studies/{study}": study, "/api/studies/{study}/images": images}.items():
        app.add_api_route(address, answer, methods=["GET"], responses=answers(), response_class=Response)
