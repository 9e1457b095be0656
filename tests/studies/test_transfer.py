"""The study of transfer on tiny drawn patches: parts, beginnings, runs, stops, failures, report."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from histoscope import models, synth
from histoscope.cli.main import app
from histoscope.errors import ConfigError, DataError
from histoscope.files import write_image
from histoscope.models.patches.classifier import Classifier
from histoscope.report import transfer_scores as compare
from histoscope.report.results import read_study
from histoscope.report.write import write_report
from histoscope.studies import run_study
from histoscope.studies.checks import check
from histoscope.studies.config import StudyConfig
from histoscope.studies.patches import StudyOfPatches
from histoscope.studies.plan import plan_study
from histoscope.studies.study import TRANSFER, Run
from histoscope.studies.transfer import initial
from histoscope.studies.transfer.names import ALL, GROUPED, RANDOM, TABLE, groups_of, pretrainings
from histoscope.studies.transfer.parts import parts
from histoscope.train import provenance

SIDE_PX, GROUPS, COPIES = 40, 10, 3
BACKBONE = {"backbone": "unet", "patch_px": 32, "options": {"width": 4, "depth": 2}}
STEPS = {"steps": 2, "batch_size": 4, "evaluate_every": 1, "tensorboard": False, "accelerator": "cpu"}
LEVELS = ("scratch", "synthetic", "self_supervised", "imagenet_probe", "imagenet_tuned", "colour", "majority")


@pytest.fixture(scope="session")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten photographs of each of two classes, three turned copies of each; the classes differ in colour."""
    root = tmp_path_factory.mktemp("patches") / "data"
    rows = []
    for kind, stain in (("pink", "pink"), ("blue", "blue")):
        for group in range(GROUPS):
            rng = np.random.default_rng([group, len(stain)])
            drawn = synth.generate((SIDE_PX, SIDE_PX), mpp=0.5, stain=synth.STAINS[stain], rng=rng)
            for turn in range(COPIES):
                path = f"{kind}/{group}_{turn}.png"
                write_image(root / "images" / path, np.rot90(drawn.image, turn).copy())
                rows.append({"path": path, "class": kind, "group": f"{kind}_{group}"})
    pd.DataFrame(rows).to_csv(root / "index.csv", index=False)
    return root


@pytest.fixture(scope="session")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone that stands for ImageNet's."""
    return models.save(Classifier(**BACKBONE), tmp_path_factory.mktemp("weights") / "imagenet")


@pytest.fixture
def configure(patches: Path, imagenet: Path, tmp_path: Path):
    """Give a function that makes the configuration of a study of seven tiny runs."""

    def make(**changes) -> StudyConfig:
        values = {
            "study": "transfer",
            "data": {
                "name": "class_folder",
                "root": str(patches),
                "mpp": 0.5,
                "val": 0.2,
                "val_by": "source",
            },
            "patches": {
                "backbone": BACKBONE,
                "imagenet": str(imagenet),
                "test": 0.3,
                "drawn": 12,
                "synthetic": STEPS,
                "self_supervised": {key: STEPS[key] for key in STEPS if key != "evaluate_every"},
            },
            "models": {"groups_2": {}},
            "train": STEPS,
            "augment": "basic",
            "seeds": [0],
            "out": str(tmp_path / "study"),
        }
        for key in ("patches", "data"):
            values[key] |= changes.pop(key, {})
        return StudyConfig.model_validate({**values, **changes})

    return make


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"folder": tmp_path_factory.mktemp("finished") / "study"}


@pytest.fixture
def finished(_template: dict[str, Path], configure, tmp_path: Path) -> Path:
    """A finished study of two sizes, which the test may change."""
    folder = _template["folder"]
    if not folder.is_dir():
        summary = run_study(configure(out=str(folder), models={"groups_2": {}, "all": {}}))
        assert summary.failed == {}
        assert len(summary.done) == 2 * len(LEVELS)
    shutil.copytree(folder, tmp_path / "study")
    return tmp_path / "study"


def names(part) -> set[str]:
    return {record.name for record in part.records}


