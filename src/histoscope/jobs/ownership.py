"""Which files among the results are ours: those that a journal says we wrote, as we wrote them."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from histoscope.errors import ConfigError


def digest_of(path: str | Path) -> str:
    """What a file holds, in 32 digits: some 1 GB a second.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a"
    >>> path.write_bytes(b"abc")
    3
    >>> digest_of(path)
    'cf4ab791c62b8d2b2109c90275287816'
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


ABSENT = ""
"""What a file holds that was not needed, and is not there."""


@dataclass(slots=True)
class Owned:
    """Files of ours in a folder.

    Parameters
    ----------
    out : Path
        The folder.
    files : dict
        Path below it -> what it holds; None if a call was killed while it wrote it.
    """

    out: Path
    files: dict[str, str | None]

    def may_replace(self, file: str) -> bool:
        """Whether nothing of the user's is lost if this file is written."""
        path = self.out / file
        if not os.path.lexists(path):
            return True
        if file not in self.files or path.is_symlink() or not path.is_file():
            return False
        return self.files[file] in {None, digest_of(path)}

    def holds(self, file: str) -> bool:
        """Whether we wrote this file, and it is there, maybe changed."""
        return self.files.get(file, ABSENT) != ABSENT and (self.out / file).is_file()

    def drop(self, files: Iterable[str]) -> dict[str, str | None]:
        """Take away files that are as we wrote them, and own no longer those that are not."""
        found: dict[str, str | None] = dict.fromkeys(files, ABSENT)
        for file in found:
            if self.may_replace(file):
                (self.out / file).unlink()
        self.files |= found
        return found

    def require(self, files: Iterable[str]) -> None:
        """Raise if one of these files is there and not as we wrote it.

        Raises
        ------
        ConfigError
            With the name of the file.
        """
        for file in files:
            if not self.may_replace(file):
                is_known = self.files.get(file, ABSENT) != ABSENT
                why = "was changed since it was written" if is_known else "was not written by Histoscope"
                path = self.out / file
                raise ConfigError(
                    f"{path} {why}, and would be overwritten; move it away, or choose another folder"
                )

    def seal(self, files: Iterable[str]) -> dict[str, str | None]:
        """Note what these files hold now; `ABSENT` where they are not, so what comes later is the user's."""
        found: dict[str, str | None] = {
            file: digest_of(self.out / file) if (self.out / file).is_file() else ABSENT for file in files
        }
        self.files |= found
        return found
