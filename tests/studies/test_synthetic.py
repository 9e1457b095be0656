"""The study of synthetic tissue: its levels, their order, and what the runs learn from."""

import shutil

import cv2
import pandas as pd
import pytest
import yaml

from histoscope import models, stain
from histoscope.errors import ConfigError, UnknownNameError
from histoscope.ledger import Ledger, Row
from histoscope.models.card import read_card
from histoscope.report.effects import effects
from histoscope.report.results import read_study
from histoscope.report.write import write_report
from histoscope.studies import prepare, run_study, workers
from histoscope.studies.checks import check
from histoscope.studies.conditions import unchanged
from histoscope.studies.config import StudyConfig
from histoscope.studies.factors import FACTORS
from histoscope.studies.plan import plan_study
from histoscope.studies.study import Run
from histoscope.studies.synthetic import LEVELS, TISSUE, source_of

STEPS = 4
TRAIN = {
    "steps": STEPS,
    "batch_size": 2,
    "patch_px": 32,
    "evaluate_every": STEPS,
    "checkpoint_every": STEPS,
    "accelerator": "cpu",
    "tensorboard": False,
}


@pytest.fixture
def configure(folders, tmp_path):
    def make(**changes) -> StudyConfig:
        values = {
            "study": "synthetic",
            "data": {"name": "folder", "root": str(folders["real"]), "val": 0},
            "external": {"name": "folder", "root": str(folders["other"])},
            "synthetic": {"procedural": {"root": str(folders["procedural"])}},
            "models": {"unet": {"width": 2, "depth": 2, "mpp": 0.5}},
            "levels": ["real_2", "procedural_half", "procedural_mixed_2", "procedural_tuned_2"],
            "seeds": [0],
            "train": TRAIN,
            "augment": "none",
            "out": str(tmp_path / "study"),
        }
        return StudyConfig.model_validate({**values, **changes})

    return make


class TestLevels:
    def test_every_level_begins_from_and_is_compared_with_one_that_exists(self):
        for name, level in TISSUE.items():
            for key in ("initial_level", "against"):
                assert level.get(key, name) in TISSUE
            assert FACTORS["tissue"].labels[name]
        for name in LEVELS:
            assert {TISSUE[name].get(key, name) for key in ("initial_level", "against")} <= set(LEVELS)

    def test_all_levels_of_real_tiles_learn_equally_long(self, configure):
        config = configure(levels=[], synthetic=configure().synthetic, train={"steps": 100})
        for run in config.runs():
            before = config.needed(run)
            total = config.steps(run) + (config.steps(before) if before else 0)
            assert total == (50 if run.level.endswith("_half") else 100), run

    @pytest.mark.parametrize(("share", "steps", "before"), [(0.75, 1200, 900), (0.99, 2, 1), (0.01, 2, 1)])
    def test_pretraining_takes_its_share_and_tuning_the_rest(self, configure, share, steps, before):
        config = configure(pretraining=share, train={"steps": steps})
        wanted = {"real_2": steps, "procedural_half": before, "procedural_tuned_2": steps - before}
        assert {level: config.steps(Run(level, "unet", 0)) for level in wanted} == wanted

    def test_tuning_alone_has_a_rate_of_its_own(self, configure):
        config = configure(tuning_lr=1e-5)
        rates = {level: config.training(Run(level, "unet", 3)).lr for level in config.declared.levels}
        tuned = rates.pop("procedural_tuned_2")
        assert tuned == 1e-5
        assert set(rates.values()) == {config.train.lr} == {configure().training(Run("real_2", "unet", 3)).lr}
        assert config.training(Run("real_2", "unet", 3)).seed == 3

    def test_a_rate_of_tuning_where_nothing_is_tuned_is_refused(self, configure):
        with pytest.raises(ConfigError, match="procedural_tuned_8"):
            check(configure(tuning_lr=1e-5, levels=["real_2"]))

    @pytest.mark.parametrize("share", [0, 1, -0.5])
    def test_a_share_that_leaves_nothing_is_refused(self, configure, share):
        with pytest.raises(ValueError, match="pretraining"):
            configure(pretraining=share)

    def test_levels_that_need_a_set_that_is_not_given_are_left_out(self, configure):
        config = configure(levels=[])
        assert "procedural" in config.declared.levels
        assert not [level for level in config.declared.levels if source_of(level, TISSUE) == "learned"]
        assert [run.level for run in config.runs()].count("procedural") == 1
        bare = configure(levels=[], synthetic={})
        assert bare.declared.levels == ("real_2", "real_8", "real_all")

    def test_the_fewest_real_tiles_that_are_there_are_the_baseline(self, configure):
        assert check(configure(levels=["procedural", "real_8", "real_all"])).declared.baseline == "real_8"

    def test_each_network_has_its_own_sizes(self, configure):
        names = {"unet": {"width": 2}, "resunet": {"width": 2}}
        config = check(configure(levels=[], models=names, sizes={"resunet": [8]}))
        levels = {model: {run.level for run in config.runs() if run.model == model} for model in names}
        assert levels["unet"] == set(config.declared.levels)
        assert levels["resunet"] == {
            *("real_8", "procedural", "procedural_half", "procedural_mixed_8", "procedural_tuned_8")
        }

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"levels": ["real_2", "learned"]}, "synthetic data set 'learned'"),
            ({"levels": ["procedural"]}, "lacks the baseline"),
            ({"levels": ["real_2", "procedural_tuned_2"]}, "'procedural_half'"),
            ({"levels": ["real_2", "procedural_mixed_8"]}, "'real_8'"),
            ({"external": None}, "external test set"),
            ({"sizes": {"unet": [4]}}, "sizes.unet"),
            ({"jitter": "stian"}, "stian"),
            ({"sizes": {"unet": []}}, "sizes.unet"),
        ],
    )
    def test_settings_that_do_not_go_together(self, configure, changes, said):
        with pytest.raises((ConfigError, UnknownNameError), match=said):
            check(configure(**changes))

    def test_a_run_waits_for_the_one_that_it_begins_from(self, configure, tmp_path):
        def give_up():
            raise TimeoutError

        config = configure()
        half, tuned, real = (
            Run(level, "unet", 0) for level in ("procedural_half", "procedural_tuned_2", "real_2")
        )
        tasks = workers.tasks_of(config, [tuned, half, real])
        with Ledger.open(tmp_path) as one, Ledger.open(tmp_path) as other:
            first = one.draw(tasks)
            assert first.task.name == half.name
            assert other.draw(tasks).task.name == real.name
            with pytest.raises(TimeoutError):
                other.draw(tasks, on_wait=give_up)
            first.finish(Row({}))
            assert other.draw(tasks).task.name == tuned.name
        assert workers.tasks_of(config, [tuned])[0].after == ""


