"""Remedies for class imbalance: class weights of the loss, oversampling of rare nuclei, stronger warps.

>>> from histoscope import balance
>>> balance.class_weights([9000, 900, 90], "inverse").round(3).tolist()
[0.027, 0.27, 2.703]
"""

from histoscope.balance.counts import class_counts, class_pixels
from histoscope.balance.plan import BALANCES, Balance, BalanceConfig, get, plan
from histoscope.balance.repeats import draw_probability, rare_repeats
from histoscope.balance.weights import CLASS_WEIGHTS, class_weights
from histoscope.lazy import attach

__all__ = [
    "BALANCES",
    "CLASS_WEIGHTS",
    "Balance",
    "BalanceConfig",
    "class_counts",
    "class_pixels",
    "class_weights",
    "draw_probability",
    "get",
    "plan",
    "rare_repeats",
]


__getattr__, __dir__ = attach(__name__, {})
