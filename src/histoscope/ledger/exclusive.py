"""Exclusive creation of a file by one of several processes, on network disks too."""

import errno
import os
from contextlib import suppress
from pathlib import Path

_NO_LINKS = {
    getattr(errno, name, -1) for name in ("EPERM", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EMLINK", "EINVAL")
}


def give_name(source: Path, path: Path) -> bool:
    """Give a file an additional name if it is free; returns whether it was given.

    ``link`` is atomic on the file server, in every version of NFS: one of several callers wins, and the file
    appears at once with its content. If the server's answer is lost, the client asks again and is told that
    the name is taken, by itself; so it is compared with the source. Disks without links (exFAT, some Windows
    shares) get a copy with ``O_EXCL``, which is atomic since NFS version 3; its content follows a moment
    later.

    Parameters
    ----------
    source, path : Path
        In the same file system.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "mine").write_text("mine"), (folder / "yours").write_text("yours")
    >>> give_name(folder / "mine", folder / "taken"), give_name(folder / "yours", folder / "taken")
    (True, False)
    >>> (folder / "taken").read_text()
    'mine'
    """
    try:
        os.link(source, path)
    except FileExistsError:
        with suppress(FileNotFoundError):
            return os.path.samestat(source.stat(), path.stat())
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _copied(source, path)
    return True


def _copied(source: Path, path: Path) -> bool:
    try:
        with path.open("xb") as file:
            file.write(source.read_bytes())
    except FileExistsError:
        return False
    return True


def seen_now(folder: Path) -> None:
    """Make a network disk ask its server again for the names in a folder; other disks do not need this.

    NFS caches existing and missing names for up to a minute; opening the folder makes it compare the folder's
    date with the server's.
    """
    with suppress(OSError):
        os.close(os.open(folder, os.O_RDONLY))


def names_in(folder: Path) -> list[str]:
    """Names in a folder; empty if there is no folder. Files that begin with a dot are being written."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.name[0] != "."]
    except FileNotFoundError:
        return []