class TestParts:
    @pytest.mark.parametrize("size", ["groups_2", "groups_4", ALL])
    @pytest.mark.parametrize("seed", [0, 1])
    def test_by_group_no_photograph_is_on_two_sides(self, configure, size: str, seed: int) -> None:
        cut = parts(StudyOfPatches(configure()).dataset, configure(), GROUPED, size, seed)
        groups = [{record.source for record in part.records} for _, part in cut]
        assert not groups[0] & groups[1]
        assert not (groups[0] | groups[1]) & groups[2]
        if size != ALL:
            assert len(groups[0]) == 2 * int(size.split("_")[1])

    def test_at_random_photographs_are_on_both_sides_and_patches_are_not(self, configure) -> None:
        cut = parts(StudyOfPatches(configure()).dataset, configure(), RANDOM, ALL, 0)
        assert {r.source for r in cut.train.records} & {r.source for r in cut.test.records}
        assert not names(cut.train) & names(cut.test)
        assert len(cut.train) + len(cut.val) + len(cut.test) == 2 * GROUPS * COPIES

    def test_a_patch_that_is_tested_in_one_size_is_trained_on_in_none(self, configure) -> None:
        dataset, config = StudyOfPatches(configure()).dataset, configure()
        cells = [parts(dataset, config, RANDOM, size, 3) for size in ("groups_2", "groups_4", ALL)]
        tested = set.union(*(names(cell.test) for cell in cells))
        assert not tested & set.union(*(names(cell.train) for cell in cells))

    def test_both_splits_of_a_size_are_of_the_same_photographs(self, configure) -> None:
        dataset, config = StudyOfPatches(configure()).dataset, configure()
        grouped, random = (parts(dataset, config, kind, "groups_3", 1) for kind in (GROUPED, RANDOM))
        learned = {record.source for part in (grouped.train, grouped.val) for record in part.records}
        dealt = {record.source for _, part in random for record in part.records}
        assert learned <= dealt

    def test_more_groups_than_there_are_is_said(self, configure) -> None:
        with pytest.raises(ConfigError, match="99 groups of class"):
            parts(StudyOfPatches(configure()).dataset, configure(), GROUPED, "groups_99", 0)

    @pytest.mark.parametrize("size", ["groups_0", "groups", "16", "unet"])
    def test_a_size_that_is_none_is_said(self, size: str) -> None:
        with pytest.raises(ConfigError, match="groups_16"):
            groups_of(size)

    def test_images_without_classes_are_refused(self, configure, images_without_classes: Path) -> None:
        data = {"name": "folder", "root": str(images_without_classes), "mpp": 0.5}
        with pytest.raises(DataError, match="have no class"):
            StudyOfPatches(configure(data=data)).records()


@pytest.fixture
def images_without_classes(tmp_path: Path) -> Path:
    from histoscope import data

    samples = synth.cohort(2, 1, shape_px=(32, 32), mpp=0.5)
    return data.write_folder(tmp_path / "plain", samples, data.Datasheet("plain", mpp=0.5))


class TestConfiguration:
    def test_the_declaration_names_what_the_factor_knows(self) -> None:
        assert set(TRANSFER.levels) == set(LEVELS)

    def test_sizes_are_checked_and_shares_leave_something(self, configure) -> None:
        with pytest.raises(ConfigError, match="not a size of a training part"):
            check(configure(models={"unet": {}}))
        with pytest.raises(ConfigError, match="jitter is 'stain'"):
            check(configure(jitter="stain"))
        with pytest.raises(ConfigError, match="nothing is left"):
            check(configure(patches={"test": 0.9}))

    def test_beginnings_are_made_once_for_all_that_share_them(self) -> None:
        todo = [Run(level, size, seed) for seed in (0, 1) for level in LEVELS for size in ("groups_2", ALL)]
        made = [run.name for run in pretrainings(todo, [GROUPED, RANDOM])]
        assert sorted(made) == sorted(
            [
                "imagenet_probe-once-seed0",
                *(f"synthetic-once-seed{k}" for k in (0, 1)),
                *(f"self_supervised-{kind}-seed{k}" for k in (0, 1) for kind in (GROUPED, RANDOM)),
            ]
        )

    def test_planning_counts_and_times_and_writes_nothing(self, configure) -> None:
        planned = plan_study(configure())
        assert list(planned.states.values()) == ["missing"] * len(LEVELS)
        assert planned.seconds > 0
        assert planned.bytes_needed > 0
        assert not planned.folder.exists()


