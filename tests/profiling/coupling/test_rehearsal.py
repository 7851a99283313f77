"""Groups tried out on a shadow: what a forward states or derives, and what follows by itself."""

import logging

import pytest
import torch
from torch import nn
from torch.nn import functional

from effwidgets.profiling import as_call, make_shadow, profile
from effwidgets.profiling.calls import run
from effwidgets.profiling.coupling.coupling import coupling_of
from effwidgets.testing.cutting import cut_out, silence
from effwidgets.testing.untouched import state_of

ROWS = torch.randn(2, 5, 24, generator=torch.Generator().manual_seed(1))


class Attention(nn.Module):
    """Four heads of six; ``how`` says by which numbers the forward makes them of the fused projection."""

    def __init__(self, how, width=24, heads=4):
        super().__init__()
        self.how = how
        self.num_heads, self.head_dim, self.inner_dim = heads, width // heads, width
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = getattr(self, self.how)(self.qkv(x), batch, tokens, width)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        if self.how == "by_width":
            return self.proj(mixed.reshape(batch, tokens, width))
        return self.proj(mixed.flatten(2))

    def by_number(self, qkv, batch, tokens, _):
        return qkv.reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)

    def by_nothing(self, qkv, batch, tokens, _):
        return qkv.reshape(batch, tokens, 3, -1, self.head_dim).permute(2, 0, 3, 1, 4)

    def by_split(self, qkv, batch, tokens, _):
        parts = qkv.split(self.inner_dim, 2)
        return (part.view(batch, tokens, self.num_heads, self.head_dim).transpose(1, 2) for part in parts)

    def by_chunk(self, qkv, batch, tokens, _):
        return (part.view(batch, tokens, -1, self.head_dim).transpose(1, 2) for part in qkv.chunk(3, 2))

    def by_width(self, qkv, batch, tokens, width):
        each = width // self.num_heads
        return qkv.reshape(batch, tokens, 3, self.num_heads, each).permute(2, 0, 3, 1, 4).unbind(0)


def model(how):
    torch.manual_seed(3)
    return nn.Sequential(Attention(how), Attention(how)).eval()


def heads(found, x=ROWS):
    seen, _ = coupling_of(make_shadow(found), as_call(x), second=False)
    return [group for group in seen if group.kind == "heads"]


FOLLOWED = {
    "by_number": ("num_heads",),
    "by_nothing": (),
    "by_split": ("num_heads", "inner_dim"),
    "by_chunk": (),
}


@pytest.mark.parametrize("how", FOLLOWED)
def test_heads_go_with_the_numbers_that_the_forward_reads(how):
    worth = {"num_heads": 1, "inner_dim": 6}
    for place, group in enumerate(heads(model(how))):
        assert group.obstacle is None
        assert group.channels == 4
        assert group.stated == tuple((str(place), name, worth[name]) for name in FOLLOWED[how])
        silenced, pruned = model(how), model(how)
        silence(silenced, group, [1])
        cut_out(pruned, group, [1])
        assert pruned[place].qkv.out_features == 54
        with torch.no_grad():
            # Sums of 18 in place of 24 products, in float32.
            torch.testing.assert_close(pruned(ROWS), silenced(ROWS), rtol=1e-5, atol=1e-5)


def test_a_width_that_is_derived_from_the_models_bars_in_words():
    for place, group in enumerate(heads(model("by_width"))):
        assert f"the forward of '{place}' (Attention) takes the width of a head" in group.obstacle
        assert "-1" in group.obstacle


