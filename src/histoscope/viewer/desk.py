"""Work for requests: a little at a time, none for those who have left, none twice for those who have it."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from histoscope.errors import ConfigError, DatasetNotFoundError, HistoscopeError

GONE = 499
"""What servers call a request that was given up; nobody sees it."""


class Desk:
    """Answers requests.

    Parameters
    ----------
    workers : int, optional
        Answers that are made at once; as many as cores and a few that wait for the disk.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers or (os.cpu_count() or 2) + 2
        self._turn = asyncio.Semaphore(self._workers)
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="viewer")

    async def answer(
        self,
        request: Request,
        work: Callable[[], Response],
        *,
        tag: Callable[[], str] | None = None,
        limit_s: float = 60.0,
    ) -> Response:
        """What a request gets: what `work` makes, or that it has not changed, or why not.

        Parameters
        ----------
        request : Request
        work : callable
            Makes the response; runs in a thread.
        tag : callable, optional
            Digits of all that the response depends on.
        limit_s : float
            Seconds after which it is given up.
        """
        loop = asyncio.get_running_loop()
        headers = {}
        async with self._turn:
            if await request.is_disconnected():
                return Response(status_code=GONE)
            try:
                if tag is not None:
                    headers = {"ETag": f'"{tag()}"', "Cache-Control": "private, no-cache"}
                    if "v" in request.query_params:  # the address changes with the content
                        headers["Cache-Control"] = "private, max-age=604800, immutable"
                    if headers["ETag"] in request.headers.get("if-none-match", ""):
                        return Response(status_code=304, headers=headers)
                response = await asyncio.wait_for(loop.run_in_executor(self._pool, work), limit_s)
            except TimeoutError:
                return said(504, f"took longer than {limit_s:.0f} s; try again, it may be done by then")
            except (DatasetNotFoundError, ConfigError) as error:
                return said(404, str(error))
            except (HistoscopeError, OSError) as error:
                return said(422, str(error))
        response.headers.update(headers)
        return response


def said(status: int, message: str) -> JSONResponse:
    """An answer that says why there is none."""
    return JSONResponse({"detail": message}, status)


def plain(content: Any) -> JSONResponse:
    """An answer of numbers and words."""
    return JSONResponse(content)
