"""Model folders on the Hugging Face Hub, by ``hf:owner/name``: fetched once, then taken from the cache."""

import hashlib
import json
import os
import re
from pathlib import Path

from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError

PREFIX = "hf:"
FILES = ("card.json", "model.safetensors", "stain_reference.json", "learned_from.csv")
"""What is fetched of a repository; nothing in it can run."""
DIGEST = "weights sha256"
"""Key of a card with the digest of its weights."""
_NAME = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def fetch(name: str) -> Path:
    """Folder of a model on the hub, in the cache of its client.

    Parameters
    ----------
    name : str
        ``hf:owner/name``, or ``hf:owner/name@revision`` with a branch, tag or commit. ``HF_ENDPOINT``,
        ``HF_HUB_CACHE``, ``HF_TOKEN`` and ``HF_HUB_OFFLINE`` count as for all of the hub's clients.

    Raises
    ------
    ConfigError
        If the name has another form.
    DatasetNotFoundError
        If neither hub nor cache has it, or the repository holds no model.
    CorruptDataError
        If the weights are not those that the card was written with.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise ConfigError(f"got {name!r}, expected hf:owner/name, or hf:owner/name@revision")
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            found["repo"],
            revision=found["revision"],
            allow_patterns=list(FILES),
            endpoint=os.environ.get("HF_ENDPOINT"),
        )
    except Exception as error:  # of the hub's client, or of requests or httpx, by its version
        what = " ".join(str(error).split())[:200]
        raise DatasetNotFoundError(
            f"{name} could not be fetched ({type(error).__name__}: {what}); check the name and the "
            "network, or copy the model folder here and give its path"
        ) from error
    path = Path(folder)
    missing = [each for each in FILES[:2] if not (path / each).is_file()]
    if missing:
        raise DatasetNotFoundError(f"{name} holds no model of Histoscope: {' and '.join(missing)} missing")
    check_digest(path)
    return path


def check_digest(folder: Path) -> None:
    """Refuse weights that are not those of the card; cards of 0.1 have no digest.

    Raises
    ------
    CorruptDataError
    """
    card = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))
    expected = card.get(DIGEST) if isinstance(card, dict) else None
    if expected and (got := digest_of(folder / FILES[1])) != expected:
        raise CorruptDataError(
            f"{folder / FILES[1]} has the SHA-256 digest {got[:16]}..., its card expects {expected[:16]}...: "
            "the file is damaged or was replaced; delete it and download or copy the model again"
        )


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
