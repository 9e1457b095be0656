"""Runs end to end on tiny images: what is left on disk, and what survives stops, failures and full disks."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from histoscope import data, synth
from histoscope.errors import ConfigError, DataError, FormatVersionError, StainError
from histoscope.files import read_labels
from histoscope.ledger import Task
from histoscope.metrics import METRICS
from histoscope.report.by_class import class_tables
from histoscope.report.effects import class_names, effects, metrics_of
from histoscope.report.results import read_study
from histoscope.report.write import write_report
from histoscope.studies import nuclei, prepare, run_study, runner, task, workers
from histoscope.studies.conditions import restainer
from histoscope.studies.config import StudyConfig
from histoscope.studies.study import STAIN, Condition
from histoscope.train import loop, provenance
from histoscope.types import Record, Sample

STEPS = 4


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Four training and two test images of 64 px, each of a patient of its own."""
    samples = synth.cohort(6, 1, shape_px=(64, 64), mpp=0.5, seed=3)
    records = [
        Record(s.name, s.patient, s.source, "train" if k < 4 else "test", tags={"lab": "AB"[k % 2]})
        for k, s in enumerate(samples)
    ]
    folder = tmp_path_factory.mktemp("images") / "data"
    sheet = data.Datasheet("tiny", mpp=0.5, classes=dict(enumerate(synth.CLASSES, 1)))
    return data.write_folder(folder, samples, sheet, records=records)


@pytest.fixture
def configure(images, tmp_path):
    """Give a function that makes the configuration of a study of two tiny runs."""

    def make(**changes) -> StudyConfig:
        values = {
            "study": "stain",
            "data": {"name": "folder", "root": str(images), "val": 0.25},
            "models": {"unet": {"width": 4, "depth": 2, "mpp": 0.5}},
            "train": {
                "steps": STEPS,
                "batch_size": 1,
                "patch_px": 32,
                "evaluate_every": STEPS,
                "checkpoint_every": 2,
                "accelerator": "cpu",
                "tensorboard": False,
            },
            "augment": "basic",
            "levels": ["none", "macenko"],
            "seeds": [0],
            "conditions": ["test", "shift_faint"],
            "out": str(tmp_path / "study"),
        }
        return StudyConfig.model_validate({**values, **changes})

    return make


@pytest.fixture(scope="session")
def _template(images, tmp_path_factory):
    """A finished study, run once for all tests that only look at one."""
    folder = tmp_path_factory.mktemp("finished") / "study"
    return {"folder": folder, "done": False}


@pytest.fixture
def finished(_template, configure, tmp_path):
    """A finished study of two runs, which the test may change."""
    if not _template["done"]:
        summary = run_study(configure(out=str(_template["folder"])))
        assert summary.done == ("none-unet-seed0", "macenko-unet-seed0")
        assert summary.failed == {}
        _template["done"] = True
    shutil.copytree(_template["folder"], tmp_path / "study")
    return tmp_path / "study"


def interrupt_at(run: str, stage: str, done: int = 0):
    """Something to tell events to that presses Ctrl-C."""

    def tell(event):
        if (event.run, event.stage) == (run, stage) and event.done >= done:
            raise KeyboardInterrupt

    return tell


def forbid_training(monkeypatch):
    def fit(*args, **kwargs):
        raise RuntimeError("trained again")

    monkeypatch.setattr(loop, "fit", fit)