class TestRuns:
    def test_what_each_learned_from_stands_on_its_card(self, finished):
        cards = {
            name: read_card(finished / f"{name}-unet-seed0" / "model")
            for name in ("real_2", "procedural_half", "procedural_mixed_2", "procedural_tuned_2")
        }
        names = {level: card["training data"]["name"] for level, card in cards.items()}
        assert names == {
            "real_2": "real",
            "procedural_half": "procedural",
            "procedural_mixed_2": "real; procedural",
            "procedural_tuned_2": "real",
        }
        assert cards["procedural_tuned_2"]["begun from"] == "procedural_half-unet-seed0"
        assert "licence of procedural" in cards["procedural_mixed_2"]["weights licence"]
        steps = {level: card["train"]["steps"] for level, card in cards.items()}
        assert steps == {
            "real_2": STEPS,
            "procedural_half": STEPS // 2,
            "procedural_mixed_2": STEPS,
            "procedural_tuned_2": STEPS // 2,
        }

    def test_tuned_weights_began_from_the_pretrained_ones(self, finished, configure):
        # A single step at a rate of almost nothing leaves the weights where they began.
        shutil.rmtree(finished / "procedural_tuned_2-unet-seed0")
        settled = yaml.safe_load((finished / "study.yaml").read_text())
        settled["config"]["train"]["lr"] = 1e-12
        (finished / "study.yaml").write_text(yaml.safe_dump(settled))
        summary = run_study(configure(train={**TRAIN, "lr": 1e-12}))
        assert summary.done == ("procedural_tuned_2-unet-seed0",)
        half, tuned = (
            models.load(finished / f"procedural_{level}-unet-seed0").head.weight
            for level in ("half", "tuned_2")
        )
        assert abs(half - tuned).max() < 1e-6

    def test_both_test_sets_are_scored_and_neither_was_learned_from(self, finished):
        study = read_study(finished)
        tables = [run.table for run in study.finished()]
        assert len(tables) == 4
        for table in tables:
            assert set(table.loc[table["condition"] == "test", "name"]) == {"real4", "real5"}
            assert set(table.loc[table["condition"] == "external", "name"]) == {"other0", "other1"}
        assert (finished / "truth" / "labels" / "other0.png").is_file()

    def test_levels_of_one_seed_and_size_share_their_tiles(self, configure):
        config = configure(levels=[], seeds=[0, 1])
        parts = prepare.open_parts(config.data)
        assert len(parts.val) == 0
        chosen = {}
        for seed in (0, 1):
            for level in ("real_2", "procedural_mixed_2", "procedural_tuned_2"):
                run = Run(level, "unet", seed)
                network = models.create("unet", **config.models["unet"])
                samples = prepare.learned_from(config, run, parts, unchanged, network)
                real = {s.name for s in samples if s.name.startswith("real")}
                assert len(real) == 2
                chosen.setdefault(seed, set()).add(frozenset(real))
        assert all(len(names) == 1 for names in chosen.values())

    def test_a_run_whose_beginning_failed_says_so_and_stops_no_other(self, configure, monkeypatch):
        from histoscope.train import loop

        fit = loop.fit

        def break_pretraining(model, train, val, config, **rest):
            if config.steps == STEPS // 2 and not hasattr(train, "begun"):
                raise RuntimeError("lightning struck")
            return fit(model, train, val, config, **rest)

        monkeypatch.setattr(loop, "fit", break_pretraining)
        summary = run_study(configure())
        assert set(summary.done) == {"real_2-unet-seed0", "procedural_mixed_2-unet-seed0"}
        assert "lightning" in summary.failed["procedural_half-unet-seed0"]
        assert (
            "procedural_half-unet-seed0, which is not finished"
            in summary.failed["procedural_tuned_2-unet-seed0"]
        )

    def test_two_at_a_time(self, configure):
        levels = ["procedural_half", "procedural_tuned_2", "real_2"]
        summary = run_study(configure(levels=levels), jobs=2)
        assert not summary.failed
        assert len(summary.done) == 3


