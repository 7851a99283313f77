"""Fingerprints of models and data."""

from __future__ import annotations

import copy

import torch
from torch import nn

from effwidgets.profiling.calls import Call
from effwidgets.search.sensitivity.digests import digest_of_data, digest_of_model


def test_a_copy_has_the_same_fingerprint_and_each_change_another(convolutional):
    first = digest_of_model(convolutional)
    assert digest_of_model(copy.deepcopy(convolutional)) == first
    for change in (
        lambda model: model.stem.weight.data[0, 0, 0].add_(1e-3),
        lambda model: model.bn1.running_mean.add_(1e-3),
        lambda model: setattr(model.conv1, "stride", (2, 2)),
        lambda model: setattr(model, "fc", nn.Linear(12, 11)),
    ):
        other = copy.deepcopy(convolutional)
        change(other)
        assert digest_of_model(other) != first


def test_dtypes_without_numpy_have_fingerprints_too():
    model = nn.Linear(4, 4)
    assert digest_of_model(model.bfloat16()) == digest_of_model(copy.deepcopy(model))
    model.register_buffer("nothing", torch.zeros(0, 3))
    assert digest_of_model(model) == digest_of_model(copy.deepcopy(model))


def test_data_are_told_apart_by_values_places_and_choices():
    x = torch.arange(6.0).reshape(3, 2)
    first = digest_of_data(((Call((x,)),), ()), "kl")
    assert digest_of_data(((Call((x.clone(),)),), ()), "kl") == first
    others = [
        digest_of_data(((Call((x + 1,)),), ()), "kl"),
        digest_of_data(((Call((x.T,)),), ()), "kl"),
        digest_of_data(((), (Call((x,)),)), "kl"),
        digest_of_data(((Call((), {"x": x}),), ()), "kl"),
        digest_of_data(((Call((x,)),), ()), "squares"),
    ]
    assert len({first, *others}) == len(others) + 1
