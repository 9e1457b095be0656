"""Who may ask what: the machine itself, or anyone with the token; and only pages of this server."""

import asyncio
import hmac
import ipaddress
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "histoscope"
MOST_BYTES, BODY_S = 1 << 28, 120.0
"""Of what is sent with a request, and how long it may take to come."""
_SAFE = {"GET", "HEAD", "OPTIONS"}
_POLICY = (
    b"default-src 'self'",
    b"img-src 'self' data: blob:",
    b"style-src 'self' 'unsafe-inline'",
    b"object-src 'none'",
    b"base-uri 'none'",
    b"frame-ancestors 'none'",
)
_HEADERS = [
    (
        b"content-security-policy",
        b"; ".join(_POLICY),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


def is_loopback(host: str) -> bool:
    """Whether a name or address is that of the machine itself.

    Examples
    --------
    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "lab.example.org")]
    [True, True, True, False, False]
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """An ASGI application around another.

    Parameters
    ----------
    app : ASGI application
    token : str
        What a request must bring: as ``?token=``, after which a cookie holds it, or as a bearer. Empty where
        the server listens to its own machine alone; then the request must name that machine, so that no other
        web page can send requests through a browser here.
    """

    def __init__(self, app: App, token: str = "") -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        if sum(name.lower() == b"host" for name, _ in scope["headers"]) > 1:
            await _say(send, 400, "a request has one host")
            return
        host = headers.get("host", "")
        if not self._token and not is_loopback(_name_of(host)):
            await _say(
                send, 403, "this page can only be used on the machine that it runs on: open it as 127.0.0.1"
            )
            return
        if scope["method"] not in _SAFE and headers.get("origin", f"http://{host}").split("://")[-1] != host:
            await _say(send, 403, "changes are accepted only from this page")
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            await _say(send, 413, f"the request is larger than {MOST_BYTES >> 20} MB")
            return
        if self._token and not self._has_token(headers):
            await self._let_in(scope, send)
            return

        if scope["method"] == "HEAD":  # the server leaves out what is answered to it
            scope = {**scope, "method": "GET"}

        async def sent(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = [*message.get("headers", [])]
                names = {name for name, _ in given}  # a policy of its own, where an answer has one
                message["headers"] = [*given, *(one for one in _HEADERS if one[0] not in names)]
            await send(message)

        await self._app(scope, receive if scope["method"] in _SAFE else _limited(receive), sent)

    def _has_token(self, headers: dict[str, str]) -> bool:
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        return any(self._is_token(given) for given in (bearer, cookie.value if cookie else ""))

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    async def _let_in(self, scope: Scope, send: Send) -> None:
        """Take the token of the address, and leave it out of the address from then on."""
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"))
        if not any(name == "token" and self._is_token(value) for name, value in query):
            await _say(send, 401, "this page asks for a token: open the address that histoscope view printed")
            return
        rest = urlencode([pair for pair in query if pair[0] != "token"])
        place = "/" + quote(scope["path"].lstrip("/"), errors="replace")  # never another machine
        place += f"?{rest}" if rest else ""
        cookie = f"{COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/"
        headers = [(b"location", place.encode()), (b"set-cookie", cookie.encode())]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _limited(receive: Receive) -> Receive:
    """The body of a request, up to a size and for a while."""
    from fastapi import HTTPException

    left, end, is_whole = MOST_BYTES, time.monotonic() + BODY_S, False

    async def received() -> MutableMapping[str, Any]:
        nonlocal left, is_whole
        if is_whole:  # what is waited for is that they leave
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), end - time.monotonic())
        except TimeoutError:
            raise HTTPException(408, f"the request did not arrive within {BODY_S:.0f} s") from None
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, f"the request is larger than {MOST_BYTES >> 20} MB")
        is_whole = not message.get("more_body", False)
        return message

    return received


def _name_of(host: str) -> str:
    """A host without its port."""
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and ":" in host else host


async def _say(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
