"""A search in a database; SQLite stands for all that Optuna reaches."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import optuna
import pytest
import torch
from safetensors.torch import save

from effwidgets.errors import InputError, StoreError, UnknownNameError
from effwidgets.search.store.address import AddressStore
from effwidgets.search.store.base import Store
from effwidgets.search.store.owners import Owner
from tests.search.store.work import HEADER, blank, done


@pytest.fixture
def address(tmp_path):
    return f"sqlite:///{tmp_path / 'team.db'}"


def test_what_was_put_is_there_when_it_is_opened_again_and_cancelled_ones_are_free(address):
    store = AddressStore(address)
    assert isinstance(store, Store)
    assert store.open(HEADER) == ()
    first = done(1, store.begin(blank(1)))
    store.put(first)
    assert [store.begin(blank(2)), store.begin(blank(2)), store.begin(blank(1))] == [1, None, None]
    assert store.begin(blank(1, "fine-tuned")) == 0
    store.close()
    again = AddressStore(address)
    found = again.open(HEADER)
    assert found[0] == first
    assert [candidate.state for candidate in found] == ["done", "cancelled"]
    assert [again.begin(blank(2)), again.begin(blank(1, "fine-tuned"))] == [1, 0]
    again.close()


def test_two_stores_hear_of_each_other(address):
    one, two = AddressStore(address), AddressStore(address)
    one.open(HEADER)
    two.open(HEADER)
    one.put(done(1, one.begin(blank(1))))
    assert [candidate.score() for candidate in two.news()] == [0.5]
    assert two.news() == one.news() == ()
    one.close()
    two.close()


def test_of_two_that_claim_a_plan_at_the_same_moment_the_first_line_wins(address):
    one, two = AddressStore(address), AddressStore(address)
    one.open(HEADER)
    two.open(HEADER)
    real = two._ledger._look

    def late():  # what the other one writes is not seen before the own claim is written
        two._ledger._look = real

    two._ledger._look = late
    assert one.begin(blank(1)) == 0
    assert two.begin(blank(1)) is None
    one.put(done(1, 0))
    assert [candidate.state for candidate in two.news()] == ["done"]
    one.close()
    two.close()
    third = AddressStore(address)
    assert [candidate.state for candidate in third.open(HEADER)] == ["done"]
    third.close()


def test_another_model_is_refused_under_the_same_name_and_welcome_under_another(address):
    store = AddressStore(address)
    store.open(HEADER)
    store.close()
    other = dataclasses.replace(HEADER, model=dataclasses.replace(HEADER.model, name="Other"))
    with pytest.raises(StoreError, match="it is of a Net, and a Other came"):
        AddressStore(address).open(other)
    named = AddressStore(f"{address}#other")
    assert named.open(other) == ()
    named.close()


def test_a_newer_schema_is_refused(address):
    study = optuna.create_study(storage=address, study_name="effwidgets", directions=["maximize", "minimize"])
    study.set_user_attr("header", '{"schema": 99, "made_with": "9.9"}')
    with pytest.raises(StoreError, match=r"effwidgets 9\.9 \(schema 99\)"):
        AddressStore(address).open(HEADER)


def test_a_study_of_somebody_elses_is_refused(address):
    study = optuna.create_study(storage=address, study_name="effwidgets", directions=["maximize", "minimize"])
    study.tell(study.ask(), [1.0, 2.0])
    with pytest.raises(StoreError, match="was not made by effwidgets"):
        AddressStore(address).open(HEADER)


def test_trained_states_need_a_folder_and_the_message_says_how_to_name_one(address, tmp_path):
    state = save({"weight": torch.ones(2)})
    bare = AddressStore(address)
    assert not bare.keeps_tensors
    assert bare.tensors(0) is None
    with pytest.raises(StoreError, match=r"a database keeps no tensors.*tensors=FOLDER"):
        bare.put_tensors(0, "fine-tuned", state)
    for store in (
        AddressStore(address, tensors=tmp_path / "weights"),
        AddressStore(f"{address}#tensors={tmp_path / 'weights'}"),
    ):
        assert store.keeps_tensors
        store.put_tensors(0, "fine-tuned", state)
        assert store.tensors(0) == state


def test_a_password_is_in_no_message():
    store = AddressStore("postgresql://me:secret@localhost:1/team")
    assert "secret" not in repr(store)
    with pytest.raises(StoreError) as caught:
        store.begin(blank(0))
    assert "secret" not in str(caught.value)


def test_an_address_that_cannot_be_reached_or_read_is_said(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened as a storage of Optuna"):
        AddressStore(f"sqlite:///{tmp_path}/missing/folder/x.db").open(HEADER)
    with pytest.raises(StoreError, match="driver of that database"):
        AddressStore("nonsense://host/x").open(HEADER)
    with pytest.raises(InputError, match="sqlite:///search"):
        AddressStore("somewhere")
    with pytest.raises(UnknownNameError, match="'tensors'"):
        AddressStore("sqlite:///x.db#name=a&tensor=b")


def test_a_claim_of_another_machine_is_free_after_an_hour_without_a_sign(address, monkeypatch):
    store = AddressStore(address)
    store.open(HEADER)
    elsewhere = Owner(host="elsewhere", pid=1, started="1", token="far")  # noqa: S106  no password
    monkeypatch.setattr(store._ledger, "_me", str(elsewhere))
    store.begin(blank(1))
    study = optuna.load_study(study_name="effwidgets", storage=address)
    for minutes, free in ((1, False), (59, False), (61, True)):
        moment = datetime.now(tz=UTC) - timedelta(minutes=minutes)
        study.set_user_attr("alive far", moment.isoformat())
        other = AddressStore(address)
        assert [candidate.state for candidate in other.open(HEADER)] == ["cancelled" if free else "running"]
        assert (other.begin(blank(1)) == 0) is free
        other.close()


def test_closing_gives_the_connections_back(address, tmp_path):
    store = AddressStore(address)
    for _ in range(2):
        store.open(HEADER)
        database = store._database
        assert database.engine.pool.checkedin() + database.engine.pool.checkedout() > 0
        store.close()
        assert database.engine.pool.checkedin() == database.engine.pool.checkedout() == 0
    store.close()
