"""Many slides by many workers: the same bytes whoever does them, and nothing lost whatever happens."""

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import histoscope as hs
from histoscope.errors import ConfigError
from histoscope.files import write_image
from histoscope.jobs.executor import Here
from histoscope.jobs.journal import Job
from histoscope.jobs.naming import TIMINGS
from histoscope.ledger import Ledger, LostError, Row, Task
from histoscope.predict import batch as image_batch
from histoscope.predict.slides import one, planning
from histoscope.predict.slides.batch import Cohort, SlideSettings, as_work, run
from histoscope.predict.slides.one import OneSlide
from histoscope.predict.slides.store import Store
from histoscope.tables import read_table

SMALL = SlideSettings(kinds=("geojson",), part_px=64)


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Give two folders of small slides, with a name that both have, and a broken one."""
    folder = tmp_path_factory.mktemp("cohort")
    for k, name in enumerate(("a/one", "a/two", "b/one", "b/three")):
        image = np.full((150, 150 + 10 * k, 3), 244, np.uint8)
        image[20:130, 20:130] = hs.synth.generate((110, 110), mpp=0.5, rng=k).image
        (folder / name).parent.mkdir(exist_ok=True)
        write_image(folder / f"{name}.tif", image, mpp=0.5)
    (folder / "b" / "broken.svs").write_bytes(b"no slide")
    return folder


def jobs_of(slides, out):
    return image_batch.plan([slides / "a", slides / "b"], out, slides=True)


def contents(out):
    """Bytes of all files but the ledger's, and of how long it took."""
    files = (path for path in out.rglob("*") if path.is_file() and planning.LEDGER not in path.parts)
    return {str(path.relative_to(out)): path.read_bytes() for path in files if path.name != TIMINGS}


@pytest.fixture(scope="module")
def undisturbed(slides, regions, tmp_path_factory):
    """Give the files that one worker leaves."""
    out = tmp_path_factory.mktemp("undisturbed")
    outcome = run(regions, jobs_of(slides, out), out, SMALL)
    assert (len(outcome.done), len(outcome.failed), outcome.skipped) == (4, 1, 0)
    return contents(out)


def test_slides_of_one_name_in_two_folders_are_told_apart(undisturbed):
    assert {name.rpartition("/")[0] for name in undisturbed} == {"", "a/one", "a/two", "b/one", "b/three"}


def test_a_bad_slide_is_a_row_with_stage_and_reason(undisturbed, tmp_path):
    (tmp_path / "summary.csv").write_bytes(undisturbed["summary.csv"])
    table = read_table(tmp_path / "summary.csv").set_index("image")
    assert table.stage["b/broken"] == "open"
    assert "broken.svs" in table.error["b/broken"]
    assert not table.error.drop("b/broken").fillna("").any()


def test_two_starters_at_once_agree_and_leave_the_same_bytes(slides, regions, undisturbed, tmp_path):
    def start(_):
        return run(regions, jobs_of(slides, tmp_path), tmp_path, SMALL)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(start, range(2))
    assert first.done == second.done
    assert [one["path"] for one in first.failed] == [str(slides / "b" / "broken.svs")]
    assert contents(tmp_path) == undisturbed
    assert not list((tmp_path / planning.LEDGER / "claims").iterdir())


def test_a_worker_that_wakes_late_harms_nothing(slides, regions, undisturbed, tmp_path, monkeypatch):
    """It is taken over in the middle of a part, writes it when all is done, and notices."""
    work = as_work(regions)
    cohort = Cohort.plan(work, jobs_of(slides, tmp_path), tmp_path, SMALL)
    write, late = Store.write, []

    def frozen_then_late(self, part, rows, problems=()):
        if not late and os.fspath(self.folder).endswith("one"):
            late.append(self)
            mine = self.check.__self__
            with Ledger.open(mine.ledger.folder) as other:  # another takes it over, and does all
                other._bury(mine.task.key, mine.ledger.worker.id)
                claim = other._first([mine.task], set())
                claim.finish(OneSlide(work, tmp_path, SMALL)(claim))
        return write(self, part, rows, problems)

    monkeypatch.setattr(Store, "write", frozen_then_late)
    cohort.do(Here(), lambda *_: OneSlide(work, tmp_path, SMALL))
    assert late
    assert contents(tmp_path) == undisturbed


def test_a_part_that_comes_too_late_is_taken_away(tmp_path):
    import pyarrow as pa

    lost = []

    def check():
        if len(lost) == 1:
            raise LostError("taken over")
        lost.append(1)

    (tmp_path / "cells.parquet").write_bytes(b"joined by the one that took it over")
    with pytest.raises(LostError):
        Store(tmp_path, check=check).write("0000_0000", pa.table({"a": [1]}))
    assert [path.name for path in tmp_path.iterdir()] == ["cells.parquet"]


def test_a_model_that_changed_between_nights_is_refused_and_nothing_is_lost(
    slides, regions, undisturbed, tmp_path
):
    jobs = jobs_of(slides, tmp_path)
    run(regions, jobs, tmp_path, SMALL)
    other = replace(regions, fingerprint="another")
    with pytest.raises(ConfigError, match=r"results of another plan.*model: 'dark' there, 'another' now"):
        run(other, jobs, tmp_path, SMALL)
    with pytest.raises(ConfigError, match=r"least_focus: 0\.2 there, 0\.5 now"):
        run(regions, jobs, tmp_path, replace(SMALL, least_focus=0.5))
    assert contents(tmp_path) == undisturbed
    assert not run(other, jobs[:1], tmp_path, SMALL, overwrite=True).failed


