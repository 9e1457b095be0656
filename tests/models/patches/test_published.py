"""Published weights without a hub: told at once, and only where the hub would have been needed."""

import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from histoscope import models
from histoscope.errors import ConfigError
from histoscope.models.patches.published import check_reachable

RESNET = "models--timm--resnet18.a1_in1k"


def point_hub_at(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    files = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr(constants, "ENDPOINT", address)


class _Nothing(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Put the hub on a local port where nobody listens, with an empty cache; gives its address."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, so that nobody else takes it, and not listening
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        point_hub_at(monkeypatch, address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        close_session()  # its proxies are those of its beginning
        yield address
        close_session()


@pytest.fixture
def server() -> Iterator[str]:
    """A server that knows no page; gives its address."""
    with HTTPServer(("127.0.0.1", 0), _Nothing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _cache(folder: Path, *names: str) -> None:
    (folder / RESNET / "refs").mkdir(parents=True)
    (folder / RESNET / "refs" / "main").write_text("0123")
    (folder / RESNET / "snapshots" / "0123").mkdir(parents=True)
    for name in names:
        (folder / RESNET / "snapshots" / "0123" / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("kind", "arguments", "advice"),
    [
        ("classifier", {"backbone": "resnet18", "classes": ["a", "b"]}, "weights= to its path"),
        ("classifier", {"backbone": "phikon", "classes": ["a", "b"]}, "weights= to its path"),
        ("classifier", {"backbone": "hf-hub:some/body", "classes": ["a", "b"]}, "local-dir:FOLDER"),
        ("smp", {"encoder": "resnet18"}, "set pretrained: false"),
        ("deeplab", {"encoder": "mobilenetv2_050", "mpp": 0.5}, "set pretrained: false"),
        ("stardist", {"encoder": "resnet18"}, "set pretrained: false"),
    ],
)
def test_a_hub_out_of_reach_is_told_at_once(kind, arguments, advice, monkeypatch):
    def fetch(*args, **kwargs):
        pytest.fail("the hub's client was asked, and would try for half a minute")

    monkeypatch.setattr("timm.create_model", fetch)
    monkeypatch.setattr("timm.models.load_model_config_from_hf", fetch)
    with pytest.raises(ConfigError) as caught:
        models.create(kind, pretrained=True, **arguments)
    said = str(caught.value)
    assert "needs the published weights of " in said
    assert "the hub could not be reached" in said
    assert "refused" in said
    assert advice in said


def test_settings_alone_are_asked_for_too():
    with pytest.raises(ConfigError, match=r"'hf-hub:some/body' needs the settings of some/body"):
        models.create("classifier", backbone="hf-hub:some/body", classes=["a", "b"])


def test_a_hub_that_does_not_answer_is_not_waited_for(monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        point_hub_at(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.3)
        start = time.monotonic()
        with pytest.raises(ConfigError, match="could not be reached"):
            check_reachable("resnet18", advice="")
        assert 0.25 < time.monotonic() - start < 5


def test_a_hub_that_answers_is_left_to_its_client(server, monkeypatch):
    point_hub_at(monkeypatch, server)
    check_reachable("resnet18", advice="")


def test_a_proxy_is_asked_in_place_of_the_hub(server, monkeypatch):
    point_hub_at(monkeypatch, "http://hub.invalid")
    monkeypatch.setenv("HTTP_PROXY", server)
    check_reachable("resnet18", advice="")


def test_a_hub_that_is_switched_off_is_not_asked(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set, so the hub was not contacted; do this"):
        check_reachable("resnet18", advice="do this")


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("offline", [False, True])
def test_what_is_in_the_cache_needs_no_hub(file, offline, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    _cache(tmp_path / "hub", file)
    check_reachable("resnet18", advice="")
    _cache(tmp_path / "other", file)
    check_reachable("resnet18", advice="", options={"cache_dir": tmp_path / "other"})
    with pytest.raises(ConfigError, match="elsewhere"):
        check_reachable("resnet18", advice="", options={"cache_dir": tmp_path / "elsewhere"})
    with pytest.raises(ConfigError):
        check_reachable("resnet34", advice="")


def test_a_model_of_the_hub_needs_its_settings_and_its_weights(tmp_path):
    name = "hf-hub:timm/resnet18.a1_in1k"
    _cache(tmp_path / "hub", "config.json")
    check_reachable(name, advice="", weights=False)
    with pytest.raises(ConfigError, match="weights"):
        check_reachable(name, advice="")
    (tmp_path / "hub" / RESNET / "snapshots" / "0123" / "model.safetensors").write_bytes(b"")
    check_reachable(name, advice="")
    with pytest.raises(ConfigError, match="@v2"):
        check_reachable(name + "@v2", advice="")


def test_other_sources_are_none_of_its_business(tmp_path):
    check_reachable("resnet18", advice="", options={"pretrained_cfg_overlay": {"file": "a.safetensors"}})
    check_reachable(f"local-dir:{tmp_path}", advice="")
    check_reachable("resnet18.no_such_tag", advice="")
    check_reachable("hf-hub:what a/name/is this", advice="")


def test_a_password_stays_out_of_the_message(monkeypatch, hub):
    point_hub_at(monkeypatch, hub.replace("http://", "http://me:secret@"))
    with pytest.raises(ConfigError) as caught:
        check_reachable("resnet18", advice="")
    assert "secret" not in str(caught.value)
