"""How far outputs are apart, against sums written out by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from effwidgets.errors import ModelError
from effwidgets.search.sensitivity.gauge import Gauge, answer_of


def gauge(tensor, kind="auto"):
    return Gauge([answer_of(tensor)], kind)


def test_the_divergence_of_two_classes_is_the_sum_written_out():
    # p = (3/4, 1/4), q = (1/2, 1/2): 3/4 ln(3/2) + 1/4 ln(1/2)
    p, q = torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([[0.0, 0.0]])
    found, _ = gauge(p).of([answer_of(q)])
    assert found == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-6)


def test_it_is_the_mean_over_all_rows_of_all_calls():
    p, q = torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([[0.0, 0.0]])
    one, _ = gauge(p).of([answer_of(q)])
    several = Gauge([answer_of(p.repeat(3, 1)), answer_of(q)], "kl")
    found, _ = several.of([answer_of(torch.cat([q, q, p])), answer_of(q)])
    assert found == pytest.approx(2 * one / 4, rel=1e-6)


def test_equal_outputs_diverge_by_exactly_nothing():
    outputs = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    for kind in ("kl", "squares"):
        assert gauge(outputs, kind).of([answer_of(outputs.clone())]) == (0.0, 0.0)


def test_a_constant_on_all_scores_changes_no_probability_but_the_outputs():
    outputs = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    found, error = gauge(outputs, "kl").of([answer_of(outputs + 3)])
    assert found == pytest.approx(0, abs=1e-9)
    assert error > 0.5
    assert gauge(outputs, "squares").of([answer_of(outputs + 3)])[0] == pytest.approx(error**2)


def test_what_is_no_matrix_of_scores_is_compared_by_squares():
    for outputs in (torch.randn(4, 1), torch.randn(4, 3, 5), (torch.randn(4, 3), torch.randn(4, 3))):
        assert gauge(outputs).kind == "squares"
    assert gauge(torch.tensor([[3.0], [4.0]])).of([answer_of(torch.tensor([[3.0], [4.5]]))])[0] == pytest.approx(0.01)


def test_scores_called_logits_are_classes_in_every_place():
    outputs = {"logits": torch.randn(2, 3, 5), "hidden": torch.randn(2, 3, 8)}
    found = gauge(outputs)
    assert found.kind == "kl"
    moved = {"logits": outputs["logits"].flip(-1), "hidden": outputs["hidden"]}
    p, q = (side["logits"].double().softmax(-1) for side in (outputs, moved))
    assert found.of([answer_of(moved)])[0] == pytest.approx(float((p * (p / q).log()).sum(-1).mean()), rel=1e-6)
    named = SimpleNamespace(logits=torch.randn(2, 5))
    assert answer_of(named).classes is named.logits or answer_of(named).classes is not None


def test_outputs_that_are_probabilities_already_are_taken_as_they_are():
    p, q = torch.tensor([[0.75, 0.25]]), torch.tensor([[0.5, 0.5]])
    found, _ = gauge(p).of([answer_of(q)])
    assert found == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5), rel=1e-6)


def trained(rows, classes, sure):
    """Scores of a classifier that gives the class it decides for ``sure`` nats more than the others, about."""
    drawn = torch.Generator().manual_seed(0)
    noise = torch.randn(rows, classes, generator=drawn)
    return noise + sure * torch.nn.functional.one_hot(torch.arange(rows) % classes, classes)


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
def test_a_classifier_that_is_mostly_sure_is_told_from_a_regression_of_as_many_numbers(classes):
    numbers = torch.randn(500, classes, generator=torch.Generator().manual_seed(1))
    assert gauge(numbers).kind == "squares"  # unit variance, as targets are scaled for training
    assert gauge(numbers + 20 * torch.arange(classes)).kind == "squares"  # the corners of boxes: one is always largest
    assert gauge(trained(500, classes, sure=3 + math.log(classes))).kind == "kl"
    assert Gauge([answer_of({"logits": numbers})]).kind == "kl"
    assert gauge(numbers.softmax(1)).kind == "kl"


def test_answers_of_several_widths_are_looked_at_one_by_one():
    wide, narrow = trained(40, 9, sure=6.0), trained(30, 7, sure=6.0)
    assert Gauge([answer_of(wide), answer_of(narrow)]).kind == "kl"
    assert Gauge([answer_of(torch.randn(4, 9)), answer_of(torch.randn(4, 7))]).kind == "squares"


def test_numbers_so_large_that_a_softmax_is_blind_are_compared_by_squares():
    prices = torch.tensor([[1e5, 3e5], [2e5, 1e5]])
    assert gauge(prices).kind == "squares"
    assert gauge(prices, "kl").kind == "kl"


@pytest.mark.parametrize("kind", ["kl", "squares"])
def test_numbers_that_are_none_and_other_shapes_raise(kind):
    outputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ModelError, match="no longer finite"):
        gauge(outputs, kind).of([answer_of(outputs.clone().index_fill(0, torch.tensor([1]), math.nan))])
    with pytest.raises(ModelError, match=r"\(4, 2\)"):
        gauge(outputs, kind).of([answer_of(outputs[:, :2])])


def test_classes_that_are_masked_out_for_good_do_not_count():
    p = torch.tensor([[1.0, 2.0, -math.inf]])
    q = torch.tensor([[2.0, 1.0, -math.inf]])
    found, _ = gauge(p, "kl").of([answer_of(q)])
    alone, _ = gauge(p[:, :2], "kl").of([answer_of(q[:, :2])])
    assert found == pytest.approx(alone, rel=1e-9)


def test_asking_for_classes_where_there_are_none_says_what_to_do():
    with pytest.raises(ModelError, match="gauge='squares'"):
        gauge(torch.randn(4, 1), "kl")
    with pytest.raises(ModelError, match="no floating-point tensor"):
        gauge(torch.ones(4, dtype=torch.long))
