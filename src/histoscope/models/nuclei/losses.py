"""Losses of segmentation heads: overlap (Dice, Tversky) and likelihood (cross-entropy, focal)."""

import torch
from torch import Tensor
from torch.nn import functional


def soft_dice(probability: Tensor, truth: Tensor, *, smooth: float = 1.0) -> Tensor:
    """One minus the soft Dice overlap, pooled over the batch and averaged over channels.

    Parameters
    ----------
    probability, truth : (B, C, H, W) in [0, 1]
        Pooling over the batch keeps a patch without nuclei from dominating the mean.
    smooth : float
        Pixels added to both sides of the fraction, so that an empty channel costs nothing.

    References
    ----------
    .. [1] Milletari et al., 3DV 2016, doi:10.1109/3DV.2016.79
    """
    both = (probability * truth).sum(dim=(0, 2, 3))
    each = probability.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
    return 1.0 - ((2.0 * both + smooth) / (each + smooth)).mean()


def dice_cross_entropy(logits: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Cross-entropy over all channels plus Dice over all but the background.

    Parameters
    ----------
    logits : (B, C, H, W)
    target : (B, H, W) int64 in 0..C-1

    Returns
    -------
    dict of scalar tensors
        ``cross_entropy``, ``dice_loss`` and their sum ``total``.
    """
    logits = logits.float()  # sums over many pixels overflow in half precision
    probability = torch.softmax(logits, dim=1)
    truth = functional.one_hot(target, logits.shape[1]).movedim(-1, 1).to(probability.dtype)
    cross_entropy = functional.cross_entropy(logits, target)
    dice_loss = soft_dice(probability[:, 1:], truth[:, 1:])
    return {"cross_entropy": cross_entropy, "dice_loss": dice_loss, "total": cross_entropy + dice_loss}


def cross_entropy(logits: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy as PyTorch defines it, and 0 instead of NaN where no pixel has weight.

    Parameters
    ----------
    logits : (B, C, H, W)
    target : (B, H, W) int64 in 0..C-1
        A negative value leaves the pixel out: its class is not known.
    weight : (C,), optional
        Of each class, from 0. The mean is over weights, so only their proportions matter.
    """
    return focal(logits, target, gamma=0.0, weight=weight)


def focal(logits: Tensor, target: Tensor, *, gamma: float = 2.0, weight: Tensor | None = None) -> Tensor:
    """Focal loss: cross-entropy in which pixels that are already right count less.

    Parameters
    ----------
    logits : (B, C, H, W)
    target : (B, H, W) int64 in 0..C-1
        A negative value leaves the pixel out: its class is not known.
    gamma : float
        0 is plain cross-entropy.
    weight : (C,), optional
        Of each class, from 0. The mean is over weights, so only their proportions matter; 0 if all are 0.

    References
    ----------
    .. [1] Lin et al., ICCV 2017, doi:10.1109/ICCV.2017.324

    Examples
    --------
    >>> sure = torch.tensor([[4.0, -4.0]]).view(1, 2, 1, 1)
    >>> right = torch.zeros(1, 1, 1, dtype=torch.long)
    >>> bool(focal(sure, right) < 1e-6 * focal(sure, 1 - right))
    True
    """
    logits = logits.float()  # sums over many pixels overflow in half precision
    weight = logits.new_ones(logits.shape[1]) if weight is None else weight.to(logits)
    known = target.clamp(min=0)
    log_probability = torch.log_softmax(logits, dim=1).gather(1, known.unsqueeze(1)).squeeze(1)
    cost, share = -log_probability, weight[known] * (target >= 0)
    if gamma:
        # A miss of exactly 0 has no gradient for gamma below 1; it costs nothing either way.
        cost = cost * (-torch.expm1(log_probability)).clamp(min=1e-6) ** gamma
    return (cost * share).sum() / share.sum().clamp(min=torch.finfo(cost.dtype).tiny)


def tversky(probability: Tensor, truth: Tensor, *, alpha: float = 0.7, smooth: float = 1.0) -> Tensor:
    """One minus the Tversky overlap: a Dice loss in which missed pixels cost more than false ones.

    Parameters
    ----------
    probability, truth : (B, C, H, W) in [0, 1]
        Sums are pooled over the batch. To leave pixels out, set both to 0 there.
    alpha : float in [0, 1]
        Weight of missed pixels (beta in the paper); 1 - alpha is that of false ones; 0.5 is `soft_dice`.
    smooth : float
        Pixels added to both sides of the fraction, so that an empty channel costs nothing.

    References
    ----------
    .. [1] Salehi et al., MLMI 2017, doi:10.1007/978-3-319-67389-9_44

    Examples
    --------
    >>> half = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    >>> both = torch.ones(1, 1, 1, 2)
    >>> missed, false = tversky(half, both, smooth=0.0), tversky(both, half, smooth=0.0)
    >>> print(f"{missed.item():.3f} {false.item():.3f}")
    0.412 0.231
    """
    probability, truth = probability.float(), truth.float()
    hit = (probability * truth).sum(dim=(0, 2, 3))
    missed = truth.sum(dim=(0, 2, 3)) - hit
    false = probability.sum(dim=(0, 2, 3)) - hit
    return (1.0 - (hit + smooth) / (hit + alpha * missed + (1.0 - alpha) * false + smooth)).mean()
