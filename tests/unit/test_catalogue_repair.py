"""check_store names what is wrong with any kind of store; repair_store puts right what can be, and
the real imgstore reads the result from its first frame to its last."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest

import fieldrec.store as ours
from fieldrec.catalogue.check import check, check_store, not_judged, repair_store
from fieldrec.core.errors import LockedError, NotFoundError, StoreDamaged
from fieldrec.core.model import FrameSpec
from fieldrec.store.reader import StoreReader
from fieldrec.store.recovery.note import read_entries
from fieldrec.store.writer import StoreWriter
from tests.fakes.kills import killed_at

FRAMES, CHUNKSIZE = 14, 4
START_S = 1_700_000_000.25
LIBRARIES = {"ours": ours, "imgstore": imgstore}
FORMS = ("npy", "png", "jpg", "bmp", "tif", "pgm", "mjpeg/avi")
KINDS = [(form, library) for form in FORMS for library in LIBRARIES]


def picture(at: int, form: str) -> Any:
    if "/" not in form:
        return np.random.default_rng(at).integers(0, 255, (16, 24), np.uint8)
    rows = np.arange(32)[:, None] * 2 + np.arange(48) + at * 11
    return np.repeat((rows % 220)[:, :, None], 3, axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    known: dict[tuple[str, str], Path] = {}

    def make(form: str, library: str) -> Path:
        if (form, library) not in known:
            path = tmp_path_factory.mktemp("whole") / "s"
            store = LIBRARIES[library].new_for_format(
                form, str(path), imgshape=picture(0, form).shape, imgdtype="uint8",
                chunksize=CHUNKSIZE, metadata={"animal": "newt"})
            for at in range(FRAMES):
                store.add_image(picture(at, form), 100 + at, START_S + at * 0.04)
                store.add_extra_data(temperature=at / 2)
            store.close()
            known[form, library] = path
        return known[form, library]

    return make


Store = Callable[..., Path]


@pytest.fixture
def store(_made: Callable[[str, str], Path], tmp_path: Path) -> Store:
    """A whole store of this form by this library, one's own copy."""

    def copy(form: str = "npy", library: str = "imgstore") -> Path:
        return Path(shutil.copytree(_made(form, library), tmp_path / "s"))

    return copy


def numbers_in(path: Path) -> list[int]:
    """What imgstore reads sequentially."""
    opened = imgstore.new_for_filename(str(path))
    found = []
    while True:
        try:
            image, (number, _) = opened.get_next_image()
        except EOFError:
            break
        assert image is not None
        found.append(number)
    assert len(found) == opened.frame_count
    opened.close()
    return found


def said_of(path: Path, deep: bool = False) -> list[str]:
    """"invariant where: text" of every problem."""
    return [f"{problem.invariant} {problem.path.relative_to(path.parent)}: {problem.text}"
            for problem in check_store(path, deep)]


@pytest.mark.parametrize(("form", "library"), KINDS)
def test_a_whole_store_has_no_problem(store: Store, form: str, library: str) -> None:
    path = store(form, library)
    before = sorted(path.rglob("*"))
    assert said_of(path) == []
    assert said_of(path, deep=True) == []
    assert check(path.parent) == []
    assert repair_store(path) == []
    assert sorted(path.rglob("*")) == before


def files_of(path: Path) -> str:
    return next(frame.suffix for frame in (path / "000000").iterdir() if "index" not in frame.name)


# --- damage that costs no frame -------------------------------------------------------------------

def unquote(path: Path) -> None:
    text = (path / "metadata.yaml").read_text()
    at = text.index("created_utc: '")
    text = text[:at] + text[at:].replace("'", "", 2)
    (path / "metadata.yaml").write_text(text)


def no_zone(path: Path) -> None:
    text = (path / "metadata.yaml").read_text()
    at = text.index("timezone_local: ") + len("timezone_local: ")
    (path / "metadata.yaml").write_text(text[:at] + "Atlantis/City" + text[text.index("\n", at):])


def index_of(path: Path, chunk: int) -> Path:
    directory = path / f"{chunk:06d}" / "index.npz"
    return directory if directory.exists() else path / f"{chunk:06d}.npz"


def extra_of(path: Path, chunk: int) -> Path:
    directory = path / f"{chunk:06d}" / "index.extra.json"
    return directory if directory.exists() else path / f"{chunk:06d}.extra.json"


