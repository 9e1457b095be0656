"""Losses on logits: Dice and cross-entropy."""

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
