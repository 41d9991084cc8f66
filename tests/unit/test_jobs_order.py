"""Which job goes first, what a job waits for, and that nothing starves."""

from __future__ import annotations

import dataclasses
import itertools
import random
from typing import Any

import pytest

from fieldrec.core.model import Job, JobKind, JobState
from fieldrec.jobs.admission import Wait
from fieldrec.jobs.order import (
    AGING_JOBS,
    DELETION,
    PROCESSOR,
    Arrangement,
    arrange,
    behind,
    may_go_on,
    rank,
    resources,
)
from tests.unit.test_jobs_admission import job

K = JobKind


def numbered(number: int, kind: JobKind, uuid: str = "", to: str | None = "nas", **more: Any
             ) -> Job:
    if kind in (K.EXPORT, K.DELETE, K.DELETE_RAW) and to == "nas":
        to = None
    return dataclasses.replace(job(kind), id=number, item=f"r{number}", destination=to,
                               item_uuid=uuid or f"u{number}", **more)


def held(one: Job) -> Job:
    return dataclasses.replace(one, state=JobState.WAITING)


def started(found: Arrangement) -> list[int]:
    return [one.id for one in found.start]


def ask(admitted: list[Job], running: list[Job] = [], **more: Any) -> Arrangement:  # noqa: B006
    return arrange(admitted, running, [*admitted, *running], **more)


# -- resources -------------------------------------------------------------------------------------


def test_what_each_kind_has_for_itself() -> None:
    assert {kind: resources(numbered(1, kind)) for kind in K} == {
        K.EXPORT: {PROCESSOR}, K.COPY: {"nas"}, K.MOVE: {"nas"},
        K.UPLOAD: {"nas"}, K.DELETE: {DELETION}, K.DELETE_RAW: {DELETION}}
    assert resources(numbered(1, K.EXPORT, to="usb")) == {PROCESSOR, "usb"}
    proof = numbered(1, K.DELETE_RAW, to="usb")
    assert resources(proof) == {DELETION, "usb"}
    assert resources(proof, space_short=True) == {DELETION}


def test_one_job_at_a_time_on_each_and_all_of_them_at_once() -> None:
    jobs = [numbered(1, K.COPY), numbered(2, K.COPY), numbered(3, K.COPY, to="drive:A"),
            numbered(4, K.MOVE, to="drive:A"), numbered(5, K.EXPORT), numbered(6, K.EXPORT),
            numbered(7, K.DELETE), numbered(8, K.DELETE_RAW)]
    found = ask(jobs)
    assert started(found) == [7, 1, 3, 5]
    assert {number: wait.reason for number, wait in found.waits.items()} == {
        2: "copy of r1 to the same destination (job 1)",
        4: "copy of r3 to the same drive (job 3)",
        6: "export of r5 goes first (job 5)",
        8: "deletion of r7 goes first (job 7)"}
    assert ask(jobs[1:2], jobs[:1]).waits[2] == found.waits[2]


def test_one_that_was_started_just_now_has_its_place() -> None:
    waited = [held(numbered(1, K.COPY)), held(numbered(2, K.COPY))]  # both waited till now
    assert started(ask(waited)) == [1]


# -- first, then by age ----------------------------------------------------------------------------


def test_deletes_go_first_then_what_the_operator_put_first_then_the_oldest() -> None:
    jobs = [numbered(1, K.COPY), numbered(2, K.COPY), numbered(3, K.COPY, first=1),
            numbered(4, K.COPY, first=2)]
    assert [one.id for one in sorted(jobs, key=rank)] == [4, 3, 1, 2]
    deletions = [numbered(1, K.DELETE_RAW), numbered(2, K.DELETE), numbered(3, K.DELETE, first=1)]
    assert [one.id for one in sorted(deletions, key=rank)] == [3, 2, 1]


def test_deletions_go_before_all_while_space_is_short() -> None:
    copy = numbered(1, K.COPY, to="usb", first=1)
    proof = numbered(2, K.DELETE_RAW, to="usb")
    assert started(ask([copy, proof])) == [1]
    assert ask([copy, proof]).waits[2] == Wait("copy of r1 to the same destination (job 1)")
    assert started(ask([copy, proof], space_short=True)) == [2, 1]
    assert started(ask([proof], [copy], space_short=True)) == [2]  # a copy under way goes on


