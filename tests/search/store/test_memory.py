"""A search that ends with its process."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from effwidgets.errors import StoreError
from effwidgets.search.store.base import Store
from effwidgets.search.store.memory import MemoryStore
from tests.search.store.work import HEADER, blank, done


def test_it_is_a_store_with_nothing_in_it():
    store = MemoryStore()
    assert isinstance(store, Store)
    assert store.open(HEADER) == ()
    assert store.news() == ()


def test_a_plan_climbs_under_its_number_and_is_never_at_a_rung_twice():
    store = MemoryStore()
    assert [store.begin(blank(0)), store.begin(blank(1)), store.begin(blank(1))] == [0, 1, None]
    store.put(done(1, 1))
    assert [store.begin(blank(1)), store.begin(blank(1, "fine-tuned")), store.begin(blank(1, "fine-tuned"))] == [
        None,
        1,
        None,
    ]


def test_a_cancelled_plan_is_free_again_and_a_failed_one_is_not():
    store = MemoryStore()
    for place, state in enumerate(("cancelled", "failed")):
        number = store.begin(blank(place))
        store.put(dataclasses.replace(blank(place), number=number, state=state))
    assert [store.begin(blank(0)), store.begin(blank(1))] == [0, None]


def test_threads_that_claim_at_once_get_every_number_once():
    store, numbers = MemoryStore(), []

    def claim():
        numbers.extend(store.begin(blank(place)) for place in range(200))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    given = [number for number in numbers if number is not None]
    assert sorted(given) == list(range(200))
    assert len(numbers) - len(given) == 600


def test_the_state_of_the_highest_rung_is_held():
    store = MemoryStore()
    assert store.tensors(3) is None
    store.put_tensors(3, "fine-tuned", b"high")
    store.put_tensors(3, "briefly tuned", b"low")
    assert store.tensors(3) == b"high"
    assert (store.tensors(3, "briefly tuned"), store.tensors(4, "briefly tuned")) == (b"low", None)


def test_a_number_that_was_never_begun_cannot_be_put():
    with pytest.raises(StoreError, match="never begun"):
        MemoryStore().put(done(0, 0))
