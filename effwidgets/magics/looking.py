"""The words that look at a model and leave it as it is: count, match, set side by side, check."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from effwidgets.errors import InputError
from effwidgets.magics.scope import Scope
from effwidgets.magics.word import Word
from effwidgets.profiling import ProfileOptions
from effwidgets.reconcile import ReconcileOptions
from effwidgets.session import compare, disk, health, profile, reconcile, sweep

__all__ = ["LOOKING"]

_OPTIMIZER: Final = "whose state is part of the training peak: sgd, momentum, adam, adamw"


def _profile(args: Namespace, scope: Scope) -> Any:
    options = ProfileOptions(
        train=args.train, latency=args.latency, sparsity=args.sparsity, optimizer=args.optimizer.lower()
    )
    return profile(scope.model(args.model), scope.inputs(args.inputs), options=options)


def _reconcile(args: Namespace, scope: Scope) -> Any:
    options = ReconcileOptions(train=args.train, backward=args.backward)
    return reconcile(scope.model(args.model), scope.inputs(args.inputs), with_=args.with_.split(","), options=options)


def _compare(args: Namespace, scope: Scope) -> Any:
    return compare(scope.value(args.before), scope.value(args.after))


def _sweep(args: Namespace, scope: Scope) -> Any:
    sizes = {name: _sizes(name, getattr(args, name)) for name in ("batch", "resolution", "sequence", "sizes")}
    dims = scope.maybe(args.dims)
    options = ProfileOptions(train=args.train, optimizer=args.optimizer.lower())
    return sweep(scope.model(args.model), scope.inputs(args.inputs), **sizes, dims=dims, options=options)


def _sizes(name: str, text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(size) for size in text.strip("()[] ").split(",") if size.strip()]
    except ValueError:
        raise InputError(f"--{name} {text} was given; whole numbers such as 1,2,4,8 were expected.") from None


def _health(args: Namespace, scope: Scope) -> Any:
    loss, target = scope.maybe(args.loss), scope.maybe(args.target)
    return health(scope.model(args.model), scope.inputs(args.inputs), loss=loss, target=target, train=not args.eval)


def _disk(args: Namespace, scope: Scope) -> Any:
    return disk(scope.model(args.model), compress=not args.no_compress)


LOOKING: Final = (
    Word("profile", "Count parameters, FLOPs and memory of every layer.", _profile)
    .takes_call()
    .takes("--train", action="store_true", help="profile the model in training mode")
    .takes("--latency", action="store_true", help="also measure how long a forward takes, and each layer")
    .takes("--sparsity", action="store_true", help="also count the zeros of each weight, masks included")
    .takes("--optimizer", default="sgd", help=_OPTIMIZER),
    Word("reconcile", "Match our count with fvcore's and FlopCounterMode's, and explain it.", _reconcile)
    .takes_call()
    .takes("--with", dest="with_", default="fvcore,flop_counter", metavar="A,B", help="also: flop_counter_meta")
    .takes("--backward", action="store_true", help="count the backward too")
    .takes("--train", action="store_true", help="count in training mode"),
    Word("compare", "Set two profiles side by side, layer by layer.", _compare)
    .takes("before", help="a variable that holds a profile")
    .takes("after", help="another one"),
    Word("sweep", "Say what other sizes of the inputs would cost, and how each cost grows.", _sweep)
    .takes_call()
    .takes("--batch", metavar="1,2,4", help="sizes of the batch")
    .takes("--resolution", metavar="128,224", help="sizes of the shorter side of pictures")
    .takes("--sequence", metavar="128,512", help="numbers of tokens")
    .takes("--sizes", metavar="1,2,4", help="sizes of what --dims names")
    .takes("--dims", metavar="DIMS", help="which sizes follow, such as {'input_ids': 1}")
    .takes("--train", action="store_true", help="in training mode")
    .takes("--optimizer", default="sgd", help=_OPTIMIZER),
    Word("health", "Run one real batch forward and back on a copy: gradients, dead and saturated units.", _health)
    .takes_call()
    .takes("--loss", metavar="F", help="a function of the outputs, and of the target where there is one")
    .takes("--target", metavar="Y", help="what the outputs are compared to")
    .takes("--eval", action="store_true", help="run in eval mode"),
    Word("disk", "Measure the model as a file, saved and compressed.", _disk)
    .takes_model()
    .takes("--no-compress", action="store_true", help="leave out the compression, which takes most of the time"),
)
"""In the order of the manual."""
