"""Ranks by a rule: by energy, by error, by a budget, or by what stands out of noise. One decomposition a layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from effwidgets.errors import InputError, TransformError, UnknownNameError
from effwidgets.profiling.calls import Inputs, as_call
from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.records import LayerProfile, Plan, Profile, RankRow, Ranks, Site, Skip, Step, settings
from effwidgets.transforms.base import TRANSFORMS
from effwidgets.transforms.calibration import Calibration, calibration_of
from effwidgets.transforms.factorize.allocation import Choice, allocated
from effwidgets.transforms.factorize.evbmf import evbmf_rank, weakened
from effwidgets.transforms.factorize.factorization import Factorization, groups_of, weight_of
from effwidgets.transforms.factorize.parts import Part
from effwidgets.transforms.factorize.spectra import SPECTRAL, Spectra, energy_rank, spectra_of
from effwidgets.transforms.factorize.whitening import centred, moments_of, prepared, usable
from effwidgets.transforms.surgery import find_layer

__all__ = ["Rule", "rank_plan"]

Rule = Literal["energy", "error", "budget", "params", "evbmf"]

_USUAL: dict[Rule, float] = {"energy": 0.9, "error": 0.1, "budget": 0.5, "params": 0.5, "evbmf": 0.0}
_FRACTIONS = 64  # of full rank, where two ranks are chosen together


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Layer:
    profile: LayerProfile
    site: Site
    part: Part
    spectra: Spectra

    @property
    def even(self) -> tuple[int, ...]:
        return tuple(int(knob.break_even or knob.high or 0) for knob in self.site.knobs)

    @property
    def full(self) -> tuple[int, ...]:
        return tuple(int(knob.high or 0) for knob in self.site.knobs)


def rank_plan(  # noqa: PLR0913  a verb for people: each has a plain meaning, all but two a default
    model: nn.Module,
    inputs: Inputs,
    *,
    transform: str = "low_rank",
    rule: Rule = "energy",
    value: float | None = None,
    layers: Iterable[str] | None = None,
    calibration: object = None,
) -> Ranks:
    """Choose the ranks of a factorization by a rule, for all layers at once.

    Args:
        model: whose layers; it is not changed.
        inputs: what it is called with.
        transform: low_rank, spatial_svd, tucker2 or bottleneck.
        rule: "energy": the least ranks that keep this share of the squared singular values. "error": the least ranks
            whose relative error of the weight is at most this. "budget": the ranks of the least error, over all layers,
            with which the model has at most this share of its MACs; "params" the same of its parameters. "evbmf": what
            stands out of noise (see `evbmf`), weakened by this share of the way to full rank.
        value: of the rule, from 0 to 1; unless given 0.9, 0.1, 0.5, 0.5 and 0.
        layers: look at these only; unless given at every layer where the technique is advised, or, where it is
            nowhere, possible.
        calibration: batches of real inputs; with them the errors of ``low_rank`` are those of the layers' outputs.

    Returns:
        A plan with concrete ranks, never 0 and never such as save nothing, and what was left out.

    Raises:
        InputError: a value out of range.
        TransformError: a budget that cannot be reached.
        UnknownNameError: no such technique, rule or layer.

    >>> import torch
    >>> weight = torch.randn(64, 4) @ torch.randn(4, 64)
    >>> model = nn.Sequential(nn.Linear(64, 64))
    >>> model[0].weight.data = weight
    >>> rank_plan(model, torch.ones(1, 64), rule="energy", value=0.9999).plan.steps[0].setting("rank")
    4
    """
    technique, asked = _technique(transform), _value(rule, value)
    call = as_call(inputs)
    data = calibration_of(calibration, like=call)
    known = profile(model, call, options=ProfileOptions(groups=False, backward=False))
    wanted = None if layers is None else frozenset(known.layer(name).name for name in layers)
    question = _Question(model=model, known=known, technique=technique, wanted=wanted, data=data)
    sites, skips = question.sites()
    found = question.layers(sites)
    if rule in ("budget", "params"):
        if not found:
            why = f": {', '.join(skips[0].layers)}: {skips[0].reason}" if skips else ""
            raise TransformError(f"{transform} has no layer to work on here, so no budget can be reached{why}.")
        chosen = _by_budget(technique, found, known, rule, asked)
    else:
        chosen = [_by_layer(layer, rule, asked) for layer in found]
    return _result(transform, found, chosen, skips)


def _technique(name: str) -> Factorization:
    technique = TRANSFORMS[name]
    if name not in SPECTRAL or not isinstance(technique, Factorization):
        raise UnknownNameError("technique with ranks by rule", name, tuple(SPECTRAL))
    return technique


def _value(rule: str, value: float | None) -> float:
    if rule not in get_args(Rule):
        raise UnknownNameError("rule", rule, get_args(Rule))
    found = _USUAL[cast("Rule", rule)] if value is None else value
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
        raise InputError(f"The value of rule {rule!r} is {value!r}; a number from 0 to 1 was expected.")
    return float(found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Question:
    # Which layers of what are to be looked at, and with which inputs.

    model: nn.Module
    known: Profile
    technique: Factorization
    wanted: frozenset[str] | None
    data: Calibration | None

    def sites(self) -> tuple[list[Site], list[Skip]]:
        """Return where ranks are to be chosen, and why not elsewhere."""
        found = list(self.technique.sites(self.known))
        offered = [site for site in found if isinstance(site, Site)]
        skips = [skip for skip in found if isinstance(skip, Skip)]
        advised = any(site.advised for site in offered)
        taken = []
        for site in offered:
            asked = site.advised or not advised if self.wanted is None else site.layers[0] in self.wanted
            if asked and (len(site.layers) > 1 or not self.known.layer(site.layers[0]).self_cost.macs):
                reason = "an embedding has no products whose error a rule could weigh; choose its rank yourself"
                skips.append(Skip(transform=self.technique.name, layers=site.layers, reason=reason))
            elif asked and not bool(torch.isfinite(weight_of(find_layer(self.model, site.layers[0]))).all()):
                reason = "its weight has entries that are infinite or not a number"
                skips.append(Skip(transform=self.technique.name, layers=site.layers, reason=reason))
            elif asked:
                taken.append(site)
        return taken, [skip for skip in skips if self.wanted is None or skip.layers[0] in self.wanted]

    def layers(self, sites: Sequence[Site]) -> list[_Layer]:
        """Decompose each layer once."""
        data = self.data if self.technique.name == "low_rank" else None
        found = []
        with prepared(self.model, [site.layers[0] for site in sites], data):
            for site in sites:
                layer = self.known.layer(site.layers[0])
                module = find_layer(self.model, layer.name)
                spectra = spectra_of(
                    self.technique.name,
                    weight_of(module),
                    [int(knob.break_even or 1) for knob in site.knobs],
                    groups=groups_of(module),
                    gram=_gram(self.model, module, layer.name, data),
                )
                found.append(_Layer(profile=layer, site=site, part=Part.of_layer(layer), spectra=spectra))
        return found


def _gram(model: nn.Module, module: nn.Module, name: str, data: Calibration | None) -> Tensor | None:
    moments = None if data is None else moments_of(model, name, data)
    if moments is None or not usable(moments):
        return None
    return centred(moments, by_mean=isinstance(getattr(module, "bias", None), Tensor))[0]


def _by_layer(layer: _Layer, rule: Rule, value: float) -> tuple[int, ...]:
    spectra = layer.spectra
    if rule == "energy":
        return tuple(energy_rank(squares, value) for squares in spectra.squares)
    if rule == "error":
        share = 1 - value**2 / len(spectra.squares)  # each side may lose its part
        return tuple(energy_rank(squares, share) for squares in spectra.squares)
    ranks = []
    for squares, (rows, columns), full in zip(spectra.squares, spectra.shapes, layer.full, strict=True):
        ranks.append(weakened(evbmf_rank(squares, rows, columns), full, value))
    return tuple(ranks)


def _by_budget(
    technique: Factorization, found: Sequence[_Layer], known: Profile, rule: Rule, value: float
) -> list[tuple[int, ...]]:
    choices = [_choices(technique, layer, rule) for layer in found]
    whole = known.cost.macs if rule == "budget" else known.cost.params
    fixed = whole - sum(int(choice.costs[-1]) for choice in choices)
    picked = allocated(choices, value * whole - fixed)
    if picked is None:
        least = fixed + sum(int(choice.costs.min()) for choice in choices)
        what = "MACs" if rule == "budget" else "parameters"
        raise TransformError(
            f"A share of {value:g} of the {what} cannot be reached by {technique.name}: with rank 1 everywhere "
            f"{least / whole:.3g} is left. Give a larger value, or more layers."
        )
    return [choice.ranks[number] for choice, number in zip(choices, picked, strict=True)]


def _choices(technique: Factorization, layer: _Layer, rule: Rule) -> Choice:
    # Every rank that saves something, and the layer as it is, at the end.
    even, full, part = layer.even, layer.full, layer.part
    if len(even) == 1:
        ranks: list[tuple[int, ...]] = [(rank,) for rank in range(1, even[0] + 1)]
    else:
        shares = [(number + 1) / _FRACTIONS for number in range(_FRACTIONS)]
        ranks = list(dict.fromkeys(tuple(max(1, int(share * rank)) for rank in even) for share in shares))
    few = ranks if len(even) > 1 else [ranks[0], ranks[-1]]
    spent = torch.tensor([_spent(technique, layer, each, rule) for each in few], dtype=torch.float64)
    if len(even) == 1:  # a product of two matrices costs so much for each rank
        spent = torch.linspace(float(spent[0]), float(spent[-1]), len(ranks), dtype=torch.float64)
    tails = [torch.cat([values.flip(0).cumsum(0).flip(0), values.new_zeros(1)]) for values in layer.spectra.squares]
    total = layer.spectra.total or 1.0
    lost = sum(tail[torch.tensor([each[place] for each in ranks])] for place, tail in enumerate(tails)) / total
    own = layer.profile.self_cost.macs if rule == "budget" else part.params
    return Choice(
        ranks=(*ranks, full),
        costs=torch.cat([spent, torch.tensor([own], dtype=torch.float64)]),
        losses=torch.cat([cast("Tensor", lost).clamp(max=1), torch.zeros(1, dtype=torch.float64)]),
    )


def _spent(technique: Factorization, layer: _Layer, ranks: Sequence[int], rule: Rule) -> int:
    # Parameters, or MACs over all calls, as the estimate has them; the bias left out on both sides.
    chain = technique.chain(layer.part, ranks)
    if rule == "params":
        return sum(part.params for part in chain)
    given, macs = layer.profile.inputs[0], 0
    for part in chain:
        given = part.returns(given)
        macs += part.macs(given)
    return macs * layer.profile.self_cost.macs // layer.part.macs(layer.profile.outputs[0])


def _result(transform: str, found: Sequence[_Layer], chosen: Sequence[tuple[int, ...]], skips: Sequence[Skip]) -> Ranks:
    steps, left, table = [], list(skips), []
    for layer, ranks in zip(found, chosen, strict=True):
        reason = _left_out(layer, ranks)
        name = layer.profile.name
        table.append(
            RankRow(
                layer=name,
                ranks=ranks,
                full=layer.full,
                break_even=layer.even,
                error=layer.spectra.error(ranks),
                chosen=reason is None,
            )
        )
        if reason is None:
            values = {knob.name: rank for knob, rank in zip(layer.site.knobs, ranks, strict=True)}
            steps.append(Step(transform=transform, layers=(name,), settings=settings(values)))
        else:
            left.append(Skip(transform=transform, layers=(name,), reason=reason))
    return Ranks(plan=Plan(steps=tuple(steps)), skips=tuple(left), table=tuple(table))


def _left_out(layer: _Layer, ranks: Sequence[int]) -> str | None:
    said = ", ".join(str(rank) for rank in ranks)
    if not all(ranks):
        return f"the rule finds rank {said}: nothing that stands out"
    if tuple(ranks) == layer.full:
        return f"the rule leaves it as it is, at its full rank {said}"
    technique = cast("Factorization", TRANSFORMS[layer.site.transform])
    spent = [_spent(technique, layer, ranks, rule) for rule in ("budget", "params")]
    if spent[0] < layer.profile.self_cost.macs and spent[1] < layer.part.params:
        return None
    even = ", ".join(str(rank) for rank in layer.even)
    return f"the rule asks for rank {said}, which saves nothing: it breaks even at {even}"
