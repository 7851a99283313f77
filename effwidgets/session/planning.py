"""Verbs that make a plan by a rule, or say what one would save: ranks, zeros, widths, estimates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from torch import nn

from effwidgets.profiling import Inputs, ProfileOptions
from effwidgets.records import Cost, Plan, Profile, Ranks, Rounded
from effwidgets.session.planned import Planned, plan_of
from effwidgets.session.session import session_of
from effwidgets.transforms.apply import options_for
from effwidgets.transforms.foresee import estimate_plan as estimate

if TYPE_CHECKING:
    from effwidgets.transforms.factorize.ranks import Rule
    from effwidgets.transforms.formats.allocation import Allocation
    from effwidgets.transforms.prune.width_options import WidthOptions

__all__ = ["estimate_plan", "rank_plan", "rounded", "sparsity_plan"]


def estimate_plan(model: nn.Module | Profile, plan: Planned, inputs: Inputs | None = None) -> Cost:
    """Say how a plan would change the cost, by arithmetic alone: later steps meet what earlier ones left.

    `preview` says the same layer by layer, with the memory peaks, and takes longer.

    Args:
        model: the model, or a profile of it, which is enough.
        plan: a plan, or what has one.
        inputs: as in `profile`; left out: the call seen last.

    Returns:
        The change, after minus before; exact in the fields that each technique promises (`sites` names them).

    Raises:
        TransformError: a step cannot be done there; the message says why.
        UnknownNameError: no such transformation or layer.

    Example:
        >>> import torch
        >>> from effwidgets import Step, estimate_plan, settings
        >>> step = Step(transform="low_rank", layers=("0",), settings=settings(rank=2))
        >>> estimate_plan(torch.nn.Sequential(torch.nn.Linear(16, 16)), step, torch.ones(1, 16)).params
        -192
    """
    wanted = plan_of(plan)
    if isinstance(model, Profile):
        return estimate(model, wanted)
    options = ProfileOptions(second_opinion=options_for(wanted).second_opinion)
    return estimate(session_of(model).profile(inputs, options), wanted)


def rank_plan(  # noqa: PLR0913  a verb of the package: each has a plain meaning, all but the first a default
    model: nn.Module,
    inputs: Inputs | None = None,
    *,
    transform: str = "low_rank",
    rule: Rule = "energy",
    value: float | None = None,
    layers: Iterable[str] | None = None,
    calibration: object = None,
) -> Ranks:
    """Choose the ranks of a factorization by a rule, for all layers at once; each layer is decomposed once.

    Args:
        model: whose layers; it is not changed.
        inputs: as in `profile`; left out: the call seen last.
        transform: low_rank, spatial_svd, tucker2 or bottleneck.
        rule: "energy": the least ranks that keep this share of the squared singular values. "error": the least ranks
            whose relative error of the weight is at most this. "budget": the ranks of the least error with which the
            model has at most this share of its MACs; "params" the same of its parameters. "evbmf": what stands out of
            noise, weakened by this share of the way to full rank.
        value: of the rule, from 0 to 1; left out: 0.9, 0.1, 0.5, 0.5 and 0.
        layers: look at these only.
        calibration: real inputs; with them the errors of low_rank are those of the layers' outputs.

    Returns:
        `Ranks`: ``.plan`` for `apply`, a table of all layers asked, and the others with the reason.

    Raises:
        InputError: a value out of range.
        TransformError: a budget that cannot be reached.
        UnknownNameError: no such technique, rule or layer.

    Example:
        >>> import torch
        >>> from effwidgets import rank_plan
        >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64))
        >>> model[0].weight.data = torch.randn(64, 4) @ torch.randn(4, 64)
        >>> rank_plan(model, torch.ones(1, 64), value=0.9999).table[0].ranks
        (4,)
    """
    from effwidgets.transforms.factorize.ranks import rank_plan as choose

    session = session_of(model)
    call = session.call(inputs)
    data = session.data(calibration, call)
    found = choose(model, call, transform=transform, rule=rule, value=value, layers=_names(layers), calibration=data)
    session.seen = call
    return found


def sparsity_plan(  # noqa: PLR0913  a verb of the package: each has a plain meaning, all but the first a default
    model: nn.Module,
    inputs: Inputs | None = None,
    share: float = 0.5,
    *,
    allocation: Allocation = "lamp",
    criterion: Literal["magnitude", "wanda"] = "magnitude",
    layers: Sequence[str] | None = None,
) -> Plan:
    """Spread zeros over the layers of a model: a plan with an `unstructured` step for each.

    Zeros make a model smaller as a download, not faster: dense kernels multiply by zeros all the same.

    Args:
        model: it is not changed.
        inputs: as in `profile`; left out: the call seen last.
        share: zeros over entries of all weights together, between 0 and 1.
        allocation: "uniform": the same share everywhere. "lamp": the least in one ranking of all layers (Lee et al.
            2021). "erk": wide layers get more (Evci et al. 2020).
        criterion: which numbers of a layer go: the smallest, or ("wanda") the smallest times their inputs, which needs
            calibration data in `apply`.
        layers: choose from these only.

    Raises:
        InputError: a share out of range, or a model where nothing can be made sparse.
        UnknownNameError: no such allocation, criterion or layer.

    Example:
        >>> import torch
        >>> from effwidgets import sparsity_plan
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8))
        >>> plan = sparsity_plan(model, torch.ones(1, 8), 0.75, allocation="uniform")
        >>> [step.setting("share") for step in plan]
        [0.75, 0.75]
    """
    from effwidgets.transforms.formats import sparsity_plan as spread

    session = session_of(model)
    call = session.call(inputs)
    found = spread(model, call, share, allocation=allocation, criterion=criterion, layers=_names(layers))
    session.seen = call
    return found


def rounded(
    model: nn.Module, plan: Planned, inputs: Inputs | None = None, *, options: WidthOptions | None = None
) -> Rounded:
    """Move the widths of a plan's pruning steps to neighbours that this machine is measured to run better.

    No constant says which numbers of channels are good: the layers are timed, at widths around the asked one, in turn.
    Where the differences drown in noise, the asked width stays.

    Args:
        model: what the plan is for; it is not changed.
        plan: a plan, or what has one; steps that remove no channels are left as they are.
        inputs: as in `profile`, in the sizes that count: the shapes decide the times.
        options: how far from the asked width, and for how long: ``WidthOptions(within=0.15, seconds=1.0)``.

    Returns:
        `Rounded`: ``.plan`` for `apply`, and for each step what was timed and why this width.

    Raises:
        UnknownNameError: the plan names a transformation or a layer that there is not.

    Example:
        >>> import torch
        >>> from effwidgets import Step, WidthOptions, rounded, settings
        >>> model = torch.nn.Sequential(torch.nn.Linear(8, 30), torch.nn.ReLU(), torch.nn.Linear(30, 4))
        >>> step = Step(transform="channel_prune", layers=("0",), settings=settings(channels=20))
        >>> found = rounded(model, step, torch.ones(2, 8), options=WidthOptions(seconds=0.01))
        >>> len(found.plan), found.choices[0].step == step
        (1, True)
    """
    from effwidgets.transforms.prune.widths import rounded as round_widths

    session = session_of(model)
    call = session.call(inputs)
    found = round_widths(model, call, plan_of(plan), options=options)
    session.seen = call
    return found


def _names(layers: Iterable[str] | None) -> list[str] | None:
    # One name is meant as a list of one.
    return None if layers is None else [layers] if isinstance(layers, str) else list(layers)