LOSSLESS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an index that is gone": (lambda at: index_of(at, 1).unlink(), "no index"),
    "an empty index": (lambda at: index_of(at, 1).write_bytes(b""), "unreadable index"),
    "a garbled index": (lambda at: index_of(at, 3).write_bytes(b"PK" * 200), "unreadable index"),
    "a cut index": (lambda at: os.truncate(index_of(at, 0), 700), "unreadable index"),
    "metadata cut off": (lambda at: os.truncate(at / "metadata.yaml", 90), "makes metadata.yaml"),
    "metadata gone": (lambda at: (at / "metadata.yaml").unlink(), "frames without metadata.yaml"),
    "a time without quotes": (unquote, "created_utc is not in quotes"),
    "an unknown time zone": (no_zone, "'Atlantis/City' is no time zone"),
    "a lock left behind": (lambda at: (at / ".lock").touch(), "interrupted; recover it"),
    "a reserve left behind": (lambda at: (at / ".reserve").touch(), "left behind by the writer"),
    "a cut list of extra data": (lambda at: os.truncate(extra_of(at, 1), 120), "extra data cannot"),
    "a note that is no note": (lambda at: (at / "recovered.json").write_text("{"), "not a list of"),
}


@pytest.mark.parametrize(("damage", "text"), LOSSLESS.values(), ids=LOSSLESS)
@pytest.mark.parametrize(("form", "library"), [("npy", "imgstore"), ("npy", "ours"),
                                               ("png", "imgstore"), ("mjpeg/avi", "imgstore"),
                                               ("mjpeg/avi", "ours")])
def test_damage_that_costs_no_frame(store: Store, form: str, library: str,
                                    damage: Callable[[Path], object], text: str) -> None:
    path = store(form, library)
    damage(path)
    problems = said_of(path)
    assert any(text in problem for problem in problems), problems
    assert repair_store(path, now=lambda: 4e9)
    assert said_of(path, deep=True) == []
    assert numbers_in(path) == list(range(100, 100 + FRAMES))
    assert imgstore.new_for_filename(str(path)).get_extra_data() is not None
    assert repair_store(path) == []
    with StoreReader(path) as reader:
        assert np.abs(reader.times_ns / 1e9 - START_S - np.arange(FRAMES) * 0.04).max() < 1e-5


# --- damage that does -----------------------------------------------------------------------------

def empty(chunk: Path, ending: str) -> None:
    for file in list(chunk.iterdir()):
        if file.name.endswith(ending):
            file.unlink()


LOSSY: dict[str, tuple[Callable[[Path], object], str, list[int]]] = {
    "a frame that is gone": (
        lambda at: (at / "000001" / f"000001{files_of(at)}").unlink(), "it is not there", [5]),
    "an empty frame": (
        lambda at: os.truncate(at / "000001" / f"000003{files_of(at)}", 0), "empty", [7]),
    "a cut frame": (
        lambda at: os.truncate(at / "000002" / f"000000{files_of(at)}", 70), "cut short", [8]),
    "a chunk that is gone": (
        lambda at: shutil.rmtree(at / "000001"), "this chunk is missing", [4, 5, 6, 7]),
    "a chunk without its frames": (
        lambda at: empty(at / "000002", files_of(at)),
        "it is not there", [8, 9, 10, 11]),
    "a chunk emptied": (
        lambda at: empty(at / "000000", ""), "no index", [0, 1, 2, 3]),
}


@pytest.mark.parametrize(("damage", "text", "lost"), LOSSY.values(), ids=LOSSY)
@pytest.mark.parametrize(("form", "library"), [kind for kind in KINDS if "/" not in kind[0]])
def test_damage_that_costs_frames_costs_only_those(
        store: Store, form: str, library: str, damage: Callable[[Path], object], text: str,
        lost: list[int]) -> None:
    path = store(form, library)
    damage(path)
    problems = said_of(path)
    assert any(text in problem for problem in problems), problems
    said = repair_store(path)
    assert said
    assert said_of(path, deep=True) == []
    assert numbers_in(path) == [100 + at for at in range(FRAMES) if at not in lost]
    opened = imgstore.new_for_filename(str(path))
    for at in range(FRAMES):
        if at not in lost and form not in ("jpg",):
            image, (_, time) = opened.get_image(100 + at)
            assert np.array_equal(image, picture(at, form))
            assert abs(time - START_S - at * 0.04) < 1e-6
    entry, = read_entries(path)
    assert entry.frames_kept == FRAMES - len(lost)


