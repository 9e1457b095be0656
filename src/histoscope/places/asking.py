"""Requests to stores and web servers through fsspec: retries where they may help, and readable errors."""

import asyncio
import errno
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from histoscope.errors import ConfigError, MissingDependencyError

Answer = TypeVar("Answer")
_TRIES, _PAUSE_S, _STALL_S = 3, 1.0, 60.0
_OF_NETWORKS = ("aiohttp", "aiobotocore", "azure", "botocore", "fsspec", "gcsfs", "google", "s3fs", "urllib3")
_INFO: dict[str, dict[str, Any]] = {}


class PlaceError(OSError):
    """A failed request: nothing there, access denied, or a server error."""


class NoRangesError(PlaceError):
    """A server that cannot send parts of files."""


def read_range(uri: str, start: int, count: int) -> bytes:
    """Read so many bytes; network errors are retried, with growing pauses.

    Raises
    ------
    PlaceError
    """
    fs, name = _opened(uri)

    def ask() -> bytes:
        found: bytes = fs.cat_file(name, start=start, end=start + count, **_patience(fs))
        if len(found) > count:
            raise NoRangesError(errno.ENOTSUP, "its server cannot send parts of files", uri)
        if len(found) < count:
            raise PlaceError(errno.EIO, f"its server gave {len(found)} of {count} bytes", uri)
        return found

    return _asked(uri, ask)


def fetch_whole(path: Path, to: Path) -> None:
    """Copy a file from a server that cannot send parts of files."""
    fs, name = _opened(str(path))
    _asked(str(path), lambda: fs.get_file(name, str(to)))


def put(local: Path, path: Path) -> None:
    """Upload a local file; stores show it completely or not at all.

    Raises
    ------
    PlaceError
    """
    fs, name = _opened(str(path))
    if not path.as_posix().startswith(("s3:", "gs:")):
        _asked(str(path), lambda: fs.makedirs(fs._parent(name), exist_ok=True))
    _asked(str(path), lambda: fs.put_file(str(local), name))


def require_put(folder: Path) -> None:
    """Refuse a remote place that cannot be written, before any work.

    Raises
    ------
    ConfigError
    """
    with tempfile.TemporaryDirectory() as here:
        probe = Path(here) / ".histoscope"
        probe.write_bytes(b"")
        try:
            put(probe, folder / probe.name)
        except (PlaceError, NotImplementedError) as error:
            raise ConfigError(f"cannot write to {folder}: {getattr(error, 'strerror', error)}") from error
    fs, name = _opened(str(folder / ".histoscope"))
    with suppress(Exception):  # some users may write but not delete
        fs.rm_file(name)


def library() -> Any:
    """fsspec, or an error that says how to get it."""
    try:
        import fsspec
    except ImportError as error:
        raise MissingDependencyError(
            "paths such as s3:// need fsspec; pip install 'histoscope[remote]'"
        ) from error
    return fsspec


def _opened(uri: str) -> tuple[Any, str]:
    """The file system of an address, and its path there; settings are fsspec's (environment, files)."""
    scheme = uri.partition(":")[0]
    try:
        fs, name = library().core.url_to_fs(uri, use_listings_cache=False)
    except ImportError as error:
        ours = dict.fromkeys(("s3", "s3a", "http", "https"), "'histoscope[remote]'")
        which = {**ours, "gs": "gcsfs", "gcs": "gcsfs"}
        raise MissingDependencyError(
            f"{uri} cannot be read without another package ({error}); pip install {which.get(scheme, 'it')}"
        ) from error
    return fs, name


def _patience(fs: Any) -> dict[str, Any]:
    """Timeouts, where they can be set."""
    return {"timeout": _STALL_S} if getattr(fs, "async_impl", False) else {}


def info_of(uri: str) -> dict[str, Any]:
    """Information on a file or folder: ``type``, ``size`` and more; requested once until `forget_info`."""
    if uri not in _INFO:
        fs, name = _opened(uri)
        info = dict(_asked(uri, lambda: fs.info(name, **_patience(fs))))
        if str(info.get("url", "")).endswith("/") or info.get("mimetype") == "text/html":
            info["type"] = "directory"  # web servers show folders as pages
        _INFO[uri] = info
    return _INFO[uri]


def _asked(uri: str, ask: Callable[[], Answer]) -> Answer:
    """A server's answer; temporary errors are tried three times, with growing pauses."""
    for attempt in range(_TRIES):
        try:
            return ask()
        except (MissingDependencyError, NoRangesError):
            raise
        except Exception as error:
            told = _told(error, uri)
            if told is None:
                raise
            if told.errno != errno.EIO or attempt == _TRIES - 1:
                raise told from error
        time.sleep(_PAUSE_S * 2**attempt)
    raise AssertionError("unreachable")


def _told(error: Exception, uri: str) -> PlaceError | None:
    """A network error with a readable message; None for other errors."""
    if isinstance(error, PlaceError):
        return error
    cause = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error
    status, name = getattr(cause, "status", None), type(cause).__name__
    is_of_network = type(cause).__module__.partition(".")[0] in _OF_NETWORKS
    if not isinstance(cause, OSError | asyncio.TimeoutError | TimeoutError) and not is_of_network:
        return None
    again = "check that it can be reached, and run the same command again"
    number, words = errno.EIO, f"its server failed ({str(cause) or name}); {again}"
    if "Credential" in name or status == 401:
        number, words = errno.EACCES, "no valid credentials; set them as its own tools expect"
        words += ", such as AWS_PROFILE"
    elif isinstance(cause, PermissionError) or status == 403:
        number, words = errno.EACCES, f"access is denied ({cause}); check the permissions of its key"
    elif isinstance(cause, FileNotFoundError) or status in {404, 410} or "NoSuchBucket" in str(cause):
        number, words = errno.ENOENT, "no such file or bucket; check the address"
    elif "Timeout" in name:
        words = f"no answer in {_STALL_S:.0f} s; {again}"
    return PlaceError(number, words, uri)


def listed(uri: str, how: str) -> list[str]:
    """Addresses in a folder or of a glob (``ls``, ``find``, ``glob``); information on files is cached."""
    fs, name = _opened(uri)
    found = _asked(uri, lambda: getattr(fs, how)(name, detail=True, **_patience(fs)))
    names = []
    for info in found.values() if isinstance(found, dict) else found:
        names.append(fs.unstrip_protocol(info["name"]))
        if info.get("size") is not None and info.get("type") == "file":
            _INFO[_plain(names[-1])] = info
    return names


def forget_info(uri: str) -> None:
    """Forget cached information."""
    _INFO.pop(uri, None)


def _plain(uri: str) -> str:
    scheme, _, rest = uri.partition(":")
    return f"{scheme}://{rest.lstrip('/')}"
