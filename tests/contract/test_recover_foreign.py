"""Stores that the real imgstore left in a crash: recovered, and read again by the real imgstore."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.core.errors import LockedError
from fieldrec.store.reader import StoreReader
from fieldrec.store.recover import recover
from fieldrec.store.recovery.note import read_entries
from tests.fakes.kills import killed_at

imgstore = pytest.importorskip("imgstore", reason="the imgstore package is the oracle")

pytestmark = pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")  # imgstore's own

CHUNKSIZE = 10
PERIOD_S = 0.04
START_S = 1_700_000_000.5
WRITER = """
import os, signal, sys
import imgstore, numpy as np
form, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
size = (120, 160, 3) if "/" in form else (24, 32)
store = imgstore.new_for_format(form, path, imgshape=size, imgdtype="uint8", chunksize=10,
                                metadata={"genotype": "wt"})
for at in range(count):
    pixels = np.random.default_rng(at).integers(0, 255, size, np.uint8)
    store.add_image(pixels, 100 + 2 * at, 1_700_000_000.5 + at * 0.04)
    store.add_extra_data(temperature=at / 4, note="x" * 300)
print("written", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


Written = Callable[[str, int], Path]


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A store that imgstore wrote in a process of its own, which was killed in the end."""
    known: dict[tuple[str, int], Path] = {}

    def make(form: str, count: int) -> Path:
        if (form, count) not in known:
            path = tmp_path_factory.mktemp("killed") / "s"
            ran = subprocess.run([sys.executable, "-c", WRITER, form, str(path), str(count)],
                                 capture_output=True, text=True, check=False)
            assert ran.returncode == -signal.SIGKILL, ran.stderr
            known[form, count] = path
        return known[form, count]

    return make


@pytest.fixture
def written(_made: Written, tmp_path: Path) -> Written:
    """The same as a copy of one's own, with the times of its files."""

    def copy(form: str, count: int) -> Path:
        return Path(shutil.copytree(_made(form, count), tmp_path / "s"))

    return copy


def pixels(at: int, shape: tuple[int, ...] = (24, 32)) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(at).integers(0, 255, shape, np.uint8)


def later() -> float:
    """Long after whatever was written."""
    return 4_000_000_000.0


def read_by_imgstore(path: Path) -> tuple[list[int], list[float], list[Any]]:
    """(numbers, times, pixels) of every frame, sequentially, up to what imgstore takes for the end;
    each one also by its index."""
    store = imgstore.new_for_filename(str(path))
    try:
        frames = []
        while True:
            try:
                frames.append(store.get_next_image())
            except EOFError:
                break
        assert len(frames) == store.frame_count
        for index in (0, len(frames) // 2, len(frames) - 1):
            image, (number, _) = store.get_image(None, frame_index=index)
            assert number == frames[index][1][0]
            assert np.array_equal(image, frames[index][0])
        return ([number for _, (number, _) in frames], [at for _, (_, at) in frames],
                [image for image, _ in frames])
    finally:
        store.close()


def assert_right(path: Path, kept: list[int]) -> None:
    """imgstore and fieldrec find these frames, with the numbers and times that they had."""
    numbers, times, images = read_by_imgstore(path)
    assert numbers == [100 + 2 * at for at in kept]
    assert np.abs(np.array(times) - [START_S + at * PERIOD_S for at in kept]).max() < 2e-6
    for at, image in zip(kept, images, strict=True):
        assert np.array_equal(image, pixels(at))
    with StoreReader(path) as reader:
        assert reader.problems == ()
        assert [stored.number for stored in reader] == numbers


def estimated_in(path: Path, chunk: str) -> list[str]:
    """The marks of estimated values in a chunk's index."""
    with np.load(path / chunk / "index.npz", allow_pickle=False) as index:
        return sorted(name for name in index.files if name.endswith("_estimated"))


@pytest.mark.parametrize("form", ["npy", "png", "bmp", "tif"])
@pytest.mark.parametrize("count", [7, 10, 25])
def test_a_killed_writer_costs_no_frame(written: Written, form: str, count: int) -> None:
    path = written(form, count)
    recovered = recover(path, now=later)
    assert recovered.frames_kept == count
    assert recovered.frames_damaged == 0
    numbers, _, images = read_by_imgstore(path)
    known = count // CHUNKSIZE * CHUNKSIZE
    assert numbers[:known] == [100 + 2 * at for at in range(known)]
    for at, image in enumerate(images):
        assert np.array_equal(image, pixels(at))
    if known:
        assert numbers == [100 + 2 * at for at in range(count)]
    else:
        assert numbers == list(range(count))  # nothing tells where they began
    assert recover(path, now=later).note == "was complete already"


def test_times_go_on_as_before_and_are_marked(written: Written) -> None:
    path = written("npy", 25)
    recover(path, now=later)
    assert_right(path, list(range(25)))
    assert estimated_in(path, "000002") == ["frame_number_estimated", "frame_time_estimated"]
    assert estimated_in(path, "000001") == []
    entry, = read_entries(path)
    estimate, = entry.estimated
    assert (estimate.chunk, estimate.frames) == ("000002", 5)
    assert estimate.numbers == "going on from 138 by 2"
    assert "40 ms" in estimate.times
    assert (entry.frames_kept, entry.frames_damaged, entry.chunks_repaired) == (25, 0, ["000002"])


def test_the_times_of_the_files_count_where_they_fit(written: Written) -> None:
    path = written("npy", 16)
    moments = [START_S + at * PERIOD_S + 0.003 * (at % 3) for at in range(16)]
    for at, moment in enumerate(moments):
        file = path / f"{at // 10:06d}" / f"{at % 10:06d}.npy"
        os.utime(file, ns=(0, round((moment + 0.2) * 1e9)))  # written 0.2 s later, by and large
    recover(path, now=later)
    _, times, _ = read_by_imgstore(path)
    assert np.abs(np.array(times[10:]) - moments[10:]).max() < 0.01
    assert "files were written" in read_entries(path)[0].estimated[0].times


def test_extra_data_is_closed(written: Written) -> None:
    path = written("npy", 120)  # more than Python buffers
    with pytest.raises(json.JSONDecodeError):
        imgstore.new_for_filename(str(path)).get_extra_data()
    recover(path, now=later)
    table = imgstore.new_for_filename(str(path)).get_extra_data()
    assert len(table) >= 110
    assert table["temperature"].tolist() == [at / 4 for at in range(len(table))]


def test_a_list_cut_within_a_record_keeps_those_before_it(written: Written) -> None:
    path = written("npy", 15)
    whole = [{"temperature": at, "frame_time": 1.0, "frame_number": at, "frame_index": at}
             for at in range(3)]
    (path / "000001" / "index.extra.json").write_text(json.dumps(whole)[:-20])
    recover(path, now=later)
    table = imgstore.new_for_filename(str(path)).get_extra_data()
    assert table["temperature"].tolist()[-2:] == [0, 1]
    assert "2 records kept" in "; ".join(read_entries(path)[0].notes)


@pytest.mark.parametrize("form", ["npy", "png"])
@pytest.mark.parametrize("left", [0, 1, 60, 0.5, 0.99])
def test_a_torn_last_frame_is_put_aside(written: Written, form: str, left: float) -> None:
    path = written(form, 15)
    last = path / "000001" / f"000004.{form}"
    size = last.stat().st_size
    os.truncate(last, int(left if left in (0, 1, 60) else size * left))
    recovered = recover(path, now=later)
    assert (recovered.frames_kept, recovered.frames_damaged) == (14, 1)
    assert_right(path, list(range(14)))
    assert (path / f"000001.000004.{form}.damaged").exists()
    assert "put aside" in recovered.note


def test_a_torn_frame_in_the_middle_leaves_no_hole(written: Written) -> None:
    path = written("npy", 18)
    os.truncate(path / "000001" / "000002.npy", 200)
    (path / "000001" / "000005.npy").unlink()
    recovered = recover(path, now=later)
    assert recovered.frames_kept == 16
    assert_right(path, [at for at in range(18) if at not in (12, 15)])


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "garbage": lambda _: b"garbage" * 30,
    "zeros": lambda data: bytes(len(data)),
    "cut to its first members": lambda data: data[:900],
    "cut within the numbers": lambda data: data[:200],
    "a bit flipped in the times": lambda data: _flipped(data, b"frame_time.npy", 160),
    "no table of contents": lambda data: data[:-400],
}


def _flipped(data: bytes, after: bytes, offset: int) -> bytes:
    spoilt = bytearray(data)
    spoilt[data.find(after) + offset] ^= 4
    return bytes(spoilt)


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
@pytest.mark.parametrize("chunk", ["000000", "000001", "000002"])
def test_a_spoilt_index_is_made_again(written: Written, chunk: str,
                                      spoil: Callable[[bytes], bytes]) -> None:
    """What makes the whole store unopenable for imgstore costs nothing."""
    path = written("npy", 25)
    if chunk == "000002":
        shutil.copy(path / "000001" / "index.npz", path / "000002" / "index.npz")
    index = path / chunk / "index.npz"
    index.write_bytes(spoil(index.read_bytes()))
    with pytest.raises(Exception):  # noqa: B017 - imgstore raises what numpy and zipfile do
        imgstore.new_for_filename(str(path))
    recovered = recover(path, now=later)
    assert recovered.frames_kept == 25
    numbers, _, images = read_by_imgstore(path)
    for at, image in enumerate(images):
        assert np.array_equal(image, pixels(at))
    if chunk == "000002" and numbers[20:] != [100 + 2 * at for at in range(20, 25)]:
        assert numbers[20:] == [120, 122, 124, 126, 128]  # what the copied index says
    else:
        assert_right(path, list(range(25)))


def test_what_a_cut_index_still_tells_is_not_estimated(written: Written) -> None:
    path = written("npy", 25)
    index = path / "000001" / "index.npz"
    whole = index.read_bytes()
    index.write_bytes(whole[:900])
    recover(path, now=later)
    assert estimated_in(path, "000001") == []
    index.write_bytes(_flipped(whole, b"frame_time.npy", 160))
    (path / ".lock").touch()
    recover(path, now=later)
    assert estimated_in(path, "000001") == ["frame_time_estimated"]


@pytest.mark.parametrize("damage", [
    lambda at: (at / "000001" / "index.npz").unlink(),
    lambda at: shutil.rmtree(at / "000001"),
    lambda at: [file.write_bytes(b"") for file in (at / "000001").iterdir()],
], ids=["no index", "no directory", "nothing but empty files"])
def test_the_middle_of_a_store_ends_no_reading(written: Written,
                                               damage: Callable[[Path], object]) -> None:
    path = written("npy", 35)
    damage(path)
    recover(path, now=later)
    numbers, _, images = read_by_imgstore(path)
    gone = range(10, 20) if len(numbers) == 25 else range(0)
    kept = [at for at in range(35) if at not in gone]
    assert_right(path, kept)
    assert len(images) == len(kept)
    if gone:
        assert "000002 … 000003 are now called 000001 … 000002" in "; ".join(
            read_entries(path)[0].notes)


def test_extra_data_of_the_last_frame_goes_with_it(written: Written) -> None:
    """imgstore puts it into the next chunk's file, which has no frame when it was killed then."""
    path = written("npy", 20)
    recover(path, now=later)
    assert_right(path, list(range(20)))
    table = imgstore.new_for_filename(str(path)).get_extra_data()
    assert len(table) >= 18


def test_unreadable_metadata_is_made_again_from_an_index(written: Written) -> None:
    path = written("png", 25)
    metadata = path / "metadata.yaml"
    whole = metadata.read_text()
    metadata.write_text(whole[:120])
    before = imgstore_metadata(whole)
    recover(path, now=later)
    assert_right(path, list(range(25)))
    assert imgstore_metadata(metadata.read_text()) == before
    assert (path / "metadata.yaml.broken").read_text() == whole[:120]
    assert "user metadata: none could be read" in read_entries(path)[0].notes


def imgstore_metadata(text: str) -> Any:
    import yaml
    return yaml.safe_load(text)["__store"]


def pictures(path: Path) -> list[Any]:
    import cv2
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(read[1])
    capture.release()
    return found


def test_a_killed_video_is_ended(written: Written) -> None:
    path = written("mjpeg/avi", 60)
    truth = [image for chunk in range(6) for image in pictures(path / f"{chunk:06d}.avi")]
    os.truncate(path / "000005.avi", (path / "000005.avi").stat().st_size * 2 // 3)
    (path / "000005.npz").unlink()
    (path / "000006.avi").unlink()
    recovered = recover(path, now=later)
    numbers, times, images = read_by_imgstore(path)
    assert 55 < len(numbers) == recovered.frames_kept < 60
    assert numbers == [100 + 2 * at for at in range(len(numbers))]
    assert np.abs(np.diff(times) - PERIOD_S).max() < 1e-6
    for at, image in enumerate(images):
        assert np.array_equal(image, truth[at])
    assert "written anew" in recovered.note
    with StoreReader(path) as reader:
        assert reader.problems == ()
        assert len(list(reader)) == len(numbers)


def test_a_video_without_any_picture_is_put_aside(written: Written) -> None:
    path = written("mjpeg/avi", 33)
    (path / "000003.avi").write_bytes(b"RIFF")
    recovered = recover(path, now=later)
    assert recovered.frames_kept == 30
    assert (path / "000003.avi.damaged").exists()
    assert len(read_by_imgstore(path)[0]) == 30


# --- killed while recovering ----------------------------------------------------------------------


def ruin(path: Path) -> None:
    """Cut metadata, a garbled index, a chunk that is gone, holes and torn frames, an open chunk."""
    metadata = path / "metadata.yaml"
    metadata.write_text(metadata.read_text()[:100])
    (path / "000001" / "index.npz").write_bytes(b"garbage")
    shutil.rmtree(path / "000002")
    os.truncate(path / "000001" / "000003.npy", 130)
    (path / "000003" / "000000.npy").unlink()
    (path / "000003" / "index.npz").unlink()
    os.truncate(path / "000004" / "000004.npy", 0)


@pytest.mark.slow
def test_killed_at_any_step_and_run_again_it_gives_the_same_store(written: Written,
                                                                  memory_path: Path) -> None:
    path = written("npy", 45)
    ruin(path)
    expected = Path(shutil.copytree(path, memory_path / "expected"))
    recovered = recover(expected, now=later)
    assert (recovered.frames_kept, recovered.frames_damaged) == (32, 3)
    wanted = contents(expected)
    assert_right(expected, [at for at in range(45) if at not in (13, *range(20, 31), 44)])
    entry, = read_entries(expected)
    assert entry.chunks_repaired == ["000001", "000003", "000004"]
    step = 0
    while True:
        again = Path(shutil.copytree(path, memory_path / f"s{step}"))
        killed = killed_at(step, lambda again=again: recover(again, now=later))  # type: ignore[misc]
        recover(again, now=later)
        found = contents(again)
        notes, wanted_notes = (json.loads(store.pop("recovered.json")) for store in (
            found, dict(wanted)))
        assert found == {name: data for name, data in wanted.items() if name != "recovered.json"}
        for key in ("frames_kept", "frames_damaged", "chunks_repaired", "estimated"):
            assert [note[key] for note in notes] == [note[key] for note in wanted_notes], key
        shutil.rmtree(again)
        if not killed:
            break
        step += 1
    assert step > 40


# --- who writes it still --------------------------------------------------------------------------

def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    program = WRITER.replace("os.kill(os.getpid(), signal.SIGKILL)", "sys.stdin.read()")
    with subprocess.Popen([sys.executable, "-c", program, "npy", str(tmp_path / "s"), "15"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        before = contents(tmp_path / "s")
        with pytest.raises(LockedError, match=rf"process {writer.pid} \(python.* has 000001/index"):
            recover(tmp_path / "s", now=later)
        assert contents(tmp_path / "s") == before
        writer.kill()
    assert recover(tmp_path / "s", now=later).frames_kept == 15


def test_what_was_written_just_now_may_go_on(written: Written) -> None:
    path = written("npy", 15)
    for file in path.rglob("*"):  # a busy machine may have taken its time
        os.utime(file)
    with pytest.raises(LockedError, match=r"changed \d+ s ago.*--force"):
        recover(path)
    assert recover(path, force=True).frames_kept == 15


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes()
            for file in sorted(path.rglob("*")) if file.is_file()}
