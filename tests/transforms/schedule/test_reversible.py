"""Runs of blocks that are coupled: where, what is said beforehand, what is kept afterwards."""

import pytest
import torch
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.profiling.profile import profile
from effwidgets.records import Plan, Site, Skip, Step
from effwidgets.testing.zoo import specimen
from effwidgets.transforms.apply import apply
from effwidgets.transforms.schedule.coupling import ReversibleBlocks
from effwidgets.transforms.schedule.reversible import REVERSIBLE
from tests.transforms.schedule.test_coupling import Block


def tower(blocks):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Sequential(*(Block(8, 0.0) for _ in range(blocks))), nn.Linear(8, 2))


def couple(*blocks):
    return Plan(steps=(Step(transform="reversible", layers=blocks),))


def test_a_run_of_blocks_is_one_site_and_an_odd_one_is_left_out():
    sites = [s for s in REVERSIBLE.sites(profile(tower(5), torch.ones(4, 6))) if isinstance(s, Site)]
    assert [site.layers for site in sites] == [("1.0", "1.1", "1.2", "1.3")]
    assert "CHANGES THE FUNCTION" in sites[0].warnings[0]
    assert any("effwidgets is installed" in warning for warning in sites[0].warnings)
    assert not sites[0].advised


@pytest.mark.parametrize("blocks", [2, 4, 8])
def test_kept_bytes_do_not_grow_with_the_blocks_and_the_work_is_done_once_more(blocks):
    model, x = tower(blocks), torch.ones(16, 6)
    known = profile(model, x)
    plan = couple(*(f"1.{place}" for place in range(blocks)))
    done = apply(model, plan, x, known=known)
    assert done.skipped == ()
    assert isinstance(done.model[1][0], ReversibleBlocks)
    change, said = done.profile.cost - known.cost, REVERSIBLE.estimate(known, plan.steps[0])
    # Two streams of 16 x 8 float32, and the input of the head.
    assert done.profile.cost.saved_bytes == (2 + 1) * 16 * 8 * 4
    assert change.backward_macs == blocks * 2 * 16 * 8 * 16
    assert (said.saved_bytes, said.backward_macs) == (change.saved_bytes, change.backward_macs)
    assert (change.params, change.macs) == (0, 0)


def test_the_peak_of_training_falls_where_there_are_many():
    model, x = tower(12), torch.ones(256, 6)
    done = apply(model, couple(*(f"1.{place}" for place in range(12))), x)
    assert done.profile.memory.training_peak_bytes < 0.6 * done.before.memory.training_peak_bytes


def test_outputs_are_those_of_the_coupling_and_not_those_of_the_model():
    found = specimen("gpt_split")
    model, call = found.build(), found.inputs()
    done = apply(model, couple("h.0", "h.1"), call)
    assert len(done.edits) == 1
    assert "CHANGES THE FUNCTION" in done.edits[0].notes[0]
    with torch.no_grad():
        assert not torch.allclose(done.model(*call.args), model(*call.args), atol=1e-3)


def reasons(model, inputs):
    return {skip.layers: skip.reason for skip in REVERSIBLE.sites(profile(model, inputs)) if isinstance(skip, Skip)}


def test_what_is_left_alone_says_why():
    found = specimen("residual")
    assert "no second block" in reasons(found.build(), found.inputs())["block1",]
    tied = tower(2)
    tied[1][0].up.weight = tied[1][1].up.weight
    assert "tied" in reasons(tied, torch.ones(4, 6))["1.0", "1.1"]


def test_blocks_that_do_not_follow_each_other_are_refused():
    known = profile(tower(4), torch.ones(4, 6))
    with pytest.raises(TransformError, match=r"1\.2 does not take what 1\.0 returns"):
        REVERSIBLE.estimate(known, couple("1.0", "1.2").steps[0])
    with pytest.raises(TransformError, match="even number"):
        REVERSIBLE.estimate(known, couple("1.0").steps[0])
    with pytest.raises(TransformError, match="same shape"):
        REVERSIBLE.estimate(known, couple("0", "1.0").steps[0])


class Looked(nn.Module):
    """Two blocks; what the first returns is read by the head too."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = Block(8, 0.0), Block(8, 0.0), nn.Linear(8, 2)

    def forward(self, x):
        first = self.one(x)
        return self.head(self.two(first) + first)


def test_blocks_with_something_read_between_them_are_left_alone():
    known = profile(Looked(), torch.ones(4, 8))
    found = [site for site in REVERSIBLE.sites(known) if site.layers[0] == "one"]
    assert isinstance(found[0], Skip)
    with pytest.raises(TransformError, match="read elsewhere too"):
        REVERSIBLE.estimate(known, couple("one", "two").steps[0])
