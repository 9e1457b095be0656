import importlib
import inspect
import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
import torch

from histoscope.augment import AUGMENTATIONS, AugmentConfig
from histoscope.errors import ConfigError, DataError
from histoscope.train.loader import PatchDataset, PatchLoader, make_loader
from histoscope.train.patches import PatchSampler
from histoscope.types import Sample


def samples():
    rng = np.random.default_rng(0)
    made = []
    for shape in ((80, 64), (40, 96), (20, 20)):
        labels = np.zeros(shape, np.int32)
        for k in range(1, 6):
            row, column = rng.integers(0, shape[0] - 6), rng.integers(0, shape[1] - 6)
            labels[row : row + 6, column : column + 6] = k
        image = rng.integers(0, 255, (*shape, 3), dtype=np.uint8)
        made.append(Sample(image, 0.5, labels, np.array([0, 1, 2, 1, 2, 1], np.uint8)))
    return made


def targets(sample):
    return {"instances": sample.instances, "mask": (sample.instances > 0).astype(np.float32)}


def broken(sample):
    raise ValueError("this target cannot be made")


def loader(**options):
    defaults = {"patch_px": 32, "batch_size": 3, "steps": 5, "augment": AUGMENTATIONS["strong"], "seed": 7}
    return make_loader(samples(), targets, **{**defaults, **options})


def equal(a, b):
    return torch.equal(a.image, b.image) and all(torch.equal(a.target[k], b.target[k]) for k in a.target)


def test_shapes_and_types():
    batches = list(loader(on_nuclei=0.5))
    assert len(batches) == len(loader()) == 5
    for image, target in batches:
        assert image.shape == (3, 3, 32, 32)
        assert image.dtype == torch.uint8
        assert image.is_contiguous(memory_format=torch.channels_last)
        assert target["instances"].dtype == torch.int32
        assert target["mask"].shape == (3, 32, 32)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_goes_on_with_the_same_batches(workers):
    whole = list(loader())
    rest = list(loader(start_step=3, workers=workers))
    assert len(rest) == 2
    assert all(equal(a, b) for a, b in zip(whole[3:], rest, strict=True))


def test_batches_do_not_depend_on_workers_nor_on_the_past():
    whole = list(loader())
    assert all(equal(a, b) for a, b in zip(whole, loader(workers=2), strict=True))
    assert equal(whole[4], loader().batch(4))
    again = loader()
    assert equal(next(iter(again)), next(iter(again)))


@pytest.mark.slow
def test_clean_workers_give_the_same_batches(tmp_path, monkeypatch):
    # a clean process imports what it is sent, and cannot import this file
    source = "import numpy as np\n\n" + inspect.getsource(targets)
    (tmp_path / "importable_targets.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    importable = importlib.import_module("importable_targets")
    patches = PatchDataset(PatchSampler(samples(), 32), importable.targets, AUGMENTATIONS["strong"], None, 7)
    clean = PatchLoader(patches, batch_size=3, steps=2, workers=1, start_method="forkserver")
    assert all(equal(a, b) for a, b in zip(loader(steps=2), clean, strict=True))


def test_seeds_and_steps_differ():
    first, other = next(iter(loader())), next(iter(loader(seed=8)))
    assert not torch.equal(first.image, other.image)
    batches = list(loader())
    assert not torch.equal(batches[0].image, batches[1].image)
    assert not torch.equal(batches[0].image[0], batches[0].image[1])


def test_without_augmentation_patches_are_cuts():
    whole = Sample(np.random.default_rng(0).integers(0, 255, (33, 33, 3), dtype=np.uint8), 0.5)
    cuts = [whole.image[r : r + 32, c : c + 32] for r in range(2) for c in range(2)]
    for batch in make_loader([whole], lambda _: {}, patch_px=32, batch_size=2, steps=4):
        for image in batch.image.permute(0, 2, 3, 1).numpy():
            assert any(np.array_equal(image, cut) for cut in cuts)


def test_the_color_is_applied_to_the_patch_with_its_own_draws():
    def paint(image, rng):
        assert image.shape == (32, 32, 3)
        return np.full_like(image, rng.integers(256))

    values = [int(image.unique()) for batch in loader(color=paint) for image in batch.image]
    assert len(set(values)) > 5
    plain, painted = list(loader()), list(loader(color=paint))
    assert all(torch.equal(a.target["mask"], b.target["mask"]) for a, b in zip(plain, painted, strict=True))


def test_samples_without_nuclei_and_smaller_than_a_patch():
    empty = [Sample(np.full((9, 70, 3), 240, np.uint8), 0.5, np.zeros((9, 70), np.int32))]
    for batch in make_loader(
        empty, targets, patch_px=64, batch_size=2, steps=2, on_nuclei=1.0, augment=AUGMENTATIONS["strong"]
    ):
        assert batch.image.shape == (2, 3, 64, 64)
        assert batch.target["mask"].sum() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_px": 0}, "patch_px is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"workers": -1}, "workers is -1"),
        ({"start_step": -1}, "start_step is -1"),
    ],
)
def test_numbers_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        loader(**options)


