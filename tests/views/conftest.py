"""Small fixed records with awkward names, from which the goldens are written."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from effwidgets.records import (
    Budget,
    Candidate,
    Climb,
    Cost,
    Desk,
    Edit,
    Environment,
    Front,
    Kept,
    Latency,
    LatencyChange,
    LayerProfile,
    Memory,
    Outcome,
    Piece,
    Plan,
    Profile,
    Progress,
    Score,
    Skip,
    Step,
    StudyState,
    Suggestion,
    Suggestions,
    Uncounted,
    Zeros,
    settings,
)

STRANGER = '<script>alert("x")</script>\'&'
"""A layer name that must never become markup."""


def cost(params=0, macs=0, saved=0, output=0, ops=0):
    return Cost(
        params=params,
        param_bytes=4 * params,
        macs=macs,
        backward_macs=2 * macs,
        elementwise_ops=ops,
        moved_bytes=2 * output,
        output_bytes=output,
        saved_bytes=saved,
    )


def layer(name, kind, outputs, own, total=None, **more):
    return LayerProfile(name=name, kind=kind, outputs=(outputs,), calls=1, cost=total or own, self_cost=own, **more)


CONV1 = cost(432, 442_368, 12_288, 65_536)
BN1 = cost(32, 0, 65_536, 65_536, ops=32_768)
RELU = cost(0, 0, 65_536, 65_536, ops=16_384)
CONV2 = cost(4_608, 1_179_648, 65_536, 32_768)
STRANGE = cost(9_216, 2_359_296, 32_768, 32_768)
FC = cost(330, 320, 128, 40)
BLOCK = cost(0, 0, 0, 32_768, ops=8_192)
BLOCK_TOTAL = BLOCK + CONV2 + STRANGE
ROOT = BLOCK_TOTAL + CONV1 + BN1 + RELU + FC


@pytest.fixture
def profile() -> Profile:
    layers = (
        layer("", "DigitNet", (1, 10), Cost(), ROOT),
        layer("conv1", "Conv2d", (1, 16, 32, 32), CONV1, config=settings(kernel_size=(3, 3), stride=(1, 1))),
        layer("bn1", "BatchNorm2d", (1, 16, 32, 32), BN1),
        layer("relu", "ReLU", (1, 16, 32, 32), RELU, aliases=("act",)),
        layer("block", "Residual", (1, 32, 16, 16), BLOCK, BLOCK_TOTAL),
        layer("block.conv2", "Conv2d", (1, 32, 16, 16), CONV2),
        layer(f"block.{STRANGER}", "Conv2d", (1, 32, 16, 16), STRANGE),
        layer("fc", "Linear", (1, 10), FC),
    )
    return Profile(
        model="DigitNet",
        inputs=((1, 3, 32, 32),),
        dtype="float32",
        environment=Environment(torch="2.13.0", device="cpu", threads=1),
        layers=layers,
        cost=ROOT,
        memory=Memory(
            param_bytes=58_472,
            inference_peak_bytes=131_072,
            inference_peak_at="bn1",
            saved_bytes=241_792,
            training_peak_bytes=430_000,
            training_peak_at=f"block.{STRANGER}",
            optimizer="sgd",
            param_at=f"block.{STRANGER}",
            saved_at="bn1",
        ),
        uncounted=(Uncounted(op="aten.fft_rfft", times=2, layer="block"),),
        notes=("relu also stands as act; it is counted once.",),
        origin="DigitNet-00000001",
    )


def seconds(median, spread=0.1, repeats=12, residual=None):
    return Latency(
        median_s=median,
        iqr_s=spread * median,
        repeats=repeats,
        device="cpu",
        threads=1,
        batch=1,
        residual_s=residual,
    )


OWN_S = {"conv1": 0.0004, "bn1": 0.0001, "block": 0.00005, "block.conv2": 0.00075, "fc": 0.0001}
"""What each layer of `timed` takes itself; the others have no time."""


@pytest.fixture
def timed(profile) -> Profile:
    def total(name):
        parts = [own for path, own in OWN_S.items() if path == name or path.startswith(f"{name}.")]
        return seconds(sum(parts)) if parts else None

    layers = tuple(
        dataclasses.replace(
            one,
            latency=total(one.name),
            self_latency=seconds(OWN_S[one.name], repeats=40) if one.name in OWN_S else None,
        )
        for one in profile.layers
    )
    whole = seconds(0.002, spread=0.4, repeats=24, residual=0.0006)
    layers = (dataclasses.replace(layers[0], latency=whole), *layers[1:])
    note = f"block.{STRANGER} could not be timed alone (RuntimeError: no); its time is part of the residual."
    return dataclasses.replace(profile, layers=layers, latency=whole, notes=(note,))


@pytest.fixture
def masked(profile) -> Profile:
    """With half of two weights behind masks, and a kernel whose workspace nobody sees."""
    found = (
        Zeros(name="fc.weight_orig", entries=320, zeros=0),
        Zeros(name="fc.bias", entries=10, zeros=10),
        Zeros(name="fc.weight", entries=320, zeros=160, source="mask", two_of_four=1.0),
        Zeros(name=f"block.{STRANGER}.weight", entries=9_216, zeros=4_608, source="parametrization"),
    )
    hidden = dataclasses.replace(profile.memory, hidden=("block", f"block.{STRANGER}"))
    return dataclasses.replace(profile, memory=hidden, zeros=found)


LOW_RANK = Step(transform="low_rank", layers=("fc",), settings=settings(rank=4))
PRUNE = Step(transform="channel_prune", layers=("block.conv2",), settings=settings(channels=20, criterion="l2"))
SPLIT = Step(transform="spatial_svd", layers=(f"block.{STRANGER}",), settings=settings(rank=12))
NARROW = Step(transform="bottleneck", layers=("block.conv2",), settings=settings(rank_in=8, rank_out=12))

PRUNED = Edit(
    step=PRUNE,
    before=(
        Piece(
            layer="block.conv2", text="Conv2d(16, 32, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False)"
        ),
        Piece(
            layer=f"block.{STRANGER}",
            text="Conv2d(32, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)",
        ),
    ),
    after=(
        Piece(
            layer="block.conv2", text="Conv2d(16, 20, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), bias=False)"
        ),
        Piece(
            layer=f"block.{STRANGER}",
            text="Conv2d(20, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False)",
        ),
    ),
    kept=(Kept(layer="block.conv2", side="out", indices=tuple(range(20))),),
    error=0.021,
)
FACTORED = Edit(
    step=LOW_RANK,
    before=(Piece(layer="fc", text="Linear(in_features=32, out_features=10, bias=True)"),),
    after=(
        Piece(layer="fc.0", text="Linear(in_features=32, out_features=4, bias=False)"),
        Piece(layer="fc.1", text="Linear(in_features=4, out_features=10, bias=True)"),
    ),
    error=0.11,
)

MEMORY = Memory(
    param_bytes=58_472,
    inference_peak_bytes=131_072,
    inference_peak_at="bn1",
    saved_bytes=241_792,
    param_at=f"block.{STRANGER}",
    saved_at="bn1",
)


def memory(params, peak):
    return Memory(param_bytes=4 * params, inference_peak_bytes=peak, inference_peak_at="bn1", saved_bytes=200_000)


@pytest.fixture
def suggestions() -> Suggestions:
    return Suggestions(
        model="DigitNet",
        goal="macs",
        cost=ROOT,
        memory=MEMORY,
        suggestions=(
            Suggestion(
                step=PRUNE,
                family="prune",
                headline="Prune block.conv2, 32 → 20 channels",
                change=Cost(params=-5_184, macs=-1_327_104, param_bytes=-20_736, saved_bytes=-12_288),
                memory_after=memory(9_434, 131_072),
                error=0.021,
                risk=1,
                reason="Two layers change together; the outputs change by 2.1%.",
                saving=0.33,
                latency=LatencyChange(
                    before_s=0.004, after_s=0.0025, error_s=0.00006, whole_s=0.012, repeats=9, device="cpu", threads=1
                ),
                score=0.961,
                clashes=(2,),
            ),
            Suggestion(
                step=SPLIT,
                family="factorize",
                headline=f"Split 3×3 block.{STRANGER} into 3×1 and 1×3, rank 12",
                change=Cost(params=-6_912, macs=-1_769_472, param_bytes=-27_648, saved_bytes=12_288),
                memory_after=memory(7_706, 143_360),
                error=0.17,
                risk=3,
                reason=f"Rank 12 of 96 keeps 91% of the energy of block.{STRANGER}.",
                warnings=(f"The inference peak grows at block.{STRANGER}.",),
            ),
            Suggestion(
                step=NARROW,
                family="bottleneck",
                headline="Bottleneck block.conv2, 16 → 8 → 12 → 32",
                change=Cost(params=-3_232, macs=-729_088, param_bytes=-12_928),
                reason="Three small layers instead of one.",
            ),
        ),
        skips=(
            Skip(transform="low_rank", layers=("fc",), reason="rank 4 of 10 saves less than 0.1% of the FLOPs"),
            Skip(
                transform="channel_prune", layers=(f"block.{STRANGER}",), reason="its channels are added to a shortcut"
            ),
        ),
        origin="DigitNet-00000001",
    )


@pytest.fixture
def desk(suggestions) -> Desk:
    applied = Outcome(
        indices=(0,),
        cost=ROOT + Cost(params=-5_184, macs=-1_327_104),
        memory=memory(9_434, 131_072),
        edits=(PRUNED,),
        skipped=(
            Skip(
                transform="spatial_svd", layers=(f"block.{STRANGER}",), reason="rolled back: the output was not finite"
            ),
        ),
    )
    preview = Outcome(indices=(0, 1), cost=ROOT + Cost(params=-9_000, macs=-2_300_000), memory=memory(5_618, 131_072))
    return Desk(
        suggestions=suggestions,
        preview=preview,
        applied=applied,
        undo=1,
        progress=Progress(state="working", message=f"Measuring block.{STRANGER}…", done=3, planned=8),
    )


def candidate(number, plan, score, scale, state="done", **more):
    built = None if state in ("planned", "cancelled") else Cost(params=int(14_618 * scale), macs=int(3_981_632 * scale))
    return Candidate(
        number=number,
        plan=Plan(steps=plan),
        rung="repaired" if plan else "dense",
        state=state,
        cost=built,
        memory=None if built is None else memory(built.params, int(131_072 * (0.4 + 0.6 * scale))),
        scores=() if score is None else (Score(metric="accuracy", value=score),),
        seconds=1.5,
        parent=0 if plan else None,
        **more,
    )


@pytest.fixture
def study() -> StudyState:
    return StudyState(
        title="DigitNet",
        metric="accuracy",
        better="higher",
        state="running",
        planned=9,
        message=f"Evaluating block.{STRANGER}",
        seconds_left=21.0,
        candidates=(
            candidate(0, (), 0.985, 1.0),
            candidate(1, (PRUNE,), 0.982, 0.67, edits=(PRUNED,)),
            candidate(2, (SPLIT,), 0.961, 0.56),
            candidate(3, (NARROW,), 0.975, 0.82),
            candidate(
                4,
                (PRUNE, LOW_RANK),
                0.979,
                0.61,
                edits=(PRUNED, FACTORED),
                climbed=(Climb(rung="repaired", scores=(Score(metric="accuracy", value=0.971),), seconds=1.0),),
                measures=(Score(metric="latency_s", value=0.0021, error=0.0001),),
                source="tpe",
                seed=4,
            ),
            candidate(5, (PRUNE, SPLIT), 0.93, 0.31),
            candidate(
                6, (SPLIT, LOW_RANK), None, 0.5, state="failed", note=f"evaluate raised at block.{STRANGER}: <b>no</b>"
            ),
            candidate(7, (LOW_RANK,), None, 1.0, state="planned"),
            candidate(8, (Step(transform="stranger_method", layers=("fc",)),), float("nan"), 0.9),
        ),
        fronts=(
            Front(axis="macs", numbers=(5, 2, 4, 1, 0), hypervolume=0.713, knee=1),
            Front(axis="params", numbers=(5, 2, 4, 1, 0), hypervolume=0.713, knee=1),
            Front(axis="param_bytes", numbers=(5, 2, 4, 1, 0)),
            Front(axis="inference_peak_bytes", numbers=(5, 2, 4, 1, 0)),
        ),
        applied=4,
        objectives=("macs",),
        budgets=(Budget(axis="macs", limit=600_000.0),),
        volumes=(0.0, 0.32, 0.61, 0.713),
        contributions=(Score(metric="low_rank", value=0.25), Score(metric="channel_prune", value=0.125)),
        origin="DigitNet-00000001/1",
    )


def misfits(value, hint, where="payload"):
    """Every place where a payload differs from its TypedDict: missing keys, unknown keys, other types."""
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        tried = [misfits(value, option, where) for option in options]
        return [] if [] in tried else tried[0]
    if is_typeddict(hint):
        hints = get_type_hints(hint)
        found = set(value) if isinstance(value, dict) else set()
        wrong = [f"{where}: {key}" for key in found ^ set(hints)]
        return wrong or [fault for key in hints for fault in misfits(value[key], hints[key], f"{where}.{key}")]
    if origin is list:
        return [f for i, item in enumerate(value) for f in misfits(item, options[0], f"{where}[{i}]")]
    if origin is dict:
        return [f for key, item in value.items() for f in misfits(item, options[1], f"{where}[{key!r}]")]
    fits = value in options if origin is Literal else type(value) in ((int, float) if hint is float else (hint,))
    return [] if fits else [f"{where}: {value!r} is not {hint}"]


class Markup(HTMLParser):
    """Collects the elements and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def markup():
    return Markup


@pytest.fixture(name="misfits")
def misfits_fixture():
    return misfits


@pytest.fixture
def stranger():
    return STRANGER
