"""How long a connection may stand still; uvicorn itself waits for ever for the rest of a request."""

import asyncio
from typing import Any

LIMIT_S = 20.0
"""A connection that neither asks for nor takes anything for so long is closed."""


def patient(protocol: type, limit_s: float = LIMIT_S) -> type:
    """A protocol of uvicorn that closes connections which stand still.

    Parameters
    ----------
    protocol : type
        For HTTP.
    limit_s : float
        Looked at this often, so that one which stands still is closed after at most twice as long.
    """

    class Patient(protocol):  # type: ignore[misc]
        """A connection that is looked at from time to time."""

        _seen: tuple[Any, ...] = ()  # the request itself, not its id: that of one that is gone is given again
        _look: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._look = self.loop.call_later(limit_s, self._check)

        def connection_lost(self, exc: Exception | None) -> None:
            if self._look is not None:
                self._look.cancel()
            super().connection_lost(exc)

        def _check(self) -> None:
            """Close it if nothing came of it since the last look, unless an answer is being made."""
            unsent = self.transport.get_write_buffer_size()
            seen = (self.cycle, unsent, self._is_busy())
            if seen == self._seen and (unsent or not self._is_busy()):
                self.transport.abort()
                return
            self._seen = seen
            self._look = self.loop.call_later(limit_s, self._check)

        def _is_busy(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

    return Patient
