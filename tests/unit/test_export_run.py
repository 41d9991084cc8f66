"""One export end to end: order of durable steps, nothing twice, nothing half, raw untouched."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from fieldrec.camera.burnt_number import read_number
from fieldrec.core import durable
from fieldrec.core.errors import (
    EncoderFailed,
    FieldrecError,
    JobRefused,
    LockedError,
    NotFoundError,
    StateError,
    StoreDamaged,
    StoreFull,
    SyncFailed,
)
from fieldrec.core.model import Export, FrameSpec
from fieldrec.export.making import Progress
from fieldrec.export.presets import Preset, preset
from fieldrec.export.run import run_export
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.verify import file_digest
from tests.fakes.export_content import BGR, START_NS, moving, uneven_times, write_store
from tests.fakes.sidecar_content import told_by

HIGH = preset("High")
COUNT = 60


def export(store: Path, row: Preset = HIGH, stop: threading.Event | None = None,
           on_progress: Progress = lambda *_: None) -> Export:
    return run_export(store, row, output_folder=store.parent, stop=stop or threading.Event(),
                      on_progress=on_progress)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_store(tmp_path / "bees_20261121_060000", moving(COUNT))


@pytest.fixture
def hook() -> Iterator[Callable[[durable.Hook | None], None]]:
    yield durable.set_hook
    durable.set_hook(None)


def test_an_export_is_committed_with_its_sidecar(store: Path) -> None:
    raw = tree(store)
    told: list[tuple[str, int, int]] = []
    made = export(store, on_progress=lambda *step: told.append(step))
    assert sorted(path.name for path in store.parent.iterdir()) == [
        store.name, f"{store.name}.high.mp4", f"{store.name}.high.mp4.json"]
    assert (made.preset, made.frame_count) == ("High", COUNT)
    assert made.size_bytes == made.path.stat().st_size
    assert made.digest == file_digest(made.path, threading.Event())
    content = told_by(store.parent / f"{store.name}.high.mp4")
    assert content["frames"]["time_ns"] == uneven_times(COUNT).tolist()
    assert content["frames"]["number"] == [*range(4), *range(6, COUNT + 2)]
    assert content["recording"]["dropped"] == 2
    assert content["rules"]["times_moved"] == 0
    assert content["quality"]["psnr_min_db"] > HIGH.floor_db
    assert told == [*(("encoding", done + 1, COUNT) for done in range(COUNT)),
                    *(("joining", done + 1, COUNT) for done in range(COUNT)),
                    *(("verifying", done + 1, COUNT) for done in range(COUNT)),
                    ("committing", COUNT, COUNT)]
    assert tree(store) == raw


@pytest.mark.parametrize("spec", [
    FrameSpec((240, 320), "uint8", "MONO8", 60.0), FrameSpec((240, 320, 3), "uint8", "BGR8", 60.0),
    FrameSpec((241, 321), "uint16", "MONO16", 60.0)], ids=lambda spec: spec.pixel_format)
@pytest.mark.parametrize("name", ["High", "Low"])
def test_numbers_burnt_in_come_back_at_their_times(tmp_path: Path, spec: FrameSpec, name: str
                                                   ) -> None:
    store = write_store(tmp_path / "bees", moving(30, spec, numbered=True), spec)
    made = export(store, preset(name))
    with av.open(str(made.path)) as movie:
        found = [(read_number(picture.to_ndarray(format="gray")[:spec.shape[0], :spec.shape[1]]),
                  float(picture.pts * picture.time_base)) for picture in movie.decode(video=0)
                 if picture.pts is not None and picture.time_base is not None]
    assert [number for number, _ in found] == list(range(30))
    seconds = (uneven_times(30) - START_NS) / 1e9
    assert np.abs(np.array([at for _, at in found]) - seconds).max() < 0.000_02


def test_moved_times_are_reported_and_the_true_ones_kept(tmp_path: Path) -> None:
    times_ns = uneven_times(20)
    times_ns[7] = times_ns[6]
    made = export(write_store(tmp_path / "bees", moving(20), times_ns=times_ns))
    content = told_by(made.path)
    assert content["rules"]["times_moved"] == 1
    assert content["frames"]["time_ns"] == times_ns.tolist()


# --- never twice --------------------------------------------------------------------------------

def test_second_export_does_no_work(store: Path, hook: Callable[[durable.Hook | None], None]
                                    ) -> None:
    first = export(store)
    before = tree(store.parent)
    steps: list[str] = []
    hook(lambda step, _: steps.append(step))
    told: list[str] = []
    assert export(store, on_progress=lambda phase, *_: told.append(phase)) == first
    assert (steps, told) == ([], [])
    assert tree(store.parent) == before


def test_other_preset_is_another_export(store: Path) -> None:
    assert export(store).path != export(store, preset("Low")).path


@pytest.mark.parametrize("harm", ["no sidecar", "bad movie", "no movie"])
def test_an_export_that_is_not_whole_is_made_again(store: Path, harm: str) -> None:
    first = export(store)
    beside = first.path.with_name(first.path.name + ".json")
    if harm == "no sidecar":  # as after a power cut between rename and sidecar
        beside.unlink()
    elif harm == "bad movie":
        first.path.write_bytes(bytes(first.size_bytes))
    else:
        first.path.unlink()
    again = export(store)
    # not the first one's digest: x264 gives other bytes for the same frames now and then
    assert again.digest == file_digest(again.path, threading.Event())
    assert again.frame_count == first.frame_count
    assert again.verified_at_ns > first.verified_at_ns
    assert beside.exists()


# --- never half ---------------------------------------------------------------------------------

def test_order_of_durable_steps(store: Path, hook: Callable[[durable.Hook | None], None]) -> None:
    steps: list[tuple[str, str]] = []
    hook(lambda step, path: steps.append((step, path.name)))
    name = export(store).path.name
    kept = [step for at, step in enumerate(steps)
            if step[0] != "fsync_directory" and step not in steps[:at]]
    work, segment = f".work-{name}", f".part-000000000-{COUNT:09d}.segment"
    assert kept == [
        ("make_directory", work), ("unlink", "plan.json"),
        ("create", ".plan.json.tmp"), ("write", "plan.json"), ("fsync", "plan.json"),
        ("rename", ".plan.json.tmp"),
        ("unlink", segment), ("create", segment), ("write", segment), ("fsync", segment),
        ("rename", segment),
        ("create", f".part-{name}"), ("write", f".part-{name}"), ("fsync", f".part-{name}"),
        ("rename", f".part-{name}"), ("create", f".{name}.json.tmp"), ("write", f"{name}.json"),
        ("fsync", f"{name}.json"), ("rename", f".{name}.json.tmp"),
        ("rename", work), ("rmtree", f".trash-{work}")]


AT_LAST = ["rename", "fsync_directory", "rmtree", "fsync_directory"]
"""When the export is there, its working folder is removed."""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_durable_step_leaves_nothing_half(
        store: Path, hook: Callable[[durable.Hook | None], None], number: int) -> None:
    raw = tree(store)
    steps: list[str] = []
    hook(lambda step, _: steps.append(step))
    made = export(store)
    total, committed = len(steps), len(steps) - len(AT_LAST)
    assert steps[committed:] == AT_LAST
    for fail_at in range(total):
        hook(None)
        made.path.unlink(missing_ok=True)
        made.path.with_name(made.path.name + ".json").unlink(missing_ok=True)
        left = iter(range(fail_at))
        failed: list[str] = []

        def fail(step: str, path: Path, left: Iterator[int] = left, failed: list[str] = failed
                 ) -> None:
            if next(left, None) is None and not failed:
                failed.append(step)
                raise OSError(number, os.strerror(number))

        hook(fail)
        if fail_at >= committed:  # it is made all the same, and the next run tidies up
            again = export(store)
            assert again.frame_count == made.frame_count
            assert export(store) == again
            names = [path.name for path in store.parent.iterdir() if path.name.startswith(".")]
            assert names == [], (fail_at, steps[fail_at])
            continue
        with pytest.raises((StoreFull, SyncFailed, EncoderFailed)):
            export(store)
        assert failed
        names = [path.name for path in store.parent.iterdir()]
        assert names == [store.name], (fail_at, steps[fail_at])
        assert tree(store) == raw


@pytest.mark.parametrize(("phase", "frame"), [
    ("encoding", 1), ("encoding", 31), ("joining", 7), ("verifying", 1), ("verifying", 31)])
def test_stop_leaves_the_working_folder_only(store: Path, phase: str, frame: int) -> None:
    stop = threading.Event()

    def on_progress(now: str, done: int, total: int) -> None:
        if (now, done) == (phase, frame):
            stop.set()

    with pytest.raises(ExportStopped):
        export(store, stop=stop, on_progress=on_progress)
    assert sorted(path.name for path in store.parent.iterdir()) == [
        f".work-{store.name}.high.mp4", store.name]
    assert export(store).frame_count == COUNT
    assert len(list(store.parent.iterdir())) == 3


def test_a_bug_or_interrupt_leaves_nothing(store: Path) -> None:
    def on_progress(phase: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(store, on_progress=on_progress)
    assert [path.name for path in store.parent.iterdir()] == [store.name]


def test_what_a_dead_run_left_is_replaced(store: Path) -> None:
    (store.parent / f".part-{store.name}.high.mp4").write_bytes(b"half a movie")
    export(store)
    assert len(list(store.parent.iterdir())) == 3


def test_two_at_once_is_refused_and_harms_nothing(store: Path) -> None:
    part = store.parent / f".part-{store.name}.high.mp4"
    with part.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match="another process is making this export"):
            export(store)
    assert part.exists()


# --- refused ------------------------------------------------------------------------------------

def refused(error: type[FieldrecError], words: str, store: Path, row: Preset = HIGH) -> None:
    with pytest.raises(error, match=words) as caught:
        export(store, row)
    assert "\n" not in str(caught.value)
    assert not list(store.parent.glob("*.mp4*"))
    assert not list(store.parent.glob(".part-*"))


def test_a_store_being_written_is_refused(store: Path) -> None:
    (store / ".lock").touch()
    refused(StateError, "still being recorded or was cut off", store)


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    refused(JobRefused, "has no frames", write_store(tmp_path / "bees", []))


def test_a_damaged_raw_frame_is_left_out_and_named(store: Path) -> None:
    frame = sorted((store / "000001").glob("*.npy"))[3]
    content = bytearray(frame.read_bytes())
    content[-1] ^= 1
    frame.write_bytes(content)
    made = export(store)
    assert (made.frame_count, made.unreadable) == (COUNT - 1, 1)
    told = told_by(made.path)
    assert [(row["index"], row["number"]) for row in told["unreadable"]] == [(28, 30)]
    assert "000001/000003.npy: not what was recorded" in told["unreadable"][0]["reason"]
    kept = [*range(28), *range(29, COUNT)]
    assert told["frames"]["time_ns"] == uneven_times(COUNT)[kept].tolist()
    assert export(store) == made, "it is an export, and not made again"


def test_a_store_with_a_bad_index_is_not_exported_with_a_hole(store: Path) -> None:
    (store / "000001" / "index.npz").write_bytes(b"no zip")
    refused(StoreDamaged, "an export would lack frames: .*000001", store)


def test_a_missing_output_folder_is_said(store: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"exports: no such folder: create it"):
        run_export(store, HIGH, output_folder=tmp_path / "exports", stop=threading.Event(),
                   on_progress=lambda *_: None)


def test_an_unknown_pixel_format_is_refused(tmp_path: Path) -> None:
    spec = dataclasses.replace(BGR, pixel_format="YUV422")
    refused(JobRefused, "cannot export pixel format 'YUV422'",
            write_store(tmp_path / "bees", moving(3, BGR), spec))


def test_too_little_room_is_refused_with_the_numbers(store: Path) -> None:
    refused(StoreFull, r"needs at least 14400004\.0 MB and .* MB are free", store,
            dataclasses.replace(HIGH, typical_bits_per_pixel=1e8))


def test_a_preset_that_the_encoder_does_not_know_is_one_line(store: Path) -> None:
    refused(EncoderFailed, "libx264: .*nosuchspeed", store,
            dataclasses.replace(HIGH, speed="nosuchspeed"))


def test_no_export_of_a_movie_below_the_floor(store: Path) -> None:
    refused(FieldrecError, "frame 0: luma PSNR .* dB is under the 90 dB", store,
            dataclasses.replace(HIGH, floor_db=90.0))
