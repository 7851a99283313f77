"""Records as JSON files, and text that a console shows as it is."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import effwidgets
from effwidgets.errors import InputError
from effwidgets.records import Cost, Profile, Score, Step, Text, settings
from effwidgets.testing.zoo import MODELS


@pytest.mark.parametrize("one", MODELS, ids=lambda one: one.name)
def test_a_profile_survives_a_file(one, tmp_path):
    profile = effwidgets.profile(one.build(), one.inputs())
    path = tmp_path / "profile.json"
    assert profile.to_json(path) is None
    assert Profile.from_json(path) == Profile.from_json(str(path)) == Profile.from_json(profile.to_json()) == profile


def test_the_file_says_whose_it_is_and_in_which_version():
    whole = json.loads(Cost(params=3).to_json(indent=2))
    assert {key: whole[key] for key in ("format", "version", "kind")} == {
        "format": "effwidgets",
        "version": 1,
        "kind": "Cost",
    }
    assert whole["record"]["params"] == 3


@given(st.floats())
def test_every_number_survives_in_strict_json(value):
    text = Score(metric="loss", value=value).to_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    read = Score.from_json(text).value
    assert math.isnan(read) if math.isnan(value) else read == value


@given(st.text(), st.dictionaries(st.text(min_size=1), st.integers() | st.text() | st.booleans() | st.none()))
def test_every_text_survives(name, values):
    step = Step(transform=name.replace("\ud800", ""), layers=(name,), settings=settings(values))
    assert Step.from_json(step.to_json()) == step


def test_a_foreign_file_is_refused_with_what_it_is(tmp_path):
    good = json.loads(Cost(params=3).to_json())
    for text, words in (
        ("{nonsense", "is no JSON"),
        (json.dumps(Cost().to_dict()), "was not written by to_json.*from_dict"),
        (json.dumps({"params": 3}), "was not written by to_json"),
        (json.dumps({**good, "version": 2}), "format version 2; this effwidgets reads version 1"),
        (json.dumps({**good, "version": None}), "format version None"),
        (json.dumps({**good, "record": {"parms": 3}}), "no field parms"),
        (json.dumps({**good, "record": {"params": "many"}}), "'many'; int was expected"),
        (json.dumps({**good, "record": None}), "JSON object"),
    ):
        path = tmp_path / "foreign.json"
        path.write_text(text, encoding="utf-8")
        for source in (text, path):
            with pytest.raises(InputError, match=words):
                Cost.from_json(source)
    with pytest.raises(InputError, match=r"holds a Cost, not a Score.*Cost\.from_json"):
        Score.from_json(json.dumps(good))


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="could not be read"):
        Cost.from_json(tmp_path / "nowhere.json")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InputError, match="no text"):
        Cost.from_json(tmp_path / "image.png")
    with pytest.raises(InputError, match="the name of a file was expected"):
        Cost.from_json("")
    with pytest.raises(InputError, match="could not be written"):
        Cost().to_json(tmp_path / "no" / "folder.json")


def test_a_deep_list_of_brackets_is_no_crash():
    with pytest.raises(InputError):
        Cost.from_json('{"a":' + "[" * 200_000)


def test_a_mark_at_the_start_of_the_text_is_passed_over():
    assert Cost.from_json("\ufeff" + (Cost(params=3).to_json() or "")) == Cost(params=3)


def test_text_is_shown_as_it_is():
    assert repr(Text("a\nb")) == "a\nb"


def test_the_origin_is_neither_saved_nor_compared():
    profile = effwidgets.profile(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    assert profile.origin
    assert profile.origin not in profile.to_json()
    assert Profile.from_json(profile.to_json()) == dataclasses.replace(profile, origin="")