class TestFolder:
    def test_a_run_leaves_what_the_page_on_studies_says(self, finished):
        run = finished / "macenko-unet-seed0"
        about = yaml.safe_load((run / "config.yaml").read_text())
        expected = {"format": 1, "study": "stain", "normalizer": "macenko", "model": "unet", "seed": 0}
        assert expected.items() <= about.items()
        assert about["reference"] in about["images"]["train"]
        assert set(about["images"]["train"]).isdisjoint(about["images"]["val"] + about["images"]["test"])
        environment = json.loads((run / "environment.json").read_text())
        assert environment["seconds"].keys() == {"prepare", "train", "evaluate"}
        assert (run / "log.jsonl").read_text().count("\n") >= 1
        card = json.loads((run / "model" / "card.json").read_text())
        assert card["stain normaliser"] == "macenko"
        assert card["training data"]["name"] == "tiny"
        listed = provenance.read(run)
        for part in ("train", "val"):
            assert set(listed.loc[listed["part"] == part, "name"]) == set(about["images"][part])
        assert set(listed["part"]) == {"train", "val"}

    def test_the_table_has_a_row_for_each_image_and_condition(self, finished):
        table = pd.read_csv(finished / "none-unet-seed0" / "per_image.csv")
        assert list(table.columns[:4]) == ["condition", "name", "patient", "source"]
        assert set(table["condition"]) == {"test", "shift_faint"}
        assert len(table) == 4
        assert {"aji", "dice", "pq", "f1_50"} <= set(table.columns) & set(METRICS)

    def test_predictions_and_truth_lie_on_one_grid(self, finished):
        for truth in (finished / "truth" / "labels").iterdir():
            shapes = {
                read_labels(finished / run / "predictions" / condition / truth.name).shape
                for run in ("none-unet-seed0", "macenko-unet-seed0")
                for condition in ("test", "shift_faint")
            }
            assert shapes == {read_labels(truth).shape}
            assert (finished / "truth" / "images" / f"{truth.stem}.jpg").is_file()

    def test_predictions_are_those_that_were_scored(self, finished):
        table = pd.read_csv(finished / "none-unet-seed0" / "per_image.csv")
        for row in table.itertuples():
            path = finished / "none-unet-seed0" / "predictions" / row.condition / f"{row.name}.png"
            assert np.count_nonzero(np.unique(read_labels(path))) == row.n_pred

    def test_a_report_can_read_it(self, finished):
        study = read_study(finished)
        assert [run.status for run in study.runs] == ["finished", "finished"]
        assert study.primary_condition == "test"


class TestResume:
    def test_a_finished_study_trains_nothing(self, finished, configure, monkeypatch):
        forbid_training(monkeypatch)
        summary = run_study(configure())
        assert summary.kept == ("none-unet-seed0", "macenko-unet-seed0")
        assert summary.done == ()

    def test_a_lost_table_is_made_again_without_training(self, finished, configure, monkeypatch):
        path = finished / "none-unet-seed0" / "per_image.csv"
        before = path.read_text()
        path.unlink()
        forbid_training(monkeypatch)
        assert run_study(configure()).done == ("none-unet-seed0",)
        assert path.read_text() == before

    def test_a_half_trained_run_ends_where_an_unbroken_one_does(self, finished, configure):
        run = finished / "none-unet-seed0"
        unbroken = (run / "per_image.csv").read_text()
        shutil.rmtree(run)
        with pytest.raises(KeyboardInterrupt):
            run_study(configure(), tell=interrupt_at(run.name, "train", done=3))
        assert (run / "checkpoint.safetensors").is_file()
        steps = []
        run_study(
            configure(), tell=lambda event: steps.append(event.done) if event.stage == "train" else None
        )
        assert steps == [3, 4]
        assert (run / "per_image.csv").read_text() == unbroken

    def test_interrupting_keeps_finished_runs(self, configure):
        config = configure()
        with pytest.raises(KeyboardInterrupt):
            run_study(config, tell=interrupt_at("macenko-unet-seed0", "prepare"))
        assert (config.folder / "none-unet-seed0" / "per_image.csv").is_file()
        assert not (config.folder / "macenko-unet-seed0" / "per_image.csv").exists()


