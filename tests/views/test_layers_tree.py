"""The tree in a terminal."""

from __future__ import annotations

import dataclasses
import re

import pytest
from torch import nn

import effwidgets
from effwidgets.errors import InputError
from effwidgets.records import Cost, LayerProfile
from effwidgets.testing.zoo import specimen


class Block(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x):
        return x + self.down(self.up(x))


@pytest.fixture(scope="module")
def blocks():
    import torch

    model = nn.Sequential(
        nn.Linear(4, 8), *(Block(8, 16) for _ in range(5)), Block(8, 32), nn.ReLU(), nn.ReLU(), nn.ReLU()
    )
    return effwidgets.profile(model, torch.zeros(2, 4))


def body(text):
    lines = text.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("───"))
    return lines[start + 1 :]


def test_equal_blocks_in_a_row_are_drawn_once_with_their_sums(blocks):
    text = str(blocks.tree(width=110))
    line = next(line for line in body(text) if "5 × Block" in line)
    assert line.startswith("├─ 1–5 ")
    # One block: 8 x 16 + 16 and 16 x 8 + 8 parameters, 2 x 2 rows x 256 FLOPs.
    assert re.search(r"5 × Block +1\.40 k +5\.12 k", line)  # 5 x 280 = 1,400 and 5 x 1,024 = 5,120
    assert "5 × Linear" in text
    assert "3 × ReLU" in text
    assert re.search(r"├─ 6 +Block ", text)  # it is wider, so it is not one of them


def test_without_folding_every_layer_has_a_line(blocks):
    assert len(body(str(blocks.tree(fold=False)))) == len(blocks.layers)


@pytest.mark.parametrize("fold", [True, False])
def test_the_lines_of_one_level_add_up_to_the_whole(blocks, fold):
    text = str(blocks.tree(depth=1, width=110, fold=fold))
    params = [re.split(r"\s{2,}", line)[2] for line in body(text) if line[:1] in "S├└"]
    numbers = [float(text.removesuffix(" k")) * (1000 if text.endswith("k") else 1) for text in params]
    # Three digits are written: a row is off by half of its last one at most.
    assert sum(numbers[1:]) == pytest.approx(numbers[0], rel=0.005)


def test_a_cut_tree_says_how_many_layers_are_inside(blocks):
    text = str(blocks.tree(depth=1))
    assert f"Cut at depth 1: {6 * 2} layers are inside" in text
    assert len(body(str(blocks.tree(depth=0)))) == 2
    assert "Cut" not in str(blocks.tree())


@pytest.mark.parametrize("width", [40, 55, 70, 100, 160])
def test_no_line_is_longer_than_the_terminal(width, profile, blocks):
    for one in (profile, blocks):
        text = str(one.tree(width=width))
        assert max(map(len, text.splitlines())) <= width
        assert "Params" in text or width == 40


def test_it_takes_the_width_of_the_terminal(profile, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert 40 < max(map(len, str(profile.tree()).splitlines())) <= 60


def test_columns_stand_below_one_another(blocks):
    lines = body(str(blocks.tree(width=110)))
    kinds = {
        match.start()
        for line in lines
        if (
            match := re.search(
                r"(\d+ × )?(Sequential|Block|Linear|ReLU)\b", line[6:] if "Sequential" not in line[:10] else line[12:]
            )
        )
    }
    assert len(kinds) <= 2


def test_it_says_the_convention_and_what_is_missing(profile):
    text = str(profile.tree(width=110))
    assert "at least 7.96 M FLOPs (2 × MACs)" in text
    assert "Not counted, so FLOPs are at least this: aten.fft_rfft." in text


def test_flops_and_saved_bytes_are_at_least_each_for_what_is_missing_in_it_alone(profile):
    later = tuple(dataclasses.replace(one, backward=True) for one in profile.uncounted)
    text = dataclasses.replace(profile, uncounted=later).tree()
    assert "at least" not in text  # the forward is whole
    hidden = dataclasses.replace(profile, uncounted=later, memory=dataclasses.replace(profile.memory, hidden=("fc",)))
    assert "· 7.96 M FLOPs" in hidden.tree()
    assert "at least 242 kB saved for backward" in " ".join(hidden.tree().split())


def test_a_console_shows_it_without_quotes(blocks):
    tree = blocks.tree()
    assert repr(tree) == str(tree)
    assert "\x1b" not in tree


def test_names_cannot_break_lines(profile):
    name = "evil\n\x1b[31m├─ fake"
    strange = dataclasses.replace(profile, layers=(*profile.layers, LayerProfile(name=name, kind=name)))
    text = str(strange.tree(width=110))
    assert "\x1b" not in text
    assert len(text.splitlines()) == len(str(profile.tree(width=110)).splitlines()) + 1


def test_ten_thousand_layers_are_cut_with_a_line_that_says_so(profile):
    many = tuple(
        LayerProfile(name=f"a{i}.b{j}", kind=f"Kind{i % 7}{j}", cost=Cost(params=1), self_cost=Cost(params=1))
        for i in range(100)
        for j in range(100)
    )
    deep = dataclasses.replace(profile, layers=(profile.layers[0], *many))
    lines = str(deep.tree(fold=False)).splitlines()
    assert len(lines) < 420
    assert any("more lines" in line for line in lines)


def test_shared_layers_are_summed_from_what_they_really_hold():
    model, x = specimen("shared_conv").build(), specimen("shared_conv").inputs()
    found = effwidgets.profile(model, x)
    assert found.cost.params == specimen("shared_conv").params == 898
    assert "  898  " in body(str(found.tree()))[0]


@pytest.mark.parametrize("bad", [{"depth": -1}, {"depth": 1.5}, {"width": 10}, {"width": "80"}, {"depth": True}])
def test_what_cannot_be_drawn_is_refused(profile, bad):
    with pytest.raises(InputError, match="expected"):
        profile.tree(**bad)
