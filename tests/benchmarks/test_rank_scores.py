"""The benchmark of the rank scores measures what it says it measures."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks._rank_scores import score, sites_to_score


def test_every_rank_that_saves_is_scored_and_the_scores_are_errors():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.Conv2d(16, 16, 1), nn.Flatten(), nn.Linear(16 * 9, 10)).eval()
    sites = sites_to_score(model, torch.zeros(1, 8, 5, 5))
    assert [(site.layers[0], site.transform) for site, _ in sites] == [
        ("1", "low_rank"),
        ("3", "low_rank"),
        ("0", "spatial_svd"),
    ]
    for (site, weight), errors in zip(sites, score(sites), strict=True):
        assert len(errors) == site.knobs[0].break_even
        assert errors == sorted(errors, reverse=True)
        if site.transform == "low_rank":
            values = torch.linalg.svdvals(weight.detach().flatten(1))
            assert abs(errors[0] - float(values[1:].norm() / values.norm())) < 1e-4
