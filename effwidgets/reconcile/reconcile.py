"""`reconcile`: our count of a model beside fvcore's and `FlopCounterMode`'s, each difference with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import torch
from torch import nn

from effwidgets.errors import Cancelled, InputError, UnknownNameError
from effwidgets.profiling.calls import Call, Inputs, as_call
from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.reconcile.ledger import Work, ledger_of
from effwidgets.reconcile.peer_layers import peer_layers
from effwidgets.reconcile.side import PeerError, Side
from effwidgets.records.profiles import Profile
from effwidgets.records.reconciliation import PeerCount, Reconciliation

__all__ = ["PEERS", "ReconcileOptions", "reconcile"]

PEERS: Final = ("fvcore", "flop_counter", "flop_counter_meta")
"""The counters that ours can be matched with. The last is `FlopCounterMode` without numbers, on meta."""

_OF_MEMORY: Final = "The kernel of "  # how the profile's note about `Memory.hidden` begins; no memory is compared here


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileOptions:
    """How to count, on both sides.

    Attributes:
        train: in training mode; otherwise in eval mode.
        backward: count the backward too, on both sides; fvcore has none.
        origin: name of the session that asks.
    """

    train: bool = False
    backward: bool = False
    origin: str = ""


def reconcile(
    model: nn.Module,
    inputs: Inputs,
    *,
    with_: str | Iterable[str] = ("fvcore", "flop_counter"),
    options: ReconcileOptions = ReconcileOptions(),
) -> Reconciliation:
    """Count a model beside other counters and explain every difference, layer by layer, to the integer.

    The other counters run on a full copy of the model with its real numbers, as their users run them: a forward each
    (and a backward, when asked), in time and in memory for parameters and activations. ``"flop_counter_meta"``
    allocates nothing; a model on meta is left there for all of them. The model itself is not touched.

    Args:
        model: any model that `profile` can profile.
        inputs: as in `profile`.
        with_: one or more of `PEERS`.
        options: training mode, backward.

    Returns:
        a `Reconciliation`. For each layer ours minus theirs is the sum of the items; what has no reason is an item of
        its own that says so. A counter that fails on this model says why and has no layers.

    Raises:
        InputError: not a module, inputs of an unknown kind, or no known counter.
        ModelError: the forward raised; the message names the layer.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    >>> found = reconcile(model, torch.zeros(1, 3, 6, 6), with_="fvcore")
    >>> [(item.op, item.macs) for item in found.peer("fvcore").layer("").items]
    [('batch_norm', -256)]
    """
    names = _known(with_)
    if not isinstance(options, ReconcileOptions):
        raise InputError(f"options is {type(options).__name__}; ReconcileOptions(backward=True, ...) was expected.")
    call = as_call(inputs)
    wanted = ProfileOptions(train=options.train, backward=options.backward, groups=False)
    ours = profile(model, call, options=wanted)
    works = ledger_of(model, call, train=options.train, backward=options.backward)
    return Reconciliation(
        model=ours.model,
        inputs=ours.inputs,
        environment=ours.environment,
        train=options.train,
        backward=options.backward,
        ours=ours.cost.macs + options.backward * ours.cost.backward_macs,
        peers=tuple(_peer(name, model, call, (ours, works, options)) for name in names),
        uncounted=tuple(dict.fromkeys(one.op for one in ours.uncounted)),
        notes=tuple(note for note in ours.notes if not (ours.memory.hidden and note.startswith(_OF_MEMORY))),
        origin=options.origin,
    )


def _known(with_: str | Iterable[str]) -> list[str]:
    names = [with_] if isinstance(with_, str) else list(with_) if isinstance(with_, Iterable) else [with_]
    for name in names:
        if name not in PEERS:
            raise UnknownNameError("counter to reconcile with", name, PEERS)
    if not names:
        raise InputError(f"No counter to reconcile with was named. Name one or more of {', '.join(PEERS)}.")
    return list(dict.fromkeys(names))


def _peer(
    name: str, model: nn.Module, call: Call, known: tuple[Profile, Sequence[Work], ReconcileOptions]
) -> PeerCount:
    ours, works, options = known
    try:
        side = _asked(name, model, call, options)
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001  another project's code around anybody's forward
        text = str(error).strip().partition("\n")[0][:200] or "no message"
        return PeerCount(
            peer=name,
            title=_title(name),
            setting=_setting(name, options, model),
            flops_per_mac=_unit(name),
            failure=text if isinstance(error, PeerError) else f"{type(error).__name__}: {text}",
        )
    layers = peer_layers(
        ours.layers, works, side, backward=options.backward, has_backward=options.backward and name != "fvcore"
    )
    return PeerCount(
        peer=name,
        title=_title(name),
        setting=_setting(name, options, model),
        flops=side.flops,
        flops_per_mac=_unit(name),
        layers=layers,
        notes=side.notes,
    )


def _asked(name: str, model: nn.Module, call: Call, options: ReconcileOptions) -> Side:
    if name == "fvcore":
        from effwidgets.reconcile.fvcore_side import fvcore

        return fvcore(model, call, train=options.train)
    from effwidgets.reconcile.flop_counter_side import flop_counter

    meta = name == "flop_counter_meta"
    return flop_counter(model, call, train=options.train, backward=options.backward, meta=meta)


def _title(name: str) -> str:
    if name == "fvcore":
        try:
            return f"fvcore {version('fvcore').partition('.post')[0]}"
        except PackageNotFoundError:  # it is not here, or came without its papers; the failure says which
            return "fvcore"
    on_meta = " on meta" if name == "flop_counter_meta" else ""
    return f"FlopCounterMode of torch {torch.__version__.partition('+')[0]}{on_meta}"


def _setting(name: str, options: ReconcileOptions, model: nn.Module) -> str:
    device = next((tensor.device.type for tensor in (*model.parameters(), *model.buffers())), "cpu")
    where = "meta" if name == "flop_counter_meta" else device
    mode = "training mode" if options.train else "eval mode"
    gradients = "forward and backward" if options.backward and name != "fvcore" else "forward without gradients"
    return f"{mode}, {gradients}, on {where}"


def _unit(name: str) -> int:
    return 1 if name == "fvcore" else 2
