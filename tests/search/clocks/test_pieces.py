"""Pieces: what is timed is what a step changes, once for each shape, and the model stays as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from effwidgets.errors import Cancelled, TransformError, UnknownNameError
from effwidgets.profiling.calls import Call
from effwidgets.profiling.profile import ProfileOptions, profile
from effwidgets.records import LatencyChange, Plan, Step, settings
from effwidgets.search.clocks import memo as memo_module
from effwidgets.search.clocks import pieces as pieces_module
from effwidgets.search.clocks.changes import Changes
from effwidgets.search.clocks.pieces import Pieces
from effwidgets.transforms.apply import apply
from effwidgets.transforms.trial import stand_in
from tests.search.conftest import fingerprint, same

QUICK = 0.0


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EFFWIDGETS_CACHE", str(tmp_path))
    memo_module._memo.cache_clear()
    yield
    memo_module._memo.cache_clear()


def step(transform, *layers, **values):
    return Step(transform=transform, layers=layers, settings=settings(values))


def pieces_of(model, x, **options):
    call = Call((x,))
    known = profile(model, call, options=ProfileOptions(second_opinion=True, seams=True))
    return Pieces(model, call, known, seconds=QUICK, **options)


def changes_of(model, x):
    call = Call((x,))
    known = profile(model, call, options=ProfileOptions(second_opinion=True, seams=True))
    return Changes(stand_in(model), call, known)


def slowed(monkeypatch, seconds_of):
    """Put a clock in that reads from the shapes of a piece what it takes, so that sums can be worked out by hand."""

    def rounds(works, clock, seconds):
        del clock, seconds
        return [[seconds_of(work)] * 9 for work in works]

    monkeypatch.setattr(pieces_module, "_rounds", rounds)


class Counting:
    """Counts the multiply-accumulates of a call, in place of its time."""

    def __init__(self):
        self.asked = 0

    def __call__(self, work):
        from torch.utils.flop_counter import FlopCounterMode

        self.asked += 1
        with FlopCounterMode(display=False) as counter:
            work()
        return counter.get_total_flops() / 2 * 1e-9


def test_a_piece_is_measured_as_it_is_and_as_it_would_be(model, x):
    found = pieces_of(model, x).of(step("low_rank", "0", rank=2))
    assert isinstance(found, LatencyChange)
    assert 0 < found.before_s < 1
    assert 0 < found.after_s < 1
    assert found.repeats >= 7
    assert (found.device, found.threads) == ("cpu", torch.get_num_threads())
    assert not found.remembered
    assert found.whole_s > 0


def test_the_pieces_of_a_factored_layer_are_that_layer_alone(model, x):
    (pair,) = changes_of(model, x).pairs([step("low_rank", "0", rank=2)])
    assert pair.layer == "0"
    assert isinstance(pair.before.module, nn.Linear)
    assert isinstance(pair.after.module, nn.Sequential)
    assert tuple(pair.after.given[0][0].shape) == (256, 12)


def test_the_pieces_of_a_pruned_group_are_all_that_meet_other_shapes(model, x):
    pairs = {pair.layer: pair for pair in changes_of(model, x).pairs([step("channel_prune", "0", channels=10)])}
    assert set(pairs) == {"0", "1", "2"}  # the layer, the ReLU behind it, the reader
    assert tuple(pairs["1"].after.given[0][0].shape) == (256, 10)
    assert tuple(pairs["2"].after.module.weight.shape) == (16, 10)
    assert tuple(pairs["2"].before.given[0][0].shape) == (256, 24)


def test_what_a_block_does_itself_is_a_piece_too(convolutional, images):
    # Its own ReLU and mean, between the layers: the layers inside answer at once.
    pairs = {
        pair.layer: pair
        for pair in changes_of(convolutional, images).pairs([step("channel_prune", "conv1", channels=6)])
    }
    assert set(pairs) == {"conv1", "bn1", "conv2", ""}
    own = pairs[""].after.ready(torch.device("cpu"), frozenset())
    assert tuple(own().shape) == (16, 10)
    assert [tuple(answer.shape) for _, answer in pairs[""].after.answers][2:4] == [(16, 6, 8, 8), (16, 6, 8, 8)]


def test_the_work_of_a_piece_is_that_of_the_applied_step(convolutional, images, monkeypatch):
    # With a clock that counts multiplications the predicted change must be the exact one, whatever the steps.
    counting = Counting()
    slowed(monkeypatch, counting)
    pieces = pieces_of(convolutional, images)
    plans = [
        (step("channel_prune", "conv1", channels=7),),
        (step("channel_prune", "stem", channels=5),),
        (step("spatial_svd", "conv2", rank=3),),
        (
            step("channel_prune", "conv1", channels=7),
            step("spatial_svd", "conv2", rank=3),
            step("low_rank", "fc", rank=2),
        ),
        (step("channel_prune", "stem", channels=6), step("channel_prune", "conv1", channels=8)),
        (step("fold_bn", "conv1", "bn1"), step("bottleneck", "conv2", rank_in=4, rank_out=4)),
    ]
    dense = profile(convolutional, images).cost.macs
    for steps in plans:
        made = apply(convolutional, Plan(steps=steps), images)
        assert not made.skipped
        found = pieces.plan(steps)
        assert found.change_s * 1e9 == pytest.approx(made.profile.cost.macs - dense, abs=0.5), steps
        assert found.whole_s * 1e9 == pytest.approx(dense, abs=0.5)


def test_pieces_of_equal_shape_are_timed_once(monkeypatch):
    net = nn.Sequential(*(nn.Linear(32, 32) for _ in range(6))).eval()
    counting = Counting()
    slowed(monkeypatch, counting)
    pieces = pieces_of(net, torch.zeros(4, 32))
    pieces.whole()
    before = counting.asked
    found = pieces.of_many([step("low_rank", str(place), rank=4) for place in range(6)])
    assert counting.asked == before + 2  # as it is, and as it would be
    assert len(set(found)) == 1
    both = pieces.plan([step("low_rank", "1", rank=4), step("low_rank", "2", rank=4)])
    assert counting.asked == before + 2
    assert both.change_s == pytest.approx(2 * found[0].change_s)
    assert both.error_s == pytest.approx(2 * found[0].error_s)  # one measurement taken twice, not two


def test_what_was_measured_is_remembered_on_disk_until_threads_change(model, x, monkeypatch):
    first = pieces_of(model, x).of(step("low_rank", "0", rank=2))
    memo_module._memo.cache_clear()
    again = pieces_of(model, x).of(step("low_rank", "0", rank=2))
    assert again.remembered
    assert (again.before_s, again.after_s, again.error_s) == (first.before_s, first.after_s, first.error_s)
    assert not pieces_of(model, x[:8]).of(step("low_rank", "0", rank=2)).remembered
    assert not pieces_of(model, x).of(step("low_rank", "0", rank=3)).remembered
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    assert not pieces_of(model, x).of(step("low_rank", "0", rank=2)).remembered


def test_a_step_that_leaves_the_work_as_it_is_changes_nothing(model, x):
    found = pieces_of(model, x).of(step("unstructured", "0", share=0.5))
    assert (found.change_s, found.error_s, found.faster) == (0.0, 0.0, False)


def test_a_format_and_a_recomputed_block_can_be_timed(x):
    net = nn.Sequential(nn.Linear(12, 32), nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8))).eval()
    found = pieces_of(net, x).of_many([step("bf16", "0"), step("checkpoint", "1")])
    assert all(one.after_s > 0 for one in found)


def test_the_model_and_the_random_state_stay_as_they_were(convolutional, images):
    convolutional.train()
    before, state = fingerprint(convolutional), torch.get_rng_state()
    pieces_of(convolutional, images).of_many(
        [step("channel_prune", "stem", channels=6), step("low_rank", "fc", rank=2)]
    )
    assert same(before, fingerprint(convolutional))
    assert torch.equal(state, torch.get_rng_state())


def test_a_forward_that_asks_for_values_is_run_instead_of_laid_out(x, monkeypatch):
    class Asking(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(12, 16), nn.Linear(16, 4)

        def forward(self, x):
            h = self.one(x)
            return self.two(h) if float(h.detach().sum()) > -1e9 else h

    # A kind of step that cannot be told by arithmetic, in a forward that a shadow cannot run: the run itself tells.
    monkeypatch.setattr("effwidgets.search.clocks.changes.foresee", refuse)
    (pair,) = changes_of(Asking().eval(), x).pairs([step("low_rank", "one", rank=2)])
    assert pair.layer == "one"


def refuse(profile, step):
    raise TransformError("by hand")


def test_integer_inputs_and_keyword_inputs_keep_their_values():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.out = nn.Embedding(10, 16), nn.Linear(16, 16)

        def forward(self, *, ids):
            return self.out(self.table(ids).mean(1))

    net, call = Words().eval(), Call((), {"ids": torch.tensor([[1, 9, 3]])})
    known = profile(net, call, options=ProfileOptions(second_opinion=True))
    found = Pieces(net, call, known, seconds=QUICK).of(step("channel_prune", "table", channels=8))
    assert found.before_s > 0


def test_what_cannot_be_done_says_so(model, x):
    pieces = pieces_of(model, x)
    with pytest.raises(UnknownNameError):
        pieces.of(step("low_rank", "nowhere", rank=2))
    with pytest.raises(TransformError):
        pieces.of(step("low_rank", "1", rank=2))


def test_cancelling_ends_it(model, x):
    def check():
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        pieces_of(model, x, check=check).of(step("low_rank", "0", rank=2))


def test_what_was_timed_is_known_and_what_was_not_is_not(monkeypatch, tmp_path):
    monkeypatch.setenv("EFFWIDGETS_CACHE", str(tmp_path))
    model, call = nn.Sequential(nn.Linear(64, 64), nn.ReLU()), Call((torch.zeros(2, 64),))
    steps = [Step(transform="low_rank", layers=("0",), settings=settings(rank=rank)) for rank in (4, 8)]
    pieces = Pieces(model, call, profile(model, call), seconds=0.001)
    assert not pieces.knows(steps[:1])
    pieces.of(steps[0])
    assert pieces.knows(steps[:1])
    assert not pieces.knows(steps[1:])
    other = Pieces(model, call, profile(model, call), seconds=0.001)
    assert not other.knows(steps[:1])  # the pieces are on disk, the whole was not timed
    other.whole()
    assert other.knows(steps[:1])
    assert other.knows([Step(transform="low_rank", layers=("0",), settings=settings(rank=10_000))])  # refused at once
