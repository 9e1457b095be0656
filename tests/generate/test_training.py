"""The learned generator: it learns, resumes exactly, keeps its good weights, draws what trains."""

import dataclasses
import math
import shutil
import threading
from contextlib import nullcontext

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from histoscope import data, models, synth
from histoscope.data import Datasheet, InMemory
from histoscope.errors import ConfigError, CorruptDataError, DataError, ShapeError, TrainingError
from histoscope.generate import generator as generate
from histoscope.generate.generator import Tally, fit_generator, generate_dataset, load_generator, paint
from histoscope.generate.network import Generator, _local_mean, noise_like
from histoscope.generate.training import GeneratorConfig, fit
from histoscope.train import provenance
from histoscope.train.log import read

TINY = GeneratorConfig(steps=8, batch_size=2, patch_px=32, width=4, checkpoint_every=4)


class Stop(Exception):  # noqa: N818  # stands for Ctrl-C or a crash
    pass


@pytest.fixture(scope="module")
def dataset():
    tiles = synth.cohort(2, 1, shape_px=(200, 200), mpp=0.5, seed=5)
    sheet = Datasheet("lab", licence="CC BY 4.0", classes={1: "a", 2: "b", 3: "c", 4: "d"}, mpp=0.5)
    return InMemory.of(tiles, sheet)


