"""What a run is made with: machine, versions and code."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import histoscope
from histoscope.studies.folder import FORMAT

LIBRARIES = ("numpy", "scipy", "scikit-image", "numba", "opencv-python-headless", "torch", "timm", "pandas")


def environment(**more: Any) -> dict[str, Any]:
    """Describe machine, versions and code that a run is made with."""
    return {
        "format": FORMAT,
        "histoscope": histoscope.__version__,
        "git": _git_hash(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_count": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": {name: _version(name) for name in LIBRARIES},
        **more,
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git_hash() -> str | None:
    """Commit of the code, where it runs from a checkout."""
    here = Path(histoscope.__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
