"""ImageNet weights that are on this machine already; nothing is fetched."""

from pathlib import Path

CACHED = ("resnet18", "tf_efficientnet_lite0", "efficientnet_b0", "resnet34", "resnet50")
"""Backbones that are looked for in the hub's cache, the quickest first."""


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
    from huggingface_hub import try_to_load_from_cache

    for folder in folders:
        for path in sorted(folder.glob("*.safetensors")) if folder.is_dir() else ():
            if timm.is_model(path.stem):
                return path.stem, path
    for name in CACHED:
        published = timm.get_pretrained_cfg(name)
        repo = published.hf_hub_id if published is not None else None
        if repo and isinstance(try_to_load_from_cache(repo, "model.safetensors"), str):
            return name, None
    return None
