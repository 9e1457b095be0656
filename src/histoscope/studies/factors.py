"""What a study may change: each factor has levels, and each level says which settings of a run it takes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from histoscope import augment, balance, plugins, stain
from histoscope.studies import beginnings, synthetic

Settings: TypeAlias = Mapping[str, Any]
"""Of one level; what it leaves out is as the study's configuration has it. The keys:

``normalizer``: a key of ``stain.NORMALIZERS``, or none.
``augment``: a key of ``augment.AUGMENTATIONS``.
``jitter``: a key of ``stain.JITTERS``, or none: colours changed at random while training.
``balance``: a key of ``balance.BALANCES``: remedies for rare classes.
``arguments``: arguments of the network.
``tta``: whether test images are predicted with test-time augmentation.
``same_training_as``: another level that is trained in the same way; its weights are used if they are there.
``tiles``: how many real tiles are learned from; none for all of them, 0 for synthetic tissue alone.
``synthetic``: a data set of the configuration's ``synthetic``, or "" for none.
``part``: of the steps, those that this level trains for: ``all``, ``pretraining`` (the configuration says
which share), or ``tuning`` (the rest).
``initial_level``: another level whose weights are the initial ones of this level; it is run first.
``against``: the level that this one is compared with, where that is not the study's baseline.
``initial_weights``: random ones (``scratch``) or pretrained ones; of patches, also a trivial baseline.
``equal_minutes``: whether it is trained for as long as the others by the clock, not for as many steps.
"""

DEFAULTS: dict[str, Any] = {
    "normalizer": "none",
    "augment": "default",
    "jitter": "none",
    "balance": "none",
    "arguments": {},
    "tta": False,
    "same_training_as": "",
    "tiles": None,
    "synthetic": "",
    "part": "all",
    "initial_level": "",
    "against": "",
    "initial_weights": "scratch",
    "equal_minutes": False,
}

BEGINNINGS = ("scratch", "synthetic", "self_supervised", "imagenet_probe", "imagenet_tuned")
"""Initial weights of a classifier."""
BASELINES = ("colour", "majority")
"""Trivial baselines: classifiers without a network."""


@dataclass(frozen=True, slots=True)
class Factor:
    """The one thing that differs between compared runs.

    Parameters
    ----------
    label, noun : str
        "stain normalisation", and what stands after the name of a level: "Macenko normalisation".
    kind : str
        What a level is called in messages.
    levels : mapping
        Name of a level -> its settings.
    labels : mapping
        Name of a level -> what people read, where the name is not enough.
    """

    label: str
    noun: str
    kind: str
    levels: Mapping[str, Settings] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


class _Each(dict[str, Settings]):
    """Levels that are names, in one setting: ours, those of plug-ins, and any ``package.module:Name``."""

    def __init__(self, key: str, names: Iterable[str], group: str) -> None:
        super().__init__({name: {key: name} for name in plugins.names(names, group)})
        self.key = key

    def __missing__(self, name: str) -> Settings:
        if name in self:
            return {self.key: name}
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or ":" in str(name)


FACTORS: dict[str, Factor] = {
    "normalizer": Factor(
        "stain normalisation",
        "normalisation",
        "normaliser",
        _Each("normalizer", ["none", *stain.NORMALIZERS], "histoscope.normalizers"),
    ),
    "augment": Factor(
        "augmentation", "augmentation", "augmentation", _Each("augment", augment.AUGMENTATIONS, augment.GROUP)
    ),
    "balance": Factor(
        "class imbalance",
        "",
        "balance",
        _Each("balance", balance.BALANCES, "histoscope.balances"),
        {"none": "No remedy for class imbalance"},
    ),
    "initial_weights": Factor(
        "transfer",
        "",
        "level",
        {name: {"initial_weights": name} for name in (*BEGINNINGS, *BASELINES)},
        {
            "scratch": "From scratch",
            "synthetic": "Drawn tissue first",
            "self_supervised": "Unlabelled tiles first",
            "imagenet_probe": "ImageNet, probe",
            "imagenet_tuned": "ImageNet, fine-tuned",
            "colour": "Colours alone",
            "majority": "Largest class",
        },
    ),
    "colour": Factor(
        "remedies for colour",
        "",
        "level",
        {
            "none": {},
            "brightness_hue": {"jitter": "brightness_hue"},
            "stain_jitter": {"jitter": "stain"},
            "reinhard": {"normalizer": "reinhard"},
            "macenko": {"normalizer": "macenko"},
            "macenko_jitter": {"normalizer": "macenko", "jitter": "stain"},
        },
        {"none": "No remedy for colour"},
    ),
    "beginning": Factor("transfer to nuclei", "", "level", beginnings.LEVELS, beginnings.LABELS),
    "tissue": Factor("training tissue", "", "level", synthetic.TISSUE, synthetic.LABELS),
    "stardist": Factor(
        "variants of StarDist",
        "",
        "level",
        {
            "published": {"arguments": {"refine": False, "refine_with_mask": False}},
            "rays32": {"arguments": {"refine": False}},
            "rays64": {"arguments": {"refine": False, "n_rays": 64}},
            "turned": {"tta": True, "arguments": {"refine": False}, "same_training_as": "rays32"},
            "refined": {"arguments": {"refine": True}, "same_training_as": "rays32"},
            "turned_refined": {"tta": True, "arguments": {"refine": True}, "same_training_as": "rays32"},
            "resnet18": {"arguments": {"refine": False, "encoder": "resnet18"}},
        },
    ),
}
"""Every factor of a study by name."""
