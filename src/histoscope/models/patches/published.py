"""Whether published weights can be had: they are in the cache, or the hub answers. Told in seconds.

The hub's own client tries again and again before it gives up, for half a minute and more.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from histoscope.errors import ConfigError

WAIT_S = 5.0
"""How long the hub may take to answer, unless ``HF_HUB_ETAG_TIMEOUT`` says otherwise."""
CONFIG = ("config.json",)
WEIGHTS = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
_REMOTE = ("hf-hub:", "hf_hub:")
_OWN_SOURCE = ("pretrained_cfg", "pretrained_cfg_overlay")


def check_reachable(
    name: str, *, advice: str, options: Mapping[str, Any] | None = None, weights: bool = True
) -> None:
    """Refuse what would have to be fetched from a hub that does not answer.

    Parameters
    ----------
    name : str
        ``hf-hub:`` and a repository, or a name of timm; of others nothing is known, and nothing refused.
    advice : str
        What to do instead, for the message.
    options : mapping, optional
        Arguments of timm; where they name another source or another cache, these hold.
    weights : bool
        Whether weights are wanted; else the settings alone (``config.json``), which timm has for its names.

    Raises
    ------
    ConfigError
        If it is not in the cache, and the hub is switched off (``HF_HUB_OFFLINE``) or does not answer.
    """
    options = options or {}
    if any(options.get(key) for key in _OWN_SOURCE):
        return
    wanted: list[Sequence[str]] = [CONFIG] if name.startswith(_REMOTE) else []
    wanted += [WEIGHTS] if weights else []
    repo = _repository(name) if wanted else ""
    if not repo or all(_is_cached(repo, names, options.get("cache_dir")) for names in wanted):
        return
    from huggingface_hub import constants

    endpoint = constants.ENDPOINT
    if constants.HF_HUB_OFFLINE:
        why = "HF_HUB_OFFLINE is set, so the hub is not asked"
    elif error := _failure(endpoint):
        why = f"the hub at {_shown(endpoint)} could not be reached ({error})"
    else:
        return
    what = "the published weights" if weights else "the settings"
    raise ConfigError(
        f"{name!r} needs {what} in {_shown(endpoint)}/{repo}, which are not in the cache "
        f"({options.get('cache_dir') or constants.HF_HUB_CACHE}), and {why}; {advice}"
    )


def _repository(name: str) -> str:
    """Repository of a name, with its revision; "" if it is not known or nowhere on the hub."""
    if name.startswith(_REMOTE):
        return name.partition(":")[2]
    if ":" in name:
        return ""
    import timm

    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # no such tag: timm itself says so
        return ""
    return "" if config is None else str(config.hf_hub_id or "")


def _is_cached(repo: str, names: Sequence[str], folder: str | Path | None) -> bool:
    """Whether one of these files of a repository lies in the cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    place, _, revision = repo.partition("@")
    try:
        return any(
            isinstance(try_to_load_from_cache(place, file, folder, revision or None), str) for file in names
        )
    except HFValidationError:  # no name of a repository: the hub's client says so without asking
        return True


def _failure(endpoint: str) -> str:
    """Why the hub does not answer; "" if it does, whatever it says."""
    wait = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or WAIT_S)
    found = [f"no answer within {wait:g} s; HF_HUB_ETAG_TIMEOUT sets how many to wait"]

    def ask() -> None:
        from huggingface_hub.utils import get_session  # type: ignore[attr-defined]  # of old and new

        try:
            # The hub's own client: its proxies, certificates and settings are those of the download.
            get_session().head(endpoint, timeout=wait)
        except Exception as error:  # noqa: BLE001  # of requests or httpx, by the hub's version
            found[0] = " ".join(str(error).split())[:200] or type(error).__name__
        else:
            found[0] = ""

    # A resolver of names heeds no timeout; a thread that nobody waits for does not keep Python from ending.
    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(wait)
    return found[0]


def _shown(endpoint: str) -> str:
    """An address without the password that it may hold."""
    parts = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