def test_keys_shared_by_queries_go_with_all_their_queries():
    class Grouped(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = nn.Linear(24, 24), nn.Linear(24, 12), nn.Linear(24, 12)
            self.o = nn.Linear(24, 24)

        def forward(self, x):
            q, k, v = (part(x).unflatten(-1, (-1, 6)).transpose(1, 2) for part in (self.q, self.k, self.v))
            k, v = (part[:, :, None].expand(-1, -1, 2, -1, -1).flatten(1, 2) for part in (k, v))
            return self.o((torch.softmax(q @ k.transpose(-1, -2), -1) @ v).transpose(1, 2).flatten(2))

    torch.manual_seed(0)
    whole = Grouped().eval()
    (group,) = heads(whole)
    assert (group.channels, group.obstacle) == (2, None)
    assert {(member.layer, member.repeat) for member in group.members} == {("q", 12), ("k", 6), ("v", 6), ("o", 12)}
    silenced, pruned = Grouped().eval(), Grouped().eval()
    silenced.load_state_dict(whole.state_dict())
    pruned.load_state_dict(whole.state_dict())
    silence(silenced, group, [0])
    cut_out(pruned, group, [0])
    with torch.no_grad():
        torch.testing.assert_close(pruned(ROWS), silenced(ROWS), rtol=1e-5, atol=1e-5)


def test_a_stated_flatten_is_found_when_all_are_tried():
    class Stated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(16, 2)

        def forward(self, x):
            return self.fc(self.conv(x).reshape(len(x), 16))

    picture = as_call(torch.zeros(2, 3, 4, 4))
    seen, _ = coupling_of(make_shadow(Stated()), picture)
    assert "a number that does not follow" in seen[0].obstacle


def test_a_width_that_is_divided_and_rounded_down_is_found_when_all_are_tried():
    class Divided(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.last = nn.Linear(24, 8), nn.Linear(24, 8), nn.Linear(8, 2)
            self.read = nn.Linear(8, 2)

        def forward(self, x):
            y, z = self.first(x), self.second(x)  # a quarter of 8, of 9 and of 10 channels are two
            return self.read(y), self.last(z.reshape(*z.shape[:2], 4, y.shape[-1] // 4).flatten(2))

    seen, _ = coupling_of(make_shadow(Divided()), as_call(ROWS))
    assert "does not follow" in next(str(group.obstacle) for group in seen if group.name == "first")


def test_a_shuffle_that_reads_its_sizes_follows_and_one_that_states_them_does_not():
    class Shuffled(nn.Module):
        def __init__(self, *, stated):
            super().__init__()
            self.stated = stated
            self.a, self.b = nn.Conv2d(3, 12, 1), nn.Conv2d(12, 6, 1, groups=3)

        def forward(self, x):
            y = self.a(x)
            each = 6 if self.stated else y.shape[1] // 2
            return self.b(y.view(len(y), 2, each, *y.shape[2:]).transpose(1, 2).flatten(1, 2)).mean((2, 3))

    picture = torch.randn(2, 3, 4, 4)
    reasons = {stated: profile(Shuffled(stated=stated), picture).groups[0].obstacle for stated in (False, True)}
    assert reasons[False] is None
    assert "by numbers that do not follow" in reasons[True]
    torch.manual_seed(0)
    silenced = Shuffled(stated=False).eval()
    (group, _) = profile(silenced, picture).groups
    assert (group.channels, group.blocks) == (6, 3)
    pruned = Shuffled(stated=False).eval()
    pruned.load_state_dict(silenced.state_dict())
    gone = [1, 2, 5]  # one of each block, at different places: where indices of groups go wrong elsewhere
    silence(silenced, group, gone)
    cut_out(pruned, group, gone)
    with torch.no_grad():
        torch.testing.assert_close(pruned(picture), silenced(picture), rtol=1e-5, atol=1e-6)


def test_what_is_rehearsed_is_left_as_it_was():
    found = model("by_split")
    shadow = make_shadow(found)
    before = state_of(found)
    shapes = {name: tuple(tensor.shape) for name, tensor in shadow.model.state_dict().items()}
    coupling_of(shadow, as_call(ROWS))
    assert before.differences(state_of(found)) == []
    assert {name: tuple(tensor.shape) for name, tensor in shadow.model.state_dict().items()} == shapes
    assert shadow.model[0].num_heads == 4
    with torch.no_grad():
        assert run(found, as_call(ROWS)).shape == ROWS.shape


def test_a_rehearsal_that_cannot_be_made_bars_what_needs_it(monkeypatch):
    def breaks(*_):
        raise RuntimeError("no copies today")

    monkeypatch.setattr("effwidgets.profiling.coupling.rehearsal.share", breaks)
    (first, _) = heads(model("by_nothing"))
    assert "could not be tried (RuntimeError: no copies today)" in first.obstacle


def test_what_fails_when_it_is_tried_is_not_written_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.second((self.first(x).view(2, 4, 2) + torch.ones(4, 1)).flatten(1))
            return out

    log = logging.getLogger("torch._subclasses.fake_tensor")
    log.addHandler(caplog.handler)  # torch's own loggers hand nothing on
    try:
        groups = profile(Fixed(), torch.ones(2, 6)).groups
    finally:
        log.removeHandler(caplog.handler)
    assert any(group.obstacle for group in groups if group.name == "first")
    assert not caplog.records
    assert not log.filters
