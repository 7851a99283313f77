"""What ends a plan where time counts: norms folded away, which changes no answer and leaves less to run."""

from __future__ import annotations

from typing import Final

from effwidgets.errors import EffError
from effwidgets.records import Plan, Profile, Site, Step
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.foresee import foresee

__all__ = ["closed", "opened"]

_FOLDS: Final = "fold_bn"


def closed(profile: Profile, plan: Plan) -> Plan:
    """Return ``plan`` with all norms folded at its end that can be; itself where none can.

    Args:
        profile: of the dense model.
        plan: the steps before.

    >>> import torch
    >>> from effwidgets import profile
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU()).eval()
    >>> print(*closed(profile(net, torch.zeros(1, 1, 8, 8)), Plan()))
    fold_bn at 0, 1
    """
    transform = TRANSFORMS[_FOLDS]
    try:
        for step in plan:
            profile = foresee(profile, step)
        sites = [site for site in transform.sites(profile) if isinstance(site, Site)]
    except EffError:  # what follows cannot be told without carrying it out
        return plan
    return plan + Plan(steps=tuple(Step(transform=_FOLDS, layers=site.layers) for site in sites))


def opened(plan: Plan) -> Plan:
    """Return ``plan`` without what `closed` put at its end."""
    steps = plan.steps
    while steps and steps[-1].transform == _FOLDS:
        steps = steps[:-1]
    return Plan(steps=steps)
