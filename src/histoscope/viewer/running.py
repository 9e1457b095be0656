"""Starting the server: its requirements, its address, and its messages."""

import getpass
import secrets
import socket
from importlib import import_module
from pathlib import Path
from typing import Any

from histoscope.errors import ConfigError, MissingDependencyError
from histoscope.viewer.guard import is_loopback
from histoscope.viewer.patience import LIMIT_S, patient

PORT = 8765
MOST_CONNECTIONS = 512
LIBRARIES = ("fastapi", "uvicorn")
"""What the server is made with; the extra `viewer` brings them."""
_MOST_LETTERS = 100
VENDOR = Path(__file__).parent / "page" / "vendor" / "openseadragon.min.js"
"""Comes from npm when Histoscope is built."""


def require() -> None:
    """Refuse to start without the libraries of the server and of the page.

    Raises
    ------
    MissingDependencyError
    """
    missing = []
    for name in LIBRARIES:
        try:
            import_module(name)
        except ImportError:
            missing.append(name)
    if missing:
        raise MissingDependencyError(
            f"the page needs {' and '.join(missing)}; pip install 'histoscope[viewer]' installs both"
        )
    if not VENDOR.is_file():
        raise MissingDependencyError(
            f"the page needs OpenSeadragon, which is not at {VENDOR}: npm could not be reached when "
            "Histoscope was installed; with internet access, run python build_page.py in the source folder, "
            "or install again"
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises
    ------
    ConfigError
        If the port is in use, or the host is not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"--host {host} is not an address of this machine ({error.strerror})") from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(128)
    except OSError as error:
        opened.close()
        raise ConfigError(
            f"cannot listen at {host}, port {port} ({error.strerror}): perhaps another histoscope view is "
            "using it; "
            "give another --port, or --port 0 for any that is free"
        ) from error
    return opened


def config_of(app: Any, *, limit_s: float = LIMIT_S) -> Any:
    """How uvicorn serves the page.

    Parameters
    ----------
    app : ASGI application
    limit_s : float
        Seconds that a connection may stand still.

    Returns
    -------
    uvicorn.Config
    """
    import uvicorn
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    return uvicorn.Config(
        app,
        http=patient(AutoHTTPProtocol, limit_s),
        ws="none",
        log_level="error",  # what others send in place of HTTP is no news
        access_log=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=30,
        server_header=False,
    )


def token_for(host: str) -> str:
    """A new token where a server listens wider than to its own machine; else none."""
    return "" if is_loopback(host) else secrets.token_urlsafe(18)


def author_of(name: str) -> str:
    """Who corrects: the name that was given, else that of the login.

    Raises
    ------
    ConfigError
        If it is not a name on one line.
    """
    try:
        found = name.strip() or getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a container
        found = "unnamed"
    if not found.isprintable() or len(found) > _MOST_LETTERS:
        raise ConfigError(
            f"--author is {found[:40]!r}, expected a name on one line, of {_MOST_LETTERS} letters at most"
        )
    return found


def address_of(opened: socket.socket, host: str, token: str) -> str:
    """What to open in a browser."""
    port = opened.getsockname()[1]
    name = socket.gethostname() if host in {"0.0.0.0", "::"} else host
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")
