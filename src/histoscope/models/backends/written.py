"""Networks as ONNX for backends, in the user's cache."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import histoscope
from histoscope.compiled import temporary_folder
from histoscope.errors import ConfigError
from histoscope.files import require_writable, whole
from histoscope.models.base import Heads, Model
from histoscope.models.portable.network import Portable
from histoscope.models.portable.runtimes import write_onnx


class Bare(Portable):
    """From normalised images to raw heads; pre- and postprocessing are the same as with torch."""

    def named(self, image: Tensor) -> Heads:
        """Heads by name."""
        return self.network.heads(image)


def cache_folder() -> Path:
    """Folder for networks and measured times; it may be deleted at any time.

    This is ``XDG_CACHE_HOME`` or the ``.cache`` of the home folder. Where that is read-only, as for a user
    without a home in a container, it is a temporary folder of this user.

    Examples
    --------
    >>> cache_folder().name
    'histoscope'
    """
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "histoscope"
        require_writable(folder)
    except (ConfigError, RuntimeError):  # the latter for a user without a home folder
        temporary = temporary_folder()
        if temporary is None:
            raise
        return temporary / "histoscope"
    return folder


def digest(key: Mapping[str, Any]) -> str:
    """16 digits for what something depends on.

    Examples
    --------
    >>> len(digest({"a": 1}))
    16
    """
    return hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8).hexdigest()


def onnx_of(model: Model, fingerprint: str, *, anew: bool = False) -> Path:
    """File of a network, made unless the cache has it.

    Parameters
    ----------
    model : Model
    fingerprint : str
        Of its weights and card.
    anew : bool
        Write it even if there is one.

    Raises
    ------
    ConfigError
        If it has an operation that ONNX does not have.
    OSError
        If the cache cannot be written.
    """
    key = {"model": fingerprint, "histoscope": histoscope.__version__, "torch": torch.__version__}
    path = cache_folder() / f"{digest(key)}.onnx"
    if anew or not path.is_file():
        with whole(path) as temporary:
            write_onnx(Bare(model).eval(), temporary, {})
    return path
