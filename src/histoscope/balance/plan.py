"""Remedies for class imbalance in a training run, and their weights from its data."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from histoscope import plugins
from histoscope.balance.counts import class_counts
from histoscope.balance.weights import CLASS_WEIGHTS, class_weights
from histoscope.brief import brief
from histoscope.errors import ConfigError, UnknownNameError
from histoscope.types import Sample


@dataclass(frozen=True, slots=True)
class BalanceConfig:
    """Remedies for rare classes, each alone or together. The default does nothing.

    Parameters
    ----------
    class_weights : str
        Weights of classes in the loss, a key of `CLASS_WEIGHTS`.
    rare_patches : float in [0, 1]
        Share of patches that are centred on a nucleus whose class is drawn first, rare ones more often.
    rare_power : float in [0, 2]
        A class is drawn in proportion to (1 / its nuclei) to this power: 0 draws all classes alike, 0.5 is
        the challenge's square root, 1 the inverse frequency.
    rare_warp : bool
        Turn, zoom and bend patches more, the rarer the classes in them.

    Raises
    ------
    UnknownNameError
        If there are no such class weights.
    ConfigError
        If a number is out of its range.
    """

    class_weights: str = "none"
    rare_patches: float = 0.0
    rare_power: float = 0.5
    rare_warp: bool = False

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.class_weights not in CLASS_WEIGHTS:
            raise UnknownNameError("class weights", self.class_weights, CLASS_WEIGHTS)
        if not 0 <= self.rare_patches <= 1 or not 0 <= self.rare_power <= 2:
            raise ConfigError(
                f"balance: rare_patches is {self.rare_patches} and rare_power {self.rare_power}; expected a "
                "share from 0 to 1 and a power from 0 to 2"
            )


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Balance:
    """Class weights and sampling weights that `plan` computes from a configuration and the training data.

    Parameters
    ----------
    loss_weights : (C,) float64
        Of classes 1 to C; the mean over those that occur is 1, others are 0.
    counts : (C + 1,) int64
        Nuclei of each class; the first entry is of nuclei without one.
    patch_class_weights : (C + 1,) float64
        Weight of **one nucleus** of each class when a patch is centred on a rare one; their sum over all
        nuclei is 1, or 0 where nothing is drawn so.
    rare_patches : float
        Share of patches drawn so.
    rarity : (C + 1,) float64 in [0, 1], or None
        How strongly patches with a class are warped: 1 for the rarest; None for no such warp.
    """

    loss_weights: NDArray[np.float64]
    counts: NDArray[np.int64]
    patch_class_weights: NDArray[np.float64]
    rare_patches: float
    rarity: NDArray[np.float64] | None

    def nuclei(self, on_nuclei: float = 0.0) -> tuple[float, tuple[float, ...] | None]:
        """Arguments ``on_nuclei`` and ``class_weights`` of `histoscope.train.patches.PatchSampler`.

        Parameters
        ----------
        on_nuclei : float in [0, 1]
            Share of the other patches that are centred on any nucleus.

        Returns
        -------
        on_nuclei : float
            Share of all patches that are centred on a nucleus, rare or any.
        class_weights : tuple of C + 1 floats, or None
            Mixture of both ways to draw one; None if there is nothing to mix.
        """
        if self.rare_patches == 0:
            return on_nuclei, None
        of_any = (1.0 - self.rare_patches) * on_nuclei
        weights = self.rare_patches * self.patch_class_weights + of_any / self.counts.sum()
        return self.rare_patches + of_any, tuple(weights.tolist())


BALANCES: MappingProxyType[str, BalanceConfig] = MappingProxyType(
    {
        "none": BalanceConfig(),
        "weights": BalanceConfig(class_weights="sqrt_median"),
        "augmentation": BalanceConfig(rare_patches=0.5, rare_warp=True),
        "both": BalanceConfig(class_weights="sqrt_median", rare_patches=0.5, rare_warp=True),
    }
)
"""The settings that ship, by name."""


def get(name: str) -> BalanceConfig:
    """Look up a preset of `BALANCES`, of a plug-in (``histoscope.balances``), or ``package.module:NAME``.

    Raises
    ------
    UnknownNameError
        If there is none of that name; the message offers the nearest.
    """
    found = plugins.find("balance", name, BALANCES, "histoscope.balances")
    if not isinstance(found, BalanceConfig):
        raise ConfigError(f"balance {name!r} is {found!r}, expected a BalanceConfig")
    return found


def plan(config: BalanceConfig, samples: Sequence[Sample], n_classes: int) -> Balance:
    """Compute class and sampling weights from the class counts of the training data.

    Parameters
    ----------
    config : BalanceConfig
        Which remedies.
    samples : sequence of Sample
        The training data.
    n_classes : int
        Classes are 1 to `n_classes`.

    Returns
    -------
    Balance

    Raises
    ------
    ConfigError
        If there is a remedy to apply and no nucleus has a class.
    DataError
        If a class is above `n_classes`.

    Examples
    --------
    >>> labels = np.arange(6, dtype=np.int32)[None]
    >>> sample = Sample(np.zeros((1, 6, 3), np.uint8), 0.5, labels, np.array([0, 1, 1, 1, 1, 2], np.uint8))
    >>> balance = plan(BALANCES["both"], [sample], n_classes=2)
    >>> balance.loss_weights.round(3).tolist(), balance.patch_class_weights.round(3).tolist()
    ([0.667, 1.333], [0.0, 0.083, 0.667])
    >>> balance.rarity.tolist()
    [0.0, 0.5, 1.0]
    """
    counts = class_counts(samples, n_classes=n_classes)
    number = counts[1:].astype(np.float64)
    drawn, present = np.zeros(n_classes + 1), number > 0
    rarity = np.zeros(n_classes + 1)
    if config != BalanceConfig(rare_power=config.rare_power) and not present.any():
        raise ConfigError(
            "balance asks for remedies for class imbalance, but no nucleus in the training data has a class; "
            "label the classes, or set balance to none"
        )
    if present.any():
        chance = number[present] ** -config.rare_power  # of the class; each of its nuclei gets an equal part
        if config.rare_patches > 0:
            drawn[1:][present] = chance / chance.sum() / number[present]
        rarity[1:][present] = chance / chance.max()
    return Balance(
        loss_weights=class_weights(number, config.class_weights),
        counts=counts,
        patch_class_weights=drawn,
        rare_patches=config.rare_patches,
        rarity=rarity if config.rare_warp else None,
    )