class TestFailure:
    def test_one_failing_run_stops_no_other(self, configure, monkeypatch):
        def broken(level, *_, **__):
            raise StainError(f"{level} cannot be fitted")

        monkeypatch.setattr(nuclei.stain, "open", broken)
        config = configure(levels=["macenko", "none"])
        summary = run_study(config)
        assert summary.done == ("none-unet-seed0",)
        assert summary.failed == {"macenko-unet-seed0": "StainError: macenko cannot be fitted"}
        error = (config.folder / "macenko-unet-seed0" / "error.txt").read_text()
        assert "Traceback" in error
        assert error.rstrip().endswith("macenko cannot be fitted")
        monkeypatch.undo()
        assert run_study(config).done == ("macenko-unet-seed0",)
        assert not (config.folder / "macenko-unet-seed0" / "error.txt").exists()

    def test_a_full_disk_stops_all_and_keeps_what_is_finished(self, configure, monkeypatch):
        real, written = nuclei.write_labels, []

        def full(path, labels):
            written.append(path)
            if "macenko" in str(path):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            real(path, labels)

        monkeypatch.setattr(nuclei, "write_labels", full)
        config = configure(levels=["none", "macenko", "reinhard"])
        with pytest.raises(OSError, match="No space left") as caught:
            run_study(config)
        assert caught.value.errno == errno.ENOSPC
        assert (config.folder / "none-unet-seed0" / "per_image.csv").is_file()
        assert not (config.folder / "macenko-unet-seed0" / "error.txt").exists()
        assert not (config.folder / "reinhard-unet-seed0").exists()
        assert len(written) == 2 + 5  # truth, and predictions

    def test_too_small_a_disk_is_refused_before_the_first_step(self, configure, monkeypatch):
        usage = shutil.disk_usage(".")._replace(free=1000)
        monkeypatch.setattr(task.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(ConfigError, match=r"needs about .* GB .* free"):
            run_study(configure())


class TestRefusal:
    @pytest.mark.parametrize(
        ("changes", "key"),
        [
            ({"augment": "none"}, "augment = 'basic', now it is 'none'"),
            ({"conditions": ["test"]}, "conditions"),
            (
                {"models": {"unet": {"width": 8, "depth": 2, "mpp": 0.5}}},
                "models.unet.width = 4, now it is 8",
            ),
        ],
    )
    def test_another_configuration_names_the_key(self, finished, configure, changes, key):
        with pytest.raises(ConfigError) as caught:
            run_study(configure(**changes))
        assert key in str(caught.value)

    def test_other_training_names_the_key(self, finished, configure):
        config = configure()
        with pytest.raises(ConfigError, match=r"train\.steps = 4, now it is 5"):
            run_study(config.model_copy(update={"train": replace(config.train, steps=5)}))

    def test_a_study_may_grow_and_be_run_in_part(self, finished, configure, monkeypatch):
        forbid_training(monkeypatch)
        more = run_study(configure(seeds=[0, 1]))
        assert list(more.failed) == ["none-unet-seed1", "macenko-unet-seed1"]
        assert read_study(finished).settings["seeds"] == [0, 1]
        part = run_study(configure(levels=["none"]))
        assert part.kept == ("none-unet-seed0",)
        assert read_study(finished).settings["levels"] == ["none", "macenko"]

    def test_moved_data_are_the_same_data(self, finished, configure, images, tmp_path):
        shutil.copytree(images, tmp_path / "moved")
        assert len(
            run_study(configure(data={"name": "folder", "root": str(tmp_path / "moved"), "val": 0.25})).kept
        )

    def test_other_data_are_refused(self, finished, configure, images, tmp_path):
        other = shutil.copytree(images, tmp_path / "other")
        index = (other / "index.csv").read_text().replace("p003", "p903", 3)
        (other / "index.csv").write_text(index)
        for path in other.rglob("p003*"):
            path.rename(path.with_name(path.name.replace("p003", "p903")))
        with pytest.raises(ConfigError, match="other images"):
            run_study(configure(data={"name": "folder", "root": str(other), "val": 0.25}))

    def test_another_format_is_refused(self, finished, configure):
        path = finished / "study.yaml"
        path.write_text(path.read_text().replace("format: 1", "format: 99", 1))
        with pytest.raises(FormatVersionError, match="format 99"):
            run_study(configure())

    def test_a_folder_of_something_else_is_left_alone(self, configure, tmp_path):
        (tmp_path / "study").mkdir()
        (tmp_path / "study" / "thesis.txt").write_text("mine")
        with pytest.raises(ConfigError, match="not empty"):
            run_study(configure())
        assert [path.name for path in (tmp_path / "study").iterdir()] == ["thesis.txt"]

    def test_data_without_a_test_part_are_refused(self, configure, images, tmp_path):
        other = shutil.copytree(images, tmp_path / "other")
        (other / "index.csv").write_text((other / "index.csv").read_text().replace("test", "train"))
        with pytest.raises(DataError, match="no test part"):
            run_study(configure(data={"name": "folder", "root": str(other)}))


class TestImages:
    def test_a_condition_comes_before_the_normaliser(self, disks):
        dataset = data.InMemory.of([disks], data.Datasheet("one", mpp=0.25))
        order = []

        def step(name):
            def change(image):
                order.append(name)
                return image

            return change

        assert prepare.recolored(dataset, step("shift"), step("normalise"))[0].instances is disks.instances
        assert order == ["shift", "normalise"]

    def test_shifts_change_colours_and_leave_truth(self, images):
        parts = prepare.open_parts(
            StudyConfig(study="stain", data={"name": "folder", "root": images, "val": 0.25}).data
        )
        for condition in STAIN.conditions[1:]:
            shifted = prepare.recolored(parts.test, restainer(condition))[0]
            assert np.abs(shifted.image.astype(int) - parts.test[0].image).mean() > 5
            assert (shifted.instances == parts.test[0].instances).all()

    def test_an_unshifted_condition_gives_the_image_itself(self, disks):
        assert restainer(Condition("test", ""))(disks.image) is disks.image

    def test_conditions_choose_by_a_column(self, images):
        parts = prepare.open_parts(
            StudyConfig(study="stain", data={"name": "folder", "root": images, "val": 0.25}).data
        )
        chosen = prepare.tested_on(parts.test, Condition("b", "", only=("lab", "B")))
        assert [record.tags["lab"] for record in chosen.records] == ["B"]
        with pytest.raises(DataError, match="lab = C"):
            prepare.tested_on(parts.test, Condition("c", "", only=("lab", "C")))

    def test_the_reference_is_the_one_nearest_to_the_median_colour(self):
        colors = {
            "red": (220, 60, 90),
            "middle": (160, 90, 150),
            "blue": (80, 70, 170),
            "pale": (190, 140, 180),
        }
        samples = [
            Sample(np.full((32, 32, 3), color, np.uint8), 0.25, name=name) for name, color in colors.items()
        ]
        assert prepare.choose_reference(samples).name == "middle"

    def test_sparse_tissue_is_taken_where_there_is_no_other(self):
        sparse = np.full((64, 64, 3), 245, np.uint8)
        sparse[:8, :16] = 120, 60, 140  # 3 % of the area
        full = np.full((64, 64, 3), (190, 120, 170), np.uint8)
        few, many = Sample(sparse, 0.25, name="few"), Sample(full, 0.25, name="many")
        assert prepare.choose_reference([few]).name == "few"
        assert prepare.choose_reference([few, many]).name == "many"

    def test_no_reference_without_tissue(self):
        glass = Sample(np.full((64, 64, 3), 245, np.uint8), 0.25)
        with pytest.raises(StainError, match="tissue"):
            prepare.choose_reference([glass, glass])

    def test_two_images_of_one_name_are_refused(self):
        with pytest.raises(DataError, match="'a'"):
            runner.check_names([Record("a"), Record("b"), Record("a")])

    @pytest.mark.parametrize("name", ["../a", "a/../../b", "/tmp/a", "..\\a"])
    def test_names_that_lead_elsewhere_are_refused(self, name):
        runner.check_names([Record("a..b"), Record("a/b"), Record("A"), Record("a")])
        with pytest.raises(DataError, match="lead outside the folder"):
            runner.check_names([Record("a"), Record(name)])


def working(group):
    """Processes of a group that still work; ended ones that nobody has waited for do not count."""
    table = subprocess.run(
        ["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True
    ).stdout
    return [
        line for line in table.splitlines() if line.split()[0] == str(group) and "Z" not in line.split()[1]
    ]


@pytest.mark.slow
@pytest.mark.timeout(400)
class TestProcesses:
    @pytest.mark.parametrize("times", [1, 3])
    def test_the_run_of_a_killed_process_goes_on_and_after_three_fails_alone(self, configure, times):
        config, killed = configure(), []

        def tell(event):
            if (event.run, event.stage) == ("macenko-unet-seed0", "prepare") and len(killed) < times:
                claim = config.folder / workers.LEDGER / "claims" / Task(event.run).key
                killed.append(json.loads(claim.read_text())["pid"])
                os.kill(killed[-1], signal.SIGKILL)

        summary = run_study(config, jobs=2, tell=tell)
        assert len(set(killed)) == times
        assert "none-unet-seed0" in summary.done
        error = config.folder / "macenko-unet-seed0" / "error.txt"
        if times == 1:
            assert "macenko-unet-seed0" in summary.done
            assert not error.exists()
        else:
            assert "its worker was lost 3 times" in summary.failed["macenko-unet-seed0"]
            assert "its worker was lost 3 times" in error.read_text()

    def test_results_do_not_depend_on_jobs(self, configure, finished):
        config = configure(out=str(finished.parent / "parallel"))
        assert set(run_study(config, jobs=2).done) == {"none-unet-seed0", "macenko-unet-seed0"}
        for name in ("none-unet-seed0", "macenko-unet-seed0"):
            a, b = (pd.read_csv(folder / name / "per_image.csv") for folder in (finished, config.folder))
            pd.testing.assert_frame_equal(a, b, rtol=1e-3, atol=1e-3)

    def test_interrupting_stops_every_process(self, configure, root):
        config = configure()
        config = config.model_copy(update={"train": replace(config.train, steps=10**6, evaluate_every=10**6)})
        path = config.folder.parent / "study.yaml"
        path.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_none=True)))
        # A background job ignores Ctrl-C, and so do its children: take the handler back first.
        heeding = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "from histoscope.cli.main import main; main()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", heeding, "study", "run", str(path), "--jobs", "2"],
            env={**os.environ, "PYTHONPATH": str(root / "src")},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        logs = [config.folder / name / "log.jsonl" for name in ("none-unet-seed0", "macenko-unet-seed0")]
        until = time.monotonic() + 300
        while time.monotonic() < until and not all(log.is_file() and log.stat().st_size for log in logs):
            assert process.poll() is None
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "interrupted" in said
        assert "Traceback" not in said
        until = time.monotonic() + 30
        while time.monotonic() < until and working(process.pid):
            time.sleep(0.2)
        assert not working(process.pid)
        assert not [path for path in Path(config.folder).rglob(".*") if path.is_file()]


