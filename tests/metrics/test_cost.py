"""The static metrics, and what every metric promises."""

from __future__ import annotations

import pytest

from effwidgets.errors import UnknownNameError
from effwidgets.metrics.base import METRICS
from effwidgets.metrics.cost import amount
from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.records import Cost, Memory
from effwidgets.testing.contracts import MetricContract
from effwidgets.testing.zoo import MODELS, specimen


@pytest.mark.parametrize("name", tuple(METRICS))
def test_a_metric_keeps_its_promises(name):
    options = ProfileOptions(latency=getattr(METRICS[name], "measured", False))
    for found in (specimen("residual"), specimen("vit"), specimen("bfloat16")):
        MetricContract(METRICS[name]).check(profile(found.build(), found.inputs(), options=options))


@pytest.mark.parametrize("found", MODELS[:6], ids=lambda found: found.name)
def test_macs_and_parameters_are_those_worked_out_by_hand(found):
    known = profile(found.build(), found.inputs())
    assert METRICS["macs"].measure(known) == found.macs
    assert METRICS["params"].measure(known) == found.params


def test_bytes_follow_the_dtype():
    one, half = (specimen(name) for name in ("perceptron", "bfloat16"))
    metric = METRICS["param_bytes"]
    whole = metric.measure(profile(one.build(), one.inputs()))
    assert whole == 4 * one.params
    assert metric.measure(profile(half.build(), half.inputs())) == whole / 2


def test_the_inference_peak_of_a_perceptron_is_its_widest_pair_of_layers():
    found = specimen("perceptron")
    # 4 rows: from 32 numbers to 32, in float32; the inputs of the model are not counted.
    assert METRICS["inference_peak_bytes"].measure(profile(found.build(), found.inputs())) == 4 * (32 + 32) * 4


def test_an_unknown_metric_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"inference_peak_bytes.*macs"):
        METRICS["latency"]


def test_an_amount_is_read_from_where_it_stands():
    memory = Memory(param_bytes=8, inference_peak_bytes=7, inference_peak_at="", saved_bytes=5)
    names = ("macs", "param_bytes", "inference_peak_bytes", "saved_bytes")
    assert [amount(name, Cost(macs=3, param_bytes=8), memory) for name in names] == [3, 8, 7, 5]
    with pytest.raises(UnknownNameError, match="'params'"):
        amount("param", Cost(), memory)
