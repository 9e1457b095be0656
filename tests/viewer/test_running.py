"""Where the server listens, and what it says when it cannot."""

import pytest

from histoscope.errors import ConfigError, MissingDependencyError
from histoscope.viewer import running


def test_a_port_in_use_is_told():
    with running.listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} .*--port 0"):
            running.listen("127.0.0.1", port)


def test_a_host_of_elsewhere_is_told():
    with pytest.raises(ConfigError, match=r"198\.51\.100\.7"):
        running.listen("198.51.100.7", 0)


def test_only_wider_hosts_get_a_token():
    assert running.token_for("127.0.0.1") == running.token_for("localhost") == ""
    one, other = running.token_for("0.0.0.0"), running.token_for("0.0.0.0")
    assert len(one) >= 20
    assert one != other
    with running.listen("127.0.0.1", 0) as opened:
        port = opened.getsockname()[1]
        assert running.address_of(opened, "127.0.0.1", "") == f"http://127.0.0.1:{port}/"
        assert running.address_of(opened, "0.0.0.0", one).endswith(f":{port}/?token={one}")


def test_a_page_without_its_library_says_how_to_get_it(monkeypatch, tmp_path):
    pytest.importorskip("fastapi")
    monkeypatch.setattr(running, "VENDOR", tmp_path / "openseadragon.min.js")
    with pytest.raises(MissingDependencyError, match=r"python build_page\.py"):
        running.require()
