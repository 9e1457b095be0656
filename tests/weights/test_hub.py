"""Models of the Hugging Face Hub, fetched by its own client from a server of the test."""

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from histoscope import models, weights
from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError
from histoscope.weights.hub import fetch

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """One repository, ``lab/nuclei``, as the hub serves it."""

    folder: Path
    asked: list[str]

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/api/models/lab/nuclei"):
            names = [{"rfilename": path.name} for path in sorted(self.folder.iterdir())]
            about = {"id": "lab/nuclei", "modelId": "lab/nuclei", "sha": COMMIT, "siblings": names}
            if "/tree/" in self.path:
                sizes = [(each["rfilename"], self.folder / each["rfilename"]) for each in names]
                about = [
                    {"type": "file", "path": name, "size": path.stat().st_size, "oid": name}
                    for name, path in sizes
                ]
            self.answer(200, json.dumps(about).encode(), Content_Type="application/json")
        elif self.path.startswith(f"/lab/nuclei/resolve/{COMMIT}/"):
            body = (self.folder / self.path.rpartition("/")[2]).read_bytes()
            tag = f'"{len(body)}{self.path.rpartition("/")[2]}"'
            self.answer(200, body, ETag=tag, X_Repo_Commit=COMMIT)
        else:
            self.answer(404, b"{}", X_Error_Code="RepoNotFound")

    do_HEAD = do_GET  # noqa: N815  # as the server has it

    def log_message(self, *given: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A repository that can be changed, and what it was asked for."""
    torch.manual_seed(1)
    folder = models.save(models.create("unet", width=4, depth=2, mpp=0.5), tmp_path / "repository")
    (folder / "evil.py").write_text("raise SystemExit('run')")
    handler = type("Here", (Hub,), {"folder": folder, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    yield handler
    server.shutdown()
    server.server_close()


def test_a_model_is_fetched_once(hub):
    model = models.load("hf:lab/nuclei")
    own = models.load(hub.folder).state_dict()
    assert all(torch.equal(value, own[name]) for name, value in model.state_dict().items())
    hub.asked.clear()
    again = fetch("hf:lab/nuclei")
    assert not [path for path in hub.asked if path.endswith("model.safetensors")]
    assert not (again / "evil.py").exists()  # nothing but data is fetched
    assert models.read_card("hf:lab/nuclei")["architecture"] == "unet"


def test_from_the_cache_where_the_hub_is_gone(hub, monkeypatch):
    known = fetch("hf:lab/nuclei")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert fetch("hf:lab/nuclei") == known
    with pytest.raises(DatasetNotFoundError, match="hf:lab/other could not be fetched"):
        fetch("hf:lab/other")


def test_exchanged_weights_are_refused(hub):
    torch.manual_seed(2)
    other = models.save(models.create("unet", width=4, depth=2, mpp=0.5), hub.folder.parent / "other")
    shutil.copy(other / "model.safetensors", hub.folder)
    with pytest.raises(CorruptDataError, match=r"SHA-256 digest .* its card expects"):
        weights.find("hf:lab/nuclei")


def test_a_repository_without_a_model(hub):
    (hub.folder / "card.json").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"holds no model of Histoscope: card\.json missing"):
        fetch("hf:lab/nuclei")


def test_there_is_no_such_repository(hub):
    with pytest.raises(DatasetNotFoundError, match="check the name"):
        fetch("hf:lab/nothing")


@pytest.mark.parametrize("name", ["hf:nuclei", "hf:", "hf:../../etc", "hf:lab/nuclei/deep"])
def test_other_forms_of_a_name(name):
    with pytest.raises(ConfigError, match="expected hf:owner/name"):
        fetch(name)


def test_an_encoder_begins_from_a_model_of_the_hub(hub):
    model = models.create("unet", width=4, depth=2, mpp=0.5, weights="hf:lab/nuclei")
    assert model.loaded.source == "hf:lab/nuclei"
    theirs = models.load(weights.find("hf:lab/nuclei")).body.down.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in model.body.down.state_dict().items())
