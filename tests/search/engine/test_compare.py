"""What stands where in two candidates."""

from __future__ import annotations

from effwidgets.records import Candidate, Cost, Edit, Piece, Plan, Score, Step
from effwidgets.search.engine.compare import compare


def piece(layer, text):
    return Piece(layer=layer, text=text)


def edit(before, after):
    step = Step(transform="any", layers=(before[0].layer,))
    return Edit(step=step, before=tuple(before), after=tuple(after))


def candidate(number, *edits, macs=0, score=0.5):
    return Candidate(
        number=number,
        plan=Plan(),
        rung="repaired",
        state="done",
        edits=edits,
        cost=Cost(macs=macs),
        scores=(Score(metric="top1", value=score),),
    )


PRUNED = edit([piece("a", "A64"), piece("b", "B64")], [piece("a", "A40"), piece("b", "B40")])
SPLIT = edit([piece("a", "A40")], [piece("a.0", "A1"), piece("a.1", "A2")])
AGAIN = edit([piece("a.1", "A2")], [piece("a.1.0", "A3"), piece("a.1.1", "A4")])
WHOLE = edit([piece("a", "A64")], [piece("a.0", "S1"), piece("a.1", "S2")])


def test_a_later_edit_of_what_an_earlier_one_put_in_is_told_of_the_dense_layer():
    found = compare(candidate(0), candidate(1, PRUNED, SPLIT, AGAIN))
    assert [(place.layer, place.before, place.after) for place in found.layers] == [
        ("a", ("A64",), ("A1", "A3", "A4")),
        ("b", ("B64",), ("B40",)),
    ]


def test_two_ways_at_one_layer_stand_against_each_other():
    found = compare(candidate(1, WHOLE), candidate(2, PRUNED))
    assert [(place.layer, place.before, place.after) for place in found.layers] == [
        ("a", ("S1", "S2"), ("A40",)),
        ("b", ("B64",), ("B40",)),
    ]


def test_layers_with_names_that_begin_alike_are_kept_apart():
    one = edit([piece("a", "A"), piece("a1", "B")], [piece("a", "A"), piece("a1", "C")])
    assert [place.layer for place in compare(candidate(0), candidate(1, one)).layers] == ["a1"]


def test_cost_and_score_are_those_of_the_second_minus_the_first():
    found = compare(candidate(1, macs=100, score=0.9), candidate(2, macs=40, score=0.8))
    assert found.change.macs == -60
    assert abs(found.scores[0].value + 0.1) < 1e-12
    assert "−60 MACs, 0 params" in str(found)  # what did not change has no sign
