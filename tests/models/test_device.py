import pytest
import torch

from histoscope.errors import ConfigError
from histoscope.models.device import devices_of, fastest


@pytest.mark.parametrize(("there", "expected"), [(True, "cuda"), (False, "cpu")])
def test_the_accelerator_is_taken_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, there: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert fastest().type == expected


def test_devices_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no device 'gpu' on this machine, which has cpu"):
        devices_of("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices_of("cuda:0, cuda:1") == ("cuda:0", "cuda:1")
    assert devices_of("cuda") == ("cuda",)
    with pytest.raises(ConfigError, match=r"no device 'cuda:2'.* cuda:0, cuda:1"):
        devices_of("cuda:0,cuda:2")
