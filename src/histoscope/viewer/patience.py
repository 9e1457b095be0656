"""How long a connection may stand still and a head may be; uvicorn itself waits for ever for the rest."""

import asyncio
from typing import Any

LIMIT_S = 20.0
"""A connection that neither asks for nor takes anything for so long is closed."""
_MOST_HEAD = 1 << 17
"""Bytes that come before a request is whole: its address and headers, and requests that follow it at once."""


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
        _waiting = 0

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._look = self.loop.call_later(limit_s, self._check)

        def data_received(self, data: bytes) -> None:
            cycle = self.cycle
            super().data_received(data)
            self._waiting = self._waiting + len(data) if self.cycle is cycle and not self._is_busy() else 0
            if self._waiting > _MOST_HEAD:
                self.transport.abort()

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
