from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref

import pytest

from effwidgets.errors import EffError
from effwidgets.records import views_of
from effwidgets.views import layers
from effwidgets.widgets import views
from effwidgets.widgets.board import BOARD
from effwidgets.widgets.places import Place
from effwidgets.widgets.views import LAYERS, LiveView, bundle

ORIGIN = "Net-widgets-test"


@pytest.fixture
def live(profile):
    widget = LAYERS.draw(profile)
    yield widget
    widget.close()


def click(widget, verb="suggest", origin=ORIGIN, **args):
    """What the page sends when a button is pressed."""
    widget._handle_custom_msg({"kind": "command", "origin": origin, "verb": verb, "args": args, "id": "1"}, [])


def test_a_profile_has_a_live_view_by_entry_point(profile):
    assert [name for name, _ in views_of(profile, "live")] == ["layers_live"]


def test_the_widget_carries_the_payload_and_the_built_page_code(live, profile):
    assert live.payload == layers.payload(profile)
    assert live._esm == bundle("views.js")
    assert "export" in live._esm


def test_its_mime_bundle_is_small_and_says_what_it_is(live):
    data, *_ = live._repr_mimebundle_()
    assert set(data) == {"text/plain", "application/vnd.jupyter.widget-view+json"}
    assert repr(live) == "LiveView(layers of Net)"


def test_a_missing_bundle_is_answered_with_how_to_build_it(monkeypatch, tmp_path):
    monkeypatch.setattr(views, "files", lambda _package: tmp_path)
    bundle.cache_clear()
    with pytest.raises(EffError, match="npm ci && npm run build"):
        bundle("views.js")


def test_what_a_session_publishes_is_shown(live):
    BOARD.publish(ORIGIN, "layers", {**live.payload, "title": "Smaller"})
    assert live.payload["title"] == "Smaller"
    BOARD.publish("another", "layers", {**live.payload, "title": "No"})
    assert live.payload["title"] == "Smaller"


def test_a_click_reaches_the_session_as_a_command(live, session):
    click(live, "suggest", goal="params")
    [command] = session.commands
    assert (command.origin, command.verb, dict(command.args), command.id) == (
        ORIGIN,
        "suggest",
        {"goal": "params"},
        "1",
    )


def test_other_messages_are_ignored(live, session):
    for content in ("text", {"kind": "something"}, {}):
        live._handle_custom_msg(content, [])
    assert session.commands == []
    assert live.status == {}


def test_a_click_on_a_view_whose_session_is_gone_switches_it_off_and_says_why(live):
    click(live)
    assert live.status["state"] == "gone"
    assert "Run its cell again" in live.status["message"]


def test_what_a_session_refuses_is_shown_in_the_view(live, session):
    session.error = EffError("No suggestion is ticked.")
    click(live)
    click(live)
    assert live.status == {}
    assert live.payload["notes"] == ["No suggestion is ticked."]


def test_a_suggestion_list_shows_a_refusal_in_its_status(session):
    payload = {"view": "suggestions", "origin": ORIGIN, "title": "Net", "status": {"state": "idle"}}
    widget = LiveView(payload)
    session.error = EffError("No suggestion is ticked.")
    click(widget)
    assert widget.payload["status"]["state"] == "failed"
    assert widget.payload["status"]["message"] == "No suggestion is ticked."
    widget.close()


def test_what_is_selected_on_the_page_can_be_read_in_python(live):
    live.set_state({"selection": ["fc"]})
    assert live.selection == ["fc"]


def test_no_payload_is_lost_while_the_page_changes_the_selection(live):
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads change places as often as they can, or the fault shows once in a day
    stop = threading.Event()

    def select():
        turn = 0
        while not stop.is_set():
            turn += 1
            live.set_state({"selection": [str(turn)]})

    clicking = threading.Thread(target=select)
    clicking.start()
    sent = []
    live.observe(lambda change: sent.append(change["new"]["title"]), "payload")
    for turn in range(200):
        BOARD.publish(ORIGIN, "layers", {**live.payload, "title": str(turn)})
    stop.set()
    clicking.join()
    sys.setswitchinterval(interval)
    assert sent == [str(turn) for turn in range(200)]


def test_a_view_gives_its_figure(live, profile):
    assert live.to_plotly() == layers.FIGURE.draw(profile)


def test_a_closed_view_hears_nothing_and_is_forgotten(profile):
    widget = LAYERS.draw(profile)
    ref = weakref.ref(widget)
    widget.close()
    assert not BOARD.heard(ORIGIN, "layers")
    del widget
    gc.collect()
    assert ref() is None


def test_the_next_run_of_a_cell_closes_what_the_last_one_showed(profile, monkeypatch):
    place = Place("cell", "run 1")
    monkeypatch.setattr(views, "here", lambda: place)
    first = LAYERS.draw(profile)
    beside = LAYERS.draw(profile)
    assert first.comm is not None
    place = Place("other cell", "run 2")
    elsewhere = LAYERS.draw(profile)
    assert first.comm is not None
    place = Place("cell", "run 3")
    again = LAYERS.draw(profile)
    assert first.comm is beside.comm is None
    assert elsewhere.comm is not None
    for widget in (elsewhere, again):
        widget.close()


def test_without_cells_only_the_last_few_views_of_one_thing_are_kept(profile):
    made = [LAYERS.draw(profile) for _ in range(12)]
    assert [widget.comm is not None for widget in made] == [False] * 4 + [True] * 8
    for widget in made:
        widget.close()


def test_importing_the_package_imports_no_widgets():
    code = "import sys, effwidgets, effwidgets.views.layers; print({'anywidget', 'ipywidgets', 'plotly', 'IPython'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
