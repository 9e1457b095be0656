"""Remote paths, in addition to local ones."""

import calendar
import errno
import io
import os
import re
import stat
import zlib
from collections.abc import Generator, Iterable, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histoscope.errors import ConfigError
from histoscope.places.asking import PlaceError, forget_info, info_of, library, listed

if TYPE_CHECKING:
    from pathlib import PosixPath as _Base
else:
    _Base = type(Path())

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):/+(.*)", re.DOTALL)  # two letters at least: C:/ is a disk


def place(path: str | Path) -> Path:
    """The path of a file, local or remote.

    Parameters
    ----------
    path : str or Path
        ``s3://bucket/key`` and anything else that fsspec knows is remote, even if a `Path` reduced two
        slashes to one; ``file:///x`` is ``/x``.

    Raises
    ------
    ConfigError
        If fsspec does not know such a kind of place.
    MissingDependencyError
        If it is not installed.

    Examples
    --------
    >>> place("slides/a.svs").suffix, place("s3://bucket/slides/a.svs").name
    ('.svs', 'a.svs')
    >>> str(place(Path("s3://bucket/slides") / "a.svs"))
    's3://bucket/slides/a.svs'
    """
    if isinstance(path, RemotePath):
        return path
    found = _SCHEME.fullmatch(path if isinstance(path, str) else path.as_posix())
    if found is None:
        return Path(path)
    scheme, rest = found[1].lower(), found[2]
    if scheme == "file":
        return Path(f"/{rest}")
    if scheme not in library().available_protocols():
        raise ConfigError(
            f"{path}: {scheme}:// is not a kind of place that fsspec knows; use for example s3, gs or https"
        )
    return RemotePath(f"{scheme}:/{rest}")


def is_remote(path: str | Path) -> bool:
    """Whether a path is remote, not on a disk.

    Examples
    --------
    >>> is_remote("s3://bucket/a.svs"), is_remote(Path("a.svs"))
    (True, False)
    """
    return isinstance(place(path), RemotePath)


class RemotePath(_Base):
    """A remote path. The reading methods of `Path` work; nothing can be changed through it.

    In its `stat`, the date is the server's; the nanoseconds are derived from the ETag, so that two versions
    of a file differ even if they were uploaded in the same second.
    """

    def __str__(self) -> str:
        scheme, *rest = self.parts or (".",)
        return f"{scheme}//{'/'.join(rest)}" if scheme.endswith(":") else super().__str__()

    def as_posix(self) -> str:
        """The address."""
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return place, (str(self),)

    def resolve(self, strict: bool = False) -> "RemotePath":  # noqa: FBT001, FBT002
        """The path itself."""
        return self

    def absolute(self) -> "RemotePath":
        """The path itself."""
        return self

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Size and date, as first asked since `forget`.

        Raises
        ------
        PlaceError
            If it does not exist, may not be read, or cannot be reached.
        """
        info = info_of(str(self))
        tag = zlib.crc32(str(info.get("ETag") or info.get("etag") or "").encode()) % 10**9
        date_s, size = _date_s(info) or tag, int(info.get("size") or 0)
        mode = stat.S_IFDIR if info["type"] == "directory" else stat.S_IFREG
        values = (mode | 0o444, 0, 0, 1, 0, 0, size, date_s, date_s, date_s)
        return os.stat_result(values, {"st_mtime_ns": date_s * 10**9 + tag})

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it exists."""
        try:
            self.stat()
        except PlaceError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a file."""
        return self.exists() and stat.S_ISREG(self.stat().st_mode)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder."""
        return self.exists() and stat.S_ISDIR(self.stat().st_mode)

    def is_symlink(self) -> bool:
        """False."""
        return False

    def iterdir(self) -> Generator["RemotePath", None, None]:
        """Content of a folder."""
        yield from (RemotePath(place(name)) for name in listed(str(self), "ls"))

    def open(self, mode: str = "r", *_: Any, encoding: str | None = None, **__: Any) -> Any:
        """Open it for reading; ranges are read on demand."""
        if set(mode) & set("wax+"):
            raise ConfigError(f"{self} is read-only; write to a disk")
        from histoscope.places.ranges import RemoteFile

        raw = io.BufferedReader(RemoteFile(self))
        return raw if "b" in mode else io.TextIOWrapper(raw, encoding=encoding or "utf-8")


def forget(path: Path) -> Path:
    """The path, without cached information; local paths have none."""
    if isinstance(path, RemotePath):
        from histoscope.places.ranges import KEPT

        forget_info(str(path))
        KEPT.drop(str(path))
    return path


def without_folders(text: str, paths: Iterable[Path]) -> str:
    """A message about files without their folders, so that it is the same wherever they are.

    Examples
    --------
    >>> without_folders("s3://bucket/a.svs is empty", [place("s3://bucket/a.svs")])
    'a.svs is empty'
    """
    for folder in {path.parent for path in paths}:
        text = text.replace(f"{folder}{'/' if isinstance(folder, RemotePath) else os.sep}", "")
    return text


def found_below(source: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files with some suffixes in a remote folder, recursively, or of a glob; by one listing."""
    how = "glob" if re.search(r"[*?\[]", str(source)) else "find"
    paths = [place(name) for name in listed(str(source), how)]
    return sorted(path for path in paths if path.suffix.lower() in suffixes and path.name[0] != ".")


def _date_s(info: dict[str, Any]) -> int:
    """When a file was changed, in seconds; 0 if its server does not tell."""
    for key in ("LastModified", "last_modified", "mtime", "updated", "Last-Modified", "modified", "created"):
        value: Any = info.get(key)
        try:
            if isinstance(value, str):
                value = parsedate_to_datetime(value) if key == "Last-Modified" else _of_iso(value)
            if value is not None:
                is_number = isinstance(value, int | float)
                return int(value) if is_number else calendar.timegm(value.utctimetuple())
        except (ValueError, TypeError):
            continue
    return 0


def _of_iso(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text)