class TestRuns:
    def test_a_run_leaves_both_splits_with_every_test_patch(self, finished: Path, configure) -> None:
        run = finished / "imagenet_tuned-groups_2-seed0"
        table = pd.read_csv(run / "per_image.csv")
        assert {"name", "source", "true", "predicted", "p_blue", "p_pink", "accuracy", "nll"} <= set(table)
        about = yaml.safe_load((run / "config.yaml").read_text())
        for kind in (GROUPED, RANDOM):
            cell = parts(StudyOfPatches(configure()).dataset, configure(), kind, "groups_2", 0)
            mine = table[table["condition"] == kind]
            assert set(mine["name"]) == names(cell.test) == set(about["images_by_split"][kind]["test"])
            listed = provenance.read(run / kind)
            assert set(listed.loc[listed["part"] == "train", "name"]) == names(cell.train)
            assert set(listed.loc[listed["part"] == "val", "name"]) == names(cell.val)
        np.testing.assert_array_equal(table["accuracy"], table["true"] == table["predicted"])
        spent = json.loads((run / "environment.json").read_text())["seconds"]
        assert spent["train"] == pytest.approx(spent["train_grouped"] + spent["train_random"], abs=0.02)

    def test_learning_without_labels_saw_training_tiles_alone(self, finished: Path, configure) -> None:
        for kind in (GROUPED, RANDOM):
            card = models.read_card(finished / "pretrained" / f"self_supervised-{kind}-seed0" / "model")
            cell = parts(StudyOfPatches(configure()).dataset, configure(), kind, ALL, 0)
            assert card["pretrained"]["tiles"] == len(cell.train)
            run = finished / f"self_supervised-{ALL}-seed0" / kind
            listed = provenance.read(run)
            assert set(listed.loc[listed["part"] == "pretraining", "name"]) == names(cell.train)

    def test_what_is_pretrained_is_what_a_run_begins_from(self, finished: Path, configure) -> None:
        config = configure()
        for level, origin in (("synthetic", "synthetic-once"), ("self_supervised", "self_supervised-random")):
            model = initial.initial_network(
                config, StudyOfPatches(config).dataset, Run(level, ALL, 0), RANDOM
            )
            made = models.load(finished / "pretrained" / f"{origin}-seed0" / "model")
            mine, theirs = model.backbone.state_dict(), made.backbone.state_dict()
            assert all(np.array_equal(mine[name], theirs[name]) for name in mine)

    def test_the_colours_of_these_patches_are_enough(self, finished: Path) -> None:
        table = pd.read_csv(finished / "colour-all-seed0" / "per_image.csv")
        assert table["accuracy"].mean() > 0.95

    def test_run_again_it_does_nothing(self, finished: Path, configure, monkeypatch) -> None:
        monkeypatch.setattr(StudyOfPatches, "do", lambda *_: pytest.fail("done again"))
        summary = run_study(configure(models={"groups_2": {}, "all": {}}))
        assert summary.done == ()
        assert len(summary.kept) == 2 * len(LEVELS)

    def test_after_a_stop_the_split_that_was_finished_is_kept(self, configure, monkeypatch) -> None:
        config = configure(levels=["scratch"])

        def stop(event) -> None:
            nonlocal looks
            looks += event.stage == "test"
            if looks == 1 and event.stage == "train":
                raise KeyboardInterrupt

        looks = 0
        with pytest.raises(KeyboardInterrupt):
            run_study(config, tell=stop)
        before = (config.folder / "scratch-groups_2-seed0" / GROUPED / TABLE).stat().st_mtime_ns
        assert run_study(config).done == ("scratch-groups_2-seed0",)
        after = (config.folder / "scratch-groups_2-seed0" / GROUPED / TABLE).stat().st_mtime_ns
        assert before == after

    def test_weights_that_are_broken_fail_their_own_levels_alone(self, configure, tmp_path: Path) -> None:
        (tmp_path / "broken.npz").write_bytes(b"no weights")
        broken = {"imagenet": str(tmp_path / "broken.npz")}
        config = configure(levels=["scratch", "imagenet_probe", "imagenet_tuned", "majority"], patches=broken)
        summary = run_study(config)
        assert set(summary.done) == {"scratch-groups_2-seed0", "majority-groups_2-seed0"}
        assert "cannot be read as weights" in summary.failed["imagenet_tuned-groups_2-seed0"]
        assert (config.folder / "pretrained" / "imagenet_probe-once-seed0" / "error.txt").is_file()
        assert "failed" in write_report(config.folder).read_text(encoding="utf-8")

    def test_a_beginning_that_failed_is_named_by_those_that_need_it(self, configure, monkeypatch) -> None:
        def fail(*_, **__):
            raise RuntimeError("no pens to draw with")

        monkeypatch.setattr(initial, "synthetic_tiles", fail)
        summary = run_study(configure(levels=["scratch", "synthetic"]))
        assert summary.done == ("scratch-groups_2-seed0",)
        assert "no pens" in summary.failed["pretrained/synthetic-once-seed0"]
        assert "synthetic-once-seed0, failed" in summary.failed["synthetic-groups_2-seed0"]

    def test_a_corrupt_patch_is_left_out_and_the_rest_goes_on(
        self, patches: Path, configure, tmp_path: Path
    ) -> None:
        root = tmp_path / "copy"
        shutil.copytree(patches, root)
        (root / "images" / "pink" / "0_0.png").write_bytes(b"cut off")
        data = {"name": "class_folder", "root": str(root), "mpp": 0.5, "val": 0.2, "val_by": "source"}
        summary = run_study(
            configure(data=data, levels=["scratch", "imagenet_probe", "colour"], models={"all": {}})
        )
        assert summary.failed == {}
        assert len(summary.done) == 3

    @pytest.mark.parametrize(
        ("key", "value"), [("patches", {"test": 0.25}), ("train", {**STEPS, "steps": 3}), ("augment", "none")]
    )
    def test_another_configuration_in_the_same_folder_is_refused(
        self, finished: Path, configure, key: str, value
    ) -> None:
        with pytest.raises(ConfigError, match=key):
            run_study(configure(**{key: value}))

    def test_two_jobs_make_the_same_tables(self, finished: Path, configure, tmp_path: Path) -> None:
        out = tmp_path / "two"
        levels = ["scratch", "majority"]
        summary = run_study(configure(out=str(out), levels=levels), jobs=2)
        assert summary.failed == {}
        for level in levels:
            name = f"{level}-groups_2-seed0/per_image.csv"
            one, two = (pd.read_csv(folder / name) for folder in (finished, out))
            pd.testing.assert_frame_equal(one, two, rtol=1e-3, atol=1e-4)


