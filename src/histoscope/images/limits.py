"""Limits of image sizes, checked before a pixel is decoded: damaged files, decompression bombs, memory."""

import os
from contextlib import suppress
from pathlib import Path

from histoscope.errors import CorruptDataError

DEFLATE, LZW, JPEG, PACKBITS, BMP = 1100, 3000, 2500, 130, 400
"""Generous upper bounds on the compression ratio of each format."""

_UNKNOWN_MEMORY = 2**34


def check_stored(path: Path, size: tuple[int, int], decoded: float, stored: float, most: float) -> None:
    """Raise if a file has too few bytes (`stored`) for the pixels (`decoded` bytes) that its header claims.

    One stored byte becomes at most `most` bytes; `size` is height and width.

    Examples
    --------
    >>> check_stored(Path("a.png"), (2**31 - 1, 256), 2**39, 200_000, DEFLATE)
    Traceback (most recent call last):
    ...
    histoscope.errors.CorruptDataError: a.png cannot be decoded as an image (its header says 256 x 2147483647
    pixels, which its 200000 bytes cannot hold); replace or remove it
    """
    if min(size) < 1 or decoded > most * stored + 4096:
        said = f"its header says {size[1]} x {size[0]} pixels"
        raise damaged(path, f"{said}, which its {stored:.0f} bytes cannot hold")


def check_memory(path: Path, size: tuple[int, int], pixel_bytes: float) -> None:
    """Raise if this machine cannot hold an image of that height and width, and its copy as RGB.

    Raises
    ------
    CorruptDataError
    """
    needed, free = (2 * pixel_bytes + 3) * size[0] * size[1], free_memory()
    if needed > free:
        said = (
            f"{size[1]} x {size[0]} pixels need {needed / 1e9:.1f} GB of memory, but only "
            f"{free / 1e9:.1f} GB are free"
        )
        raise too_large(path, said)


def damaged(path: Path, why: object) -> CorruptDataError:
    """Error for a file that cannot be decoded."""
    return CorruptDataError(f"{path} cannot be decoded as an image ({why}); replace or remove it")


def too_large(path: Path, why: str) -> CorruptDataError:
    """Error for a file that does not fit in this machine's memory."""
    return CorruptDataError(
        f"{path} is too large to read at once ({why}); cut it into tiles, or export the region: whole "
        "slide images of this size cannot be read yet"
    )


def free_memory() -> int:
    """Bytes of memory that this process may still use, as far as the system tells."""
    limits = [_UNKNOWN_MEMORY]
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        limits = [1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])]
    if len(limits) == 1 and limits[0] == _UNKNOWN_MEMORY:
        with suppress(AttributeError, OSError, ValueError):
            limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for limit in _of_groups():
        with suppress(OSError, ValueError):  # "max" is not a number
            limits.append(int(limit.read_text(encoding="ascii")))
    with suppress(ImportError, OSError, ValueError):
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        limits += [soft] if soft != resource.RLIM_INFINITY else []
    return min(limits)


def _of_groups() -> list[Path]:
    """Files with the limits of the container or batch job that this process runs in."""
    top = Path("/sys/fs/cgroup")
    files = [top / "memory.max", top / "memory" / "memory.limit_in_bytes"]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            group = line.split(":", 2)[-1].strip("/")
            files += [top / group / "memory.max", top / "memory" / group / "memory.limit_in_bytes"]
    return files
