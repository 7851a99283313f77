"""What is remembered changes no bit of what comes out."""

from __future__ import annotations

import torch

from effwidgets.profiling.calls import Call
from effwidgets.search.sensitivity.memory import Memory
from effwidgets.transforms.trial import answer, stand_in


def counted():
    """How often a convolution really computes: a list that grows, and what makes it grow."""
    times = []
    true = torch.nn.functional.conv2d

    def counting(*args, **kwargs):
        times.append(1)
        return true(*args, **kwargs)

    return times, counting


def test_a_changed_copy_answers_to_the_last_bit_and_computes_only_what_is_behind_the_change(
    convolutional, images, monkeypatch
):
    call = Call((images,))
    memory = Memory(convolutional, [call])
    changed = stand_in(convolutional)
    changed.conv2.weight = torch.nn.Parameter(changed.conv2.weight.detach() * 1.5)
    plain = answer(changed, call)
    times, counting = counted()
    monkeypatch.setattr(torch.nn.functional, "conv2d", counting)
    with memory.used():
        assert torch.equal(answer(changed, call), plain)
        assert len(times) == 1  # of three convolutions the last one alone
        assert torch.equal(answer(stand_in(convolutional), call), memory.answers[0])
        assert len(times) == 1
    assert torch.equal(answer(changed, call), plain)
    assert len(times) == 4  # outside nothing is remembered


def test_a_norm_that_estimates_its_statistics_sees_everything(convolutional, images):
    call = Call((images,))
    memory = Memory(convolutional, [call])
    twins = [stand_in(convolutional) for _ in range(2)]
    for twin in twins:
        twin.train()
    answer(twins[0], call)
    with memory.used():
        answer(twins[1], call)
    assert torch.equal(twins[0].bn1.running_mean, twins[1].bn1.running_mean)
    assert not torch.equal(twins[0].bn1.running_mean, convolutional.bn1.running_mean)


def test_another_call_of_equal_shape_is_not_taken_for_the_remembered_one(convolutional, images):
    memory = Memory(convolutional, [Call((images,))])
    other = Call((images + 1,))
    plain = answer(stand_in(convolutional), other)
    with memory.used():
        assert torch.equal(answer(stand_in(convolutional), other), plain)
