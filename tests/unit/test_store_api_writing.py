"""Writing through imgstore's interface: what cannot be stored is refused before it does harm, and
the store is complete however it is left."""

from __future__ import annotations

import datetime
import errno
import gc
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest
import yaml

import fieldrec.store as store_api
from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError, StoreError
from fieldrec.store.api.base_store import ImgStore
from fieldrec.store.api.store_writing import close_forgotten
from fieldrec.store.recover import recover
from tests.fakes.small_stores import contents
from tests.fakes.waiting import PATIENCE_S

SHAPE = (6, 8)
pytestmark = pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")


def picture(number: int, shape: tuple[int, ...] = SHAPE, dtype: str = "uint8") -> Any:
    return np.random.default_rng(number).integers(0, 255, shape).astype(dtype)


def begin(path: Path, form: str = "npy", **keywords: Any) -> Any:
    keywords = {"imgshape": SHAPE, "chunksize": 4, **keywords}
    return store_api.new_for_format(form, path, **keywords)


def fill(store: Any, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        store.add_image(picture(number), number, 1000.0 + number)


def assert_complete(path: Path, numbers: list[int], picture_of: Callable[[int], Any] = picture
                    ) -> None:
    """By the real imgstore: these frames, and nothing that tells of a crash."""
    assert not (path / ".lock").exists()
    oracle = imgstore.new_for_filename(str(path))
    assert oracle.get_frame_metadata()["frame_number"] == numbers
    for number in numbers:
        image, (told, _) = oracle.get_next_image()
        assert told == number
        assert np.array_equal(image, picture_of(number))
    with pytest.raises(EOFError):
        oracle.get_next_image()
    oracle.close()


# --- what is refused -----------------------------------------------------------------------------

REFUSED: list[tuple[Any, Any, type[Exception]]] = [
    (None, 1.0, TypeError), ("7", 1.0, TypeError), ([7], 1.0, TypeError), (7, None, TypeError),
    (7, "1.0", TypeError), (7, datetime.datetime.now(), TypeError), (7, [1.0], TypeError),
    (b"7", 1.0, TypeError), (7, True, TypeError), (float("nan"), 1.0, TypeError),
    (7.5, 1.0, ValueError), (2 ** 63, 1.0, ValueError), (-2 ** 63 - 1, 1.0, ValueError),
    (float("inf"), 1.0, ValueError), (7, float("nan"), ValueError), (7, 1e11, ValueError),
    (7, -float("inf"), ValueError)]


def test_a_number_or_time_that_is_none_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    store = begin(tmp_path / "s")
    fill(store, 2)
    before = contents(tmp_path / "s")
    for number, time_s, kind in REFUSED:
        with pytest.raises(kind) as raised:
            store.add_image(picture(7), number, time_s)
        assert isinstance(raised.value, FieldrecError)
        assert contents(tmp_path / "s") == before
        assert store.frame_count == 2
    fill(store, 3, first=2)
    store.close()
    assert_complete(tmp_path / "s", [0, 1, 2, 3, 4])


def test_numbers_of_any_kind_are_stored_as_integers(tmp_path: Path) -> None:
    kinds = [3, 4.0, np.int64(5), np.uint8(6), np.float32(7), np.array(8)]
    with begin(tmp_path / "s") as store:
        for at, number in enumerate(kinds, 3):
            store.add_image(picture(at), number, 1.0)
            assert store.frame_number == number
            assert store.frame_max == float(at)
    assert_complete(tmp_path / "s", [3, 4, 5, 6, 7, 8])


TIMES: list[Any] = [
    0.1, 1e-9, 1.0 + 2 ** -52, -3.7, 1_795_000_000.1234567, 1_795_000_000.1234569, 0, 5e8 + 0.3,
    np.float32(0.1), np.float64(2.5e-7), np.int64(12), 1_234_567_890.000_000_119_2]


def test_times_come_back_to_the_last_bit(tmp_path: Path) -> None:
    with begin(tmp_path / "s") as store:
        for number, time_s in enumerate(TIMES):
            store.add_image(picture(number), number, time_s)
    for library in (store_api, imgstore):
        with library.new_for_filename(str(tmp_path / "s")) as read:
            assert read.get_frame_metadata()["frame_time"] == [float(time_s) for time_s in TIMES]


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    images: list[Any] = [None, "x", object(), [[None]], np.array([["a"]])]
    with begin(tmp_path / "s") as store:
        for image in images:
            with pytest.raises(TypeError):
                store.add_image(image, 1, 1.0)
        fill(store, 2)
    assert_complete(tmp_path / "s", [0, 1])


def test_images_of_any_memory(tmp_path: Path) -> None:
    wide = np.repeat(picture(1), 2, axis=1)
    images = [wide[:, ::2], np.asfortranarray(picture(1)), picture(1).tolist(),
              np.lib.stride_tricks.as_strided(picture(1)), picture(1).astype(">u2").astype("u1")]
    with begin(tmp_path / "s") as store:
        for number, image in enumerate(images):
            store.add_image(image, number, 1.0)
    with imgstore.new_for_filename(str(tmp_path / "s")) as oracle:
        for _ in images:
            assert np.array_equal(oracle.get_next_image()[0], picture(1))


@pytest.mark.parametrize("image", [picture(1, (4, 4)), picture(1, (6, 8, 3)), picture(1, SHAPE,
                                                                                      "float64")])
def test_npy_takes_other_shapes_and_types_as_imgstore_does(tmp_path: Path, image: Any) -> None:
    with begin(tmp_path / "s") as store:
        fill(store, 1)
        store.add_image(image, 1, 1.0)
        fill(store, 3, first=2)
    for library in (store_api, imgstore):
        with library.new_for_filename(str(tmp_path / "s")) as read:
            found, _ = read.get_image(1)
            assert found.dtype == image.dtype
            assert np.array_equal(found, image)
            assert np.array_equal(read.get_next_image()[0], picture(2))


@pytest.mark.parametrize(("form", "image"), [
    ("png", picture(1, SHAPE, "float32")), ("jpg", picture(1, SHAPE, "uint16")),
    ("bmp", picture(1, SHAPE, "int64")), ("png", picture(1, (6, 8, 2))), ("png", np.zeros((0, 3)))])
def test_what_a_format_cannot_hold_is_refused(tmp_path: Path, form: str, image: Any) -> None:
    with begin(tmp_path / "s", form) as store:
        fill(store, 1)
        with pytest.raises(ValueError, match=f"{form} cannot hold") as raised:
            store.add_image(image, 1, 1.0)
        assert isinstance(raised.value, StoreError)
        assert store.frame_count == 1
        fill(store, 3, first=1)
        assert store.frame_count == 4


# --- where there is something already ------------------------------------------------------------

@pytest.mark.parametrize("form", ["npy", "mjpeg/avi"])
@pytest.mark.parametrize("way", [
    lambda path, **kw: store_api.new_for_format(kw["format"], path, **kw),
    lambda path, **kw: store_api.new_for_filename(path, mode="w", **kw)], ids=["new", "reopen"])
def test_a_store_is_never_written_again(tmp_path: Path, form: str, way: Callable[..., Any]) -> None:
    path = tmp_path / "s"
    with begin(path, form, imgshape=(16, 16)) as store:
        store.add_image(picture(1, (16, 16)), 1, 1.0)
    before = contents(path)
    with pytest.raises(FileExistsError, match="exists") as raised:
        way(path, format=form, imgshape=(16, 16))
    assert isinstance(raised.value, FieldrecError)
    assert contents(path) == before


def test_a_directory_with_other_things_will_do(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (path / "sub").mkdir(parents=True)
    (path / "notes.txt").write_text("mine")
    with begin(path) as store:
        fill(store, 5)
    assert (path / "notes.txt").read_text() == "mine"
    assert (path / "sub").is_dir()
    with store_api.new_for_filename(path) as read:
        assert read.frame_count == 5


def test_a_store_that_cannot_be_begun_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.mkdir()
    (path / "notes.txt").write_text("mine")
    durable.set_hook(fail_at("make_directory", OSError(errno.EIO, "Input/output error")))
    with pytest.raises(OSError, match="Input/output error"):
        begin(path)
    durable.set_hook(None)
    assert contents(path) == {"notes.txt": b"mine"}


def test_missing_parents_are_made(tmp_path: Path) -> None:
    begin(tmp_path / "a" / "b" / "s").close()
    assert_complete(tmp_path / "a" / "b" / "s", [])
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        begin(tmp_path / "file" / "s")


@pytest.mark.parametrize("keywords", [
    {"imgshape": ()}, {"imgshape": (0, 8)}, {"imgshape": (8,)}, {"imgshape": (8, -8)},
    {"chunksize": 0}, {"chunksize": -4}, {"metadata": {"a": {"b": object()}}},
    {"metadata": {"a": 1 + 2j}}])
def test_what_cannot_be_a_store_leaves_nothing(tmp_path: Path, keywords: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as raised:
        begin(tmp_path / "s", **keywords)
    assert isinstance(raised.value, FieldrecError)
    assert not (tmp_path / "s").exists()


# --- metadata ------------------------------------------------------------------------------------

def test_the_users_metadata_is_stored_as_it_is(tmp_path: Path) -> None:
    user = {"genotype": "wt", "n": 3, 5: [1, None], "day": datetime.date(2023, 5, 1), "ü": "ö"}
    given = {**user, "__store": {"class": "nonsense"}}
    with begin(tmp_path / "s", metadata=given, encoding="cv_bayerbg") as store:
        fill(store, 5)
        assert store.user_metadata == user
    assert given == {**user, "__store": {"class": "nonsense"}}
    written = yaml.safe_load((tmp_path / "s" / "metadata.yaml").read_text())
    own = written.pop("__store")
    assert written == user
    assert own["class"] == "DirectoryImgStore"
    assert own["encoding"] == "cv_bayerbg"
    assert datetime.datetime.fromisoformat(own["created_utc"]).tzinfo is None
    assert abs(store.created[0] - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(hours=1)
    with imgstore.new_for_filename(str(tmp_path / "s")) as oracle:
        assert oracle.user_metadata == user
        assert oracle.created[1] == store.created[1]


def test_numpys_values_and_paths_in_metadata(tmp_path: Path) -> None:
    begin(tmp_path / "s", metadata={"a": np.int64(3), "b": np.array([1.5]), "c": Path("/x")},
          chunksize=np.int64(4), imgshape=np.array(SHAPE)).close()
    with imgstore.new_for_filename(str(tmp_path / "s")) as oracle:
        assert oracle.user_metadata == {"a": 3, "b": [1.5], "c": "/x"}


@pytest.mark.parametrize("zone", ["CET-1CEST", "nonsense/zone", ""])
def test_a_zone_that_nobody_knows_is_no_reason_to_fail(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    begin(tmp_path / "s").close()
    monkeypatch.delenv("TZ")
    with imgstore.new_for_filename(str(tmp_path / "s")) as oracle:
        assert str(oracle.created[1]) in ("UTC", "Etc/UTC")


@pytest.mark.parametrize("form", ["png+color", "tif+color", "bmp+color"])
def test_mosaics_can_be_decoded_before_they_are_stored(tmp_path: Path, form: str) -> None:
    import cv2

    with begin(tmp_path / "s", form, encoding="cv_bayerbg") as store:
        fill(store, 5)
        assert store.image_shape == (6, 8, 3)
    assert_complete(tmp_path / "s", [0, 1, 2, 3, 4],
                    lambda number: cv2.cvtColor(picture(number), cv2.COLOR_BayerBG2BGR))


# --- extra data ----------------------------------------------------------------------------------

def test_extra_data_of_every_type_is_kept(tmp_path: Path) -> None:
    values = {"flag": np.bool_(True), "at": datetime.datetime(2023, 1, 1), "set": {3},
              "bytes": b"abc", "complex": 1 + 2j, "array": np.arange(3), "small": np.float32(0.5),
              "none": None, "day": datetime.date(2023, 1, 2)}
    with begin(tmp_path / "s") as store:
        store.add_extra_data(first=True)
        assert store.has_extra_data
        fill(store, 4)
        store.add_extra_data(**values)
        table: Any = store.get_extra_data()
        assert len(table) == 2
        store.add_extra_data()
    expected = {"flag": True, "at": "2023-01-01T00:00:00", "set": [3], "bytes": "abc",
                "complex": [1.0, 2.0], "array": [0, 1, 2], "small": 0.5, "none": None,
                "day": "2023-01-02", "frame_time": 1003.0, "frame_number": 3, "frame_index": 3}
    assert list(store_api.iter_extra_records(tmp_path / "s"))[1] == expected
    with imgstore.new_for_filename(str(tmp_path / "s")) as oracle:
        theirs = oracle.get_extra_data()
    with store_api.new_for_filename(tmp_path / "s") as read:
        ours: Any = read.get_extra_data()
    assert theirs["flag"].tolist()[1] is True
    for table in (ours, theirs):
        assert table["frame_index"].tolist() == [-1, 3]
        assert np.isnan(table["frame_number"][0])


def test_another_process_sees_the_extra_data_of_an_unfinished_store(tmp_path: Path) -> None:
    store = begin(tmp_path / "s")
    fill(store, 2)
    store.add_extra_data(a=1)
    assert store.has_extra_data  # written where others see it
    with store_api.new_for_filename(tmp_path / "s") as reader:
        assert reader.has_extra_data
        assert [record["a"] for record in store_api.iter_extra_records(tmp_path / "s")] == [1]
    fill(store, 6, first=2)
    store.add_extra_data(a=2)
    store.close()
    assert [record["a"] for record in store_api.iter_extra_records(tmp_path / "s")] == [1, 2]


# --- however it ends -----------------------------------------------------------------------------

def test_closing_twice_and_using_what_is_closed(tmp_path: Path) -> None:
    store = begin(tmp_path / "s")
    fill(store, 5)
    store.close()
    after = contents(tmp_path / "s")
    store.close()
    uses: list[Callable[[], None]] = [
        lambda: fill(store, 1), lambda: store.add_extra_data(a=1), store.empty]
    for use in uses:
        with pytest.raises(ValueError, match="closed"):
            use()
    assert contents(tmp_path / "s") == after
    assert_complete(tmp_path / "s", [0, 1, 2, 3, 4])


def test_an_error_in_a_with_statement_completes_the_store(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), begin(tmp_path / "s") as store:
        fill(store, 3)
        1 / 0  # noqa: B018
    assert_complete(tmp_path / "s", [0, 1, 2])


def test_a_store_that_is_forgotten_is_completed(tmp_path: Path) -> None:
    store = begin(tmp_path / "s")
    fill(store, 3)
    del store
    gc.collect()
    assert_complete(tmp_path / "s", [0, 1, 2])


SCRIPT = """
import sys
import numpy as np
import fieldrec.store as imgstore
store = imgstore.new_for_format("npy", sys.argv[1], imgshape=(6, 8), chunksize=4)
for number in range(6):
    image = np.random.default_rng(number).integers(0, 255, (6, 8)).astype("uint8")
    store.add_image(image, number, 1.0)
store.add_extra_data(a=1)
{end}
"""


@pytest.mark.parametrize("end", ["", "1 / 0", "sys.exit(3)", "import gc; gc.disable()"])
def test_the_end_of_python_completes_the_store(tmp_path: Path, end: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(end=end), str(tmp_path / "s")],
                          capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert "complete" not in done.stderr
    assert_complete(tmp_path / "s", [0, 1, 2, 3, 4, 5])
    assert json.loads((tmp_path / "s" / "000001" / "index.extra.json").read_text())[0]["a"] == 1


def test_a_killed_process_leaves_a_store_that_can_be_recovered(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", SCRIPT.format(end="import os; os._exit(1)"),
                    str(tmp_path / "s")], check=False, timeout=PATIENCE_S)
    assert (tmp_path / "s" / ".lock").exists()
    recover(tmp_path / "s")
    assert_complete(tmp_path / "s", [0, 1, 2, 3, 4, 5])


def test_a_forked_process_leaves_the_store_alone(tmp_path: Path) -> None:
    end = ("import os\npid = os.fork()\nif not pid:\n    store.close()\n    sys.exit()\n"
           "assert os.waitpid(pid, 0)[1] == 0\nassert os.path.exists(sys.argv[1] + '/.lock')\n"
           "store.add_image(np.zeros((6, 8), np.uint8), 9, 1.0)\nassert store.frame_count == 7")
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(end=end), str(tmp_path / "s")],
                          capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    with store_api.new_for_filename(tmp_path / "s") as store:
        assert store.frame_count == 7


def test_saving_imgstores_index_at_the_end(tmp_path: Path) -> None:
    store = begin(tmp_path / "s")
    fill(store, 6)
    store.close(save_index=True)
    index = store_api.ImgStoreIndex.new_from_file(tmp_path / "s" / ".index.sqlite")
    assert index.get_all_metadata()["frame_number"] == [0, 1, 2, 3, 4, 5]


# --- durability ----------------------------------------------------------------------------------

def test_frames_become_durable_while_nobody_writes(tmp_path: Path) -> None:
    synced = threading.Event()
    store = begin(tmp_path / "s", durability_s=0.02)
    fill(store, 1)
    durable.set_hook(lambda step, _path: synced.set() if step == "syncfs" else None)
    assert synced.wait(PATIENCE_S)
    store.close()
    durable.set_hook(None)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sync-")]


def test_without_durability_there_is_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    with begin(tmp_path / "s", durability_s=None) as store:
        fill(store, 3)
        assert threading.active_count() == before
    assert_complete(tmp_path / "s", [0, 1, 2])


def test_a_store_collected_in_the_midst_of_its_sync_is_completed(tmp_path: Path) -> None:
    """The garbage collector may find it in the sync thread, which holds what closing needs."""
    store = begin(tmp_path / "s", durability_s=0.02)
    fill(store, 3)
    closed = threading.Event()

    def collect(step: str, path: Path) -> None:
        if step == "syncfs" and threading.current_thread().name.startswith("sync-"):
            durable.set_hook(lambda step, path: closed.set() if step == "unlink" and
                             path.name == ".lock" else None)
            close_forgotten(store._writing)

    durable.set_hook(collect)
    assert closed.wait(PATIENCE_S)
    for thread in threading.enumerate():
        if thread.name == "close-forgotten":
            thread.join()
    durable.set_hook(None)
    assert_complete(tmp_path / "s", [0, 1, 2])
    store.close()


# --- the disk refuses ----------------------------------------------------------------------------

def fail_at(step: str, error: OSError, times: int = 1, in_name: str = "") -> Callable[..., None]:
    """A hook that fails so many times at a step on a path with this in its name."""
    left = [times]

    def hook(told: str, path: Any) -> None:
        if told == step and in_name in str(path) and left[0]:
            left[0] -= 1
            raise error

    return hook


@pytest.mark.parametrize("form", ["npy", "png", "jpg", "mjpeg/avi"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_frame_that_cannot_be_written_is_an_oserror_and_not_counted(
        tmp_path: Path, form: str, number: int) -> None:
    shape = (16, 16)
    store = begin(tmp_path / "s", form, imgshape=shape)
    for at in range(2):
        store.add_image(picture(at, shape), at, at)
    durable.set_hook(fail_at("write", OSError(number, os.strerror(number))))
    with pytest.raises(OSError, match=os.strerror(number)) as raised:
        store.add_image(picture(2, shape), 2, 2)
    durable.set_hook(None)
    assert isinstance(raised.value, StoreError)
    assert (raised.value.errno == errno.ENOSPC) == (number == errno.ENOSPC)
    assert store.frame_count == 2
    assert store.frame_number == 1
    for at in range(3, 6):
        store.add_image(picture(at, shape), at, at)
    store.close()
    if form in ("npy", "png"):
        assert_complete(tmp_path / "s", [0, 1, 3, 4, 5], lambda at: picture(at, shape))
    with store_api.new_for_filename(tmp_path / "s") as read:
        assert [told for _, (told, _) in read] == [0, 1, 3, 4, 5]


def test_a_failed_sync_is_told_and_writing_goes_on(tmp_path: Path) -> None:
    store = begin(tmp_path / "s", durability_s=0.02, chunksize=100)
    fill(store, 3)
    failed = threading.Event()
    hook = fail_at("syncfs", OSError(errno.EIO, "Input/output error"))

    def once(step: str, path: Path) -> None:
        try:
            hook(step, path)
        except OSError:
            failed.set()
            raise

    durable.set_hook(once)
    assert failed.wait(PATIENCE_S)
    while store._writing._syncs.failure is None:
        pass
    fill(store, 3, first=3)
    durable.set_hook(None)
    assert "sync failed" in store.problems[0]
    assert store.chunks == [0]
    store.close()
    assert_complete(tmp_path / "s", [0, 1, 2, 3, 4, 5])


def test_what_else_fails_in_the_sync_thread_is_told_at_the_next_frame(tmp_path: Path) -> None:
    store = begin(tmp_path / "s")
    fill(store, 1)
    store._writing._syncs.failure = StoreError("something else")
    with pytest.raises(OSError, match="something else"):
        fill(store, 1, first=1)
    fill(store, 1, first=1)
    store.close()
    assert_complete(tmp_path / "s", [0, 1])


# --- emptying and assembling ---------------------------------------------------------------------

@pytest.mark.parametrize("form", ["npy", "png", "mjpeg/avi"])
@pytest.mark.parametrize("count", [0, 1, 4, 7])
def test_emptying_begins_anew(tmp_path: Path, form: str, count: int) -> None:
    shape = (16, 16)
    store = begin(tmp_path / "s", form, imgshape=shape, metadata={"a": 1})
    for at in range(count):
        store.add_image(picture(at, shape), at + 500, at)
        store.add_extra_data(old=at)
    uuid = store.uuid
    store.empty()
    assert (store.frame_count, store.chunks, store.uuid) == (0, [], uuid)
    assert np.isnan(store.frame_max)
    assert np.isnan(store.frame_number)
    for at in range(5):
        store.add_image(picture(at, shape), at, at)
    store.add_extra_data(new=1)
    store.close()
    with imgstore.new_for_filename(str(tmp_path / "s")) as oracle:
        assert oracle.get_frame_metadata()["frame_number"] == [0, 1, 2, 3, 4]
        assert oracle.chunks == [0, 1]
        assert oracle.user_metadata == {"a": 1}
        assert oracle.get_extra_data()["new"].tolist() == [1]


def clip(path: Path, count: int, first: int = 0) -> Path:
    """A video of so many grey frames, each as bright as its number."""
    with begin(path.parent / f"of_{path.stem}", "mjpeg/avi", imgshape=(16, 16),
               chunksize=100) as store:
        for at in range(first, first + count):
            store.add_image(np.full((16, 16), 20 * at, np.uint8), at, at)
    return (path.parent / f"of_{path.stem}" / "000000.avi").rename(path)


def test_videos_among_frames_that_were_added(tmp_path: Path) -> None:
    store: Any = begin(tmp_path / "s", "mjpeg/avi", imgshape=(16, 16))
    for at in range(2):
        store.add_image(np.full((16, 16), 20 * at, np.uint8), at, at)
    store.add_extra_data(a=1)
    store.insert_chunk(clip(tmp_path / "c.avi", 3, first=2), [2, 3, np.int64(4)], (2.0, 3, 4.5))
    assert not (tmp_path / "c.avi").exists()
    assert (store.frame_count, store.frame_max, store.chunks) == (5, 4.0, [0, 1])
    store.add_extra_data(a=4)
    store.add_image(np.full((16, 16), 100, np.uint8), 5, 5)
    store.close()
    for library in (store_api, imgstore):
        with library.new_for_filename(str(tmp_path / "s")) as read:
            assert read.get_frame_metadata() == {"frame_number": [0, 1, 2, 3, 4, 5],
                                                 "frame_time": [0.0, 1.0, 2.0, 3.0, 4.5, 5.0]}
            for at in range(6):
                assert round(float(read.get_next_image()[0].mean()) / 20) == at
            assert read.get_extra_data()["frame_index"].tolist() == [1, 4]


@pytest.mark.parametrize("move", [True, False])
def test_a_video_is_on_disk_before_it_has_its_name_and_its_index(tmp_path: Path, move: bool
                                                                 ) -> None:
    video = clip(tmp_path / "c.avi", 1)
    with begin(tmp_path / "s", "mjpeg/avi", imgshape=(16, 16), durability_s=None) as store:
        steps: list[tuple[str, str]] = []
        durable.set_hook(lambda step, path: steps.append((step, Path(path).name)))
        store.insert_chunk(video, [1], [1.0], move=move)
        durable.set_hook(None)
    part = "c.avi" if move else ".000000.avi.tmp"
    order = [("fsync", part), ("rename", part), ("rename", ".000000.npz.tmp")]
    assert [step for step in steps if step in order] == order


@pytest.mark.parametrize(("numbers", "times", "name"), [
    ([0, 1, 2, 3], [0, 1, 2, 3], "c.avi"), ([0, 1], [0], "c.avi"), ([0], [0], "c.mp4")])
def test_a_video_that_does_not_fit_is_refused(tmp_path: Path, numbers: list[int],
                                              times: list[float], name: str) -> None:
    video = clip(tmp_path / name, 3)
    with begin(tmp_path / "s", "mjpeg/avi", imgshape=(16, 16)) as store:
        with pytest.raises(AssertionError) as raised:
            store.insert_chunk(video, numbers, times)
        assert isinstance(raised.value, FieldrecError)
        with pytest.raises(TypeError):
            store.insert_chunk(clip(tmp_path / "d.avi", 1), ["x"], [0.0])
    assert video.exists()
    with store_api.new_for_filename(tmp_path / "s") as read:
        assert read.frame_count == 0


def steps_of(act: Callable[[], None]) -> int:
    """How many durable steps it takes."""
    told: list[str] = []
    durable.set_hook(lambda step, _path: told.append(step))
    act()
    durable.set_hook(None)
    return len(told)


class Cut(BaseException):
    """The power goes."""


def cut_at(step: int) -> Callable[[str, Path], None]:
    left = [step]

    def hook(_step: str, _path: Path) -> None:
        if not left[0]:
            raise Cut
        left[0] -= 1

    return hook


def cut_off(store: ImgStore, act: Callable[[], None], step: int) -> None:
    """Do it up to a durable step, and leave the store as a killed process would."""
    durable.set_hook(cut_at(step))
    try:
        with pytest.raises(Cut):
            act()
    finally:
        durable.set_hook(None)
        writing: Any = store._writing
        writing._writer.abandon()
        writing._closed = True


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Fresh directories."""
    count = [0]

    def fresh() -> Path:
        count[0] += 1
        return tmp_path / f"d{count[0]}"

    yield fresh


@pytest.mark.parametrize("form", ["npy", "mjpeg/avi"])
def test_emptying_may_be_cut_off_at_any_step(scratch: Callable[[], Path], form: str) -> None:
    def filled() -> Any:
        store = begin(scratch() / "s", form, imgshape=(16, 16), chunksize=2, durability_s=None)
        for at in range(5):
            store.add_image(picture(at, (16, 16)), at, at)
        return store

    store = filled()
    total = steps_of(store.empty)
    store.close()
    for step in range(0, total, 2):
        store = filled()
        cut_off(store, store.empty, step)
        recover(Path(store.filename))
        with imgstore.new_for_filename(store.filename) as read:
            count = read.frame_count
            assert read.get_frame_metadata()["frame_number"] == list(range(count))
            for _ in range(count):
                assert read.get_next_image()[0] is not None


@pytest.mark.parametrize("move", [True, False])
def test_taking_over_a_video_may_be_cut_off_at_any_step(
        scratch: Callable[[], Path], tmp_path: Path, move: bool) -> None:
    made = clip(tmp_path / "made.avi", 2, first=1)

    def begun() -> tuple[Any, Callable[[], None]]:
        root = scratch()
        store: Any = begin(root / "s", "mjpeg/avi", imgshape=(16, 16), durability_s=None)
        store.add_image(np.full((16, 16), 0, np.uint8), 0, 0)
        video = root / "c.avi"
        shutil.copy(made, video)
        return store, lambda: store.insert_chunk(video, [1, 2], [1, 2], move=move)

    store, act = begun()
    total = steps_of(act)
    store.close()
    for step in range(total):
        store, act = begun()
        cut_off(store, act, step)
        recover(Path(store.filename))
        with imgstore.new_for_filename(store.filename) as read:
            for at in range(read.frame_count):
                assert round(float(read.get_next_image()[0].mean()) / 20) == at
            assert read.frame_count >= 1
