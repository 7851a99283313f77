"""What the author of a plug-in runs: the suites that effwidgets ships, over what the plug-in registers."""

from __future__ import annotations

import sys

import torch
from torch import nn

from effwidgets.metrics.base import METRICS
from effwidgets.profiling.profile import profile
from effwidgets.records import VIEWS, Plan, Step, settings, views_of
from effwidgets.testing.contracts import MetricContract, TransformContract, ViewContract
from effwidgets.testing.zoo import MODELS, specimen
from effwidgets.transforms.apply import apply
from effwidgets.transforms.base import TRANSFORMS

CHOSEN = ("residual", "shared_conv", "channel_shuffle", "vit")


def main() -> None:
    assert "effwidgets_demo" not in sys.modules, "entry points are loaded at first use, not at import"
    contract = TransformContract(TRANSFORMS["channel_svd"])
    sites = sum(contract.check(found.build(), found.inputs(), at=1) for found in MODELS if found.name in CHOSEN)
    assert sites >= 5, f"{sites} sites are too few to have seen anything"

    known = profile(specimen("residual").build(), specimen("residual").inputs())
    assert MetricContract(METRICS["intensity"]).check(known) > 0
    assert MetricContract(METRICS["traffic_bytes"]).check(known) > 0
    page = ViewContract(VIEWS["largest_html"]).check(known)
    assert "block2.conv2" in str(page)
    assert "largest_html" in dict(views_of(known, "html"))
    assert next(iter(dict(views_of(known, "html")))) != "largest_html", "a plug-in does not replace the default view"

    ViewContract(VIEWS["largest_figure"]).check(known)
    assert known.to_plotly("largest_figure").data[0].x[0] == "block2.conv2", "to_plotly does not draw it"

    step = Step(transform="channel_svd", layers=("0",), settings=settings(rank=2))
    done = apply(nn.Sequential(nn.Conv2d(4, 8, 3)), Plan(steps=(step,)), torch.zeros(1, 4, 5, 5))
    assert [type(layer).__module__ for layer in done.model[0]] == ["torch.nn.modules.conv"] * 2
    print(f"{sites} sites kept every promise")  # noqa: T201  read by the test


if __name__ == "__main__":
    main()
