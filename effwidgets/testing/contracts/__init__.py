"""What every transformation, metric and view promises, as checks that a plug-in's own tests can run.

Each suite takes what the entry point names and raises `AssertionError` with the broken promise.

>>> import torch
>>> from effwidgets.testing.contracts import TransformContract
>>> from effwidgets.transforms.factorize.low_rank import LOW_RANK
>>> model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
>>> TransformContract(LOW_RANK).check(model, torch.ones(2, 8))
2
"""

from effwidgets.testing.contracts.metric import MetricContract
from effwidgets.testing.contracts.settings import settings_of
from effwidgets.testing.contracts.transform import PLAIN, TransformContract
from effwidgets.testing.contracts.view import HOSTILE, ViewContract, hostile

__all__ = ["HOSTILE", "PLAIN", "MetricContract", "TransformContract", "ViewContract", "hostile", "settings_of"]
