"""Blocks that run again in the backward: the same gradients, fewer bytes, and how much more work, to the integer."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointWrapper
from torch.utils.flop_counter import FlopCounterMode

from effwidgets.errors import TransformError
from effwidgets.profiling.calls import run, tensors_in
from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Skip, Step, settings
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.apply import apply, hypothetical
from effwidgets.transforms.foresee import estimate_plan, foresee
from effwidgets.transforms.schedule.checkpoint import CHECKPOINT


def again(*blocks):
    return Plan(steps=tuple(Step(transform="checkpoint", layers=(block,)) for block in blocks))


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(0.3)

    def forward(self, x):
        return x + self.down(self.drop(torch.tanh(self.up(self.norm(x)))))


def tower(blocks=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), *(Block(8) for _ in range(blocks)), nn.Linear(8, 2))


def kept_in_a_real_run(model, call):
    outside = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers(), *tensors_in(call))}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in outside:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run(model, call)
    del out
    return sum(size for size, _ in kept.values())


PLACES = {
    "residual": ("block1", "block2"),
    "gpt": ("block",),
    "vit": ("block",),
    "transformer_encoder": ("layers.0", "layers.1"),
    "inverted_residual": ("block",),
    "bfloat16_residual": ("block2",),
    "half_frozen": ("block2",),
}


@pytest.mark.parametrize("name", PLACES)
def test_kept_bytes_and_work_are_those_of_a_real_run_and_of_the_estimate(name):
    model, call = specimen(name).build(), specimen(name).inputs()
    known = profile(model, call)
    done = apply(model, again(*PLACES[name]), call, known=known)
    assert len(done.edits) == len(PLACES[name])
    said, change = estimate_plan(known, done.plan), done.profile.cost - known.cost
    for field in CHECKPOINT.exact:
        assert getattr(said, field) == getattr(change, field), field
    assert change.saved_bytes < 0 < change.backward_macs
    assert done.profile.memory.saved_bytes == kept_in_a_real_run(done.model.eval(), call)


@pytest.mark.parametrize("name", ["residual", "inverted_residual"])  # it does not count the attention of a CPU
def test_the_backward_does_as_much_more_as_torchs_own_counter_sees(name):
    model, call = specimen(name).build(), specimen(name).inputs()
    done = apply(model, again(*PLACES[name]), call)
    seen = []
    for now in (model, done.model):
        with FlopCounterMode(display=False) as counter:
            run(now, call).float().sum().backward()
        seen.append(counter.get_total_flops() // 2)
    assert seen[1] - seen[0] == done.profile.cost.backward_macs - done.before.cost.backward_macs


def test_what_runs_behind_the_last_kept_thing_does_not_run_again():
    # A Linear keeps its input before it runs, and nothing of what it returns.
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))
    x = torch.ones(2, 4)
    assert CHECKPOINT.estimate(profile(model, x), again("1").steps[0]).backward_macs == 2 * 4 * 8
    # An activation keeps what it returns, so that the layer before it must run.
    model[1].append(nn.ReLU())
    assert CHECKPOINT.estimate(profile(model, x), again("1").steps[0]).backward_macs == 2 * (4 * 8 + 8 * 3)


def gradients(model, x):
    torch.manual_seed(7)
    out = model(x)
    out.square().sum().backward()
    return [out, *(parameter.grad for parameter in model.parameters())]


def test_answers_and_gradients_are_the_same_bit_for_bit_with_dropout():
    model, x = tower().train(), torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    done = apply(model, again("1", "2", "3"), x)
    assert done.model.training
    assert sum(isinstance(module, CheckpointWrapper) for module in done.model.modules()) == 3
    before, after = gradients(model, x), gradients(done.model, x)
    assert len(before) == len(after) > 10
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))


def test_the_peak_of_training_falls():
    model, x = tower(8), torch.ones(64, 6)
    done = apply(model, again(*map(str, range(1, 9))), x)
    assert done.profile.memory.training_peak_bytes < 0.5 * done.before.memory.training_peak_bytes
    assert done.profile.memory.inference_peak_bytes == done.before.memory.inference_peak_bytes
    assert (done.profile.cost.params, done.profile.cost.macs) == (done.before.cost.params, done.before.cost.macs)


def test_a_state_dict_keeps_its_names_and_a_copy_runs():
    model, x = tower(), torch.ones(2, 6)
    done = apply(model, again("1"), x).model
    assert list(done.state_dict()) == list(model.state_dict())
    model.load_state_dict(done.state_dict())
    twin = copy.deepcopy(done)
    assert torch.equal(twin.eval()(x), model.eval()(x))


def skipped(model, inputs):
    return {skip.layers[0]: skip.reason for skip in CHECKPOINT.sites(profile(model, inputs)) if isinstance(skip, Skip)}


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.block, self.head = Block(6), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.block(self.block(x)))


class Outside(nn.Module):
    def __init__(self):
        super().__init__()
        self.block, self.head = Block(6), nn.Linear(6, 2)
        self.again = self.block.up

    def forward(self, x):
        return self.again(self.block(x)).sum() + self.head(x)


def test_a_block_that_is_left_alone_says_why():
    x = torch.ones(2, 6)
    assert "runs 2 times" in skipped(Twice(), x)["block"]
    assert "block.up stands inside of it and elsewhere" in skipped(Outside(), x)["block"]
    frozen = tower().requires_grad_(requires_grad=False)
    assert "no parameter before it or in it learns" in skipped(frozen, x)["1"]
    small = nn.Sequential(nn.Linear(6, 6), nn.Sequential(nn.Linear(6, 6), nn.Identity()))
    assert "no more for the backward than its inputs" in skipped(small, x)["1"]
    branch = specimen("branch")

    class Holds(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = branch.build()

        def forward(self, x):
            return self.inner(x)

    assert "is not known" in skipped(Holds(), branch.inputs())["inner"]


def test_one_checkpoint_in_another_is_refused():
    found = specimen("gpt")
    model, call = found.build(), found.inputs()
    done = apply(model, again("block", "block._checkpoint_wrapped_module.attn"), call)
    assert len(done.edits) == 1
    assert "already" in done.skipped[0].reason
    assert "already" in skipped(done.model, call)["block"]
    with pytest.raises(TransformError, match="already"):
        CHECKPOINT.estimate(profile(done.model, call), again("block").steps[0])


def test_after_a_pruning_and_after_a_split_the_estimate_is_exact():
    found = specimen("residual")
    model, call = found.build(), found.inputs()
    known = profile(model, call)
    prune = Step(transform="channel_prune", layers=("stem.0",), settings=settings(channels=4, criterion="l2"))
    split = Step(transform="spatial_svd", layers=("block2.conv1",), settings=settings(rank=4))
    for steps in ((prune, *again("block1", "block2")), (split, *again("block2")), (prune, split, *again("block2"))):
        plan = Plan(steps=steps)
        is_so = hypothetical(model, plan, call, known=known).cost - known.cost
        said = estimate_plan(known, plan)
        assert {field: getattr(said, field) for field in CHECKPOINT.exact} == {
            field: getattr(is_so, field) for field in CHECKPOINT.exact
        }


def test_what_arithmetic_cannot_tell_after_earlier_steps_is_refused():
    found = specimen("residual")
    known = profile(found.build(), found.inputs())
    fold = Step(transform="fold_bn", layers=("block2.shortcut.0", "block2.shortcut.1"))
    with pytest.raises(TransformError, match="profile what they made"):
        estimate_plan(known, Plan(steps=(fold, *again("block2.shortcut"))))


def test_ties_and_aliases_are_named_where_they_stand_afterwards():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.block, self.head = Block(6), nn.Linear(24, 6)
            self.head.weight = nn.Parameter(torch.zeros(6, 24))
            self.block.down.weight = self.head.weight

        def forward(self, x):
            return self.head(torch.cat([self.block(x)] * 4, 1))

    model, x = Tied(), torch.ones(2, 6)
    known = profile(model, x)
    step = again("block").steps[0]
    seen, is_so = foresee(known, step), profile(apply(model, Plan(steps=(step,)), x).model, x)
    assert [(layer.name, layer.tensors) for layer in seen.layers] == [
        (layer.name, layer.tensors) for layer in is_so.layers
    ]
    assert any(tensor.tied_to for layer in is_so.layers for tensor in layer.tensors)


def test_the_site_says_that_it_is_for_training_and_no_model_is_advised_to():
    found = specimen("gpt")
    sites = [site for site in CHECKPOINT.sites(profile(found.build(), found.inputs())) if isinstance(site, Site)]
    assert {site.layers for site in sites} == {("block",), ("block.attn",)}
    assert all(not site.advised and "training" in site.warnings[0] for site in sites)


def test_a_block_with_batch_norms_says_that_they_see_each_batch_twice():
    found = specimen("residual")
    model, call = found.build(), found.inputs()
    sites = {s.layers[0]: s for s in CHECKPOINT.sites(profile(model, call)) if isinstance(s, Site)}
    assert "twice" in sites["block1"].warnings[1]
    done = apply(model.train(), again("block1"), call).model
    done(call.args[0]).sum().backward()
    assert int(done.block1.bn1.num_batches_tracked - model.block1.bn1.num_batches_tracked) == 2


class WritesFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        return self.two(self.one(x.mul_(2)).tanh())


def test_a_block_that_writes_into_its_input_is_left_alone():
    # Run again from what it was given, it would double that a second time: wrong gradients, without a word.
    model, x = nn.Sequential(nn.Linear(6, 8), WritesFirst(), nn.Linear(8, 2)), torch.ones(4, 6)
    site = next(site for site in CHECKPOINT.sites(profile(model, x)) if site.layers == ("1",))
    assert isinstance(site, Skip)
    assert "writes into what it is given" in site.reason
    done = apply(model, again("1"), x)
    assert not done.edits
    assert "writes into what it is given" in done.skipped[0].reason


def test_an_edit_says_that_batch_norms_see_each_batch_twice():
    normed = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1))
    x = torch.ones(2, 3, 4, 4)
    done = apply(nn.Sequential(normed, nn.Conv2d(4, 4, 1)), again("0"), x)
    assert any("twice" in note for note in done.edits[0].notes)
    # Two steps of this momentum on one batch are one step of m: 1 - (1 - m)^(2 / 2).
    m = normed[1].momentum
    half = copy.deepcopy(done.model).train()
    for module in half.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1 - (1 - m) ** 0.5
    plain = nn.Sequential(normed, nn.Conv2d(4, 4, 1)).train()
    batch = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    half.load_state_dict(plain.state_dict())
    for net in (plain, half):
        net(batch).sum().backward()
    (once,) = [module for module in plain.modules() if isinstance(module, nn.BatchNorm2d)]
    (twice,) = [module for module in half.modules() if isinstance(module, nn.BatchNorm2d)]
    assert torch.allclose(once.running_mean, twice.running_mean, atol=1e-6)  # roundings of float32
    assert torch.allclose(once.running_var, twice.running_var, atol=1e-6)