def test_a_frame_put_aside_is_named_and_kept(store: Store) -> None:
    path = store("png")
    os.truncate(path / "000001" / "000002.png", 99)
    said = "\n".join(repair_store(path))
    assert "000001.000002.png.damaged" in said
    assert (path / "000001.000002.png.damaged").stat().st_size == 99


def test_whole_frames_that_no_index_lists_are_added(store: Store) -> None:
    """As after a crash whose log is lost: the index of before is there, and more frames."""
    path = store("npy", "ours")
    index = path / "000003" / "index.npz"
    for at in (2, 3):
        np.save(path / "000003" / f"00000{at}.npy", picture(12 + at, "npy"))
    assert [problem for problem in said_of(path) if "no index lists" in problem]
    known = index.read_bytes()
    repair_store(path)
    assert said_of(path, deep=True) == []
    assert numbers_in(path) == list(range(100, 116))
    with np.load(index, allow_pickle=False) as found:
        assert found["frame_time_estimated"].tolist() == [0, 0, 1, 1]
        assert found["frame_digest_late"].tolist() == [0, 0, 1, 1]
    assert known != index.read_bytes()
    with StoreReader(path) as reader:
        assert reader.digests is not None
    assert not_judged(path).startswith("2 frames have no digest")


@pytest.mark.parametrize("library", LIBRARIES)
def test_videos_with_fewer_or_more_pictures_than_listed(store: Store, library: str) -> None:
    path = store("mjpeg/avi", library)
    shutil.copy(path / "000003.avi", path / "000001.avi")  # two pictures instead of four
    shutil.copy(path / "000000.avi", path / "000003.avi")  # four instead of two
    assert [problem.split(": ")[1] for problem in said_of(path)] == [
        "2 pictures, and the index lists 4", "4 pictures, and the index lists 2"]
    repair_store(path)
    assert said_of(path) == []
    assert numbers_in(path) == [*range(100, 106), *range(108, 116)]


def test_a_video_that_shows_nothing_is_put_aside(store: Store) -> None:
    path = store("mjpeg/avi")
    (path / "000001.avi").write_bytes(b"garbage" * 100)
    assert "I2 s/000001.avi" in said_of(path)[0]
    said = "\n".join(repair_store(path))
    assert "000001.avi.damaged" in said
    assert "000002 … 000003 are now called 000001 … 000002" in said
    assert (path / "000001.npz.orphaned").exists() or "index.npz.orphaned" in said
    assert numbers_in(path) == [*range(100, 104), *range(108, 114)]


def test_strays_go(store: Store) -> None:
    path = store("npy")
    (path / "lost+found").mkdir()
    assert "I1 s/lost+found: no chunk" in said_of(path)[0]
    assert "../s.lost+found" in repair_store(path)[0]
    assert numbers_in(path) == list(range(100, 114))


def test_flipped_bits_are_told_where_there_is_a_digest(store: Store) -> None:
    path = store("npy", "ours")
    data = bytearray((path / "000001" / "000002.npy").read_bytes())
    data[-1] ^= 1
    (path / "000001" / "000002.npy").write_bytes(data)
    assert said_of(path) == []
    assert said_of(path, deep=True) == [
        "I2 s/000001/000002.npy: the pixels are not those that were recorded"]
    assert not_judged(path) == ""
    assert repair_store(path) == []  # it is whole, and nobody knows better pixels


def test_frames_without_digests_are_said_not_to_be_judged(store: Store) -> None:
    assert not_judged(store("npy")).startswith("14 frames have no digest")


def test_a_flipped_bit_in_an_index_is_caught_by_its_checksum(store: Store) -> None:
    path = store("npy")
    data = bytearray(index_of(path, 1).read_bytes())
    data[data.find(b"frame_number.npy") + 180] ^= 1
    index_of(path, 1).write_bytes(data)
    assert "Bad CRC-32" in said_of(path)[0]
    repair_store(path)
    assert numbers_in(path) == list(range(100, 114))