def test_what_failed_is_tried_again_when_asked(slides, regions, tmp_path, monkeypatch):
    monkeypatch.setattr(one, "_PAUSE_S", 0.0)
    jobs, tried = jobs_of(slides, tmp_path), []
    opened = one.open_slide

    def opening(path, *arguments, **more):
        tried.append(path.name)
        if path.name == "two.tif" and len(tried) < 40:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return opened(path, *arguments, **more)

    monkeypatch.setattr(one, "open_slide", opening)
    assert len(run(regions, jobs, tmp_path, SMALL).failed) == 2
    assert (tried.count("two.tif"), tried.count("broken.svs")) == (
        3,
        1,
    )  # only errors of disks are tried again
    tried[:] = [""] * 40
    outcome = run(regions, jobs, tmp_path, SMALL)
    assert tried[40:] == ["two.tif"]  # what may pass is tried by the next call
    assert (len(outcome.failed), outcome.failed_before, outcome.skipped) == (1, 1, 3)
    outcome = run(regions, jobs, tmp_path, SMALL, retry_failed=True)
    assert tried[41:] == ["broken.svs"]
    assert outcome.failed_before == 0


def test_a_slide_that_was_replaced_is_seen_by_the_next_call(slides, regions, tmp_path):
    shutil.copytree(slides / "a", tmp_path / "in")
    jobs = image_batch.plan([tmp_path / "in"], tmp_path / "out", slides=True)
    run(regions, jobs, tmp_path / "out", SMALL)
    shutil.copy(slides / "b" / "three.tif", tmp_path / "in" / "one.tif")
    outcome = run(regions, jobs, tmp_path / "out", SMALL)
    assert "results of another plan (slide:" in outcome.failed[0]["error"]
    assert outcome.skipped == 1


def test_further_slides_join_the_plan_and_keep_names(slides, regions, tmp_path):
    first = image_batch.plan([slides / "a"], tmp_path, slides=True)
    run(regions, first, tmp_path, SMALL)
    both = jobs_of(slides, tmp_path)
    assert [job.name for job in both[:2]] == ["one", "two"]
    outcome = run(regions, both, tmp_path, SMALL)
    assert (outcome.skipped, len(outcome.done)) == (2, 4)
    names = read_table(tmp_path / "summary.csv").image.to_list()
    assert len(set(names)) == 5


def test_two_starters_that_chose_one_name_for_two_slides(slides, regions, tmp_path):
    """Each saw only its own slide when it began."""
    for folder in "ab":
        run(regions, [Job(slides / folder / "one.tif", "one")], tmp_path, SMALL)
    table = read_table(tmp_path / "summary.csv")
    assert len(table) == 2
    assert table.image[0] == "one"
    assert table.image[1].startswith("one-")


def test_results_that_were_removed_are_made_again(slides, regions, undisturbed, tmp_path):
    jobs = jobs_of(slides, tmp_path)
    run(regions, jobs, tmp_path, SMALL)
    shutil.rmtree(tmp_path / "a" / "one")
    outcome = run(regions, jobs, tmp_path, SMALL)
    assert outcome.skipped == 3
    assert contents(tmp_path) == undisturbed


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_is_full_or_may_not_be_written_ends_the_call_and_the_next_goes_on(
    slides, regions, undisturbed, tmp_path, monkeypatch, number
):
    write, times = Store.write, []

    def failing(self, part, *arguments):
        times.append(part)
        if len(times) == 3:
            raise OSError(number, os.strerror(number), str(self.folder / part))
        write(self, part, *arguments)

    monkeypatch.setattr(Store, "write", failing)
    with pytest.raises(OSError, match=os.strerror(number)):
        run(regions, jobs_of(slides, tmp_path), tmp_path, SMALL)
    monkeypatch.undo()
    run(regions, jobs_of(slides, tmp_path), tmp_path, SMALL)
    assert contents(tmp_path) == undisturbed


def test_a_slide_whose_workers_are_lost_is_a_row(slides, regions, tmp_path):
    with Ledger.open(tmp_path / planning.LEDGER) as ledger:
        claim = ledger.draw([Task("a", what=str(slides / "a" / "one.tif"))])
        row = OneSlide(as_work(regions), tmp_path, SMALL)(replace(claim, lost=3))
    assert (row.row["stage"], row.may_pass) == ("worker", False)
    assert "lost 3 times, perhaps because memory ran out" in row.error


def test_overwriting_is_refused_while_others_work(slides, regions, tmp_path):
    jobs = jobs_of(slides, tmp_path)
    run(regions, jobs[:1], tmp_path, SMALL)
    with Ledger.open(tmp_path / planning.LEDGER) as other:
        other.draw([Task("x")])
        with pytest.raises(ConfigError, match=f"is being written by process {os.getpid()} on "):
            run(regions, jobs[:1], tmp_path, SMALL, overwrite=True)
    assert run(regions, jobs[:1], tmp_path, SMALL, overwrite=True).skipped == 0


def test_the_largest_slides_come_first(tmp_path):
    for name, size in (("small.svs", 10), ("large.svs", 1000)):
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "m.mrxs").write_bytes(b"x")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "Data0001.dat").write_bytes(b"x" * 5000)
    jobs = [Job(tmp_path / name, name) for name in ("small.svs", "large.svs", "m.mrxs", "gone.svs")]
    tasks = planning.planned(jobs, tmp_path / "out", {}, {}, {}, {})
    with Ledger.open(tmp_path / "out" / planning.LEDGER) as ledger:
        order = []
        while claim := ledger.draw(tasks):
            order.append(claim.task.name)
            claim.finish(Row({}))
    assert order == ["m.mrxs", "large.svs", "small.svs", "gone.svs"]