@pytest.fixture(scope="module")
def fitted(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    return folder, fit_generator(dataset, folder, TINY)


def _net(**more):
    torch.manual_seed(0)
    return Generator(**{"width": 4, "classes": ["a", "b", "c", "d"], **more})


def _equal(a, b):
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


def test_the_first_picture_is_the_blurred_one(dataset):
    net, maps = _net(), torch.from_numpy(_net().targets(dataset[0])["maps"])[None]
    dyes = net(torch.cat([maps, noise_like(maps)], dim=1))["dyes"]
    torch.testing.assert_close(dyes, maps[:, 4:7])


def test_targets_are_the_dyes_of_the_patch(dataset):
    from histoscope.generate.bank_dyes import CANONICAL, pictured

    target = _net().targets(dataset[0])
    back = pictured(target["dyes"].transpose(1, 2, 0), CANONICAL)
    assert np.abs(back.astype(int) - dataset[0].image).max() <= 1
    assert target["maps"].shape[0] + 3 == _net().n_maps


def test_each_loss_reaches_its_own_part_alone(dataset):
    net = _net()
    target = {name: torch.from_numpy(value)[None] for name, value in net.targets(dataset[0]).items()}
    terms = net.loss({"dyes": target["maps"][:, 4:7] + 0 * net.generator.last.bias.sum()}, target)
    terms["discriminator"].backward(retain_graph=True)
    assert all(part.grad is None for part in net.generator.parameters())
    assert all(part.grad is not None for part in net.discriminator.parameters())
    net.discriminator.zero_grad()
    (terms["total"] - terms["discriminator"]).backward()
    assert all(part.grad is None or not part.grad.any() for part in net.discriminator.parameters())


def test_weights_of_0_1_are_read_by_their_old_names(tmp_path):
    net = _net()
    models.save(net, tmp_path)
    older = {
        key.replace("discriminator.last", "critic.verdict")
        .replace("discriminator", "critic")
        .replace("generator", "painter"): value
        for key, value in net.state_dict().items()
    }
    assert {key.partition(".")[0] for key in older} == {"painter", "critic"}
    save_file(older, tmp_path / "model.safetensors")
    assert _equal(models.load(tmp_path, Generator), net)


def test_wrong_maps_are_refused():
    with pytest.raises(ShapeError, match="multiples of 4"):
        _net()(torch.zeros(1, _net().n_maps, 30, 32))
    with pytest.raises(ConfigError, match="width"):
        Generator(width=1)


def test_a_large_picture_in_blocks_is_the_same(monkeypatch):
    net = _net().eval()
    torch.nn.init.normal_(net.generator.last.weight, std=0.1)
    maps = np.random.default_rng(0).normal(size=(net.n_maps - 3, 200, 256)).astype(np.float32)
    in_16_bits = paint(net, maps, 3)
    monkeypatch.setattr(generate, "mixed", lambda _: nullcontext())
    whole = paint(net, maps, 3)
    monkeypatch.setattr(generate, "_BLOCK_PX", 64)
    np.testing.assert_allclose(paint(net, maps, 3), whole, atol=1e-4)
    assert np.abs(in_16_bits - whole).mean() < 0.01 * whole.std()


def test_no_frame_is_painted_where_tissue_ends(monkeypatch):
    net = _net().eval()
    torch.nn.init.normal_(net.generator.last.weight, std=0.1)
    monkeypatch.setattr(generate, "noise_like", lambda maps, _: torch.zeros_like(maps[:, :3]))
    even = np.full((net.n_maps - 3, 96, 96), 0.5, np.float32)

    def frame():
        dyes = paint(net, even, 0)
        return np.abs(dyes - dyes[48, 48])[:2].mean()

    with_rim = frame()
    monkeypatch.setattr(generate, "_RIM_PX", 0)
    assert with_rim < 0.5 * frame()


def test_tiles_come_in_order_and_are_the_same_on_one_thread_and_on_many(fitted):
    kit, threads = fitted[1], torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = [sample.image for sample in generate_dataset(kit, 5, size_px=64, seed=4)]
        torch.set_num_threads(3)
        tally = Tally()
        many = list(generate_dataset(kit, 5, size_px=64, seed=4, tally=tally))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert [sample.name for sample in many] == [f"g{k:04d}" for k in range(5)]
    assert all((a == b.image).all() for a, b in zip(alone, many, strict=True))
    assert tally.painted >= 5


def test_of_a_large_tile_the_middle_is_judged(fitted):
    kit, rng = fitted[1], np.random.default_rng(0)
    maps = rng.normal(size=(kit.model.n_maps - 3, 512, 512)).astype(np.float32)
    dyes = rng.normal(size=(3, 512, 512)).astype(np.float32)

    def far(limit, part=np.s_[:]):
        realism = dataclasses.replace(kit.realism, limit=limit)
        return realism.median_distance(kit.model, maps[part], dyes[part])

    four, nine = np.s_[:, 148:364, 148:364], np.s_[:, 100:412, 100:412]
    assert far(np.inf) == pytest.approx(far(np.inf, four))  # near enough: four patches are believed
    assert far(0.0) == pytest.approx(far(0.0, nine))
    assert far(0.0) != pytest.approx(far(np.inf))
    before = far(0.0)
    dyes[:, :96] = 50.0
    assert far(0.0) == pytest.approx(before)


def test_closing_the_iterator_gives_the_threads_back(fitted):
    kit, threads = fitted[1], torch.get_num_threads()
    tiles = generate_dataset(kit, 50, size_px=64)
    next(tiles)
    tiles.close()
    assert torch.get_num_threads() == threads
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("generator")]


def test_it_learns_what_the_blur_took_away(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "histoscope.generate.training.RISE", 1e6
    )  # by differences alone, which is sure to work
    tiles = [generate.canonical(tile, _stain(tile), 0.5) for tile in dataset]
    config = dataclasses.replace(TINY, steps=40, batch_size=4, lr=1e-2)
    model = fit(_net(width=8), tiles, config, out=tmp_path).model
    target = model.targets(tiles[0])
    painted = paint(model, target["maps"], 0).transpose(2, 0, 1)
    off, blurred = (np.abs(picture - target["dyes"]).mean() for picture in (painted, target["maps"][4:7]))
    assert off < blurred
    assert all(math.isfinite(line["loss"]) for line in read(tmp_path))


def _stain(tile):
    from histoscope.generate.bank_dyes import stain_of

    return type("Tile", (), {"stain": stain_of(tile.image)})


