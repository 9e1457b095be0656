"""What is sent to the server: so much of it, and so long waited for, as it needs."""

import asyncio

from fastapi import Request


class TooLargeError(Exception):
    """More was sent than is taken."""


class TooSlowError(Exception):
    """It did not come in time."""


async def body_of(request: Request, most_bytes: int, *, limit_s: float = 20.0) -> bytes:
    """The body of a request; no more of it is held in memory than is taken.

    Raises
    ------
    TooLargeError, TooSlowError
        Their words say what was expected.
    """

    async def read() -> bytes:
        found = bytearray()
        async for part in request.stream():
            found += part
            if len(found) > most_bytes:
                raise TooLargeError(f"more than {most_bytes / 1e6:g} MB were sent; send less at a time")
        return bytes(found)

    try:
        return await asyncio.wait_for(read(), limit_s)
    except TimeoutError as error:
        raise TooSlowError(f"the request took longer than {limit_s:g} s to arrive; send it again") from error
