"""The addresses of studies."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from histoscope.viewer.addresses import Id, Word, answers
from histoscope.viewer.desk import Desk, plain
from histoscope.viewer.library import Library
from histoscope.viewer.studies import StudyPages

_ALONE = {
    "content-security-policy": "sandbox allow-scripts; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'"
}
"""For a page out of the folder: it may turn its own pages, and reaches neither this server nor another."""
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

    async def report(request: Request, study: Id) -> Response:
        """The report as it was written, cut off from all else."""
        return await desk.answer(
            request, lambda: HTMLResponse(pages.report(study).read_bytes(), headers=_ALONE)
        )

    addresses = {"": study, "/images": images, "/report": report}
    for end, answer in addresses.items():
        app.add_api_route(
            f"/api/studies/{{study}}{end}",
            answer,
            methods=["GET"],
            responses=answers(),
            response_class=Response,
        )
