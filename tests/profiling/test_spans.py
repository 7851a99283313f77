"""What is kept inside of a module, what runs behind the last kept thing, and who hands what to whom; by hand."""

import torch
from torch import nn

from effwidgets.profiling.profile import profile
from effwidgets.records import Handed, Profile
from effwidgets.testing.zoo import specimen


def spans(model, x):
    return {span.layer: span for span in profile(model, x).spans}


def block(*layers):
    return nn.Sequential(nn.Linear(4, 4), nn.Sequential(*layers), nn.Linear(8, 2))


def test_the_input_counts_where_nobody_else_keeps_it_and_the_output_where_others_do():
    x = torch.ones(3, 4)
    # The inner one keeps its input, 3 x 4 float32; the last Linear keeps what it returns.
    found = spans(block(nn.Linear(4, 8), nn.Tanh()), x)["1"]
    assert (found.input_bytes, found.shared_bytes, found.given) == (3 * 4 * 4, 3 * 8 * 4, 1)
    # A ReLU in front keeps what it returns: the same tensor, so that keeping it adds nothing.
    model = block(nn.Linear(4, 8), nn.Tanh())
    model.insert(1, nn.ReLU())
    assert spans(model, x)["2"].input_bytes == 0
    # Of the model's own input nothing counts.
    assert spans(nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU())), x)["0"].input_bytes == 0


def test_the_tail_is_what_runs_behind_the_last_kept_thing():
    x = torch.ones(3, 4)
    ends_in_a_layer = spans(block(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8)), x)["1"]
    assert (ends_in_a_layer.last, ends_in_a_layer.tail) == ("1.2", (("1.2", 3 * 16 * 8),))
    ends_in_an_activation = spans(block(nn.Linear(4, 8), nn.ReLU()), x)["1"]
    assert (ends_in_an_activation.last, ends_in_an_activation.tail) == ("1.1", ())
    frozen = block(nn.Linear(4, 8), nn.ReLU()).requires_grad_(requires_grad=False)
    assert spans(frozen, x)["1"].last == ""


def test_bytes_that_stay_shrink_with_the_channels_that_they_hold():
    found = specimen("residual")
    span = spans(found.build(), found.inputs())["block1"]
    # What the next block keeps of its 2 x 8 x 16 x 16 float32 outputs.
    assert span.shared_bytes == 2 * 8 * 256 * 4
    assert span.carried == (("stem.0", 8, 2 * 256 * 4),)


def test_who_hands_what_to_whom():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    handed = profile(model, torch.ones(2, 3, 1, 1)).handed
    # A flatten hands on the storage that it was given: the last one that returned it is the maker.
    assert handed[:2] == (Handed(maker="0", taker="1"), Handed(maker="1", taker="2"))

    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.three = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.three(self.one(x) + self.two(x))

    assert profile(Adds(), torch.ones(2, 4)).handed == ()
    between = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.BatchNorm2d(4))
    assert profile(between, torch.ones(2, 3, 1, 1)).handed[-1] == Handed(maker="1", taker="2")

    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.two(self.one(x).relu_())

    assert profile(Writes(), torch.ones(2, 4)).handed == ()
    twice = nn.Sequential(shared := nn.Linear(4, 4), shared, nn.Linear(4, 2))
    assert profile(twice, torch.ones(2, 4)).handed == ()


def test_blocks_hand_on_to_blocks():
    model = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3)))
    handed = profile(model, torch.ones(2, 4)).handed
    assert {Handed(maker="0", taker="1"), Handed(maker="1", taker="2"), Handed(maker="0.1", taker="1.0")} <= set(handed)


def test_they_survive_json():
    found = specimen("residual")
    seen = profile(found.build(), found.inputs())
    again = Profile.from_dict(seen.to_dict())
    assert (again.spans, again.handed) == (seen.spans, seen.handed)
    assert seen.spans
    assert seen.handed


def test_what_others_read_too_is_said():
    class Reads(nn.Module):
        def __init__(self, way):
            super().__init__()
            self.one, self.two, self.way = nn.Linear(4, 4), nn.Linear(4, 4), way

        def forward(self, x):
            made = self.one(x)
            out = self.two(made)
            return {
                "alone": lambda: out,
                "added": lambda: out + made,
                "viewed": lambda: out + made.view(8).sum(),
                "given": lambda: (out, made),
            }[self.way]()

    for way, shared in (("alone", False), ("added", True), ("viewed", True), ("given", True)):
        assert profile(Reads(way), torch.ones(2, 4)).handed == (Handed(maker="one", taker="two", shared=shared),), way


def test_a_module_that_writes_into_what_it_is_given_is_known():
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.two(self.one(x.mul_(2)))

    model = nn.Sequential(nn.Linear(4, 4), Writes(), nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)))
    found = spans(model, torch.ones(2, 4))
    assert (found["1"].writes, found["2"].writes) == (True, False)