def test_a_stopped_fit_ends_where_an_unbroken_one_does(dataset, tmp_path):
    def stop_at_six(step, losses):
        if step == 6:
            raise Stop

    unbroken = fit(_net(), dataset, TINY, out=tmp_path / "a")
    with pytest.raises(Stop):
        fit(_net(), dataset, TINY, out=tmp_path / "b", on_step=stop_at_six)
    assert (tmp_path / "b" / "checkpoint.safetensors").is_file()
    torch.manual_seed(99)
    resumed = fit(_net(), dataset, TINY, out=tmp_path / "b")
    assert _equal(unbroken.model, resumed.model)
    assert resumed.step == unbroken.step == 8
    assert not (tmp_path / "b" / "checkpoint.safetensors").exists()


def _diverging(net, after, value):
    loss, calls = net.loss, iter(range(100))

    def late(heads, target):
        bad = next(calls) >= after
        return {name: term * (value if bad else 1) for name, term in loss(heads, target).items()}

    net.loss = late
    return net


@pytest.mark.parametrize(("native", "named"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_is_what_the_processor_has(dataset, tmp_path, monkeypatch, native, named):
    monkeypatch.setattr("histoscope.models.precision.has_bfloat16", lambda _: native)
    config = dataclasses.replace(TINY, steps=1, precision="auto", accelerator="cpu")
    fit(_net(), dataset, config, out=tmp_path)
    assert models.read_card(tmp_path)["train"]["precision"] == named
    assert GeneratorConfig().precision == "32-true"


def test_the_discriminator_says_nearly_the_same_in_sixteen_bits(fitted, dataset, monkeypatch):
    from histoscope.generate.tile_filter import describe

    _, kit = fitted
    target = kit.model.targets(generate.canonical(dataset[0], kit.bank.tiles[0], 0.5))
    found = []
    for native in (True, False):
        monkeypatch.setattr("histoscope.models.precision.has_bfloat16", lambda _, native=native: native)
        found.append(describe(kit.model, target["maps"], target["dyes"]))
    np.testing.assert_array_equal(found[0][:, :-1], found[1][:, :-1])
    np.testing.assert_allclose(found[0][:, -1], found[1][:, -1], atol=0.02)


def test_numbers_of_a_patch_are_those_of_the_plain_formulas(fitted, dataset):
    from histoscope.generate.tile_filter import describe

    _, kit = fitted
    target = kit.model.targets(generate.canonical(dataset[0], kit.bank.tiles[0], 0.5))
    maps, dyes = target["maps"], target["dyes"]
    found = describe(kit.model, maps, dyes)
    box = np.s_[:96, 96:192]  # the second patch
    inside, (first, second, third) = maps[0][box] > 0.5, (dye[box] for dye in dyes)
    groups = [dye[where] for where in (inside, ~inside) for dye in (first, second)] + [third]
    numbers = [value for group in groups for value in (group.mean(), group.std())]
    np.testing.assert_allclose(found[1, :10], numbers, rtol=1e-3, atol=1e-5)
    assert found[1, 10] == pytest.approx((first + second < 0.15).mean())
    soft = [cv2.GaussianBlur(dyes[1], (0, 0), sigma) for sigma in (0.7, 1.4, 2.8, 5.6)]
    bands = [a - b for a, b in zip([dyes[1], *soft], soft, strict=False)]
    np.testing.assert_allclose(found[1, 15:19], [np.log(b[box].std() + 1e-3) for b in bands], atol=1e-3)
    bare = describe(kit.model, 0 * maps, dyes)
    assert not bare[:, :4].any()


def test_what_no_patch_shows_changes_no_number(fitted, dataset, monkeypatch):
    from histoscope.generate import tile_filter

    _, kit = fitted
    target = kit.model.targets(generate.canonical(dataset[0], kit.bank.tiles[0], 0.5))
    maps, dyes = (target[name][:, :160, :200] for name in ("maps", "dyes"))
    found = tile_filter.describe(kit.model, maps, dyes)
    monkeypatch.setattr(tile_filter, "_AROUND_PX", 1000)
    whole = tile_filter.describe(kit.model, maps, dyes)
    np.testing.assert_allclose(found[:, :-1], whole[:, :-1], atol=1e-5)
    np.testing.assert_allclose(found[:, -1], whole[:, -1], atol=0.01)


def test_the_discriminator_sees_a_mean_of_the_pixels_that_there_are():
    x = torch.randn(2, 3, 12, 8)
    reference = torch.nn.functional.avg_pool2d(x, 5, 1, 2, count_include_pad=False)
    torch.testing.assert_close(_local_mean(x), reference)


def test_divergence_keeps_the_last_good_weights(dataset, tmp_path):
    until = fit(_net(), dataset, dataclasses.replace(TINY, checkpoint_every=4), out=tmp_path / "good")
    ended = fit(_diverging(_net(), 5, math.nan), dataset, TINY, out=tmp_path / "bad")
    assert ended.step == 4
    assert "diverged" in ended.note
    assert models.read_card(tmp_path / "bad")["note"] == ended.note
    assert all(torch.isfinite(part).all() for part in ended.model.parameters())
    assert not _equal(until.model, ended.model)
    with pytest.raises(TrainingError, match="lower the learning rate"):
        fit(_diverging(_net(), 2, math.inf), dataset, TINY, out=tmp_path / "worse")


def test_a_discriminator_that_has_won_ends_the_fit(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("histoscope.generate.training._WON_STEPS", 1)
    ended = fit(_diverging(_net(), 5, 0.0), dataset, TINY, out=tmp_path)
    assert "the discriminator won at step 6" in ended.note
    assert ended.step == 4


def test_the_folder_is_read_back_and_not_fitted_again(dataset, fitted):
    folder, made = fitted
    notes = []
    again = fit_generator(dataset, folder, TINY, on_note=notes.append)
    assert "used unchanged" in notes[0]
    assert again.licence == "CC BY 4.0"
    one, two = (next(generate_dataset(kit, 1, size_px=50, seed=4)) for kit in (made, again))
    np.testing.assert_array_equal(one.image, two.image)
    assert not list(folder.glob("*.pkl"))


def test_the_tiles_that_it_was_fitted_to_go_with_what_it_paints(dataset, fitted, tmp_path):
    folder, made = fitted
    tiles = [record.name for record in dataset.records]
    assert [row[2] for row in made.origins] == tiles
    data.write_folder(tmp_path / "more", generate_dataset(made, 1, size_px=50), made.info)
    again = data.open("folder", tmp_path / "more").info
    assert (again.origins, again.licence) == (made.origins, "CC BY 4.0")
    assert provenance.read(folder)["name"].tolist() == tiles
    with pytest.raises(ConfigError, match="began with other images: 1 name"):
        fit_generator(data.subset(dataset, [0]), folder, TINY)


def test_of_a_generator_of_before_it_is_not_known_what_it_was_fitted_to(dataset, fitted, tmp_path):
    old = shutil.copytree(fitted[0], tmp_path / "old")
    (old / "learned_from.csv").unlink()
    for made in (load_generator(old), fit_generator(data.subset(dataset, [0]), old, TINY)):
        assert [row[:2] for row in made.origins] == [("unknown", f"{tmp_path.name}/old")]
    assert not (old / "learned_from.csv").exists()


def test_a_folder_that_is_not_whole_says_so(dataset, fitted, tmp_path):
    folder, _ = fitted
    for name in ("card.json", "model.safetensors", "bank.npz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(data.base.DataError, match="fit the generator again"):
        load_generator(tmp_path)
    (tmp_path / "realism.npz").write_bytes(b"broken")
    with pytest.raises(CorruptDataError, match="cannot be read"):
        load_generator(tmp_path)
    models.save(models.create("unet", width=2, depth=2), tmp_path)
    with pytest.raises(ConfigError, match="holds a unet"):
        load_generator(tmp_path)


def test_tiles_are_labelled_and_repeatable_and_do_not_depend_on_their_number(fitted, tmp_path):
    _, kit = fitted
    tally = Tally()
    four = list(generate_dataset(kit, 4, size_px=50, seed=1, tally=tally))
    two = list(generate_dataset(kit, 2, size_px=50, seed=1))
    for a, b in zip(four[:2], two, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.instances, b.instances)
    assert all(len(s.classes) == s.instances.max() + 1 and s.image.shape == (50, 50, 3) for s in four)
    assert tally.painted >= 4
    assert tally.painted - tally.dropped == 4
    assert "generated" in tally.lines()[0]
    out = data.write_folder(tmp_path / "out", four, Datasheet("g", classes={1: "a", 2: "b", 3: "c", 4: "d"}))
    back = data.open("folder", out)
    np.testing.assert_array_equal(back[2].classes, four[2].classes)
    assert back[2].mpp == 0.5


def test_a_stain_made_to_order(fitted):
    _, kit = fitted
    pink, blue = (
        np.mean([s.image.mean((0, 1)) for s in generate_dataset(kit, 3, size_px=64, stains=[stain])], axis=0)
        for stain in (synth.STAINS["pink"], synth.STAINS["blue"])
    )
    assert pink[0] - pink[2] > blue[0] - blue[2] + 10


def test_poor_tiles_are_dropped_and_the_loop_ends(fitted):
    _, kit = fitted
    strict = dataclasses.replace(kit, realism=dataclasses.replace(kit.realism, limit=0.0))
    tally = Tally()
    assert len(list(generate_dataset(strict, 2, size_px=96, tally=tally))) == 2
    assert (tally.painted, tally.dropped, tally.poor) == (6, 4, 2)
    assert any("kept 2 poor" in line for line in tally.lines())


def test_real_tiles_are_not_poor_and_noise_is(fitted, dataset):

    _, kit = fitted
    tile = generate.canonical(dataset[0], kit.bank.tiles[0], 0.5)
    target = kit.model.targets(tile)
    assert kit.realism.median_distance(kit.model, target["maps"], target["dyes"]) <= kit.realism.limit
    noise = target["dyes"] + np.random.default_rng(0).normal(0, 3, target["dyes"].shape).astype(np.float32)
    assert kit.realism.median_distance(kit.model, target["maps"], noise) > kit.realism.limit


def test_odd_data_sets_are_named_or_refused(dataset, tmp_path):
    notes = []
    first = dataset[0]
    bare = dataclasses.replace(first, classes=None)
    coarse = data.resample(dataclasses.replace(first, name="coarse"), 0.8)
    made = fit_generator(
        InMemory.of([bare, dataclasses.replace(coarse, classes=None)], Datasheet("x")),
        tmp_path / "a",
        TINY,
        on_note=notes.append,
    )
    assert made.bank.classes == ("nucleus",)
    assert "no classes" in notes[0]
    assert "[0.5, 0.8] um/px" in notes[1]
    notes.clear()
    fit_generator(InMemory.of([first], dataset.info), tmp_path / "b", TINY, on_note=notes.append)
    assert "only one tile" in notes[0]
    with pytest.raises(DataError, match="empty"):
        fit_generator(InMemory.of([], Datasheet("none")), tmp_path / "c", TINY)
    unlabelled = dataclasses.replace(first, instances=None, classes=None)
    with pytest.raises(DataError, match="no instance map"):
        fit_generator(InMemory.of([unlabelled], Datasheet("none")), tmp_path / "d", TINY)


def test_wrong_settings_are_refused(fitted):
    for wrong in ({"steps": 0}, {"patch_px": 30}, {"lr": 0.0}, {"mpp": 9.0}):
        with pytest.raises(ConfigError):
            GeneratorConfig(**wrong)
    with pytest.raises(ConfigError, match="n is 0"):
        next(generate_dataset(fitted[1], 0))
