"""What a teacher answered is kept sample by sample, as long as it is not too much."""

from __future__ import annotations

import torch

from effwidgets.search.tuning import told
from effwidgets.search.tuning.told import Told

ROWS = torch.tensor([2, 0])
ANSWERS = [torch.arange(20.0).reshape(2, 10), torch.ones(2, 1)]


def test_answers_are_given_back_by_sample_once_all_of_them_are_known():
    kept = Told(3)
    kept.write(ROWS, ANSWERS)
    assert kept.read(torch.tensor([0, 1])) is None
    first, second = kept.read(torch.tensor([0, 2]))
    assert torch.equal(first, ANSWERS[0].flip(0))
    assert second.shape == (2, 1)


def test_answers_that_would_fill_the_memory_are_not_kept(monkeypatch):
    # 3 samples of 11 numbers of 4 bytes are 132 bytes, counted for all samples before the first is kept.
    for limit, is_kept in ((131, False), (132, True)):
        monkeypatch.setattr(told, "_MOST_BYTES", limit)
        kept = Told(3)
        kept.write(ROWS, ANSWERS)
        assert (kept.read(ROWS) is not None) is is_kept


def test_an_answer_that_is_no_row_for_each_sample_is_not_kept():
    kept = Told(3)
    kept.write(ROWS, [torch.ones(())])
    kept.write(ROWS, [torch.ones(1, 4)])
    assert kept.read(ROWS) is None
