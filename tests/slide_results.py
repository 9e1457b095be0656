"""What workers leave in a folder of slides, to compare with what one process leaves."""

from pathlib import Path


def contents(out: Path) -> dict[str, bytes]:
    """All files but times, the ledger, and what a killed or frozen process was just writing."""
    files = {path.relative_to(out): path for path in out.rglob("*") if path.is_file()}
    return {
        str(name): path.read_bytes()
        for name, path in files.items()
        if name.name != "timings.csv" and not any(each[0] == "." for each in name.parts)
    }
