from __future__ import annotations

import pytest

from effwidgets.records import Edit, Piece, Step, settings
from effwidgets.views import words


@pytest.mark.parametrize(
    ("transform", "values", "said"),
    [
        ("low_rank", {"rank": 16}, "rank 16"),
        ("spatial_svd", {"rank": 8}, "rank 8"),
        ("bottleneck", {"rank_in": 12, "rank_out": 24}, "12 → 24 channels inside"),
        ("channel_prune", {"channels": 48, "criterion": "l1"}, "48 channels kept, smallest L1 norm first"),
        ("mine", {"some_ratio": 0.25, "fold": True, "kernel": (3, 3), "kind": None}, "fold on, kernel 3 × 3, kind none, some ratio 0.25"),
        ("mine", {}, ""),
    ],
)  # fmt: skip
def test_settings_are_written_in_words(transform, values, said):
    assert words.settings_text(Step(transform=transform, layers=("x",), settings=settings(values))) == said


def test_channels_say_how_many_there_were_when_the_edit_tells():
    step = Step(transform="channel_prune", layers=("conv",), settings=settings(channels=48))
    edit = Edit(step=step, before=(Piece(layer="conv", text="Conv2d(3, 96, kernel_size=(3, 3))"),), after=())
    assert words.settings_text(step, edit) == "96 → 48 channels"


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Conv2d(64, 128, kernel_size=(1, 1), stride=(1, 1))", "Conv2d 1×1, 64 → 128"),
        ("Conv2d(8, 8, kernel_size=(3, 1), stride=(2, 1), padding=(1, 0), groups=8)", "Conv2d 3×1, 8 → 8, stride 2×1, groups 8"),
        ("LayerNorm((768,), eps=1e-05, elementwise_affine=True)", "LayerNorm 768"),
        ("Embedding(1000, 64)", "Embedding 1000 → 64"),
        ("ReLU(inplace=True)", "ReLU(inplace=True)"),
        ("Odd(\n  (a): b\n)", "Odd( (a): b )"),
    ],
)  # fmt: skip
def test_modules_are_written_short(text, short):
    assert words.module_text(text) == short


def test_a_diff_leaves_out_what_did_not_change_and_keeps_what_is_new():
    same = Piece(layer="bn", text="BatchNorm2d(8)")
    edit = Edit(
        step=Step(transform="mine", layers=("a",)),
        before=(Piece(layer="a", text="Linear(in_features=4, out_features=4)"), same),
        after=(
            Piece(layer="a.0", text="Linear(in_features=4, out_features=1)"),
            same,
            Piece(layer="new", text="ReLU()"),
        ),
    )
    rows = words.diff_rows([edit])
    assert [row["layer"] for row in rows] == ["a", "new"]
    assert rows[1] == {"layer": "new", "before": [], "after": ["ReLU()"]}
    assert words.diff_text(rows[1]) == "new: nothing  ⟶  ReLU()"


def test_many_steps_are_counted_by_family():
    steps = [Step(transform="low_rank", layers=(f"l{i}",)) for i in range(3)] + [
        Step(transform="channel_prune", layers=("c",))
    ]
    assert words.plan_text(steps) == "Factorize 3 places, Prune 1 place"


@pytest.mark.parametrize("length", [5, 20, 80])
def test_clipped_text_is_never_longer_than_asked(length):
    assert len(words.clip("x" * 100, length)) == length