def test_offload_goes_before_an_export_to_the_same_place() -> None:
    export, copy = numbered(1, K.EXPORT, to="usb"), numbered(2, K.COPY, to="usb")
    assert started(ask([export, copy])) == [2]
    late = numbered(2 + AGING_JOBS, K.COPY, to="usb")
    assert started(ask([export, late])) == [1]  # but not for ever


BESIDE = {(K.COPY, K.COPY), (K.COPY, K.UPLOAD), (K.UPLOAD, K.COPY), (K.UPLOAD, K.UPLOAD),
          (K.EXPORT, K.UPLOAD), (K.UPLOAD, K.EXPORT), (K.UPLOAD, K.DELETE_RAW)}
"""(what runs, what may begin): both only read, or, of the last, it finds out itself."""


# -- on one recording ------------------------------------------------------------------------------


def test_never_two_jobs_on_one_recording() -> None:
    for kind, other in itertools.product(K, K):
        running = numbered(1, kind, "same", to="a")
        waiting = numbered(2, other, "same", to="b")
        may = started(ask([waiting], [running])) == [2]
        assert may is ((kind, other) in BESIDE), (kind, other)
        assert started(ask([dataclasses.replace(waiting, item_uuid="else")], [running])) == (
            [] if resources(running) & resources(waiting) else [2])


def test_a_copy_does_not_wait_for_an_export_that_is_held() -> None:
    export = numbered(1, K.EXPORT, "same")
    assert behind(numbered(2, K.COPY, "same"), [held(export)], [], []) is None
    assert behind(numbered(2, K.MOVE, "same"), [held(export)], [], []) is not None
    assert behind(numbered(2, K.DELETE, "same"), [held(export)], [], []) is not None
    running = dataclasses.replace(export, state=JobState.RUNNING)
    assert behind(numbered(2, K.COPY, "same"), [running], [], []) is not None
    takes_the_raw = dataclasses.replace(held(export), delete_source=True)
    assert behind(numbered(2, K.COPY, "same"), [takes_the_raw], [], []) is not None


def test_an_export_waits_for_offload_of_its_recording_alone() -> None:
    export, copy = numbered(1, K.EXPORT, "same"), numbered(2, K.COPY, "same")
    assert behind(export, [], [copy], [copy]) == Wait("job 2 (copy) goes first")
    assert behind(export, [], [], [copy]) is None  # that one may not run
    assert behind(export, [], [numbered(2, K.COPY)], []) is None
    assert started(ask([export, copy])) == [2]
    asked_for = dataclasses.replace(export, first=1)
    assert started(ask([asked_for, copy])) == [1]


def test_a_move_waits_for_older_exports_of_its_recording_only() -> None:
    export = numbered(1, K.EXPORT, "same")
    assert behind(numbered(2, K.MOVE, "same"), [], [], [export]) == Wait(
        "job 1 exports this recording first")
    assert behind(numbered(2, K.MOVE, "other"), [], [], [export]) is None
    younger = numbered(3, K.EXPORT, "same")
    assert behind(numbered(2, K.MOVE, "same"), [], [], [younger]) is None
    assert behind(numbered(2, K.COPY, "same"), [], [], [export]) is None
    assert started(ask([export, numbered(2, K.MOVE, "same")])) == [1]


def test_raw_is_deleted_when_nothing_else_needs_it() -> None:
    raw = numbered(3, K.DELETE_RAW, "same")
    for number, kind in ((1, K.EXPORT), (4, K.COPY), (5, K.MOVE)):
        assert behind(raw, [], [], [numbered(number, kind, "same")]) == Wait(
            f"job {number} ({kind.value}) needs the raw first")
        assert behind(raw, [], [], [numbered(number, kind, "other")]) is None
    assert behind(raw, [], [], [numbered(4, K.DELETE_RAW, "same")]) is None


# -- held jobs -------------------------------------------------------------------------------------


def test_an_export_that_is_held_makes_way_for_one_that_may_run() -> None:
    paused, other = held(numbered(1, K.EXPORT)), numbered(2, K.EXPORT)
    found = ask([other], [paused])
    assert (started(found), [one.id for one in found.make_way]) == ([], [1])
    assert found.waits[2] == Wait("export of r1 makes way (job 1)")
    running = dataclasses.replace(paused, state=JobState.RUNNING)
    assert ask([other], [running]).make_way == ()
    busy = numbered(3, K.COPY, "u2")  # the other one could not run all the same
    assert ask([other], [paused, busy]).make_way == ()


