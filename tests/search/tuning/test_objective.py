"""What a training makes small."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from effwidgets.errors import ModelError
from effwidgets.search.tuning.objective import Objective, answers_in, class_dim, divergence
from effwidgets.search.tuning.options import DistillOptions

CROSS_ENTROPY = nn.functional.cross_entropy


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels(*shape, below=3):
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(1))


def softmax(row, temperature):
    powers = np.exp((row - row.max()) / temperature)
    return powers / powers.sum()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_divergence_is_that_of_hinton_term_by_term(temperature):
    mine, his = drawn(4, 5), 3 * drawn(4, 5, seed=1)
    found = divergence(mine, his, 1, temperature)
    for row, (a, b) in enumerate(zip(mine.double().numpy(), his.double().numpy(), strict=True)):
        q, p = softmax(a, temperature), softmax(b, temperature)
        expected = temperature**2 * sum(p * (np.log(p) - np.log(q)))
        assert float(found[row]) == pytest.approx(expected, rel=1e-4)  # float32: a sum of five terms


def test_far_logits_give_a_finite_divergence():
    assert float(divergence(torch.tensor([[0.0, 1e4]]), torch.tensor([[1e4, 0.0]]), 1)) == pytest.approx(1e4)


@pytest.mark.parametrize(
    ("answer", "target", "place"),
    [
        ((4, 3), (4,), 1),
        ((4, 3, 8, 8), (4, 8, 8), 1),  # segmentation
        ((4, 7, 3), (4, 7), 2),  # a language model
        ((4, 3, 7), (4, 7), 1),  # as torch wants it
        ((4, 1), (4,), None),
        ((4, 3), (5,), None),
        ((4, 3), (4, 3), None),  # several labels at once
    ],
)
def test_the_classes_lie_where_the_labels_have_no_dimension(answer, target, place):
    assert class_dim(drawn(*answer), labels(*target)) == place


def test_without_labels_two_dimensions_are_logits_and_others_are_values():
    shapes = [(4, 3), (4, 1), (4,), (4, 3, 8)]
    assert [class_dim(drawn(*shape), None) for shape in shapes] == [1, None, None, None]
    assert class_dim(drawn(4, 3), drawn(4, 3)) is None, "labels that are no whole numbers are values"


def test_alpha_shares_the_loss_between_teacher_and_labels():
    mine, his, target = drawn(6, 3), drawn(6, 3, seed=2), labels(6)
    found = Objective(DistillOptions(alpha=0.3, temperature=2.0), CROSS_ENTROPY)(mine, [his], target)
    expected = 0.3 * divergence(mine, his, 1, 2.0).mean() + 0.7 * CROSS_ENTROPY(mine, target)
    assert float(found) == pytest.approx(float(expected))
    alone = Objective(DistillOptions(alpha=0.3), None)(mine, [his], target)
    assert float(alone) == pytest.approx(float(divergence(mine, his, 1, DistillOptions().temperature).mean()))


def test_values_are_compared_over_the_variance_of_the_teachers():
    mine, his = drawn(6, 2), 5 * drawn(6, 2, seed=2)
    found = Objective(DistillOptions(kind="values"), None)(mine, [his], None)
    expected = (mine - his).square().mean() / his.var(correction=0)
    assert float(found) == pytest.approx(float(expected))


def test_values_with_a_loss_are_compared_by_it():
    mine, his, target = drawn(6, 2), drawn(6, 2, seed=2), drawn(6, 2, seed=3)
    found = Objective(DistillOptions(alpha=0.5), nn.functional.l1_loss)(mine, [his], target)
    expected = 0.5 * (mine - his).abs().mean() + 0.5 * (mine - target).abs().mean()
    assert float(found) == pytest.approx(float(expected))


def test_labels_that_are_left_out_do_not_count_for_the_teacher_either():
    mine, his, target = drawn(2, 4, 3), drawn(2, 4, 3, seed=2), labels(2, 4)
    target[:, 2:] = -100
    found = Objective(DistillOptions(alpha=1.0), lambda answer, y: CROSS_ENTROPY(answer.flatten(0, 1), y.flatten()))(
        mine, [his], target
    )
    expected = divergence(mine[:, :2], his[:, :2], 2, DistillOptions().temperature).mean()
    assert float(found) == pytest.approx(float(expected))


def test_of_several_answers_the_mean_counts():
    mine, his = [drawn(4, 1), drawn(4, 3)], [drawn(4, 1, seed=1), drawn(4, 3, seed=1)]
    parts = [Objective(DistillOptions(), None)(a, [b], None) for a, b in zip(mine, his, strict=True)]
    found = Objective(DistillOptions(), None)(tuple(mine), his, None)
    assert float(found) == pytest.approx(float(sum(parts)) / 2)


def test_answers_without_numbers_or_of_other_shapes_are_refused():
    with pytest.raises(ModelError, match="no tensor of floating-point numbers"):
        Objective(DistillOptions(), None)(labels(3), [], None)
    with pytest.raises(ModelError, match=r"answers 4 × 3 and the teacher 4 × 2"):
        Objective(DistillOptions(), None)(drawn(4, 3), [drawn(4, 2)], None)
    assert answers_in((labels(3), drawn(2))) == [pytest.approx(drawn(2))]
