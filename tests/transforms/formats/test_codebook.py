"""Indices into a few values: as many bytes as stated, values that train, zeros that stay."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from effwidgets import profile
from effwidgets.errors import TransformError
from effwidgets.records import Plan, Skip, Step, settings
from effwidgets.transforms.apply import Applied, apply, hypothetical
from effwidgets.transforms.foresee import estimate_plan
from effwidgets.transforms.formats import download_bytes, sparsity_plan
from effwidgets.transforms.formats.codebook import CODEBOOK, indices_of
from effwidgets.transforms.formats.huffman import code_lengths, decode, encode


def _step(layer: str, bits: object) -> Step:
    return Step(transform="codebook", layers=(layer,), settings=settings(bits=bits))


def _model() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 9, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.Flatten())
    return model.append(nn.Linear(9 * 36, 7)), torch.randn(3, 4, 6, 6)


def _dense(applied: Applied, layer: str, shape: tuple[int, ...]) -> torch.Tensor:
    new = applied.model.get_submodule(layer)
    return new.get_parameter("codebook")[indices_of(new, shape).long()].detach()


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("layer", ["0", "3"])
def test_a_layer_takes_the_bytes_of_its_indices_and_multiplies_by_its_values(bits: int, layer: str) -> None:
    model, x = _model()
    applied = apply(model, Plan(steps=(_step(layer, bits),)), x)
    assert applied.edits, applied.skipped
    shape = tuple(model.get_submodule(layer).weight.shape)
    rows, width, each = shape[0], model.get_submodule(layer).weight[0].numel(), 8 // bits
    held = rows * -(-width // each) + 2 * 4 * 2**bits  # indices; values, and which may move
    change = applied.profile.cost.param_bytes - applied.before.cost.param_bytes
    assert change == held - 4 * rows * width
    weight = _dense(applied, layer, shape)
    assert len(weight.unique()) <= 2**bits
    dense = copy.deepcopy(model)
    dense.get_submodule(layer).weight = nn.Parameter(weight)
    torch.testing.assert_close(applied.model(x), dense(x))  # the same products, perhaps in another order


def test_more_bits_are_nearer() -> None:
    model, x = _model()
    errors = [
        dict(apply(model, Plan(steps=(_step("3", bits),)), x).edits[0].measured)["weight_error"]
        for bits in (1, 2, 4, 6, 8)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.01


def test_an_embedding_looks_up_only_the_rows_that_are_asked_for() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 7), nn.Linear(7, 3))
    ids = torch.tensor([[3, 49, 0], [3, 3, 7]])
    for bits in (3, 6):
        applied = apply(model, Plan(steps=(_step("0", bits),)), ids)
        table = _dense(applied, "0", (50, 7))
        torch.testing.assert_close(applied.model[0](ids), table[ids])


def test_values_train_and_zeros_stay_zero() -> None:
    model, x = _model()
    zeros = Step(transform="unstructured", layers=("3",), settings=settings(share=0.6))
    applied = apply(model, Plan(steps=(zeros, _step("3", 4))), x, repair=False)
    shape = (7, 324)
    before = _dense(applied, "3", shape)
    assert int((before == 0).sum()) == round(0.6 * 7 * 324)
    optimizer = torch.optim.SGD(applied.model.parameters(), lr=0.1)
    applied.model(x).square().sum().backward()
    optimizer.step()
    new = applied.model.get_submodule("3")
    values = (new.get_parameter("codebook") * new.get_buffer("free")).detach()
    after = values[indices_of(new, shape).long()]
    assert torch.equal(after == 0, before == 0)
    assert not torch.equal(after, before)


def test_the_gradient_of_a_value_is_the_sum_over_the_weights_that_have_it() -> None:
    model, x = _model()
    applied = apply(model, Plan(steps=(_step("3", 3),)), x)
    weight = _dense(applied, "3", (7, 324)).requires_grad_()
    inputs = applied.model[:3](x).detach()
    nn.functional.linear(inputs, weight, applied.model.get_parameter("3.bias")).square().sum().backward()
    indices = indices_of(applied.model.get_submodule("3"), (7, 324)).long()
    expected = torch.zeros(8).index_add_(0, indices.flatten(), weight.grad.flatten())
    applied.model(x).square().sum().backward()
    # Sums of some 300 products in float32, in another order.
    torch.testing.assert_close(applied.model.get_parameter("3.codebook").grad, expected, rtol=1e-4, atol=1e-4)


def test_a_copy_and_a_pickle_hold_the_same_tensors_and_answer_the_same() -> None:
    model, x = _model()
    made = apply(model, Plan(steps=(_step("3", 4), _step("0", 8))), x).model
    pickled = pickle.dumps(made)
    assert b"effwidgets" not in pickled
    for twin in (copy.deepcopy(made), pickle.loads(pickled)):  # noqa: S301  our own bytes
        assert list(twin.state_dict()) == list(made.state_dict())
        assert torch.equal(twin(x), made(x))


def test_a_plan_is_estimated_as_it_turns_out() -> None:
    model, x = _model()
    split = Step(transform="low_rank", layers=("3",), settings=settings(rank=4))
    plan = Plan(steps=(split, _step("3.0", 4), _step("0", 5)))
    known = profile(model, x)
    for found in (apply(model, plan, x).profile, hypothetical(model, plan, x)):
        change, estimate = found.cost - known.cost, estimate_plan(known, plan)
        for name in CODEBOOK.exact:
            assert getattr(change, name) == getattr(estimate, name), name


def test_deep_compression_ends_in_a_download_that_can_be_written_and_read() -> None:
    # Han et al. 2016: prune, share values, code. Here with the numbers of one layer, to the last bit.
    model, x = _model()
    plan = sparsity_plan(model, x, 0.9, allocation="uniform") + Plan(steps=(_step("3", 5), _step("0", 5)))
    applied = apply(model, plan, x, repair=False)
    assert len(applied.edits) == 4
    stored = 0
    for layer, edit in (("3", applied.edits[2]), ("0", applied.edits[3])):
        shape = tuple(model.get_submodule(layer).weight.shape)
        indices = indices_of(applied.model.get_submodule(layer), shape).flatten()
        places = indices.nonzero().flatten()
        gaps = torch.diff(places, prepend=torch.tensor([-1])) - 1
        assert int(gaps.max()) < 255
        size = 32 * 4 + 256 + 32  # the values, and two tables
        for symbols, count in ((gaps, 256), (indices[places], 32)):
            lengths = code_lengths(torch.bincount(symbols.long(), minlength=count).tolist())
            data = encode(symbols, lengths)
            assert torch.equal(decode(data, len(symbols), lengths), symbols.long())
            size += len(data)
        each = code_lengths(torch.bincount(indices, minlength=32).tolist())
        dense = len(encode(indices, each)) + 32 + 32 * 4
        assert dict(edit.measured)["download_bytes"] == min(size, dense)
        stored += min(size, dense)
    biases = 4 * (9 + 7)
    assert download_bytes(applied.profile, applied.edits) == stored + biases


def test_a_weight_no_larger_than_a_codebook_is_skipped() -> None:
    found = list(CODEBOOK.sites(profile(nn.Sequential(nn.Linear(16, 16)), torch.ones(1, 16))))
    assert isinstance(found[0], Skip)
    assert "256 numbers" in found[0].reason


@pytest.mark.parametrize("bits", [0, 9, 2.5, True, "4"])
def test_bits_that_are_none_are_refused(bits: object) -> None:
    model, x = _model()
    with pytest.raises(TransformError, match="from 1 to 8 was expected"):
        CODEBOOK.estimate(profile(model, x), _step("3", bits))


def test_a_weight_of_zeros_is_one_too() -> None:
    model = nn.Sequential(nn.Linear(20, 20))
    nn.init.zeros_(model[0].weight)
    x = torch.ones(1, 20)
    for bits in (1, 5):
        applied = apply(model, Plan(steps=(_step("0", bits),)), x)
        assert applied.edits, applied.skipped
        assert torch.equal(applied.model(x), model(x))
