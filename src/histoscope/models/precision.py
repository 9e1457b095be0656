"""Mixed precision: bfloat16 where the hardware multiplies it natively."""

import torch

AUTO, FLOAT32, BFLOAT16 = "auto", "32-true", "bf16-mixed"
_CPU_FLAGS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 natively; where it is emulated, it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Names of torch's own, which may go: then nothing is lost but time.
    return device.type == "cpu" and any(getattr(torch.cpu, flag, bool)() for flag in _CPU_FLAGS)


def mixed(device: torch.device) -> torch.autocast:
    """Autocast context: convolutions and matrix products in bfloat16, if the device supports it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device))


def narrowed(x: torch.Tensor) -> torch.Tensor:
    """Cast values to the type of autocast before a convolution does, so that less memory is moved."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def resolved(precision: str, accelerator: str) -> str:
    """Precision of Lightning Fabric that ``auto`` means on an accelerator; any other is returned as it is.

    Examples
    --------
    >>> resolved("32-true", "auto")
    '32-true'
    """
    if precision != AUTO:
        return precision
    found = None if accelerator == "cpu" else torch.accelerator.current_accelerator(check_available=True)
    return BFLOAT16 if has_bfloat16(found or torch.device("cpu")) else FLOAT32
