"""Learning rate against step."""

import math


def warmup_cosine(step: int, steps: int, *, warmup: float = 0.05, floor: float = 0.01) -> float:
    """Factor on the learning rate: a linear rise, then half a cosine down to `floor`.

    Parameters
    ----------
    step, steps : int
        Current step, from 0, and their number.
    warmup : float
        Share of the steps over which it rises.
    floor : float
        Value at the last step.

    Returns
    -------
    float in (0, 1]

    References
    ----------
    .. [1] Loshchilov and Hutter, ICLR 2017, arXiv:1608.03983

    Examples
    --------
    >>> [round(warmup_cosine(step, 100, warmup=0.1), 3) for step in (0, 9, 10, 55, 99)]
    [0.1, 1.0, 1.0, 0.496, 0.01]
    """
    rise = max(int(steps * warmup), 1)
    if step < rise:
        return (step + 1) / rise
    through = min((step - rise) / max(steps - 1 - rise, 1), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * through))
