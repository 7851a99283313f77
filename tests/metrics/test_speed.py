"""The time of a forward as a metric."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from effwidgets.errors import InputError
from effwidgets.metrics.base import METRICS
from effwidgets.profiling.profile import profile
from effwidgets.records import Latency
from effwidgets.search.fronts.axes import measures_of

MODEL, X = nn.Linear(3, 2), torch.zeros(1, 3)


def test_the_latency_is_the_measured_median():
    known = dataclasses.replace(
        profile(MODEL, X), latency=Latency(median_s=0.25, iqr_s=0.01, repeats=9, device="cpu", threads=1)
    )
    assert METRICS["latency_s"].measure(known) == 0.25
    assert 0.25 in [score.value for score in measures_of(known)[0] if score.metric == "latency_s"]


def test_a_profile_without_a_time_says_how_to_measure_one():
    with pytest.raises(InputError, match=r"ProfileOptions\(latency=True\)"):
        METRICS["latency_s"].measure(profile(MODEL, X))


def test_candidates_whose_time_was_not_measured_are_not_blamed_for_it():
    found, failed = measures_of(profile(MODEL, X))
    assert not failed
    assert "latency_s" not in [score.metric for score in found]
