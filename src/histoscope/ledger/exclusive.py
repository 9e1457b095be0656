"""A file that is made by one of several, on network disks too."""

import errno
import os
from contextlib import suppress
from pathlib import Path

_NO_LINKS = {
    getattr(errno, name, -1) for name in ("EPERM", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EMLINK", "EINVAL")
}


def give_name(source: Path, path: Path) -> bool:
    """Give a file a further name, if nothing has that name; whether it was given.

    ``link`` is one step of the file server, on NFS of every version: of several callers one wins, and the
    file is there at once with all that is in it. If the answer of the server is lost on the way, the client
    asks again and is told that the name is taken, by itself; so it is compared with the source. Disks without
    links (exFAT, some shares of Windows) get a copy by ``O_EXCL``, which is one step since version 3 of NFS;
    what is in it follows a moment later.

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
    """Let a network disk ask its server anew for the names of a folder; others need nothing.

    NFS keeps names that were there, and names that were not, for up to a minute; opening the folder makes it
    compare the folder's date with the server's.
    """
    with suppress(OSError):
        os.close(os.open(folder, os.O_RDONLY))


def names_in(folder: Path) -> list[str]:
    """Names in a folder; none where there is none. Files that begin with a dot are being written."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.name[0] != "."]
    except FileNotFoundError:
        return []
