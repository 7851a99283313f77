"""Calibration data divided in two."""

from __future__ import annotations

import torch
from torch import nn

from effwidgets.profiling.calls import Call
from effwidgets.search.sensitivity.parts import parts_of
from effwidgets.transforms.calibration import Calibration


def numbered(*sizes):
    """Batches of rows that carry their number."""
    rows = torch.arange(float(sum(sizes)))[:, None].repeat(1, 4)
    return Calibration(batches=tuple(Call((batch,)) for batch in rows.split(sizes)))


def rows_of(calls):
    return [int(value) for call in calls for value in call.args[0][:, 0]]


def divided(*sizes, samples=1000, share=0.25, model=None):
    return parts_of(
        model or nn.Linear(4, 2), Call((torch.zeros(1, 4),)), numbered(*sizes), samples=samples, share=share
    )


def test_the_parts_have_no_sample_in_common_and_together_all():
    for sizes in ((40,), (16, 16, 8), (30, 10), (1, 1, 1, 1), (7, 3)):
        parts = divided(*sizes)
        fit, held = rows_of(parts.fit.batches), rows_of(parts.held)
        assert fit + held == list(range(sum(sizes)))
        assert (len(fit), len(held)) == (parts.fitted, parts.held_out)
        assert len(held) == max(1, round(0.25 * sum(sizes)))
        assert parts.notes == ()


def test_no_more_samples_are_used_than_asked_for():
    parts = divided(16, 16, 16, samples=20)
    assert rows_of(parts.fit.batches) + rows_of(parts.held) == list(range(20))
    assert parts.held_out == 5


class Whole(nn.Linear):
    """Takes batches of eight only."""

    def forward(self, x):
        return super().forward(x.reshape(8, 4))


def test_batches_that_cannot_be_cut_go_to_one_side_whole():
    parts = divided(8, 8, 8, model=Whole(4, 2))
    assert (parts.fitted, parts.held_out) == (16, 8)


def test_one_batch_that_cannot_be_cut_is_both_and_a_note_says_so():
    parts = divided(8, model=Whole(4, 2))
    assert rows_of(parts.held) == rows_of(parts.fit.batches)
    assert "nothing is held out" in parts.notes[0]
