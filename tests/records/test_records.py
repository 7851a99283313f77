from __future__ import annotations

import dataclasses
import json
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

import effwidgets.records as records_room
from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import (
    Candidate,
    Cost,
    Group,
    LayerProfile,
    Member,
    Plan,
    Record,
    Score,
    Step,
    Suggestions,
    settings,
)

RECORDS = [
    value
    for name in records_room.__all__
    if isinstance(value := getattr(records_room, name), type) and issubclass(value, Record) and value is not Record
]

costs = st.builds(Cost, **{field.name: st.integers(-(10**12), 10**12) for field in dataclasses.fields(Cost)})
plain = st.one_of(st.integers(), st.text(), st.booleans(), st.none(), st.lists(st.integers(), max_size=3).map(tuple))
steps = st.builds(
    Step,
    transform=st.text(),
    layers=st.lists(st.text(), max_size=3).map(tuple),
    settings=st.dictionaries(st.text(), plain, max_size=4).map(settings),
)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_record_is_frozen_slotted_and_keyword_only(record: type) -> None:
    assert record.__dataclass_params__.frozen
    assert all(field.kw_only for field in dataclasses.fields(record))
    assert "__slots__" in vars(record)
    with pytest.raises(TypeError):
        record("positional")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_no_record_holds_a_list_or_a_dict(record: type) -> None:
    for name, hint in typing.get_type_hints(record).items():
        assert "list[" not in str(hint), name
        assert "dict[" not in str(hint), name


@given(st.lists(steps, max_size=4))
def test_a_plan_survives_json_and_stays_equal_and_hashable(found: list[Step]) -> None:
    plan = Plan(steps=tuple(found))
    back = Plan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert back == plan
    assert hash(back) == hash(plan)


@given(costs, costs)
def test_costs_add_up_and_subtract(a: Cost, b: Cost) -> None:
    assert (a + b) - b == a
    assert -(a - b) == b - a
    assert (a + b).macs == a.macs + b.macs


def test_a_nested_record_survives_json() -> None:
    group = Group(
        name="a", channels=4, members=(Member(layer="a", side="out"), Member(layer="b", side="in", repeat=16))
    )
    assert Group.from_dict(json.loads(json.dumps(group.to_dict()))) == group
    candidate = Candidate(
        number=3, plan=Plan(), rung="repaired", state="done", cost=Cost(macs=2), scores=(Score(metric="a", value=0.5),)
    )
    assert Candidate.from_dict(json.loads(json.dumps(candidate.to_dict()))) == candidate


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"layers": []}, "missing"),
        ({"transform": "x", "layers": [], "rank": 3}, "no field rank"),
        ({"transform": 3, "layers": []}, "str was expected"),
        ({"transform": "x", "layers": "fc"}, "a list was expected"),
        ({"transform": "x", "layers": [], "settings": [1]}, "an object was expected"),
    ],
)
def test_damaged_json_is_refused_with_the_field(data: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Step.from_dict(data)


def test_the_origin_is_neither_compared_nor_saved() -> None:
    make = lambda origin: Suggestions(  # noqa: E731
        model="A", goal="macs", cost=Cost(), memory=_memory(), suggestions=(), skips=(), origin=origin
    )
    assert make("one") == make("two")
    assert "origin" not in make("one").to_dict()


def test_an_unknown_setting_is_answered_with_the_known_ones() -> None:
    layer = LayerProfile(name="fc", kind="Linear", config=settings(in_features=4, out_features=2))
    assert layer.setting("in_features") == 4
    with pytest.raises(UnknownNameError, match="'in_features', 'out_features'"):
        layer.setting("stride")


def test_a_setting_must_be_plain() -> None:
    with pytest.raises(InputError, match="rank is dict"):
        settings(rank={})


def _memory() -> records_room.Memory:
    return records_room.Memory(param_bytes=1, inference_peak_bytes=2, inference_peak_at="", saved_bytes=3)
