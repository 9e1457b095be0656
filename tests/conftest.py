"""Fixtures that all tests share: no network, few threads, and small synthetic samples made once."""

import os

# Before NumPy, Numba or torch start their thread pools: tests are small, and their machines have few cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "2")
# Threads that spin while they wait make tests a hundred times slower on a machine with other work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HISTOSCOPE_BACKEND", "torch")  # what else is installed changes no test

import html
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from histoscope.types import Sample

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"
MANY = 3000

# The same examples every time, so that a change is judged by what it changes; "explore" draws new ones.
# No deadline: the first example of a property may compile.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Say how long all tests take, before a newcomer wonders."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and len(session.items) > MANY:
        reporter.write_line(
            f"{len(session.items):,} tests: about 8 minutes on two cores; no network, no real images"
        )


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection but those inside this machine: a test that needs the internet is not a test."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if host is not None and host not in {"127.0.0.1", "::1", "localhost"}:
            raise RuntimeError(f"a test tried to reach {address}; tests work offline")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def rng() -> np.random.Generator:
    """Give a fresh generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def disks() -> Sample:
    """Draw six purple disks of known place on pink, 96 x 96: truth that needs no generator."""
    image = np.full((96, 96, 3), (236, 190, 214), np.uint8)
    labels = np.zeros((96, 96), np.int32)
    rows, columns = np.mgrid[:96, :96]
    centres = [(20, 20), (20, 60), (48, 40), (70, 18), (70, 50), (60, 80)]
    for number, (row, column) in enumerate(centres, start=1):
        disk = (rows - row) ** 2 + (columns - column) ** 2 <= 8**2
        labels[disk], image[disk] = number, (92, 54, 138)
    noise = np.random.default_rng(0).normal(0, 4, image.shape)
    image = np.clip(image + noise, 0, 255).astype(np.uint8)
    classes = np.array([0, 1, 2, 1, 2, 1, 2], np.uint8)
    for array in (image, labels, classes):
        array.setflags(write=False)
    return Sample(image, 0.25, labels, classes, name="disks", source="disks", patient="p0")


Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def python() -> Python:
    """Run ``python ARGS`` in a fresh process that sees this checkout and nothing else of ours."""

    def run(*args: str, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "PYTHONPATH": str(SRC), "NO_COLOR": "1", **(env or {})}
        return subprocess.run(
            [sys.executable, *args], capture_output=True, text=True, timeout=60, check=False, env=environment
        )

    return run


@pytest.fixture(scope="session")
def root() -> Path:
    """Give the folder of the checkout."""
    return ROOT


@pytest.fixture
def in_browser(tmp_path: Path) -> Callable[[Path, str], None]:
    """Give a check that a page is readable on a telephone and a desk, in a colour scheme."""
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next((path for name in names if (path := shutil.which(name))), None)
    if chromium is None:
        pytest.skip("needs chromium")

    def check(page: Path, scheme: str) -> None:
        template = (ROOT / "tests" / "frames.html").read_text(encoding="utf-8")
        frames = page.with_name("frames.html")
        frames.write_text(template.replace("NAME", page.name), encoding="utf-8")
        flags = (
            "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync "
            "--disable-background-networking "
            "--hide-scrollbars --allow-file-access-from-files --dump-dom --virtual-time-budget=5000"
        )
        command = [
            *(str(chromium), *flags.split(), f"--user-data-dir={tmp_path / 'profile'}"),
            *(f"--blink-settings=preferredColorScheme={int(scheme == 'light')}", f"file://{frames}"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
        found = re.search(r'data-result="([^"]+)"', done.stdout)
        assert found, done.stdout[-500:]
        wanted = {"ground": scheme, "beyond": 0, "cut": [], "broken": 0, "nameless": 0, "pale": []}
        assert json.loads(html.unescape(found[1])) == [wanted, wanted]

    return check


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    """Draw a small cohort: four patients, one tile each."""
    from histoscope import synth

    return synth.cohort(4, 1, shape_px=(96, 96), mpp=0.5, stains=("default",), seed=0)


@pytest.fixture(scope="session")
def patches() -> list[Sample]:
    """Draw 24 patches of two classes that a small network can tell apart, from eight photographs."""
    rng = np.random.default_rng(0)
    made = []
    for k in range(24):
        label = k % 2
        colour = np.array([(225, 170, 205), (150, 90, 170)][label])
        image = np.clip(colour + rng.normal(0, 25, (20, 20, 3)), 0, 255).astype(np.uint8)
        made.append(Sample(image, 0.5, label=label, name=f"p{k}", source=f"photo{k // 6}{label}"))
    return made


@pytest.fixture(scope="session")
def patch_set(patches: list[Sample]) -> Any:
    """Give the same as a data set with classes."""
    from histoscope.data import Datasheet, InMemory

    return InMemory.of(patches, Datasheet("drawn", classes={0: "normal", 1: "tumour"}, mpp=0.5))


@pytest.fixture
def fresh_classifier() -> Callable[..., Any]:
    """Give what makes a small classifier of these patches with fresh weights."""
    import torch

    from histoscope import models

    def make(**more: Any) -> Any:
        torch.manual_seed(0)
        tiny = {"backbone": "unet", "options": {"width": 4, "depth": 2}, "patch_px": 20, "mpp": 0.5}
        return models.create("classifier", **{"classes": ["normal", "tumour"], **tiny, **more})

    return make
