"""From what the user wrote to the place that it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from effwidgets.errors import InputError
from effwidgets.search.store.address import AddressStore
from effwidgets.search.store.folder import FolderStore
from effwidgets.search.store.memory import MemoryStore
from effwidgets.search.store.open import store_of


def test_each_kind_of_place_has_its_store(tmp_path):
    assert isinstance(store_of(None), MemoryStore)
    assert isinstance(store_of("runs/net"), FolderStore)
    assert isinstance(store_of(Path("runs")), FolderStore)
    assert isinstance(store_of("postgresql://host/team"), AddressStore)
    store = FolderStore(tmp_path)
    assert store_of(store) is store


@pytest.mark.parametrize("where", ["", 3, object(), Path()])
def test_something_else_is_answered_with_what_was_expected(where):
    with pytest.raises(InputError, match="the name of a folder, or the address"):
        store_of(where)
