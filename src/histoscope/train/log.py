"""The log of a run: one JSON object per line, and TensorBoard events beside it."""

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class RunLog:
    """Append-only log of a training run.

    Parameters
    ----------
    folder : Path
        Run folder; ``log.jsonl`` and ``tensorboard/`` go there.
    step : int
        Step that the run continues from; later lines of an earlier, killed attempt are dropped.
    tensorboard : bool
        Write TensorBoard events.
    seconds : float
        Training time spent by earlier attempts.
    """

    def __init__(
        self, folder: Path, *, step: int = 0, tensorboard: bool = True, seconds: float = 0.0
    ) -> None:
        self._path = folder / "log.jsonl"
        kept = [line for line in read(folder) if step and line.get("step", 0) <= step]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("w", encoding="utf-8")
        for line in kept:
            self._file.write(json.dumps(line) + "\n")
        self._began = time.perf_counter() - seconds
        self._writer: Any = None
        if tensorboard:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    @property
    def seconds(self) -> float:
        """Time spent, earlier attempts counted in."""
        return time.perf_counter() - self._began

    def write(self, step: int, values: dict[str, float], *, part: str = "") -> None:
        """Log `values` at `step`; those of a `part` ("val") go under its name."""
        clean = {name: round(float(value), 6) for name, value in values.items()}
        line: dict[str, Any] = {"step": step, "seconds": round(self.seconds, 2)}
        line |= {part: clean} if part else clean
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._writer is not None:
            for name, value in clean.items():
                self._writer.add_scalar(f"{part or 'train'}/{name}", value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._writer is not None:
            self._writer.close()


def read(folder: Path) -> list[dict[str, Any]]:
    """Lines of a run's log; a last line cut off by a crash is left out."""
    path = folder / "log.jsonl"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    lines: list[dict[str, Any]] = []
    for line in text.splitlines():
        try:
            lines.append(dict(json.loads(line)))
        except (TypeError, ValueError):
            break
    return lines
