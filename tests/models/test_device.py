import pytest
import torch

from histoscope.models.device import fastest


@pytest.mark.parametrize(("there", "expected"), [(True, "cuda"), (False, "cpu")])
def test_the_accelerator_is_taken_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, there: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert fastest().type == expected
