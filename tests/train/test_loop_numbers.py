"""Numbers of the loop: learning rate of each step, weight decay, clipping, all read off the optimiser."""

import dataclasses
import math

import pytest
import torch

from histoscope import train
from histoscope.train.log import read


@pytest.fixture
def steps_taken(monkeypatch):
    """What AdamW is given at each step: rates, decays, and the norm of all gradients."""
    taken = []
    step = torch.optim.AdamW.step

    def watch(self, *args, **kwargs):
        gradients = [
            parameter.grad.detach().flatten()
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        taken.append(
            {
                "lr": [group["lr"] for group in self.param_groups],
                "weight_decay": [group["weight_decay"] for group in self.param_groups],
                "norm": float(torch.cat(gradients).norm()),
            }
        )
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", watch)
    return taken


def expected_rates(steps: int, lr: float, warmup: int) -> list[float]:
    """A line up to `lr` over the warm-up, then half a cosine down to a hundredth, from the definition."""
    rates = []
    for step in range(steps):
        if step < warmup:
            rates.append(lr * (step + 1) / warmup)
        else:
            share = (step - warmup) / (steps - 1 - warmup)
            rates.append(lr * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2))
    return rates


def test_the_rate_rises_over_the_warm_up_and_falls_along_a_cosine(
    samples, fresh_model, config, tmp_path, steps_taken
):
    config = dataclasses.replace(config, steps=20, warmup=0.25, lr=2e-3)
    train.fit(fresh_model(), samples[:3], [], config, out=tmp_path)
    found = [rate for taken in steps_taken for rate in taken["lr"]]
    assert found == pytest.approx(expected_rates(20, 2e-3, 5))
    assert max(found) == pytest.approx(2e-3)
    assert found[-1] == pytest.approx(2e-5)
    assert read(tmp_path)[-2]["lr"] == pytest.approx(2e-5, abs=1e-6)  # what is logged is what is done


def test_weight_decay_reaches_the_optimiser(samples, fresh_model, config, tmp_path, steps_taken):
    train.fit(fresh_model(), samples[:3], [], dataclasses.replace(config, weight_decay=0.37), out=tmp_path)
    assert {decay for taken in steps_taken for decay in taken["weight_decay"]} == {0.37}


def test_long_gradients_are_clipped_to_norm_one(
    samples, fresh_model, config, tmp_path, steps_taken, monkeypatch
):
    model = fresh_model()
    loss = model.loss
    monkeypatch.setattr(
        model,
        "loss",
        lambda *given: {name: 1000 * value for name, value in loss(*given).items()},
        raising=False,
    )
    train.fit(model, samples[:3], [], config, out=tmp_path)
    assert [taken["norm"] for taken in steps_taken] == pytest.approx([1.0] * config.steps, abs=1e-3)


def test_short_gradients_are_left_alone(samples, fresh_model, config, tmp_path, steps_taken, monkeypatch):
    model = fresh_model()
    loss = model.loss
    monkeypatch.setattr(
        model,
        "loss",
        lambda *given: {name: 1e-3 * value for name, value in loss(*given).items()},
        raising=False,
    )
    train.fit(model, samples[:3], [], config, out=tmp_path)
    assert all(0 < taken["norm"] < 0.5 for taken in steps_taken)


def test_every_twentieth_step_is_logged_and_the_last(samples, fresh_model, config, tmp_path):
    config = dataclasses.replace(config, steps=45, evaluate_every=100, checkpoint_every=100)
    train.fit(fresh_model(), samples[:3], [], config, out=tmp_path)
    assert [line["step"] for line in read(tmp_path) if "loss" in line] == [20, 40, 45]


def weights_after(model, samples, config, out):
    train.fit(model, samples[:3], [], config, out=out)
    return {name: value.clone() for name, value in model.state_dict().items() if value.is_floating_point()}


def test_the_moving_average_is_that_of_the_weights_of_each_step(samples, fresh_model, config, tmp_path):
    steps, decay = 4, 0.7
    flat = dataclasses.replace(config, steps=steps, evaluate_every=steps, lr=0.01, ema=decay)
    averaged = weights_after(fresh_model(), samples, flat, tmp_path / "ema")
    each, model = [], fresh_model()
    train.fit(
        model,
        samples[:3],
        [],
        dataclasses.replace(flat, ema=0.0),
        out=tmp_path / "plain",
        on_step=lambda *_: each.append({name: v.clone() for name, v in model.state_dict().items()}),
    )
    for name, value in averaged.items():
        expected = each[0][name].double()
        for later in each[1:]:
            expected = decay * expected + (1 - decay) * later[name].double()
        torch.testing.assert_close(value.double(), expected, rtol=1e-4, atol=1e-6)


def test_a_stopped_run_with_a_moving_average_ends_where_an_unbroken_one_does(
    samples, fresh_model, config, tmp_path
):
    chosen = dataclasses.replace(config, ema=0.8)
    unbroken = weights_after(fresh_model(), samples, chosen, tmp_path / "unbroken")

    def stop(step, _):
        if step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train.fit(fresh_model(), samples[:3], [], chosen, out=tmp_path / "stopped", on_step=stop)
    again = weights_after(fresh_model(), samples, chosen, tmp_path / "stopped")
    assert all(torch.equal(again[name], value) for name, value in unbroken.items())