class TestReport:
    def test_the_page_says_what_the_study_is_for(self, finished: Path) -> None:
        page = write_report(finished).read_text(encoding="utf-8")
        for words in (
            "What a random split adds",
            "Against colours alone",
            "Accuracy against time",
            "McNemar",
        ):
            assert words in page
            assert words in (finished / "report.md").read_text(encoding="utf-8")
        assert "://" not in page.replace("http://www.w3.org", "")
        for name in ("leakage_gaps", "versus_colour", "spent", "scores"):
            assert len(pd.read_csv(finished / f"{name}.csv"))

    def test_the_leak_is_random_minus_by_group(self, finished: Path) -> None:
        study = read_study(finished)
        for row in compare.leakage_gaps(study):
            table = pd.read_csv(finished / f"{row.level}-{row.size}-seed0" / "per_image.csv")
            mean = table.groupby("condition")["accuracy"].mean()
            assert row.grouped == pytest.approx(mean[GROUPED])
            assert row.difference == pytest.approx(mean[RANDOM] - mean[GROUPED])
            assert row.low <= row.difference <= row.high

    def test_an_unfinished_study_has_a_report_too(self, finished: Path) -> None:
        for run in finished.glob("*-all-seed0"):
            shutil.rmtree(run)
        assert "not complete" in write_report(finished).read_text(encoding="utf-8")

    def test_mcnemar_is_given_one_patch_of_each_photograph(self) -> None:
        right = pd.DataFrame(
            {"name": list("abcdef"), "source": list("xxxyyy"), "patient": "", "accuracy": 1.0}
        )
        wrong = right.assign(accuracy=0.0)
        # Two photographs, both in favour of one side: 2 of 2 is p = 0.5, where 6 of 6 would be 0.03.
        assert compare._one_of_each(right, wrong, "source") == pytest.approx(0.5)

    def test_what_was_learned_before_is_counted(self, finished: Path) -> None:
        rows = {(row.level, row.size): row for row in compare.spent(read_study(finished))}
        assert rows["synthetic", ALL].before > 0
        assert rows["scratch", ALL].before == 0
        assert rows["imagenet_probe", ALL].train > 0
        assert rows["scratch", ALL].patches > rows["scratch", "groups_2"].patches


def test_the_command_line_runs_it(configure, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    path = tmp_path / "study.yaml"
    values = configure(levels=["scratch", "majority"]).model_dump(mode="json", exclude={"conditions"})
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = CliRunner().invoke(app, ["study", "run", str(path)])
    assert done.exit_code == 0, done.output
    assert "2 runs done" in done.output
    assert CliRunner().invoke(app, ["study", "report", str(tmp_path / "study")]).exit_code == 0
