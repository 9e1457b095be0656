"""What others bring is found by entry point or by ``package.module:Name``, and never breaks what is ours."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from histoscope import augment, balance, data, metrics, models, plugins
from histoscope.errors import ConfigError, UnknownNameError
from histoscope.models.nuclei.unet import UNet
from histoscope.train.choices import get_augment, get_jitter

Install = Callable[[str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a package with entry points on the path, as an installer would."""
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)

    def put(package: str, code: str, entries: str) -> None:
        (tmp_path / f"{package}.py").write_text(code, encoding="utf-8")
        about = tmp_path / f"{package}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Name: {package}\nVersion: 1.0\n", encoding="utf-8")
        (about / "entry_points.txt").write_text(entries, encoding="utf-8")
        plugins._installed.cache_clear()

    yield put
    plugins._installed.cache_clear()
    for name in set(sys.modules) - known:
        del sys.modules[name]


NET = """
from histoscope.models.nuclei.unet import UNet
class Net(UNet):
    "A network of somebody else."
    name = "theirs"
"""


def test_a_model_of_others_is_found_by_its_entry_point(install: Install):
    install("lab_nets", NET, "[histoscope.models]\ntheirs = lab_nets:Net\n")
    model = models.create("theirs", width=4, depth=2)
    assert type(model).__module__ == "lab_nets"
    assert plugins.name_of(type(model), "histoscope.models") == "theirs"
    with pytest.raises(UnknownNameError, match="did you mean 'theirs'"):
        models.get("thiers")


def test_nothing_of_others_is_imported_until_it_is_named(install: Install):
    install(
        "lab_broken", "raise RuntimeError('no licence')", "[histoscope.models]\nbroken = lab_broken:Net\n"
    )
    assert models.get("unet") is UNet
    assert "broken" in plugins.names(models.MODELS, "histoscope.models")
    with pytest.raises(ConfigError, match=r"'broken' of the plug-in lab_broken .*RuntimeError: no licence"):
        models.get("broken")
    with pytest.raises(UnknownNameError, match="broken"):
        models.get("brokn")


def test_a_name_of_ours_wins_and_the_clash_is_said(install: Install):
    install("lab_nets", NET, "[histoscope.models]\nunet = lab_nets:Net\n")
    with pytest.warns(UserWarning, match="'unet': Histoscope's own is used, not lab_nets:Net of lab_nets"):
        assert models.get("unet") is UNet


def test_of_two_plugins_with_one_name_the_first_is_taken_and_the_other_named(install: Install):
    install("lab_b", NET, "[histoscope.models]\ntwice = lab_b:Net\n")
    install("lab_a", NET, "[histoscope.models]\ntwice = lab_a:Net\n")
    with pytest.warns(UserWarning, match="that of lab_a is used, not lab_b:Net of lab_b"):
        assert models.get("twice").__module__ == "lab_a"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no_such_lab.nets:Net", "ModuleNotFoundError: No module named 'no_such_lab'"),
        ("lab_nets:Other", "no attribute 'Other'"),
        ("lab_nets:", "no attribute ''"),
        (":Net", "Empty module name"),
    ],
)
def test_a_path_that_leads_nowhere_is_told(install: Install, name: str, why: str):
    install("lab_nets", NET, "")
    with pytest.raises(ConfigError, match=why):
        models.get(name)


