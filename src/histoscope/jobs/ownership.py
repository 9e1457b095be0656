"""Ownership of output files: only files that Histoscope wrote, unchanged, are overwritten."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from histoscope.errors import ConfigError


def digest_of(path: str | Path) -> str:
    """Digest of a file's content, 32 digits.

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
"""Digest of a file that does not exist."""


@dataclass(slots=True)
class Owned:
    """Files that Histoscope wrote into a folder.

    Parameters
    ----------
    out : Path
        The folder.
    files : dict
        Path below it -> digest of its content; None if a call was killed while writing it.
    """

    out: Path
    files: dict[str, str | None]

    def may_replace(self, file: str) -> bool:
        """Whether a file may be overwritten: it does not exist, or is unchanged since Histoscope wrote it."""
        path = self.out / file
        if not os.path.lexists(path):
            return True
        if file not in self.files or path.is_symlink() or not path.is_file():
            return False
        return self.files[file] in {None, digest_of(path)}

    def holds(self, file: str) -> bool:
        """Whether Histoscope wrote this file and it exists, changed or not."""
        return self.files.get(file, ABSENT) != ABSENT and (self.out / file).is_file()

    def drop(self, files: Iterable[str]) -> dict[str, str | None]:
        """Delete unchanged files, and disown changed ones."""
        found: dict[str, str | None] = dict.fromkeys(files, ABSENT)
        for file in found:
            if self.may_replace(file):
                (self.out / file).unlink()
        self.files |= found
        return found

    def require(self, files: Iterable[str]) -> None:
        """Refuse files that exist and may not be overwritten.

        Raises
        ------
        ConfigError
            With the name of the file.
        """
        for file in files:
            if not self.may_replace(file):
                is_known = self.files.get(file, ABSENT) != ABSENT
                why = "has been changed since it was written" if is_known else "was not written by Histoscope"
                path = self.out / file
                raise ConfigError(
                    f"{path} {why}, and would be overwritten; move it away, or choose another folder"
                )

    def seal(self, files: Iterable[str]) -> dict[str, str | None]:
        """Record the digests of these files; `ABSENT` for those that do not exist."""
        found: dict[str, str | None] = {
            file: digest_of(self.out / file) if (self.out / file).is_file() else ABSENT for file in files
        }
        self.files |= found
        return found
