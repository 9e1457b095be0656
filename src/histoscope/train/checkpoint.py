"""Checkpoints of a training run: weights, optimiser and random state in one safetensors file."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim import Optimizer

from histoscope.errors import CorruptDataError, FormatVersionError
from histoscope.files import whole

FORMAT = 1


def save(path: Path, model: nn.Module, optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Write weights, optimiser moments, random state and `state` (JSON values) to one file."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": torch.as_tensor(value) for name, value in moments.items()}
    tensors["random"] = torch.get_rng_state()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with whole(path) as temporary:
        save_file(tensors, temporary, metadata={"state": json.dumps({**state, "format": FORMAT})})


def load(path: Path, model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Restore `model` and `optimizer` from a checkpoint; returns the `state` that was saved with it.

    Raises
    ------
    CorruptDataError
        If the file cannot be read or belongs to another network.
    FormatVersionError
        If another version wrote it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state: dict[str, Any] = json.loads((file.metadata() or {}).get("state", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptDataError(
            f"checkpoint {path} cannot be read ({error}); delete it to start this run again"
        ) from error
    if state.get("format") != FORMAT:
        raise FormatVersionError(
            f"checkpoint {path} has format {state.get('format')!r}, expected {FORMAT}; delete it"
        )
    try:
        model.load_state_dict(
            {name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model/")}
        )
    except RuntimeError as error:
        raise CorruptDataError(
            f"checkpoint {path} belongs to another network ({error}); use another folder"
        ) from error
    moments: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    torch.set_rng_state(tensors["random"])
    del state["format"]
    return state