def test_a_module_in_the_folder_that_we_are_run_in_is_found(tmp_path, monkeypatch):
    (tmp_path / "lying_here.py").write_text(NET, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    assert models.create("lying_here:Net", width=4, depth=2).spec.divisible_by == 2
    del sys.modules["lying_here"]


def test_only_what_the_user_named_is_trusted(install: Install):
    install("lab_nets", NET, "[histoscope.models]\ntheirs = lab_nets:Net\n")
    for name in ("unet", "theirs", "lab_nets:Net"):  # what is installed, by its path too
        assert plugins.is_trusted(name, models.MODELS, "histoscope.models")
    assert not plugins.is_trusted("lab_nets:UNet", models.MODELS, "histoscope.models")
    models.get("lab_nets:UNet")
    assert plugins.is_trusted("lab_nets:UNet", models.MODELS, "histoscope.models")


OTHERS = """
from dataclasses import replace
import numpy as np
from histoscope.augment import AugmentConfig
from histoscope.balance import BalanceConfig
from histoscope.data import Dataset, Datasheet
from histoscope.types import Record, Sample

class Grey(Dataset):
    def __init__(self, root, *, level=128):
        self.root, self.level = root, level
    info = Datasheet("grey", mpp=0.5)
    records = (Record("a"), Record("b"))
    def __getitem__(self, index):
        image = np.full((8, 8, 3), self.level, np.uint8)
        return Sample(image, 0.5, np.zeros((8, 8), np.int32), name=self.records[index].name)

def bare(root):
    return [1, 2]

def darker(sample, rng):
    return replace(sample, image=sample.image // 2)

def redder(image, rng):
    return image

def count_error(true, pred):
    return float(true.max() - pred.max())

SOFT = AugmentConfig(dihedral_chance=0.5)
RARE = BalanceConfig(rare_patches=0.25)
"""


@pytest.fixture
def others(install: Install):
    install(
        "lab_others",
        OTHERS,
        "[histoscope.datasets]\ngrey = lab_others:Grey\n[histoscope.augmentations]\nsoft = lab_others:SOFT\n"
        "darker = lab_others:darker\n[histoscope.balances]\nrare = lab_others:RARE\n"
        "[histoscope.jitters]\nredder = lab_others:redder\n[histoscope.metrics]\n"
        "counts = lab_others:count_error\n",
    )


@pytest.mark.parametrize("name", ["grey", "lab_others:Grey"])
def test_a_data_set_of_others_opens(others, tmp_path, name):
    dataset = data.open(name, tmp_path, level=7)
    assert [sample.name for sample in dataset] == ["a", "b"]
    assert dataset[0].image.max() == 7
    with pytest.raises(UnknownNameError, match="option of data set"):
        data.open(name, tmp_path, lvl=7)
    with pytest.raises(ConfigError, match=r"gives a list without info, records.*histoscope\.data\.Dataset"):
        data.open("lab_others:bare", tmp_path)


def test_the_list_of_data_sets_names_it(others, capsys):
    from histoscope.cli.data import list_datasets

    list_datasets()
    assert "reads  as defined by lab_others:Grey of lab_others" in capsys.readouterr().out


@pytest.mark.parametrize("by", ["entry point", "path"])
def test_every_other_kind_is_found_too(others, by):
    def of(entry: str, attribute: str) -> str:
        return entry if by == "entry point" else f"lab_others:{attribute}"

    assert augment.get(of("soft", "SOFT")).dihedral_chance == 0.5
    assert get_augment(of("darker", "darker")).__name__ == "darker"
    assert get_jitter(of("redder", "redder")).__name__ == "redder"
    assert balance.get(of("rare", "RARE")).rare_patches == 0.25
    error = metrics.get(of("counts", "count_error"))
    assert error(np.array([3]), np.array([1])) == 2.0


@pytest.mark.parametrize(
    ("get", "name", "expected"),
    [
        (augment.get, "math:pi", "AugmentConfig, a function"),
        (balance.get, "math:pi", "BalanceConfig"),
        (metrics.get, "math:pi", "a function"),
        (models.get, "math:pi", "a class of models, of torch modules"),
        (get_jitter, "math:pi", "a function"),
        (lambda name: data.open(name, "."), "math:pi", "function that takes a folder"),
    ],
)
def test_what_is_no_such_thing_is_refused(get, name, expected):
    with pytest.raises(ConfigError, match=expected):
        get(name)


def test_looking_up_ours_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in models.MODELS:
            models.get(name)
