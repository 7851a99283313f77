"""Widths rounded by what is measured: the clock is replaced, so that each case is what it is meant to be."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.records import Plan, Rounded, Step, WidthChoice, settings
from effwidgets.transforms.apply import apply
from effwidgets.transforms.prune import widths
from effwidgets.transforms.prune.widths import WidthOptions, measured_width, rounded

X = torch.ones(2, 8)
FAST = WidthOptions(seconds=0.0)


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))


def step(channels: int, group: str = "0") -> Step:
    return Step(transform="channel_prune", layers=(group,), settings=settings(channels=channels))


@pytest.fixture
def machine(monkeypatch):
    """Put a machine in place of this one: from a width to seconds, with noise of a given share."""
    drawn = torch.Generator().manual_seed(0)

    def put(seconds, noise: float = 0.0) -> None:
        def times_of(works, clock, *, seconds_asked=0.0, **rest):
            del clock, seconds_asked, rest
            return {
                width: [seconds(width) * (1 + noise * float(torch.randn((), generator=drawn))) for _ in range(15)]
                for width in works
            }

        monkeypatch.setattr(widths, "times_of", times_of)
        monkeypatch.setattr(widths, "_CACHE", {})

    return put


def test_channels_that_cost_nothing_are_kept(machine):
    machine(lambda width: -(-width // 8), noise=1e-4)  # kernels that work in eights
    found = measured_width(model(), X, step(42), options=FAST)
    assert found.chosen == 48
    assert found.reason.startswith("48 costs no more")
    assert found.time(48).median_s == pytest.approx(found.time(42).median_s, rel=1e-3)


def test_a_few_channels_go_where_a_step_lies_just_below(machine):
    machine(lambda width: width + (20 if width > 32 else 0), noise=1e-4)
    found = measured_width(model(), X, step(33), options=FAST)
    assert found.chosen == 32
    assert "faster by more than the channels it loses" in found.reason


def test_where_time_is_in_proportion_nothing_is_rounded(machine):
    machine(lambda width: width, noise=1e-4)
    found = measured_width(model(), X, step(33), options=FAST)
    assert found.chosen == 33
    assert found.reason == "No width near it is worth more."


def test_where_differences_drown_in_noise_nothing_is_rounded(machine):
    machine(lambda width: -(-width // 8), noise=0.5)
    found = measured_width(model(), X, step(42), options=FAST)
    assert found.chosen == 42
    assert "noise" in found.reason or "measured again" in found.reason


def test_a_plan_meets_the_widths_that_were_taken_before(machine):
    machine(lambda width: -(-width // 8), noise=1e-4)
    other = Step(transform="low_rank", layers=("4",), settings=settings(rank=2))
    asked = Plan(steps=(step(42), step(42, "2"), other))
    found = rounded(model(), X, asked, options=FAST)
    assert [dict(part.settings).get("channels") for part in found.plan] == [48, 48, None]
    assert [choice.chosen for choice in found.choices] == [48, 48]
    assert not found.notes
    assert not apply(model(), found.plan, X).skipped


def test_what_cannot_be_done_stays_and_is_said(machine):
    machine(lambda width: width)
    found = rounded(model(), X, Plan(steps=(step(99), step(20, "2"))), options=FAST)
    assert [dict(part.settings)["channels"] for part in found.plan] == [99, 20]
    assert "a whole number from 1 to 64" in found.notes[0]
    with pytest.raises(TransformError, match="only the width of a channel_prune step"):
        measured_width(model(), X, Step(transform="low_rank", layers=("4",), settings=settings(rank=2)))


def test_widths_are_multiples_of_the_groups_of_a_convolution(machine):
    machine(lambda width: -(-width // 16), noise=1e-4)
    net = nn.Sequential(nn.Conv2d(3, 32, 1), nn.Conv2d(32, 32, 3, groups=4), nn.ReLU(), nn.Conv2d(32, 2, 1))
    found = measured_width(net, torch.ones(1, 3, 8, 8), step(28), options=FAST)
    assert found.chosen == 32
    assert all(time.width % 4 == 0 for time in found.times)


def test_equal_shapes_are_measured_once(machine, monkeypatch):
    machine(lambda width: width)
    measured_width(model(), X, step(33), options=FAST)
    monkeypatch.setattr(widths, "times_of", None)
    again = measured_width(model(), X, step(33), options=FAST)
    assert again.time(33).median_s == 33


def test_the_real_machine_answers_with_a_record_and_leaves_the_model_alone():
    net = model()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    found = rounded(net, X, Plan(steps=(step(33),)), options=FAST)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert Rounded.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    (choice,) = found.choices
    assert isinstance(choice, WidthChoice)
    assert choice.threads == torch.get_num_threads()
    assert all(time.median_s > 0 and time.repeats >= 9 for time in choice.times)


def test_what_was_measured_is_measured_again_only_where_longer_is_asked_for(machine, monkeypatch):
    machine(lambda width: width)
    asked, put = [], widths.times_of

    def counted(works, clock, *, seconds):
        asked.append(seconds)
        return put(works, clock)

    monkeypatch.setattr(widths, "times_of", counted)
    net = model()
    for seconds in (0.1, 0.1, 0.05, 0.3, 0.3, 0.1):
        measured_width(net, X, step(33), options=WidthOptions(seconds=seconds))
    assert asked == [0.1, 0.3]


def test_only_the_last_of_what_was_measured_is_remembered(machine, monkeypatch):
    machine(lambda width: width)
    monkeypatch.setattr(widths, "_MOST", 3)
    for channels in (20, 24, 28, 32, 36, 40):
        measured_width(model(), X, step(channels), options=FAST)
    assert len(widths._CACHE) == 3