class TestFolder:
    def test_finished_runs_are_kept_and_a_learned_set_may_be_added_later(self, finished, configure, folders):
        assert not run_study(configure()).done
        both = {kind: {"root": str(folders[kind])} for kind in ("procedural", "learned")}
        summary = run_study(configure(synthetic=both, levels=[*configure().levels, "learned"]))
        assert summary.done == ("learned-unet-seed0",)
        known = pd.read_csv(finished / "content.csv")
        assert {"procedural", "learned"} <= set(known["set"])
        assert not run_study(configure()).done

    def test_another_set_of_the_same_name_is_refused(self, finished, configure, folders):
        with pytest.raises(ConfigError, match="in 'procedural' have changed"):
            run_study(configure(synthetic={"procedural": {"root": str(folders["learned"])}}))

    def test_a_set_drawn_anew_under_the_same_names_is_refused(self, finished, configure, folders, tmp_path):
        again = shutil.copytree(folders["procedural"], tmp_path / "procedural")
        for path in (again / "images").iterdir():
            cv2.imwrite(str(path), cv2.imread(str(path))[::-1])
        with pytest.raises(ConfigError, match="in 'procedural' have changed"):
            run_study(configure(synthetic={"procedural": {"root": str(again)}}))

    def test_another_rate_of_tuning_is_refused(self, finished, configure):
        with pytest.raises(ConfigError, match="tuning_lr"):
            run_study(configure(tuning_lr=1e-5))

    def test_another_share_is_refused(self, finished, configure, folders):
        changed = {"procedural": {"root": str(folders["procedural"]), "share": 0.9}}
        with pytest.raises(ConfigError, match="share"):
            run_study(configure(synthetic=changed))


def test_colours_are_jittered_where_the_study_says_so(configure, monkeypatch):
    from histoscope.train import loop

    fit, colours = loop.fit, []

    def listen(*given, color, **rest):
        colours.append(color)
        return fit(*given, color=color, **rest)

    monkeypatch.setattr(loop, "fit", listen)
    summary = run_study(configure(jitter="stain", levels=["real_2"]))
    assert summary.done == ("real_2-unet-seed0",)
    assert colours == [stain.JITTERS["stain"]]
    assert "Jitter of colours" in write_report(summary.folder).read_text()


def test_plan_counts_the_halves(configure):
    planned = plan_study(configure(), timed=True)
    assert len(planned.states) == 4
    assert planned.seconds > 0


def test_levels_are_compared_with_real_tiles_of_their_own_number(finished):
    rows = {(row.level, row.condition): row for row in effects(read_study(finished)) if row.metric == "aji"}
    assert rows["procedural_mixed_2", "test"].base == "real_2"
    assert rows["real_2", "external"].is_baseline
    assert rows["procedural_half", "test"].base == "real_2"


def test_report_says_it_for_both_test_sets(finished):
    text = write_report(finished).with_name("report.md").read_text()
    assert "External test set" in text
    assert "2 real tiles mixed with procedural" in text


def test_a_set_that_used_labels_says_so_and_each_seed_may_have_its_own(configure, folders, tmp_path):
    for seed in (0, 1):
        shutil.copytree(folders["learned" if seed else "procedural"], tmp_path / f"set{seed}")
    given = {"root": str(tmp_path / "set{seed}"), "fitted_to": 2}
    config = configure(synthetic={"procedural": given}, seeds=[0, 1])
    parts, network = prepare.open_parts(config.data), models.create("unet", **config.models["unet"])
    for seed, name in enumerate(("procedural", "learned")):
        run = Run("procedural_half", "unet", seed)
        samples = prepare.learned_from(config, run, parts, unchanged, network)
        assert {sample.name for sample in samples} == {f"{name}{k}" for k in range(3)}
    summary = run_study(config.model_copy(update={"levels": ("real_2", "procedural_half"), "seeds": (0,)}))
    assert len(summary.done) == 2
    text = write_report(summary.folder).with_name("report.md").read_text()
    assert "fitted to 2 real tiles" in text
