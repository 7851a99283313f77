"""A search in a folder: what is kept, what is refused and left as it was, what is repaired."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import resource
import shutil
import signal
import subprocess

import pytest
import torch
from safetensors.torch import save
from torch import nn

import effwidgets as eff
from effwidgets.errors import StoreError
from effwidgets.records import Budget, Score
from effwidgets.search.store.base import SCHEMA, Store
from effwidgets.search.store.folder import FolderStore
from effwidgets.search.store.owners import Owner
from tests.search.store.work import HEADER, SERVER, blank, done, plan, say


def opened(folder, header=HEADER):
    store = FolderStore(folder)
    return store, store.open(header)


def kept_in(folder):
    store, found = opened(folder)
    store.close()
    return found


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def three(tmp_path):
    """A folder with the dense model and two candidates."""
    store, _ = opened(tmp_path / "search")
    for place in range(3):
        store.put(done(place, store.begin(blank(place))))
    store.close()
    return tmp_path / "search"


def test_it_is_a_store():
    assert isinstance(FolderStore("anywhere"), Store)


def test_what_was_put_is_there_when_it_is_opened_again_equal_field_by_field(tmp_path):
    store, found = opened(tmp_path / "search")
    assert found == ()
    number = store.begin(blank(3))
    whole = dataclasses.replace(
        done(3, number),
        note="Two “quotes”, a line\nfeed and ünïcode",
        measures=(Score(metric="latency_s", value=1e-3, error=float("nan")),),
        seconds=0.25,
        parent=0,
    )
    store.put(whole)
    store.close()
    (again,) = kept_in(tmp_path / "search")
    assert repr(again) == repr(whole)  # not ==: no number equals one that is none


def test_a_plan_is_given_one_number_and_once(tmp_path):
    store, _ = opened(tmp_path / "search")
    assert [store.begin(blank(place)) for place in (0, 5, 2)] == [0, 1, 2]
    assert store.begin(blank(5)) is None
    store.put(done(5, 1))
    assert store.begin(blank(5)) is None
    other, found = opened(tmp_path / "search")
    assert other.begin(blank(2)) is None
    assert [(candidate.number, candidate.state) for candidate in found] == [(0, "running"), (1, "done"), (2, "running")]
    store.close()
    other.close()


def test_stores_of_two_processes_claim_no_more_plans_together_than_asked_for(tmp_path):
    store, _ = opened(tmp_path / "search")
    other, _ = opened(tmp_path / "search")
    assert [store.begin(blank(1), 3), other.begin(blank(2), 3), store.begin(blank(3), 3)] == [0, 1, 2]
    assert other.begin(blank(4), 3) is None
    assert [(candidate.number, candidate.state) for candidate in other.news()] == [(0, "running"), (2, "running")]
    store.put(done(3, 2))
    assert other.begin(blank(3, "fine-tuned"), 3) == 2  # a climb is no new plan
    assert other.begin(blank(4), 4) == 3
    store.close()
    other.close()


def test_a_climb_is_claimed_once_and_keeps_the_number(tmp_path):
    store, _ = opened(tmp_path / "search")
    other, _ = opened(tmp_path / "search")
    store.put(done(1, store.begin(blank(1))))
    assert store.begin(blank(1, "fine-tuned")) == 0
    assert other.begin(blank(1, "fine-tuned")) is None
    store.put(done(1, 0, "fine-tuned", score=0.9))
    assert other.begin(blank(1, "fine-tuned")) is None
    assert [(candidate.rung, candidate.score()) for candidate in other.news()] == [("fine-tuned", 0.9)]
    assert other.news() == ()
    store.close()
    other.close()
    assert [(candidate.rung, candidate.score()) for candidate in kept_in(tmp_path / "search")] == [("fine-tuned", 0.9)]


def test_a_climb_that_failed_is_not_tried_again_and_the_lower_rung_stays(tmp_path):
    store, _ = opened(tmp_path / "search")
    store.put(done(1, store.begin(blank(1))))
    number = store.begin(blank(1, "fine-tuned"))
    store.put(dataclasses.replace(blank(1, "fine-tuned"), number=number, state="failed", note="It raised."))
    store.close()
    store, (known,) = opened(tmp_path / "search")
    assert (known.state, known.rung) == ("done", "zero-shot")
    assert store.begin(blank(1, "fine-tuned")) is None
    store.close()


def test_a_failed_candidate_is_kept_with_its_reason_and_not_tried_again(tmp_path):
    store, _ = opened(tmp_path / "search")
    number = store.begin(blank(1))
    store.put(dataclasses.replace(blank(1), number=number, state="failed", note="evaluate returned nan"))
    store.close()
    store, (known,) = opened(tmp_path / "search")
    assert (known.state, known.note) == ("failed", "evaluate returned nan")
    assert store.begin(blank(1)) is None
    store.close()


def test_a_cancelled_candidate_may_be_begun_again_under_its_number(tmp_path):
    store, _ = opened(tmp_path / "search")
    number = store.begin(blank(4))
    store.put(dataclasses.replace(blank(4), number=number, state="cancelled", note="Cancelled before it was scored"))
    assert store.begin(blank(4)) == number
    store.close()  # gives it back
    store, (known,) = opened(tmp_path / "search")
    assert (known.state, known.plan, known.seed, known.source) == ("cancelled", plan(4), 4, "ladder")
    assert store.begin(blank(4)) == number
    store.close()


def test_a_result_may_be_put_again_with_more_measures(three):
    store, found = opened(three)
    timed = dataclasses.replace(found[2], measures=(Score(metric="latency_s", value=2e-3),))
    store.put(timed)
    store.close()
    assert kept_in(three)[2] == timed


def test_a_measure_of_a_lower_rung_that_comes_late_does_not_undo_a_climb(tmp_path):
    store, _ = opened(tmp_path / "search")
    store.put(done(1, store.begin(blank(1))))
    store.begin(blank(1, "fine-tuned"))
    store.put(done(1, 0, "fine-tuned", score=0.9))
    store.put(done(1, 0, "zero-shot", score=0.1))
    store.close()
    assert [candidate.score() for candidate in kept_in(tmp_path / "search")] == [0.9]


def test_a_number_that_was_never_begun_cannot_be_put(tmp_path):
    store, _ = opened(tmp_path / "search")
    with pytest.raises(StoreError, match="Candidate 7 was never begun"):
        store.put(done(1, 7))
    store.close()


def claim_and_die(folder, diary):
    store = FolderStore(folder)
    store.open(HEADER)
    say(diary, f"begin 6 {store.begin(blank(6))}")
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_claim_of_a_process_that_was_killed_is_free_for_one_that_works_already(tmp_path):
    store, _ = opened(tmp_path / "search")
    process = SERVER.Process(target=claim_and_die, args=(tmp_path / "search", tmp_path / "diary"), daemon=True)
    process.start()
    process.join(60)
    assert (tmp_path / "diary").read_text() == "begin 6 0\n"
    assert [(candidate.number, candidate.state) for candidate in store.news()] == [(0, "cancelled")]
    assert store.begin(blank(6)) == 0
    assert "1 candidate was being tried by a process that ended" in store.notes[-1]
    store.close()


def test_a_claim_of_another_machine_is_free_once_that_was_silent_for_long(tmp_path, monkeypatch):
    store, _ = opened(tmp_path / "search")
    elsewhere = Owner(host="elsewhere", pid=1, started="1", token="far")  # noqa: S106  no password
    monkeypatch.setattr(store._ledger, "_me", str(elsewhere))
    store.begin(blank(1))
    sign = tmp_path / "search" / ".alive" / "far"
    sign.touch()
    other, (seen,) = opened(tmp_path / "search")
    assert seen.state == "running"
    assert other.begin(blank(1)) is None
    os.utime(sign, (1e9, 1e9))  # years ago, by the clock of the file system
    assert other.begin(blank(1)) == 0
    other.close()


def test_what_is_kept_of_another_model_is_refused_and_left_as_it_was(three):
    before = contents(three)
    others = {
        "it is of a Net, and a Other came": dataclasses.replace(HEADER.model, name="Other"),
        "with other layers or shapes": dataclasses.replace(HEADER.model, structure="t"),
        "other weights": dataclasses.replace(HEADER.model, values="w"),
    }
    for message, model in others.items():
        with pytest.raises(StoreError, match=message):
            FolderStore(three).open(dataclasses.replace(HEADER, model=model))
    assert contents(three) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"call": "d"}, "other shapes or dtypes"),
        ({"metric": "loss"}, "'accuracy', and 'loss' came"),
        ({"better": "lower"}, "higher scores are better, here lower ones"),
        ({"objectives": ("macs", "latency_s")}, "macs, and macs and latency_s came"),
        ({"objectives": ()}, "macs, and none beside the score came"),
    ],
)
def test_another_search_of_the_same_model_is_refused_and_says_in_what_it_differs(three, change, message):
    before = contents(three)
    with pytest.raises(StoreError, match=message):
        FolderStore(three).open(dataclasses.replace(HEADER, **change))
    assert contents(three) == before


def test_another_seed_and_a_score_without_a_name_are_the_same_search(three):
    for header in (dataclasses.replace(HEADER, seed=9), dataclasses.replace(HEADER, metric="")):
        store, found = opened(three, header)
        store.close()
        assert len(found) == 3


@pytest.mark.parametrize("missing", ["", "study.json"])
def test_a_newer_schema_is_refused_with_what_to_do_and_left_as_it_was(three, missing):
    data = json.loads((three / "study.json").read_text())
    newer = {**data, "schema": SCHEMA + 1, "made_with": "9.9.9", "something": "new"}
    (three / "study.json").write_text(json.dumps(newer))
    log = (three / "study.log").read_text()
    told = json.dumps(json.dumps(data, indent=1) + "\n")
    assert told in log
    (three / "study.log").write_text(log.replace(told, json.dumps(json.dumps(newer))) + "{torn")
    if missing:
        (three / missing).unlink()
    before = contents(three)
    with pytest.raises(StoreError, match=r"effwidgets 9\.9\.9 \(schema 2\).*Install a newer effwidgets"):
        FolderStore(three).open(HEADER)
    assert contents(three) == before


def test_a_torn_last_line_is_cut_off_kept_beside_and_said(three, caplog):
    log = three / "study.log"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"op_code":4,"worker_id":"x')
    store, found = opened(three)
    assert [candidate.state for candidate in found] == ["done"] * 3
    assert "27 bytes from line 13 on were cut off" in store.notes[0]
    assert store.notes[0] in caplog.text
    (torn,) = three.glob("study.log.torn-*")
    assert torn.read_bytes() == b'{"op_code":4,"worker_id":"x'
    assert log.read_bytes() == whole
    store.put(done(3, store.begin(blank(3))))
    store.close()
    assert len(kept_in(three)) == 4


def test_a_result_whose_end_was_torn_off_is_begun_again_under_its_number(three):
    log = three / "study.log"
    lines = log.read_bytes().splitlines(keepends=True)
    # The last result is two entries, the record and the end of the trial: tear the record.
    assert b'"candidate"' in lines[-2]
    log.write_bytes(b"".join(lines[:-2]) + lines[-2][:40])
    store, found = opened(three)
    assert [candidate.state for candidate in found] == ["done", "done", "cancelled"]
    assert store.begin(blank(2)) == 2
    store.close()


def test_a_result_without_the_end_of_its_trial_counts(three):
    log = three / "study.log"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:-1]))
    assert [candidate.state for candidate in kept_in(three)] == ["done"] * 3


def test_damage_in_the_middle_is_refused_and_left_as_it_was(three):
    log = three / "study.log"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:5], lines[5][:20], *lines[6:]]))
    before = contents(three)
    with pytest.raises(StoreError, match=r"damaged in line 6, and lines after it can be read.*Nothing was changed"):
        FolderStore(three).open(HEADER)
    after = {path: data for path, data in contents(three).items() if path.name != ".lock"}
    assert after == {path: data for path, data in before.items() if path.name != ".lock"}


@pytest.mark.parametrize("rest", [None, b""])
def test_a_log_that_is_gone_is_said_and_never_begun_anew(three, rest):
    (three / "study.log").unlink()
    if rest is not None:
        (three / "study.log").write_bytes(rest)
    before = contents(three)
    with pytest.raises(StoreError, match="Put the log back"):
        FolderStore(three).open(HEADER)
    assert contents(three) == before


@pytest.mark.parametrize("text", [None, "{half"])
def test_a_header_that_is_gone_or_damaged_is_written_again_from_the_log(three, text):
    whole = (three / "study.json").read_bytes()
    (three / "study.json").unlink()
    if text is not None:
        (three / "study.json").write_text(text)
    assert len(kept_in(three)) == 3
    assert (three / "study.json").read_bytes() == whole


def test_a_folder_of_something_else_is_not_written_into(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"png")
    with pytest.raises(StoreError, match="is not empty"):
        FolderStore(tmp_path).open(HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_an_optuna_log_of_something_else_is_not_written_into(tmp_path):
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.log")))
    optuna.create_study(storage=storage, study_name="mine")
    before = contents(tmp_path)
    with pytest.raises(StoreError, match="log of something else"):
        FolderStore(tmp_path).open(HEADER)
    assert contents(tmp_path) == before


def test_a_file_where_a_folder_was_expected_and_a_folder_that_cannot_be_made_are_said(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file; the name of a folder was expected"):
        FolderStore(tmp_path / "file").open(HEADER)
    with pytest.raises(StoreError, match="could not be made: Not a directory"):
        FolderStore(tmp_path / "file" / "below").open(HEADER)


def test_a_folder_that_may_not_be_written_is_said(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "search").mkdir()
    monkeypatch.setattr(os, "open", refuse)  # the user of these tests may be root, whom no right holds back
    with pytest.raises(StoreError, match=r"Permission denied.*name a folder of your own"):
        FolderStore(tmp_path / "search").open(HEADER)


def fill_up(folder, diary, limit):
    """Put results until the disk is full; files may grow to ``limit`` bytes, unless the disk itself is small."""
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    store = FolderStore(folder)
    store.open(HEADER)
    for place in range(1000):
        try:
            number = store.begin(blank(place))
            store.put(done(place, number))
        except StoreError as error:
            say(diary, f"{place} {error}")
            return
        say(diary, f"put {place}")


def check_full(folder, diary):
    *puts, last = diary.read_text().splitlines()
    assert "The disk is full. Everything before it is intact" in last
    assert len(puts) > 5  # else nothing was shown
    return len(puts)


def test_a_file_that_may_not_grow_stops_the_search_and_everything_before_is_intact(tmp_path):
    folder, diary = tmp_path / "search", tmp_path / "diary"
    process = SERVER.Process(target=fill_up, args=(folder, diary, 50_000), daemon=True)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    puts = check_full(folder, diary)
    store, found = opened(folder)
    assert [candidate.state for candidate in found[:puts]] == ["done"] * puts
    assert not list(folder.glob("study.log.torn-*"))  # what did not fit was taken back at once
    assert store.begin(blank(puts)) == puts  # there is room again, and it goes on where it stopped
    store.put(done(puts, puts))
    store.close()


def test_a_full_disk_stops_the_search_and_everything_before_is_intact(tmp_path):
    disk, diary = tmp_path / "disk", tmp_path / "diary"
    disk.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=96k", "none", disk], check=False)
    if not mount or made.returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        process = SERVER.Process(target=fill_up, args=(disk / "search", diary, 0), daemon=True)
        process.start()
        process.join(60)
        assert process.exitcode == 0
        puts = check_full(disk / "search", diary)
        saved = tmp_path / "saved"
        shutil.copytree(disk / "search", saved)
        assert [candidate.state for candidate in kept_in(saved)[:puts]] == ["done"] * puts
    finally:
        subprocess.run([shutil.which("umount"), disk], check=True)


def test_a_trained_state_comes_back_from_the_highest_rung_and_its_folder_loads_as_a_recipe(tmp_path):
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    applied = eff.apply(
        model, eff.Plan(steps=(eff.Step(transform="low_rank", layers=("0",), settings=eff.settings(rank=2)),)), x
    )
    store, _ = opened(tmp_path / "search")
    number = store.begin(blank(1))
    low = {name: torch.zeros_like(tensor) for name, tensor in applied.model.state_dict().items()}
    high = {name: tensor + 1 for name, tensor in applied.model.state_dict().items()}
    store.put_tensors(number, "fine-tuned", save(high))
    store.put_tensors(number, "briefly tuned", save(low))
    assert store.tensors(number) == save(high)
    eff.save(applied, tmp_path / "recipe")
    store.put_recipe(number, (tmp_path / "recipe" / "recipe.json").read_text())
    store.close()
    again = eff.load(
        tmp_path / "search" / "candidates" / str(number),
        lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)),
    )
    assert all(torch.equal(tensor, high[name]) for name, tensor in again.state_dict().items())
    assert FolderStore(tmp_path / "search").tensors(number + 1) is None


def test_nothing_in_a_folder_is_a_pickle(three):
    for path in three.rglob("*"):
        if path.is_file() and path.stat().st_size:
            assert not path.read_bytes().startswith(b"\x80"), path
    for line in (three / "study.log").read_bytes().splitlines():
        json.loads(line)


def test_optuna_reads_the_log_with_values_rungs_and_constraints(tmp_path):
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    store, _ = opened(tmp_path / "search", dataclasses.replace(HEADER, objectives=("macs", "latency_s")))
    store.set_budgets((Budget(axis="macs", limit=500.0),))
    timed = dataclasses.replace(done(1, store.begin(blank(1))), measures=(Score(metric="latency_s", value=2e-3),))
    store.put(timed)
    store.put(done(2, store.begin(blank(2))))  # not timed: no complete trial has a value missing
    store.put(dataclasses.replace(blank(3), number=store.begin(blank(3)), state="failed", note="It raised."))
    store.close()
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "search" / "study.log")))
    study = optuna.load_study(study_name="effwidgets", storage=storage)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert study.metric_names == ["accuracy", "macs", "latency_s"]
    first, _, third = study.trials
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "FAIL"]
    assert first.values == [0.5, 1000.0, 2e-3]
    assert first.params == {"low_rank fc rank": 1}
    assert first.user_attrs["rung"] == "zero-shot"
    assert first.system_attrs["constraints:macs"] == 1.0  # 1000 MACs are one budget of 500 beyond it
    assert first.user_attrs["steps"] == "low_rank at fc (method=svd, rank=1)"
    assert third.user_attrs["note"] == "It raised."
    assert study.best_trials == []  # the only complete one is beyond the budget


def test_a_store_that_was_not_opened_says_so(tmp_path):
    with pytest.raises(StoreError, match="is not open"):
        FolderStore(tmp_path / "search").begin(blank(0))


def test_opening_prints_nothing_and_leaves_optunas_own_voice(tmp_path, capfd):
    import logging

    before = logging.getLogger("optuna.storages.journal._storage").filters[:]
    store, _ = opened(tmp_path / "search")
    store.close()
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("optuna.storages.journal._storage").filters == before


def test_a_log_that_each_line_of_can_be_read_and_optuna_cannot_is_refused(three):
    with (three / "study.log").open("a") as log:
        log.write('{"op_code":99,"worker_id":"x"}\n')
    before = (three / "study.log").read_bytes()
    with pytest.raises(StoreError, match="cannot be read by the Optuna that is installed"):
        FolderStore(three).open(HEADER)
    assert (three / "study.log").read_bytes() == before


def test_a_line_that_another_process_left_half_is_cut_off_before_the_next_is_written(three):
    store, _ = opened(three)
    other, _ = opened(three)
    with (three / "study.log").open("ab") as log:
        log.write(b'{"op_code":4,"half')
    store.put(done(3, store.begin(blank(3))))
    assert [candidate.state for candidate in other.news()] == ["done"]
    other.put(done(4, other.begin(blank(4))))
    store.close()
    other.close()
    (torn,) = three.glob("study.log.torn-*")
    assert torn.read_bytes() == b'{"op_code":4,"half'
    assert len(kept_in(three)) == 5
