"""One slide of many: its row in any case; a bad slide does not stop the others."""

import errno
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histoscope.errors import ConfigError, DataError, HistoscopeError
from histoscope.export.cells_measure import plain
from histoscope.files import write_text
from histoscope.jobs.executor import leave_if_asked
from histoscope.jobs.failures import message_of
from histoscope.jobs.journal import Job
from histoscope.ledger import Claim, LostError, Row
from histoscope.ledger.ledger import MOST_LOST
from histoscope.places import forget, is_remote, place, put, without_folders
from histoscope.predict.slides import roi
from histoscope.predict.slides.finish import TISSUE, write_slide
from histoscope.predict.slides.planning import ROW, anew_of
from histoscope.predict.slides.run import OnPart, check_resolution, plan_of, predict_slide
from histoscope.predict.slides.stages import Stages
from histoscope.predict.slides.store import Store
from histoscope.predict.slides.work import Work
from histoscope.slides import Slide, open_slide
from histoscope.slides.hashing import quick_hash
from histoscope.slides.opening import is_copied
from histoscope.slides.staging import Stage

if TYPE_CHECKING:
    from histoscope.predict.slides.batch import SlideSettings

_TRIES, _PAUSE_S = 3, 2.0
_AHEAD = 2
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(eq=False)
class OneSlide:
    """A worker's processing of a slide.

    Parameters
    ----------
    work : Work
    out : Path
        Folder of the results.
    settings : SlideSettings
    on_part : callable, optional
    """

    work: Work
    out: Path
    settings: "SlideSettings"
    on_part: OnPart | None = None
    _stages: Stages = field(default_factory=Stages, init=False)
    _files: set[Path] = field(default_factory=set, init=False)

    def __call__(self, claim: Claim) -> Row:
        """Its row, or why there is none; disk errors are retried.

        Raises
        ------
        LostError
            If another worker has taken over the slide.
        OSError
            If the disk of the results is full or no longer writable.
        """
        job, self._stages = Job(place(claim.task.what), claim.task.name), Stages()
        self._files = {job.image}
        if claim.lost >= MOST_LOST:
            text = f"{job.image}: its worker was lost {claim.lost} times, perhaps because memory ran out"
            return self._failed(claim, f"{text}; --retry-failed tries again", stage="worker")
        for attempt in range(_TRIES):
            try:
                self._stages.enter("open")
                self._prepare(claim)
                stage = self._stage if is_remote(job.image) else None
                with open_slide(job.image, self.settings.reader, self.settings.mpp, stage=stage) as slide:
                    self._files.update(slide.reader.files)
                    row, is_new = self._done(slide, claim)
            except LostError:
                raise
            except Exception as error:  # noqa: BLE001  (no slide may end the batch)
                claim.check()  # changes by the worker that took over are not errors of this slide
                text = message_of(job, error)
                self._refuse(error)
                is_of_disk = isinstance(error, OSError) and not isinstance(error, HistoscopeError)
                if not is_of_disk or attempt == _TRIES - 1:
                    return self._failed(claim, text, stage=self._stages.now, may_pass=is_of_disk)
                time.sleep(_PAUSE_S * 2**attempt)
            else:
                about = {"is_new": is_new, "mm2": row["tissue_mm2"], **self._about(claim)}
                return Row(row, about=about)
        raise AssertionError("unreachable")

    def _done(self, slide: Slide, claim: Claim) -> tuple[dict[str, Any], bool]:
        """The row of a slide, and whether there was anything to do."""
        folder, settings, dates = self.out / claim.task.name, self.settings, _dates(slide)
        check_resolution(slide, self.work.mpp)  # before a folder is created
        plan = plan_of(slide, self.work, part_px=settings.part_px)
        annotations = [] if settings.roi is None else roi.files_of(slide.path, settings.roi)
        if any(one.resolve() == (folder / TISSUE).resolve() for one in annotations):
            raise ConfigError(f"--roi {folder / TISSUE} would be overwritten by this run; give a copy of it")
        if annotations:
            plan["roi"] = f"{roi.digest_of(annotations)}, origin {settings.origin}"
        else:
            plan["least_focus"] = settings.least_focus
        anew = anew_of(self.out, claim.task)
        with Store.hold(folder, plan, self.work.table, overwrite=anew.is_file(), check=claim.check) as store:
            anew.unlink(missing_ok=True)
            written = {"kinds": list(settings.kinds), "origin": settings.origin}
            before = _row_of(store, written)
            if before is not None:
                self._put(claim)
                return before, False
            region = roi.region_of(slide, annotations, origin=settings.origin) if annotations else None
            self._stages.enter("parts")
            found = predict_slide(
                slide,
                self.work,
                store,
                part_px=settings.part_px,
                region=region,
                least_focus=settings.least_focus,
                devices=settings.devices,
                on_part=lambda done, of, rows: self._part_done(claim, done, of, rows),
            )
            before = slide.quick_hash
            for path in slide.reader.files:
                forget(path)
            if dates != _dates(slide) or quick_hash(slide.reader.files) != before:
                raise DataError(
                    f"{slide.path} was changed while it was read; run again with --overwrite when it is "
                    "complete"
                )
            self._stages.enter("files")
            row = plain(write_slide(slide, found, kinds=settings.kinds, origin=settings.origin))
            row["error"] = ""
            claim.check()
            write_text(folder / ROW, json.dumps({**written, "row": row}, indent=2, allow_nan=False) + "\n")
            self._put(claim)
            return row, True

    @cached_property
    def _stage(self) -> Stage:
        folder, limit_bytes = self.settings.stage, self.settings.stage_limit_bytes
        return Stage.temporary(limit_bytes) if folder is None else Stage(folder, limit_bytes)

    def _prepare(self, claim: Claim) -> None:
        """Stage the next slides in advance, and claim them before others."""
        if not is_remote(claim.task.what):
            return
        coming = {task.name: place(task.what) for task in claim.ledger.coming(_AHEAD)}
        coming = {name: path for name, path in coming.items() if is_copied(path, self.settings.reader)}
        if coming or "_stage" in vars(self):
            self._stage.prepare(coming.values())
        claim.ledger.liked = frozenset(coming)

    def _put(self, claim: Claim) -> None:
        """Upload the files to a remote destination, if any; the row last."""
        if self.settings.put_to is None:
            return
        self._stages.enter("put")
        folder, to = self.out / claim.task.name, self.settings.put_to / claim.task.name
        for path in sorted(folder.iterdir(), key=lambda path: path.name == ROW):
            if path.is_file() and path.name[0] != ".":
                put(path, to / path.name)

    def _part_done(self, claim: Claim, done: int, of: int, rows: int) -> None:
        claim.progressed()
        claim.say({"parts": done, "of": of, "rows": rows})
        if self.on_part is not None:
            self.on_part(done, of, rows)
        leave_if_asked()

    def _about(self, claim: Claim) -> dict[str, Any]:
        """Time taken, and the machine."""
        return {"host": claim.ledger.worker.host, **self._stages.seconds()}

    def _failed(self, claim: Claim, text: str, *, stage: str, may_pass: bool = False) -> Row:
        text = without_folders(text, self._files)  # the row is the same wherever the slide is
        row = {"slide": Path(claim.task.what).name, "stage": stage, "error": text}
        return Row(row, text, may_pass, self._about(claim))

    def _refuse(self, error: Exception) -> None:
        """Raise errors that every other slide would meet, too: results or copies cannot be written."""
        name = str(getattr(error, "filename", None) or "")
        outs = (self.out, self.out.resolve(), self.settings.put_to, self.settings.stage)
        is_below = name.startswith(tuple(str(each) for each in outs if each is not None))
        if isinstance(error, OSError) and error.errno in _REFUSED and is_below:
            raise error


def _dates(slide: Slide) -> list[int]:
    return [path.stat().st_mtime_ns for path in slide.reader.files]


def _row_of(store: Store, written: Mapping[str, Any]) -> dict[str, Any] | None:
    """Row of a slide that is finished with these outputs, otherwise None."""
    path = store.folder / ROW
    if not path.is_file() or not (store.folder / store.table).is_file():
        return None
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    row: dict[str, Any] = known.pop("row", {})
    return row if known == written else None