def test_a_deletion_does_not_wait_for_an_export_of_what_it_deletes() -> None:
    paused = held(numbered(1, K.EXPORT, "same"))
    for kind in (K.DELETE, K.MOVE, K.DELETE_RAW):
        way = ask([numbered(2, kind, "same")], [paused]).make_way
        assert bool(way) is (kind is K.DELETE)


def test_an_export_that_is_held_leaves_its_drive_to_others_meanwhile() -> None:
    export, copy = numbered(1, K.EXPORT, to="usb"), numbered(2, K.COPY, to="usb")
    assert started(ask([copy], [held(export)])) == [2]
    assert may_go_on(held(export), []) is None
    assert may_go_on(held(export), [copy]) == Wait("copy of r2 to the same destination (job 2)")


# -- all of it -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_queued_no_two_collide_and_every_job_comes_to_its_end(seed: int) -> None:
    chosen = random.Random(seed)
    places, uuids = ["a", "b", "drive:C"], [f"u{n}" for n in range(chosen.randint(1, 6))]

    def any_job(number: int) -> Job:
        kind = chosen.choice(list(K))
        elsewhere = kind in (K.COPY, K.MOVE, K.UPLOAD) or chosen.random() < 0.3
        to = chosen.choice(places) if elsewhere else None
        return numbered(number, kind, chosen.choice(uuids), to=to,
                        first=chosen.choice([0, 0, 0, number]))

    waiting = [any_job(number) for number in range(1, 25)]
    running: list[Job] = []
    rounds = 0
    while waiting or running:
        rounds += 1
        assert rounds < 200, f"left: {waiting}"
        short = chosen.random() < 0.3
        found = arrange(waiting, running, [*waiting, *running], space_short=short)
        assert {one.id for one in found.start} | found.waits.keys() == {j.id for j in waiting}
        assert all(wait.reason for wait in found.waits.values())
        before = len(running)
        running += [dataclasses.replace(one, state=JobState.RUNNING) for one in found.start]
        waiting = [one for one in waiting if one.id in found.waits]
        for one, other in itertools.combinations(running, 2):
            new = running.index(other) >= before
            if new:
                assert not resources(one, space_short=short) & resources(other, space_short=short)
            if one.item_uuid == other.item_uuid:
                assert (one.kind, other.kind) in BESIDE, (one, other)
        assert running, f"nothing runs: {found.waits}"
        running.pop(chosen.randrange(len(running)))


def test_an_export_is_not_starved_by_offload_that_never_ends() -> None:
    export = numbered(1, K.EXPORT, to="usb")
    for number in itertools.count(2):
        copies = [numbered(number, K.COPY, to="usb"), numbered(number + 1, K.COPY, to="usb")]
        if started(ask([export, *copies])) == [1]:
            break
        assert number <= AGING_JOBS + 2


# -- uploads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [K.MOVE, K.DELETE])
def test_an_upload_makes_way_for_what_takes_its_recording_away(kind: JobKind) -> None:
    upload = numbered(1, K.UPLOAD, "same", to="loopy", state=JobState.RUNNING)
    takes = numbered(2, kind, "same", to="drive:A")
    found = ask([takes], [upload])
    assert (found.start, found.make_way) == ((), (upload,))
    stopped = dataclasses.replace(upload, state=JobState.QUEUED)
    found = ask([stopped, takes])  # though it is older: else it would begin again and again
    assert started(found) == [2]
    assert found.waits[1].reason.startswith(f"job 2 ({kind.value}) ")
    elsewhere = dataclasses.replace(takes, item_uuid="other")
    assert ask([elsewhere], [upload]).make_way == ()


def test_raw_does_not_wait_for_an_upload_that_waits_for_a_network() -> None:
    upload, raw = numbered(1, K.UPLOAD, "same", to="loopy"), numbered(2, K.DELETE_RAW, "same")
    assert started(arrange([raw], [], [upload, raw])) == [2]
    assert started(ask([upload], [raw])) == []


def test_an_export_waits_for_no_upload_nor_one_that_deletes_for_it() -> None:
    upload, export = numbered(1, K.UPLOAD, "same", to="loopy"), numbered(2, K.EXPORT, "same")
    assert started(ask([upload, export])) == [1, 2]
    deletes = dataclasses.replace(export, delete_source=True)
    assert started(ask([deletes], [upload])) == []
    assert started(ask([upload], [deletes])) == []
