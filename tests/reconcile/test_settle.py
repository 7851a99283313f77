"""No reason is given that the evidence does not bear out; what is left is named, so that the sum holds."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effwidgets.reconcile.ledger import Work
from effwidgets.reconcile.reasons import words_of
from effwidgets.reconcile.settle import settle
from effwidgets.reconcile.side import Side
from effwidgets.records import UNEXPLAINED


def side(works=(), *, missing=(), idle=(), own=None):
    sums = Counter()
    for work in works:
        sums[work.layer] += work.theirs
    return Side(
        flops=sum(sums.values()),
        works=list(works),
        own=sums if own is None else own,
        whole={},
        names={},
        idle=frozenset(idle),
        missing={layer: Counter(ops) for layer, ops in missing},
    )


def line(op="mm", macs=100, theirs=0, layer="", **more):
    return Work(layer=layer, op=op, macs=macs, theirs=theirs, **more)


def found(ours, other, own=None, *, has_backward=True, layers=("",)):
    own = own or {layer: sum(work.macs or 0 for work in ours if work.layer == layer) for layer in layers}
    items = settle(ours, own, other, has_backward=has_backward)
    return {(layer, reason, op): macs for layer in items for (reason, op), (_, macs) in items[layer].found.items()}


def test_the_same_work_under_another_name_is_no_difference():
    assert found([line("addmm")], side([line("linear", theirs=100)])) == {}


def test_an_operation_that_counts_zero_there_has_no_formula():
    assert found([line("mv")], side([line("mv")])) == {("", "no_formula", "mv"): 100}


def test_a_count_off_by_a_known_fault_of_that_very_call_is_that_fault():
    known = line("convolution_backward", theirs=400, excess=300, fault="grouped_backward")
    assert found([line("convolution_backward")], side([known])) == {
        ("", "grouped_backward", "convolution_backward"): -300
    }


def test_a_count_off_by_anything_else_than_the_known_fault_is_not_explained():
    odd = line("convolution_backward", theirs=399, excess=300, fault="grouped_backward")
    assert found([line("convolution_backward")], side([odd])) == {("", UNEXPLAINED, ""): -299}


def test_a_formula_that_gives_another_number_is_not_explained():
    assert found([line()], side([line(theirs=90)])) == {("", UNEXPLAINED, ""): 10}


def test_work_that_only_they_did_is_not_explained():
    assert found([], side([line(theirs=100)])) == {("", UNEXPLAINED, ""): -100}


def test_work_that_only_we_did_is_explained_by_what_they_could_not_count_there_alone():
    ours = [line("mkldnn_rnn_layer", layer="rnn"), line("mm", layer="fc")]
    other = side(missing=[("rnn", {"aten::lstm": 1}), ("fc", {"aten::softmax": 1})])
    assert found(ours, other, layers=("rnn", "fc")) == {
        ("rnn", "recurrent", "lstm"): 100,
        ("fc", UNEXPLAINED, ""): 100,
    }


def test_layers_that_they_never_called_are_inside_a_fused_one_above_only():
    ours = [line("addmm", layer="block.linear"), line("addmm", layer="other.linear")]
    other = side(missing=[("block", {"aten::_native_multi_head_attention": 1})], idle=("block.linear", "other.linear"))
    assert found(ours, other, layers=("block", "block.linear", "other", "other.linear")) == {
        ("block.linear", "fused_layer", "_native_multi_head_attention"): 100,
        ("other.linear", UNEXPLAINED, ""): 100,
    }


def test_a_called_layer_is_not_inside_a_fused_one():
    other = side(missing=[("block", {"aten::_native_multi_head_attention": 1})])
    assert found([line("addmm", layer="block.linear")], other, layers=("block", "block.linear")) == {
        ("block.linear", UNEXPLAINED, ""): 100
    }


def test_fused_work_in_parts_is_the_same_only_if_the_sums_are():
    ours = [line("_scaled_dot_product_flash_attention_for_cpu")]
    assert found(ours, side([line("bmm", 60, 60), line("bmm", 40, 40)])) == {}
    assert found(ours, side([line("bmm", 60, 60), line("bmm", 39, 39)])) == {("", UNEXPLAINED, ""): 1}


def test_projections_that_run_as_one_product_are_the_same_and_the_attention_beside_them_is_no_part_of_that():
    ours = [line("mm", 300), line("_scaled_dot_product_flash_attention_for_cpu", 50)]
    three = [line("linear", 100, 100)] * 3
    other = side(three, missing=[("", ["aten::scaled_dot_product_attention"])])
    assert found(ours, other) == {("", "fused_attention", "scaled_dot_product_attention"): 50}


def test_scores_that_are_computed_again_explain_exactly_themselves():
    op = "_scaled_dot_product_flash_attention_for_cpu_backward"
    ours = [line(op, 100, backward=True, again=20)]
    parts = [line("bmm", 40, 40, backward=True), line("bmm", 40, 40, backward=True)]
    assert found(ours, side(parts)) == {("", "recomputed", op): 20}
    assert found([line(op, 100, backward=True, again=19)], side(parts)) == {("", UNEXPLAINED, ""): 20}


def test_a_dead_operation_is_unused_and_a_living_one_is_not():
    assert found([line(alive=False)], side()) == {("", "unused", "mm"): 100}
    assert found([line()], side()) == {("", UNEXPLAINED, ""): 100}


def test_a_counter_without_a_backward_is_short_of_all_of_it():
    ours = [line(), line(macs=200, backward=True)]
    assert found(ours, side([line(theirs=100)]), has_backward=False) == {("", "no_backward", ""): 200}


def test_forward_and_backward_are_not_paired_with_each_other():
    assert found([line("mv", backward=True)], side([line("mv")])) == {("", UNEXPLAINED, ""): 100}


def test_a_profile_that_our_run_does_not_bear_out_is_not_explained():
    assert found([line()], side([line(theirs=100)]), own={"": 130}) == {("", UNEXPLAINED, ""): 30}


works = st.builds(
    line,
    st.sampled_from(["mm", "bmm", "mv", "convolution", "mkldnn_rnn_layer", "einsum", "batch_norm"]),
    st.sampled_from([0, 10, 20, 30, None]),
    st.sampled_from([0, 10, 20, 30]),
    layer=st.sampled_from(["", "a", "a.b"]),
    backward=st.booleans(),
    alive=st.booleans(),
    fault=st.sampled_from(["", "included", "broadcast"]),
    excess=st.sampled_from([0, 10]),
)


@given(st.lists(works, max_size=8), st.lists(works, max_size=8), st.booleans())
def test_whatever_comes_the_items_of_each_layer_add_up_to_its_difference(ours, theirs, has_backward):
    other = side(theirs, missing=[("a", {"aten::lstm": 1})], idle=("a.b",))
    own = {layer: sum(work.macs or 0 for work in ours if work.layer == layer) for layer in ("", "a", "a.b")}
    for layer, items in settle(ours, own, other, has_backward=has_backward).items():
        assert items.macs == own[layer] - other.own.get(layer, 0)
        assert all(words_of(reason) for reason, _ in items.found)


def test_an_unknown_reason_has_no_words():
    with pytest.raises(KeyError):
        words_of("because")
