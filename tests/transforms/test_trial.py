"""Answers that can be compared: the same random numbers, whatever the thread."""

import threading

import torch
from torch import nn

from effwidgets.profiling.calls import as_call
from effwidgets.records import Plan, Step, settings
from effwidgets.transforms import apply
from effwidgets.transforms.trial import answer, stand_in

PLAN = Plan(steps=(Step(transform="low_rank", layers=("first",), settings=settings(rank=2)),))


class Sampler(nn.Module):
    """Samples in evaluation mode too, as a variational autoencoder does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x):
        hidden = self.first(x)
        return self.last(hidden + torch.randn_like(hidden))


def on_a_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_a_model_that_samples_answers_alike_twice_on_any_thread_and_takes_no_number_from_the_process():
    model, call = stand_in(Sampler()), as_call(torch.ones(2, 8))
    before = torch.get_rng_state()
    for where in (on_a_thread, lambda work: work()):
        one, other = where(lambda: (answer(model, call), answer(model, call)))
        assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_on_a_model_that_samples_is_not_undone_on_a_worker_thread():
    model, x = Sampler(), torch.ones(2, 8)
    done = on_a_thread(lambda: apply(model, PLAN, x))
    assert [edit.step for edit in done.edits] == list(PLAN)
    assert done.skipped == ()
