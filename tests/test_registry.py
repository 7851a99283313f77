from __future__ import annotations

import threading
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from effwidgets import registry
from effwidgets.errors import InputError, UnknownNameError
from effwidgets.registry import PluginWarning, Registry


def test_what_was_added_is_found_by_name() -> None:
    things: Registry[int] = Registry("thing")
    things.add("one", 1)
    assert things["one"] == 1
    assert list(things) == ["one"]
    assert "one" in things
    assert len(things) == 1


def test_an_unknown_name_is_answered_with_the_known_ones_closest_first() -> None:
    things: Registry[int] = Registry("thing")
    things.add("alpha", 1)
    things.add("spatial", 2)
    with pytest.raises(
        UnknownNameError, match=r"There is no thing 'spatail'. Did you mean 'spatial'\? Known: 'spatial', 'alpha'"
    ):
        things["spatail"]


def test_a_taken_name_is_refused() -> None:
    things: Registry[int] = Registry("thing")
    things.add("one", 1)
    with pytest.raises(InputError, match="registered already"):
        things.add("one", 2)
    assert things["one"] == 1


def test_removing_makes_room_again() -> None:
    things: Registry[int] = Registry("thing")
    things.add("one", 1)
    things.remove("one")
    assert things.add("one", 2) == 2


def test_a_broken_plug_in_is_a_warning_and_the_rest_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint(name="good", value="math:pi", group="g"),
        EntryPoint(name="bad", value="no_such_package:thing", group="g"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "g" else [])
    things: Registry[float] = Registry("thing", "g")
    with pytest.warns(PluginWarning, match=r"'bad' \(no_such_package:thing\) could not be loaded"):
        assert list(things) == ["good"]
    assert list(things) == ["good"]  # and is not tried, nor warned of, a second time


def test_entry_points_are_joined_at_first_use_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(registry, "entry_points", lambda group: asked.append(group) or [])
    things: Registry[int] = Registry("thing", "g")
    assert asked == []
    len(things)
    len(things)
    assert asked == ["g"]


def test_a_second_thread_waits_until_all_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on = threading.Event(), threading.Event()

    class Slow:
        name, value = "slow", "slow:thing"

        def load(self) -> int:
            inside.set()
            assert go_on.wait(10)
            return 1

    monkeypatch.setattr(registry, "entry_points", lambda group: [Slow()])
    things: Registry[int] = Registry("thing", "g")
    found: list[list[str]] = []
    first = threading.Thread(target=lambda: found.append(list(things)))
    first.start()
    assert inside.wait(10)
    second = threading.Thread(target=lambda: found.append(list(things)))
    second.start()
    second.join(0.05)  # long enough to see an empty registry, were there one to be seen
    go_on.set()
    first.join(10)
    second.join(10)
    assert found == [["slow"], ["slow"]]


def test_a_plug_in_that_asks_the_registry_while_it_is_loaded_sees_what_came_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[list[str]] = []

    class Asking:
        value = "asking:thing"

        def __init__(self, name: str) -> None:
            self.name = name

        def load(self) -> int:
            seen.append(list(things))
            return 1

    monkeypatch.setattr(registry, "entry_points", lambda group: [Asking("b"), Asking("a")])
    things: Registry[int] = Registry("thing", "g")
    assert list(things) == ["a", "b"]
    assert seen == [[], ["a"]]


def test_what_was_added_by_hand_is_told_from_what_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints([EntryPoint(name="theirs", value="math:pi", group="things.test")])
    monkeypatch.setattr(registry, "entry_points", lambda group: points.select(group=group))
    things: Registry[float] = Registry("thing", "things.test")
    things.add("ours", 1.0)
    assert list(things) == ["ours", "theirs"]
    assert things.added() == (("ours", 1.0),)
    alone: Registry[float] = Registry("thing")
    alone.add("ours", 1.0)
    assert alone.added() == (("ours", 1.0),)