def test_no_samples_and_mixed_resolutions():
    options = {"patch_px": 32, "batch_size": 1, "steps": 1}
    with pytest.raises(DataError, match="no samples"):
        make_loader([], targets, **options)
    with pytest.raises(DataError, match="resample"):
        make_loader([Sample(np.zeros((40, 40, 3), np.uint8), mpp) for mpp in (0.25, 0.5)], targets, **options)


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_to_do_is_nothing(workers):
    assert list(loader(steps=5, start_step=5, workers=workers)) == []
    assert list(loader(steps=5, start_step=9, workers=workers)) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_target_reaches_the_caller(workers):
    failing = make_loader(samples(), broken, patch_px=32, batch_size=2, steps=50, workers=workers)
    with pytest.raises(ValueError, match="cannot be made"):
        next(iter(failing))


def test_leaving_the_loop_early_ends_the_thread():
    before = set(threading.enumerate())
    batches = iter(loader(steps=10_000))
    next(batches)
    assert set(threading.enumerate()) - before
    batches.close()
    assert not set(threading.enumerate()) - before


def test_few_batches_are_kept_ahead():
    made = []

    def counted(sample):
        made.append(1)
        return {}

    batches = iter(
        make_loader(samples(), counted, patch_px=16, batch_size=1, steps=500, augment=AugmentConfig())
    )
    for _ in range(10):
        next(batches)
    batches.close()
    assert len(made) < 20


@pytest.mark.parametrize("workers", [0, 1])
def test_ctrl_c_ends_it_without_noise(workers):
    # A job in the background of a shell ignores Ctrl-C, and so do its children: take the handler back first.
    code = textwrap.dedent(f"""
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        import numpy as np
        from histoscope.train.loader import make_loader
        from histoscope.types import Sample
        sample = Sample(np.zeros((64, 64, 3), np.uint8), 0.5)
        try:
            for step, batch in enumerate(make_loader(
                [sample], lambda s: {{}}, patch_px=32, batch_size=2, steps=10**7, workers={workers}
            )):
                if step == 3:
                    print("ready", flush=True)
        except KeyboardInterrupt:
            print("stopped", flush=True)
    """)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A group and not a session of its own: Linux schedules sessions against each other.
    with subprocess.Popen([sys.executable, "-c", code], process_group=0, **pipes) as child:
        try:
            assert child.stdout.readline() == "ready\n", child.stderr.read()
            os.killpg(child.pid, signal.SIGINT)  # what a terminal does: all processes of the group get it
            out, errors = child.communicate(timeout=60)
        finally:
            child.kill()
    assert (out, errors, child.returncode) == ("stopped\n", "", 0)


def test_patches_of_rare_classes_are_warped_more_and_the_others_stay_as_they_were():
    plain = AugmentConfig(dihedral_chance=1.0)
    sampler = PatchSampler(samples(), 16)
    as_ever = PatchDataset(sampler, targets, plain, None, seed=3)
    by_class = PatchDataset(sampler, targets, plain, None, seed=3, rarity=[0.0, 0.0, 1.0])
    assert by_class.margin_px > as_ever.margin_px == 0
    changed = {True: [], False: []}
    for k in range(60):
        before, after = as_ever.sample(k), by_class.sample(k)
        assert after.image.shape == (16, 16, 3)
        rare = 2 in before.classes[np.unique(before.instances)]
        changed[rare].append(not np.array_equal(before.image, after.image))
    assert not any(changed[False])
    assert np.mean(changed[True]) > 0.9
    assert min(len(each) for each in changed.values()) > 5
