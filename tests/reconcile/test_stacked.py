"""Calls of modules are told without hooks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.reconcile.stacked import stacked


def test_calls_are_told_without_hooks_and_in_their_order_also_when_one_raises():
    told = []
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU()))

    def entered(path, module, args, out):
        told.append(f"+{path}")
        assert not module._forward_hooks
        assert out is None

    def left(path, module, args, out):
        told.append(f"-{path}")

    with stacked(model, entered, left):
        model(torch.zeros(1, 4))
        with pytest.raises(RuntimeError):
            model(torch.zeros(1, 3))
    assert told == ["+", "+0", "-0", "+1", "+1.0", "-1.0", "-1", "-", "+", "+0", "-0", "-"]
    told.clear()
    model(torch.zeros(1, 4))
    assert told == []
