"""How the class of a nucleus follows from the votes of its pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from histoscope.class_names import UNSURE
from histoscope.errors import ConfigError

_LEAST_VOTE = 1e-6
"""Votes are logarithms of a network's probabilities; none is surer than this."""


@dataclass(frozen=True, slots=True)
class ClassRule:
    """Class and probability of a nucleus, from the share of each class in its votes.

    The probability of a class is proportional to ``exp(log(share) / temperature + offset)`` [1]_. The default
    takes shares as they are, and the class of the largest.

    Parameters
    ----------
    offsets : tuple of float
        One a class, as names are in the model's specification; none for 0 each.
    temperature : float
        Above 0; above 1 where a network is overconfident.
    unsure_below : float in [0, 1)
        A nucleus whose class is less probable has class 0, and is called `unsure`; 0 for none.

    Raises
    ------
    ConfigError
        If a number is out of its range.

    References
    ----------
    .. [1] Alexandari et al., ICML 2020, arXiv:1901.06852

    Examples
    --------
    >>> votes = np.array([[0.9, 0.1], [0.5, 0.5]], np.float32)
    >>> rule = ClassRule(offsets=(0.0, 0.2), unsure_below=0.6)
    >>> rule(votes)[0].tolist(), rule.names(["tumour", "stroma"])
    ([1, 0], ('tumour', 'stroma', 'unsure'))
    """

    offsets: tuple[float, ...] = ()
    temperature: float = 1.0
    unsure_below: float = 0.0

    def __post_init__(self) -> None:
        finite = np.isfinite([*self.offsets, self.temperature, self.unsure_below]).all()
        if not finite or not self.temperature > 0 or not 0 <= self.unsure_below < 1:
            raise ConfigError(
                f"class rule: offsets {self.offsets} must be numbers, temperature {self.temperature} above 0 "
                f"and unsure_below {self.unsure_below} in [0, 1)"
            )

    def __call__(self, votes: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Class and probabilities of each nucleus.

        Parameters
        ----------
        votes : (N, C) float32
            Rows sum to one.

        Returns
        -------
        class_id : (N,) uint8
            From 1; 0 for `unsure`.
        probability : (N, C) float32
            Rows sum to one.
        """
        probability = self.probability(votes)
        if not votes.shape[1]:
            return np.zeros(len(votes), np.uint8), probability
        class_id = 1 + probability.argmax(axis=1)
        class_id[probability.max(axis=1, initial=0.0) < self.unsure_below] = 0
        return class_id.astype(np.uint8), probability

    def probability(self, votes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities (N, C) of the classes; the votes themselves where nothing changes them."""
        if not any(self.offsets) and self.temperature == 1:
            return votes
        logits = np.log(np.maximum(votes, _LEAST_VOTE).astype(np.float64)) / self.temperature
        share: NDArray[np.float32] = softmax(logits + np.array(self.offsets or 0.0), axis=1).astype(
            np.float32
        )
        return share

    def names(self, classes: Sequence[str]) -> tuple[str, ...]:
        """What nuclei may be called: names of class 1, 2, ..., and `unsure`, that of class 0, if any is."""
        return (*classes, UNSURE) if self.unsure_below else tuple(classes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a model card."""
        return asdict(self) | {"offsets": list(self.offsets)}

    @classmethod
    def of_card(cls, found: Any, classes: Sequence[str]) -> "ClassRule":
        """Rule on a card; none is the default.

        Raises
        ------
        ConfigError
            If it is not a rule for these classes.
        """
        if found is None:
            return cls()
        if not isinstance(found, Mapping) or set(found) != set(cls().to_dict()):
            raise ConfigError(f"the class rule is {found!r}, expected {cls().to_dict()} or similar values")
        numbers = [*found["offsets"], found["temperature"], found["unsure_below"]]
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in numbers):
            raise ConfigError(f"the class rule is {found!r}, expected numbers")
        if len(found["offsets"]) not in {0, len(classes)}:
            raise ConfigError(
                f"the class rule has {len(found['offsets'])} offsets, expected one for each of "
                f"{len(classes)} classes"
            )
        return cls(tuple(found["offsets"]), found["temperature"], found["unsure_below"])
