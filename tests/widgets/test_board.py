from __future__ import annotations

import gc

import pytest

from effwidgets.widgets.board import ANY, Board


class Ear:
    def __init__(self):
        self.heard = []

    def listen(self, payload):
        self.heard.append(payload)


@pytest.fixture
def board():
    return Board()


def test_a_listener_hears_its_own_origin_and_view_only(board):
    ear = Ear()
    board.subscribe("a", "layers", ear.listen)
    for origin, view in (("a", "layers"), ("b", "layers"), ("a", "pareto")):
        board.publish(origin, view, {"from": (origin, view)})
    assert ear.heard == [{"from": ("a", "layers")}]


def test_a_listener_to_any_origin_hears_all_of_them(board):
    ear = Ear()
    board.subscribe(ANY, "run", ear.listen)
    board.publish("a", "run", {"n": 1})
    board.publish("b", "run", {"n": 2})
    assert [payload["n"] for payload in ear.heard] == [1, 2]


def test_who_unsubscribed_or_was_forgotten_hears_nothing(board):
    ear, gone = Ear(), Ear()
    board.subscribe("a", "layers", ear.listen)
    board.subscribe("a", "layers", gone.listen)
    assert board.heard("a", "layers")
    del gone
    gc.collect()
    board.unsubscribe("a", "layers", ear.listen)
    board.publish("a", "layers", {})
    assert ear.heard == []
    assert not board.heard("a", "layers")
    board.unsubscribe("a", "layers", ear.listen)  # once more is no harm


def test_the_last_line_of_each_run_is_remembered_for_a_panel_that_opens_late(board):
    board.publish("a", "run", {"done": 1})
    board.publish("a", "run", {"done": 2})
    board.publish("b", "run", {"done": 3})
    board.publish("a", "layers", {"large": True})
    assert board.latest("run") == {"a": {"done": 2}, "b": {"done": 3}}
    assert board.latest("layers") == {}
    board.forget("a")
    assert board.latest("run") == {"b": {"done": 3}}


def test_a_listener_that_raises_is_logged_and_the_others_still_hear(board, caplog):
    class Deaf(Ear):
        def listen(self, payload):
            raise ZeroDivisionError("oh")

    deaf, ear = Deaf(), Ear()
    board.subscribe("a", "layers", deaf.listen)
    board.subscribe("a", "layers", ear.listen)
    board.publish("a", "layers", {"n": 1})
    assert ear.heard == [{"n": 1}]
    assert "layers view of a failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text