def test_a_level_that_trains_alike_takes_the_weights(images, configure):
    config = configure(
        study="stardist",
        models={"stardist": {"width": 4, "depth": 2, "n_rays": 8, "mpp": 0.5, "refine_with_mask": True}},
        levels=["rays32", "turned", "refined"],
        conditions=["test"],
        seeds=[0],
    )
    summary = run_study(config)
    assert not summary.failed
    lender, *others = (config.folder / f"{level}-stardist-seed0" for level in ("rays32", "turned", "refined"))
    for other in others:
        card = json.loads((other / "model" / "card.json").read_text())
        assert card["trained_in"] == lender.name
        assert provenance.read(other).equals(provenance.read(lender))
        weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (lender, other)]
        assert weights[0] == weights[1]
    assert json.loads((others[1] / "model" / "card.json").read_text())["arguments"]["refine"] is True
    written = config.folder / "study.yaml"
    older = written.read_text().replace("refine_with_mask:", "settle:")
    assert older != written.read_text()
    written.write_text(older)  # as 0.1 wrote it
    assert len(run_study(config).kept) == 3
    assert "settle:" not in written.read_text()


def test_an_imbalance_study_reports_pooled_scores_of_classes(images, configure):
    config = configure(
        study="imbalance",
        models={"stardist": {"width": 4, "depth": 2, "n_rays": 8, "mpp": 0.5}},
        levels=["none", "both"],
        conditions=["test"],
        seeds=[0],
    )
    assert not run_study(config).failed
    study = read_study(config.folder)
    names = metrics_of(study)
    assert names[0] == "mpq_plus"
    assert {f"pq_{name}" for name in synth.CLASSES} <= set(names)
    rows = effects(study)
    tables = {run.level: run.table for run in study.finished()}
    for row in rows:
        if row.metric == "pq_spindle":
            sums = tables[row.level][["tp_spindle", "fp_spindle", "fn_spindle", "sum_iou_spindle"]].sum()
            tp, fp, fn, iou = sums
            assert row.mean == pytest.approx(iou / (tp + fp / 2 + fn / 2), nan_ok=True)
    page = write_report(config.folder).read_text(encoding="utf-8")
    assert "mPQ+" in page
    assert "Class by class" in page
    (table,) = class_tables(rows, class_names(study))
    unmeasured = [dataclasses.replace(row, mean=float("nan")) for row in rows]
    assert class_tables(unmeasured, class_names(study)) == []  # a network that knows no classes
    assert [name for name, _ in table.rows] == list(synth.CLASSES)
    for name, levels in table.rows:
        assert [(pq.level, pq.metric, f1.metric) for pq, f1 in levels] == [
            (level, f"pq_{name}", f"f1_{name}") for level in ("none", "both")
        ]
