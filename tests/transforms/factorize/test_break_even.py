"""Where a factorization stops saving."""

from __future__ import annotations

from effwidgets.transforms.factorize.break_even import fewer, largest, nothing_saved, saves_both
from effwidgets.transforms.factorize.low_rank import LOW_RANK
from effwidgets.transforms.factorize.parts import Part
from effwidgets.transforms.factorize.spatial_svd import SPATIAL_SVD
from effwidgets.transforms.factorize.tucker2 import TUCKER2

LINEAR = Part.point("Linear", 1000, 2048)
STRIDED = Part(kind="Conv2d", weight=(128, 64, 3, 3), stride=(2, 2), padding=(1, 1), dilation=(1, 1))


def test_the_largest_rank_that_saves_is_found_by_every_rank_tried():
    saving = [rank for rank in range(1, 1001) if fewer(LINEAR, LOW_RANK.chain(LINEAR, (rank,)))]
    assert largest((1000,), lambda ranks: fewer(LINEAR, LOW_RANK.chain(LINEAR, ranks))) == (saving[-1],) == (671,)


def test_a_stride_makes_macs_break_even_before_parameters():
    chains = {rank: SPATIAL_SVD.chain(STRIDED, (rank,)) for rank in range(1, 193)}
    params = max(rank for rank, chain in chains.items() if fewer(STRIDED, chain))
    both = max(rank for rank, chain in chains.items() if saves_both(STRIDED, chain, (1, 64, 56, 56)))
    # 64 * 3 r + 128 * 3 r < 64 * 128 * 9, and over places 28 * 56 * 192 r + 28 * 28 * 384 r < 28 * 28 * 73728.
    assert (params, both) == (127, 95)


def test_a_refusal_names_all_ranks_and_the_kernel():
    said = nothing_saved(STRIDED, TUCKER2.ranks, (64, 128), (40, 80))
    assert said.startswith(
        "rank_in 64, rank_out 128 saves nothing: Conv2d 64 -> 128, 3 x 3 breaks even at rank_in 40, rank_out 80."
    )
    assert "no rank saves" in nothing_saved(STRIDED, ("rank",), (1,), None)
