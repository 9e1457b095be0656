"""Availability of published weights: in the cache, or on a Hugging Face Hub that answers.

The hub's client retries a download for most of a minute before it fails; here one request decides.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from histoscope.errors import ConfigError

CONFIG = ("config.json",)
WEIGHTS = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
CACHED = ("resnet18", "tf_efficientnet_lite0", "efficientnet_b0", "resnet34", "resnet50")
"""Backbones that are looked for in the hub's cache, the quickest first."""
_REMOTE = ("hf-hub:", "hf_hub:")
_OWN_SOURCE = ("pretrained_cfg", "pretrained_cfg_overlay")


def check_reachable(
    name: str, *, advice: str, options: Mapping[str, Any] | None = None, weights: bool = True
) -> None:
    """Refuse a download from a hub that does not answer within ``HF_HUB_ETAG_TIMEOUT`` seconds.

    Parameters
    ----------
    name : str
        ``hf-hub:`` and a repository, or a name of timm; any other name passes.
    advice : str
        What to do instead, for the message.
    options : mapping, optional
        Arguments of timm; where they name another source or another cache, these hold.
    weights : bool
        Whether weights are needed; else only the settings (``config.json``), which timm has for its names.

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
    missing = [names for names in wanted if repo and not _is_cached(repo, names, options.get("cache_dir"))]
    if not missing or not (why := _failure(repo, missing[0][0])):
        return
    from huggingface_hub import constants

    what = "the published weights" if weights else "the settings"
    raise ConfigError(
        f"{name!r} needs {what} of {repo} on the Hugging Face Hub, which are not in the cache "
        f"({options.get('cache_dir') or constants.HF_HUB_CACHE}), and {why}; {advice}"
    )


def weights_at_hand(*folders: Path) -> tuple[str, Path | None] | None:
    """Find published weights of a backbone.

    Parameters
    ----------
    *folders : Path
        Looked through for ``BACKBONE.safetensors``, under timm's name of it; the first one wins.

    Returns
    -------
    (str, Path or None) or None
        The backbone, and the file; no file where ``pretrained`` finds it in the hub's cache.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "resnet18.safetensors").write_bytes(b"")
    >>> weights_at_hand(folder)[0]
    'resnet18'
    """
    import timm

    for folder in folders:
        for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
            if timm.is_model(path.stem):
                return path.stem, path
    found = (name for name in CACHED if (repo := _repository(name)) and _is_cached(repo, WEIGHTS[:1], None))
    return next(((name, None) for name in found), None)


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
    """Whether one of these files of a repository is in the cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    place, _, revision = repo.partition("@")
    try:
        return any(
            isinstance(try_to_load_from_cache(place, file, folder, revision or None), str) for file in names
        )
    except HFValidationError:  # no name of a repository: the hub's client says so without asking
        return True


def _failure(repo: str, file: str) -> str:
    """Why the hub does not answer; "" if it answers anything."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, so the hub was not contacted"
    place, _, revision = repo.partition("@")
    try:
        get_hf_file_metadata(
            hf_hub_url(place, file, revision=revision or None), timeout=constants.HF_HUB_ETAG_TIMEOUT
        )
    except HfHubHTTPError:
        return ""
    except Exception as error:  # noqa: BLE001  # of requests or httpx, by the hub's version
        return f"the hub could not be reached ({' '.join(str(error).split())[:200] or type(error).__name__})"
    return ""