def test_a_compact_index_of_other_frames_is_found(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "s", FrameSpec((4, 6), "uint8", "MONO8", 25.0), chunksize=2,
                         user_metadata={}, timezone="UTC", created_epoch_ns=0)
    for number in range(40):
        writer.append(np.zeros((4, 6), np.uint8), number, number * 10**9, None)
    writer.close()
    path = tmp_path / "s"
    for index in path.rglob("index.npz"):
        os.utime(index, (1, 1))
    with StoreReader(path) as reader:
        assert len(reader.numbers) == 40
    assert (path / ".frames.index").exists()
    assert said_of(path) == []
    first, second = (path / f"00000{at}" / "index.npz" for at in (1, 2))
    first_bytes, second_bytes = first.read_bytes(), second.read_bytes()
    for file, data in ((first, second_bytes), (second, first_bytes)):
        file.write_bytes(data)
        os.utime(file, (1, 1))
    assert said_of(path) == [
        "I1 s/.frames.index: it lists other frames than the chunks' indexes; delete it"]
    repair_store(path)
    assert said_of(path) == []


def test_what_cannot_be_repaired_is_said(store: Store) -> None:
    path = store("npy")
    text = (path / "metadata.yaml").read_text().replace("version: 2", "version: 7")
    (path / "metadata.yaml").write_text(text)
    assert "version is 7" in said_of(path)[0]
    assert "this cannot be repaired" in repair_store(path)[-1]


def test_metadata_that_nothing_tells_of(tmp_path: Path) -> None:
    (tmp_path / "s" / "000000").mkdir(parents=True)
    (tmp_path / "s" / "000000" / "000000.npy").write_bytes(b"garbage")
    with pytest.raises(StoreDamaged, match="put it back from a copy"):
        repair_store(tmp_path / "s")
    assert not (tmp_path / "s" / ".lock").exists()


def test_a_store_that_is_written_is_left_alone(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "s", FrameSpec((4, 6), "uint8", "MONO8", 25.0), chunksize=2,
                         user_metadata={}, timezone="UTC", created_epoch_ns=0)
    assert check_store(tmp_path / "s") == []
    with pytest.raises(LockedError):
        repair_store(tmp_path / "s")
    writer.close()
    assert repair_store(tmp_path / "s") == []


@pytest.mark.slow
@pytest.mark.parametrize(("form", "library"), [("npy", "imgstore"), ("mjpeg/avi", "ours")])
def test_killed_at_any_step_and_run_again(store: Store, memory_path: Path, form: str, library: str
                                          ) -> None:
    spoilt = store(form, library)
    unquote(spoilt)
    index_of(spoilt, 2).write_bytes(b"garbage")
    os.truncate(extra_of(spoilt, 1), 120)
    (spoilt / ("lost+found" if form == "npy" else "preview.avi")).mkdir()
    if form == "npy":
        (spoilt / "000000" / "000001.npy").unlink()
        shutil.rmtree(spoilt / "000001")
    else:
        (spoilt / "000001.avi").write_bytes(b"garbage" * 30)
    lost = [1, 4, 5, 6, 7] if form == "npy" else [4, 5, 6, 7]
    for step in range(0, 200, 3 if "/" in form else 1):
        path = memory_path / f"at{step}"
        shutil.copytree(spoilt, path)
        if not killed_at(step, functools.partial(repair_store, path)):
            break
        repair_store(path, now=lambda: 4e9)
        assert said_of(path, deep=True) == [], step
        assert numbers_in(path) == [100 + at for at in range(FRAMES) if at not in lost], step
        assert read_entries(path)[-1].frames_kept == FRAMES - len(lost)
    assert step > 20


def test_no_store_there(tmp_path: Path) -> None:
    for action in (check_store, repair_store):
        with pytest.raises(NotFoundError):
            action(tmp_path / "none")
        with pytest.raises(NotFoundError, match=r"no metadata\.yaml"):
            action(tmp_path)


def test_extra_data_keeps_its_whole_records(store: Store) -> None:
    path = store("npy")
    extra = extra_of(path, 1)
    records = json.loads(extra.read_text())
    extra.write_text(extra.read_text()[:-5])
    repair_store(path)
    assert json.loads(extra.read_text()) == records[:-1]
