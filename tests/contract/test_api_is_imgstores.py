"""A script written for imgstore runs on fieldrec.store: the same calls, made on both libraries over
the same stores, give the same results, or fail with the same types of exceptions.

Where imgstore is wrong (facts that its own users trip over) ours must not agree: those calls stand
in tables of their own, with what is right.
"""

from __future__ import annotations

import datetime
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import imgstore
import imgstore.align
import imgstore.apps
import imgstore.util
import numpy as np
import pandas
import pytest
import yaml

import fieldrec.store as ours

LIBRARIES: dict[str, ModuleType] = {"imgstore": imgstore, "fieldrec": ours}
WRITERS = list(LIBRARIES)
GREY, COLOUR = (16, 18), (16, 18, 3)

pytestmark = pytest.mark.filterwarnings(
    "ignore:The 'warn' method is deprecated", "ignore:datetime.datetime.utcnow")


def picture(shape: tuple[int, ...], number: int, dtype: str = "uint8") -> Any:
    smooth = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) + number * 7 % 180
    return np.broadcast_to(smooth.reshape(*smooth.shape, *(1,) * (len(shape) - 2)),
                           shape).astype(dtype)


NORMAL = list(range(100, 110))
STORES: dict[str, dict[str, Any]] = {
    "npy": {"numbers": NORMAL},
    "npy colour 16 bit": {"numbers": NORMAL, "shape": COLOUR, "dtype": "uint16"},
    "npy mosaic": {"numbers": NORMAL, "encoding": "cv_bayerbg"},
    "png": {"form": "png", "numbers": NORMAL, "shape": COLOUR},
    "jpg": {"form": "jpg", "numbers": NORMAL},
    "video": {"form": "mjpeg/avi", "numbers": NORMAL, "shape": COLOUR},
    "video grey": {"form": "mjpeg/avi", "numbers": NORMAL},
    "empty": {"numbers": []},
    "empty video": {"form": "mjpeg/avi", "numbers": []},
    "one": {"numbers": [5]},
    "full last chunk": {"numbers": list(range(8))},
    "gaps": {"numbers": [0, 1, 7, 8, 9, 100, 2 ** 31, 2 ** 40]},
    "duplicates": {"numbers": [3, 4, 4, 4, 5, 3, 3, 9, 10]},
    "negative": {"numbers": [-3, -2, -1, 0, 1, 2]},
    "wrap": {"numbers": [6050, 6055, 6056, 0, 1, 2]},
    "video wrap": {"form": "mjpeg/avi", "numbers": [6050, 6055, 6056, 0, 1, 2, 3, 4, 5, 6]},
    "times back": {"numbers": NORMAL, "times": [5, 4, 3.5, 3.5, 9, 2.25, 2.25, 7, 8, 1]},
    "user metadata": {"numbers": NORMAL, "metadata": {
        "timezone": "Asia/Tokyo", "n": 3, "born": datetime.date(2023, 5, 1), 5: [1, None],
        "deep": {"er": True}, "hwframerate": 99.5, "ünï": "ö"}},
}


def make(library: str, path: Path, *, numbers: list[int], form: str = "npy",
         shape: tuple[int, ...] = GREY, dtype: str = "uint8", times: list[float] | None = None,
         metadata: dict[Any, Any] | None = None, encoding: str | None = None) -> None:
    """Chunks of four frames, extra data for every other one."""
    store = LIBRARIES[library].new_for_format(
        form, str(path), imgshape=shape, imgdtype=dtype, chunksize=4, encoding=encoding,
        metadata=dict(metadata or {}))
    for at, number in enumerate(numbers):
        time_s = times[at] if times else 1_700_000_000.1 + at * 0.04
        store.add_image(picture(shape, number, dtype), number, time_s)
        if at % 2:
            store.add_extra_data(temperature=at / 2, count=at, label=f"n{number}", many=[at])
    store.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The store of this name by this library, made once."""
    root = tmp_path_factory.mktemp("stores")
    known: dict[tuple[str, str], Path] = {}

    def get(library: str, name: str) -> Path:
        if (library, name) not in known:
            path = root / f"{library}_{len(known)}"
            make(library, path, **STORES[name])
            known[library, name] = path
        return known[library, name]

    return get


# --- comparing -----------------------------------------------------------------------------------

def outcome(call: Callable[[], Any]) -> tuple[str, Any]:
    """What came of a call: ("gave", value) or ("raised", exception)."""
    try:
        return "gave", call()
    except Exception as error:  # noqa: BLE001  (whatever it is, it is compared)
        return "raised", error


def assert_same(told: tuple[str, Any], expected: tuple[str, Any], lossy: bool = False) -> None:
    assert told[0] == expected[0], f"{told!r} instead of {expected!r}"
    if expected[0] == "raised":
        assert isinstance(told[1], builtin(expected[1])), f"{told!r} instead of {expected!r}"
    else:
        same_value(told[1], expected[1], lossy)


def builtin(error: Exception) -> type[BaseException]:
    """The nearest ancestor that scripts can catch without knowing the library."""
    return next(kind for kind in type(error).__mro__ if kind.__module__ in ("builtins",
                                                                            "yaml.representer"))


def same_value(one: Any, other: Any, lossy: bool) -> None:
    if isinstance(other, np.ndarray):
        assert isinstance(one, np.ndarray)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if lossy:  # two builds of the same decoder, and their colour converters
            assert np.abs(one.astype(int) - other).max() <= 2
        else:
            np.testing.assert_array_equal(one, other)
    elif isinstance(other, pandas.DataFrame):
        pandas.testing.assert_frame_equal(one, other)
    elif isinstance(other, tuple | list):
        assert type(one) is type(other)
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            same_value(mine, theirs, lossy)
    elif isinstance(other, float):
        assert isinstance(one, float)
        assert one == other or (math.isnan(one) and math.isnan(other))
    else:
        assert type(one) is type(other), f"{one!r} instead of {other!r}"
        assert one == other


# --- reading: every member, on a store that has just been opened ---------------------------------

FRESH = [
    "s.frame_number", "s.get_next_image()", "s.get_next_framenumber()",
    "(s.disable_decoding(), s.get_next_image())[1]", "s.close()", "[s.close(), s.close()]",
    "(s.close(), s.frame_count, s.user_metadata, s.chunks)[1:]", "s.disable_decoding()",
]
"""Calls that need a store of their own, for what was called before or comes after."""
CALLS: list[str] = [
    "s.frame_count", "len(s)", "bool(s)", "s.frame_min", "s.frame_max",
    "s.frame_time", "s.frame_time_min", "s.frame_time_max", "s.duration", "s.chunks", "s.mode",
    "s.filename", "s.full_path", "s.lossless", "s.uuid", "s.created", "s.user_metadata",
    "tuple(s.image_shape)", "s.FRAME_MD", "type(s).__name__", "s.get_frame_metadata()",
    "s._get_chunk_metadata(0)", "s._get_chunk_metadata(1)", "s._get_chunk_metadata(99)",
    "s.has_extra_data", "s.find_extra_data_files()", "s.find_extra_data_files(['.extra.json'])",
    "s.find_extra_data_files(extensions=())", "s.get_extra_data()",
    "s.get_extra_data(ignore_corrupt_chunks=True)", "s.get_extra_data_samplerate()",
    "s.convert_frame_time_to_datetime(1700000000.25)",
    "s.convert_frame_time_to_datetime(0, datetime.UTC)",
    "s.convert_frame_time_to_datetime(1e9, tz=ZoneInfo('Asia/Tokyo'))",
    *(f"s.get_image({number})" for number in (0, 1, 2, 3, 4, 5, 9, 100, 101, 104, 107, 109, 110,
                                              6055, -1, -3, -99, 2 ** 31, 2 ** 40)),
    *(f"s.get_image({number}, exact_only=False)" for number in (0, 3, 54, 99, 103, 111, 6052, -50,
                                                                2 ** 35, 104.5, 104.4, 102.0)),
    *(f"s.get_image(None, frame_index={at})" for at in (0, 1, 3, 4, 5, 7, 8, 9, 10, -1, 10 ** 9,
                                                        1.9, 2.0)),
    "s.get_image(frame_number=101, exact_only=True, frame_index=None)",
    "s.get_image(101, True, 2)", "s.get_image(101, False)", "s.get_image()", "s.get_image(None)",
    "s.get_image('101')", "s.get_image('nonsense')", "s.get_image(101.0)", "s.get_image(101.5)",
    "s.get_image(float('nan'))", "s.get_image(True)", "s.get_image(None, frame_index='2')",
    "s.get_image(None, frame_index=[2])", "s.get_image(None, frame_index=float('nan'))",
    *(f"s.get_nearest_image({time_s})" for time_s in (
        0, 1_700_000_000.1, 1_700_000_000.12, 1_700_000_000.119, 1_700_000_000.121, 1e12, -1e12,
        2.2, 3, 3.5, 8.5, "'1700000000.2'", "frame_time=5")),
    "s.get_nearest_image()", "s.add_extra_data()", "s.add_extra_data(a=1)", "s.empty()",
    "s.add_image(np.zeros((16, 18), np.uint8), 1, 1.0)",
    "s.insert_chunk('x', [], [])", "s.nothing_of_the_kind", "s.uuid = 3", "s.chunks = 3",
]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", STORES)
def test_every_member_gives_what_imgstores_gives(
        made: Callable[[str, str], Path], name: str, writer: str) -> None:
    path = made(writer, name)
    for calls in (CALLS, *([call] for call in FRESH)):
        stores = [library.new_for_filename(str(path)) for library in LIBRARIES.values()]
        for call in calls:
            if "insert_chunk" in call and "video" in name:
                continue  # imgstore overwrites the store it reads
            expected, told = (outcome(lambda: run(store, call)) for store in stores)  # noqa: B023
            try:
                assert_same(told, expected, lossy="video" in name)
            except AssertionError as error:
                raise AssertionError(f"{name}: {call}: {error}") from error
        for store in stores:
            store.close()


def run(store: Any, call: str) -> Any:
    """The value of an expression, or of a statement, in which `s` is the store."""
    scope = {"s": store, "np": np, "datetime": datetime, "ZoneInfo": ZoneInfo}
    try:
        return eval(call, scope)
    except SyntaxError:
        return exec(call, scope)


# --- reading: sequences, for what one call does to the next --------------------------------------

SEQUENCES = [
    ["s.get_next_image()"] * 12 + ["s.frame_number", "s.get_next_framenumber()"],
    ["s.get_next_framenumber()", "s.get_next_framenumber()", "s.frame_number", "s.get_next_image()",
     "s.frame_number", "s.get_next_framenumber()"],
    ["s.get_image(107)", "s.get_next_image()", "s.get_next_framenumber()", "s.get_next_image()",
     "s.get_next_image()", "s.get_image(101)", "s.get_next_image()", "s.frame_number"],
    ["s.get_image(None, frame_index=3)", "s.get_next_framenumber()", "s.get_next_image()",
     "s.get_image(None, frame_index=99)", "s.get_next_image()", "s.get_image(-99)",
     "s.get_next_image()", "s.frame_number"],
    ["s.get_image(None, frame_index=9)", "s.get_next_image()", "s.get_next_image()",
     "s.get_image(None, frame_index=0)", "s.get_next_image()"],
    ["s.get_nearest_image(1700000000.3)", "s.get_next_image()", "s.get_image(55, False)",
     "s.get_next_image()", "s.get_next_image()"],
    ["s.get_image(4)", "s.get_next_image()", "s.get_image(3)", "s.get_next_image()",
     "s.get_image(6056)", "s.get_next_image()", "s.get_image(2)", "s.get_next_image()"],
    ["s.disable_decoding()", "s.get_next_image()", "s.get_image(103)", "s.get_next_image()",
     "tuple(s.image_shape)"],
]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("name", STORES)
def test_sequences_of_calls_go_alike(made: Callable[[str, str], Path], name: str,
                                     writer: str) -> None:
    path = str(made(writer, name))
    for sequence in SEQUENCES:
        mine, theirs = ours.new_for_filename(path), imgstore.new_for_filename(path)
        for at, call in enumerate(sequence):
            told, expected = (outcome(lambda: eval(call, {"s": s}))  # noqa: B023
                              for s in (mine, theirs))
            try:
                assert_same(told, expected, lossy="video" in name)
            except AssertionError as error:
                raise AssertionError(f"{name}: {sequence[:at + 1]}: {error}") from error
        mine.close()
        theirs.close()


# --- opening and making: the same mistakes -------------------------------------------------------

OPENINGS = [
    "m.new_for_filename(None)", "m.new_for_filename('')", "m.new_for_filename(p + '/nothing')",
    "m.new_for_filename(p + '/nothing/metadata.yaml')",
    "m.new_for_filename(None, basedir=p + '/nothing')",
    "m.new_for_filename(p + '/d', basedir=p + '/d')",
    "m.new_for_filename(None, basedir=p + '/d/metadata.yaml')",
    "m.new_for_filename(p + '/d', mode='a')", "m.new_for_filename(p + '/d', mode='x')",
    "m.new_for_filename(p + '/d', mode='w')", "m.new_for_filename(p + '/v', mode='w')",
    "m.new_for_filename(p + '/d', nonsense=1)", "m.new_for_filename(p + '/d', index=3)",
    "m.new_for_filename(p)", "m.new_for_filename(p + '/d/000000')", "m.new_for_filename()",
    "m.new_for_format(None, None, mode='r')", "m.new_for_format('npy')",
    "m.new_for_format('nonsense', p + '/new', imgshape=(8, 8))",
    "m.new_for_format(None, p + '/new', imgshape=(8, 8))", "m.new_for_format('npy', p + '/new')",
    "m.new_for_format('npy', p + '/new', imgshape=None)",
    "m.new_for_format('mjpeg/avi', p + '/new')",
    "m.new_for_format('npy', p + '/new', imgshape=(8, 8), imgdtype=None)",
    "m.new_for_format('npy', p + '/new', imgshape=(8, 8), imgdtype='nonsense')",
    "m.new_for_format('npy', p + '/new', imgshape=(8, 8), chunksize=None)",
    "m.new_for_format('npy', p + '/new', imgshape=8)",
    "m.new_for_format('npy', p + '/new', imgshape=(8, 8), encoding='nonsense')",
    "m.new_for_format('npy', p + '/new', imgshape=(8, 8), metadata=[1])",
    "m.new_for_format('npy', p + '/new', imgshape=(8, 8), metadata={'a': object()})",
    "m.new_for_format('npy', p + '/new', imgshape=(8, 8), mode='a')",
    "m.new_for_format('npy', p + '/new', imgshape=(8, 8), nonsense=1)",
    "m.new_for_format('npy', p + '/new', basedir=p + '/new', imgshape=(8, 8))",
    "m.new_for_format('npy', basedir=p + '/new/metadata.yaml', imgshape=(8, 8))",
    "m.new_for_format('npy', p + '/d', imgshape=(8, 8))",
    "m.new_for_format('npy', p + '/d/metadata.yaml', imgshape=(8, 8))", "m.DirectoryImgStore()",
    "m.DirectoryImgStore(mode='r')", "m.DirectoryImgStore('x')", "m.VideoImgStore()",
    "m.DirectoryImgStore(basedir=p + '/v', mode='r')",
    "m.VideoImgStore(basedir=p + '/d', mode='r')",
    "m.DirectoryImgStore(basedir=p + '/nothing', mode='r')",
    "m.DirectoryImgStore(basedir=p + '/new', mode='w', format='mjpeg/avi', imgshape=(8, 8))",
    "m.VideoImgStore(basedir=p + '/new', mode='w', format='npy', imgshape=(8, 8))",
    "m.VideoImgStore(basedir=p + '/new', mode='w', format='mjpeg/avi')",
    "m.DirectoryImgStore(basedir=p + '/new', mode='w', imgshape=(8, 8))",
    "m.extract_only_frame(p + '/nothing', 0)", "m.extract_only_frame(None, 0)",
    "m.extract_only_frame(p + '/nothing/metadata.yaml', 0)", "m.extract_only_frame(p + '/d', 10)",
    "m.extract_only_frame(p + '/d', -1)", "m.extract_only_frame(p + '/d', '3')",
    "m.extract_only_frame(p + '/d', None)", "m.extract_only_frame(p + '/v', 10)",
    "m.extract_only_frame(p + '/v', -1)",
    *(f"m.extract_only_frame(p + '/{name}', {at})" for name in "dpmv"
      for at in (0, 3, 4, 9, 5.0, "np.int64(7)")),
    "m.extract_only_frame(p + '/d/metadata.yaml', 7)",
    "m.DirectoryImgStore.extract_only_frame(full_path=p + '/d/metadata.yaml', frame_index=7)",
    "m.VideoImgStore.extract_only_frame(p + '/v/metadata.yaml', 7)",
    "sorted(m.get_supported_formats())", "sorted(m.DirectoryImgStore.supported_formats())",
    "m.VideoImgStore.supported_formats()", "m.VideoImgStore.supports_format('mjpeg')",
    "m.VideoImgStore.supports_format('npy')", "m.DirectoryImgStore.supports_format('tif+color')",
    "m.DirectoryImgStore.supports_format('avc1/mp4')", "m.VideoImgStore.FRAME_MD",
]


@pytest.fixture(scope="module")
def four(made: Callable[[str, str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """d, p, m and v: npy, png, a mosaic and a video, by imgstore."""
    root = tmp_path_factory.mktemp("four")
    for short, name in {"d": "npy", "p": "png", "m": "npy mosaic", "v": "video"}.items():
        shutil.copytree(made("imgstore", name), root / short)
    return root


@pytest.mark.parametrize("part", range(4))
def test_opening_and_making_fail_alike(four: Path, tmp_path: Path, part: int) -> None:
    for at, call in enumerate(OPENINGS[part::4]):
        found = []
        for library in LIBRARIES.values():
            root = tmp_path / f"{at}{library.__name__}"
            shutil.copytree(four, root)
            scope = {"m": library, "p": str(root), "np": np}
            found.append(outcome(lambda: eval(call, scope)))  # noqa: B023
        expected, told = found
        try:
            assert_same(told, expected, lossy="'/v'" in call or "/v/" in call)
        except AssertionError as error:
            raise AssertionError(f"{call}: {error}") from error


WAYS = ["m.new_for_filename(p)", "m.new_for_filename(p + '/metadata.yaml')",
        "m.new_for_filename(None, basedir=p)", "m.new_for_filename(p, mode='r')",
        "m.new_for_filename(p, seek=False)", "m.new_for_filename(p, gpu_id=1)",
        "m.new_for_filename(p, imgshape=(3, 3))", "m.new_for_format(None, p, mode='r')",
        "m.new_for_format(fmt=None, path=None, mode='r', basedir=p)"]


@pytest.mark.parametrize("name", ["npy", "video"])
def test_every_way_to_open(made: Callable[[str, str], Path], name: str) -> None:
    for way in WAYS:
        opened = []
        for library in LIBRARIES.values():
            store = eval(way, {"m": library, "p": str(made("imgstore", name))})
            opened.append((store.filename, store.full_path, store.mode, store.frame_count,
                           type(store).__name__, store.get_next_image()[1]))
            store.close()
        assert opened[0] == opened[1], way


def test_both_libraries_have_the_same_names() -> None:
    for module in ("stores", "constants", "align", "util", "index", "apps"):
        theirs, mine = getattr(imgstore, module, None), getattr(ours, module)
        for name in PUBLIC[module]:
            assert hasattr(mine, name), f"{module}.{name}"
            if module == "constants":
                assert getattr(mine, name) == getattr(theirs, name)
    for name in ("new_for_filename", "new_for_format", "get_supported_formats", "test",
                 "extract_only_frame", "VideoImgStore", "DirectoryImgStore", "ensure_color",
                 "ensure_grayscale"):
        assert hasattr(imgstore, name)
        assert hasattr(ours, name)
        assert name in dir(ours)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        ours.nonsense  # noqa: B018


PUBLIC = {
    "stores": ["new_for_filename", "new_for_format", "extract_only_frame", "VideoImgStore",
               "get_supported_formats", "DirectoryImgStore", "STORE_MD_KEY", "STORE_MD_FILENAME",
               "STORE_LOCK_FILENAME", "STORE_INDEX_FILENAME", "EXTRA_DATA_FILE_EXTENSIONS",
               "ensure_color", "ensure_grayscale", "ImgStoreIndex"],
    "constants": ["STORE_MD_KEY", "STORE_MD_FILENAME", "STORE_LOCK_FILENAME", "FRAME_MD",
                  "STORE_INDEX_FILENAME", "EXTRA_DATA_FILE_EXTENSIONS"],
    "align": ["StoreAligner"], "index": ["ImgStoreIndex"],
    "apps": ["generate_timecodes", "main_test"],
    "util": ["FourCC", "ensure_color", "ensure_grayscale", "ImageCodecProcessor",
             "JsonCustomEncoder", "motif_extra_data_json_to_df", "motif_get_parse_true_fps",
             "motif_extra_data_h5_attrs", "motif_extra_data_h5_to_df", "get_local_timezone",
             "motif_get_recording_timezone", "get_local_timezone_zoneinfo"],
}


# --- where imgstore is wrong ---------------------------------------------------------------------

RIGHT: dict[str, Any] = {
    "s.get_image(np.int64(104))": 104, "s.get_image(np.uint8(104))": 104,
    "s.get_image(np.float32(104))": 104, "s.get_image(np.array(104))": 104,
    "s.get_image(np.int32(104), exact_only=False)": 104,
    "s.get_image(np.float32(103.6), exact_only=False)": 104,
    "s.get_image(10 ** 30, exact_only=False)": 109,
    "s.get_nearest_image(np.float32(1700001000))": 109,
    "s.get_nearest_image(np.int64(1700000001))": 109,
    "s.get_image(2 ** 70)": ValueError, "s.get_image([104])": TypeError,
    "s.get_image(None, exact_only=False)": TypeError,
    "s.get_image('x', exact_only=False)": ValueError,
    "s.get_image(float('nan'), exact_only=False)": ValueError,
    "s.get_nearest_image(None)": TypeError, "s.get_nearest_image('x')": ValueError,
    "s.get_nearest_image(float('inf'))": ValueError,
}


def test_ours_is_right_where_imgstore_is_not(made: Callable[[str, str], Path]) -> None:
    mine, theirs = (library.new_for_filename(str(made("imgstore", "npy")))
                    for library in (ours, imgstore))
    for call, wanted in RIGHT.items():
        kind, found = outcome(lambda: run(mine, call))  # noqa: B023
        if isinstance(wanted, type):
            assert kind == "raised", call
            assert isinstance(found, wanted), call
        else:
            assert found[1][0] == wanted, call
            np.testing.assert_array_equal(found[0], picture(GREY, wanted))
        kind, told = outcome(lambda: run(theirs, call))  # noqa: B023
        assert kind == "raised" or told[1][0] != wanted, f"imgstore has learnt it: move {call}"
    mine.close()
    theirs.close()


def test_paths_may_be_paths(made: Callable[[str, str], Path], tmp_path: Path) -> None:
    with ours.new_for_filename(made("imgstore", "npy")) as store:
        assert store.filename == str(made("imgstore", "npy"))
    with ours.new_for_filename(made("imgstore", "npy") / "metadata.yaml") as store:
        assert store.frame_count == 10
    with ours.new_for_format("npy", tmp_path / "new", imgshape=GREY) as store:
        assert store.filename == str(tmp_path / "new")
    assert ours.extract_only_frame(made("imgstore", "npy"), 3) is not None


# --- writing -------------------------------------------------------------------------------------

WRITER_SHOWS = ["s.frame_count", "len(s)", "s.frame_min", "s.frame_max", "s.frame_number",
                "s.frame_time", "s.chunks", "s.mode", "s.lossless", "tuple(s.image_shape)",
                "s.user_metadata", "s.filename", "s.full_path", "s.created[1]", "s.save_index()",
                "s.add_extra_data()"]
FRAME_SHOWS = ["s.duration", "s.frame_time_min", "s.frame_time_max"]
WRITER_FAILS = ["s.get_image(1)", "s.get_next_image()", "s.get_next_framenumber()",
                "s.get_nearest_image(1)", "s.get_frame_metadata()", "s.reindex()",
                "s.add_image(np.zeros((16, 18), np.uint8))", "s.get_extra_data_samplerate()",
                "s.disable_decoding()"]


@pytest.mark.parametrize("form", ["npy", "png", "mjpeg/avi"])
def test_a_store_that_is_being_written_shows_the_same(tmp_path: Path, form: str) -> None:
    writers = [library.new_for_format(form, str(tmp_path / "same" if name == "imgstore" else
                                                tmp_path / "other" / "same"),
                                      imgshape=GREY, chunksize=3, metadata={"a": 1})
               for name, library in LIBRARIES.items()]

    def compare(calls: list[str]) -> None:
        for call in calls:
            expected, told = (outcome(lambda: eval(call, {"s": s, "np": np}))  # noqa: B023
                              for s in writers)
            if call in ("s.filename", "s.full_path"):
                told = told[0], told[1].replace("/other/", "/")
            assert_same(told, expected)

    compare(WRITER_SHOWS + WRITER_FAILS)
    for number, time_s in [(5, 10.5), (7, 11.0), (7, 11.0), (6, 9.0), (2 ** 40, 12.25), (-3, 12.5),
                           (8, 0.0)]:
        for store in writers:
            store.add_image(picture(GREY, number), number, time_s)
        compare(WRITER_SHOWS + FRAME_SHOWS)
    compare([call for call in WRITER_FAILS if "next" not in call])  # imgstore gives some frame
    for store in writers:
        store.close()
        store.close()
    compare(["s.frame_count", "s.frame_max", "s.duration", "s.mode"])
    read = [LIBRARIES[name].new_for_filename(store.full_path)
            for name, store in zip(LIBRARIES, writers, strict=True)]
    assert read[0].get_frame_metadata() == read[1].get_frame_metadata()
    assert read[0].chunks == read[1].chunks
    for store in read:
        store.close()


@pytest.mark.parametrize("form", ["npy", "png", "mjpeg/avi"])
def test_the_readme_of_imgstore(tmp_path: Path, form: str) -> None:
    for name, library in LIBRARIES.items():
        written = readme_writes(library, str(tmp_path / name), form)
        for reader in LIBRARIES.values():
            readme_reads(reader, str(tmp_path / name), written, exact=form != "mjpeg/avi")


def readme_writes(library: ModuleType, path: str, form: str) -> list[tuple[int, float]]:
    import time

    import cv2

    height = width = 500
    blank_image = np.zeros((height, width, 3), np.uint8)
    store = library.new_for_format(form, mode="w", basedir=path, imgshape=blank_image.shape,
                                   imgdtype=blank_image.dtype, chunksize=1000)
    written = []
    for i in range(40):
        img = blank_image.copy()
        cv2.putText(img, str(i), (0, 300), cv2.FONT_HERSHEY_SIMPLEX, 4, 255)
        now = time.time()
        store.add_image(img, i, now)
        written.append((i, now))
    store.add_extra_data(temperature=42.5, humidity=12.4)
    store.close()
    return written


def readme_reads(library: ModuleType, path: str, written: list[tuple[int, float]],
                 exact: bool) -> None:
    import cv2

    store = library.new_for_filename(path + "/metadata.yaml")
    assert (store.frame_count, store.frame_min, store.frame_max) == (40, 0, 39)
    assert store.get_next_image()[1] == written[0]
    img, told = store.get_image(store.frame_max)
    assert told == written[-1]
    expected = np.zeros((500, 500, 3), np.uint8)
    cv2.putText(expected, "39", (0, 300), cv2.FONT_HERSHEY_SIMPLEX, 4, 255)
    if exact:
        np.testing.assert_array_equal(img, expected)
    else:
        assert np.abs(img.astype(int) - expected).mean() < 3
    assert store.get_frame_metadata()["frame_number"] == list(range(40))
    assert store.get_extra_data().to_dict("records") == [
        {"temperature": 42.5, "humidity": 12.4, "frame_time": written[-1][1], "frame_number": 39,
         "frame_index": 39}]
    assert store.user_metadata == {}
    store.close()


# --- what else imgstore can do -------------------------------------------------------------------

@pytest.mark.parametrize("name", ["npy", "video", "wrap", "one"])
def test_each_opens_the_others_saved_index(made: Callable[[str, str], Path], tmp_path: Path,
                                           name: str) -> None:
    from imgstore.index import ImgStoreIndex as Oracle

    path = tmp_path / "s"
    shutil.copytree(made("imgstore", name), path)
    with ours.new_for_filename(path) as store:
        for _ in range(2):
            store.save_index()
        expected = store.get_frame_metadata()
    theirs = imgstore.new_for_filename(
        str(path), index=Oracle.new_from_file(str(path / ".index.sqlite")))
    assert theirs.get_frame_metadata() == expected
    assert (theirs.frame_count, theirs.frame_max, theirs.chunks) == (
        len(expected["frame_time"]), store.frame_max, store.chunks)
    first = theirs.get_next_image()[1]
    theirs._index._conn.close()
    theirs.close()
    index = ours.ImgStoreIndex.new_from_file(path / ".index.sqlite")
    with ours.new_for_filename(path, index=index) as store:
        assert store.get_next_image()[1] == first


@pytest.mark.parametrize("form", ["npy", "mjpeg/avi"])
@pytest.mark.parametrize("zero_at", [0, 1, 5, 6])
def test_reindexing(tmp_path: Path, form: str, zero_at: int) -> None:
    numbers = [*range(50, 50 + zero_at), *range(7 - zero_at)]
    tables, frames, pictures = [], [], []
    for name, library in LIBRARIES.items():
        make(name, tmp_path / name, numbers=numbers, form=form)
        with library.new_for_filename(str(tmp_path / name)) as store:
            store.reindex()
        with library.new_for_filename(str(tmp_path / name)) as store:
            tables.append(store.get_extra_data())
            frames.append(store.get_frame_metadata())
            pictures.append([store.get_image(number)[0] for number in (0, -1, 6 - zero_at)
                             if number >= -zero_at])
    assert frames[0]["frame_number"] == [*range(-zero_at, 0), *range(7 - zero_at)]
    assert frames[0] == frames[1]
    columns = sorted(tables[0].columns)
    pandas.testing.assert_frame_equal(tables[1][columns], tables[0][columns], check_dtype=False)
    for mine, theirs in zip(pictures[1], pictures[0], strict=True):
        assert np.abs(mine.astype(int) - theirs).max() <= (2 if form != "npy" else 0)


@pytest.mark.parametrize("numbers", [[1, 2], [0, 1, 0]])
def test_reindexing_needs_one_zero(tmp_path: Path, numbers: list[int]) -> None:
    for name, library in LIBRARIES.items():
        make(name, tmp_path / name, numbers=numbers)
        with (library.new_for_filename(str(tmp_path / name)) as store,
              pytest.raises(ValueError, match="0")):
            store.reindex()


@pytest.mark.parametrize("move", [True, False])
def test_a_store_assembled_from_videos(tmp_path: Path, made: Callable[[str, str], Path],
                                       move: bool) -> None:
    videos = sorted(made("imgstore", "video").glob("*.avi"))
    told = []
    for name, library in LIBRARIES.items():
        store = library.VideoImgStore(basedir=str(tmp_path / name), mode="w", imgshape=COLOUR,
                                      imgdtype=np.uint8, chunksize=100, format="mjpeg")
        store.empty()
        start = 0
        for at, count in ((0, 4), (1, 4), (2, 2)):
            clip = tmp_path / f"clip{at}.avi"
            shutil.copy(videos[at], clip)
            numbers = list(range(start * 10, start * 10 + count))
            store.insert_chunk(str(clip), numbers, 1000.0 * np.asarray(numbers), move=move)
            assert clip.exists() is not move
            start += count
        store.close()
        with library.new_for_filename(str(tmp_path / name)) as read:
            told.append((read.get_frame_metadata(), read.chunks, read.frame_count))
            for at in (0, 4, 9, 5):
                image, _ = read.get_image(None, frame_index=at)
                with imgstore.new_for_filename(str(made("imgstore", "video"))) as source:
                    expected, _ = source.get_image(None, frame_index=at)
                assert np.abs(image.astype(int) - expected).max() <= 2
    assert told[0] == told[1]


@pytest.mark.parametrize("call", [
    "s.insert_chunk(v, [1, 2, 3], [1.0])", "s.insert_chunk('nothing.mp4', [1], [1.0])"])
def test_inserting_a_wrong_chunk_fails_alike(made: Callable[[str, str], Path], tmp_path: Path,
                                             call: str) -> None:
    found = []
    for name, library in LIBRARIES.items():
        with library.VideoImgStore(basedir=str(tmp_path / name), mode="w", imgshape=COLOUR,
                                   format="mjpeg/avi") as store:
            scope = {"s": store, "v": str(made("imgstore", "video") / "000000.avi")}
            found.append(outcome(lambda: eval(call, scope)))  # noqa: B023
    assert_same(found[1], found[0])
    assert isinstance(found[0][1], AssertionError)


def test_aligning_real_stores(tmp_path: Path) -> None:
    numbers = [[0, 1, 2, 5, 6], [1, 2, 3, 6, 7]]
    for at, listed in enumerate(numbers):
        make("imgstore", tmp_path / str(at), numbers=listed)
    opened = [ours.new_for_filename(tmp_path / str(at)) for at in range(2)]
    aligner = ours.StoreAligner(*opened)
    assert aligner.extract_common_frames("drop").tolist() == [1, 2, 6]
    for number, images in aligner.iter_imgs():
        for image in images:
            np.testing.assert_array_equal(image, picture(GREY, number))
    for store in opened:
        store.close()


OLD = {
    "Motif": ("video", {"class": "VideoImgStoreFFMPEG", "format": "libx264", "encoding": "",
                        "created_utc": None, "timezone_local": None}),
    "no uuid": ("npy", {"uuid": None}),
    "no creation time": ("npy", {"created_utc": None, "timezone_local": None}),
    "creation time with a zone": ("npy", {"created_utc": "2020-02-03T04:05:06.789+05:00"}),
    "old mjpeg": ("video", {"format": "mjpeg", "extension": None}),
    "odd size said": ("video", {"imgshape": [17, 19, 3]}),
    "keys of later": ("npy", {"something": [1, 2]}),
}


@pytest.mark.parametrize("change", OLD)
def test_old_and_foreign_stores(made: Callable[[str, str], Path], tmp_path: Path, change: str,
                                ) -> None:
    name, values = OLD[change]
    path = tmp_path / "cam_20200102_030405"
    shutil.copytree(made("imgstore", name), path)
    file = path / "metadata.yaml"
    content = yaml.safe_load(file.read_text())
    content["__store"].update(values)
    content["__store"] = {key: value for key, value in content["__store"].items()
                          if value is not None or key == "encoding"}
    file.write_text(yaml.safe_dump(content))
    for index in path.rglob("*.npz"):  # of old: index.yaml
        columns = np.load(index)
        index.with_suffix(".yaml").write_text(yaml.safe_dump(
            {key: columns[key].tolist() for key in ("frame_number", "frame_time")}))
        index.unlink()
    stores = [library.new_for_filename(str(path)) for library in LIBRARIES.values()]
    for call in (*CALLS, "s.get_next_image()", "s.get_next_image()"):
        if "insert_chunk" in call:
            continue
        expected, told = (outcome(lambda: run(store, call)) for store in stores)  # noqa: B023
        assert_same(told, expected, lossy=name == "video")
    for store in stores:
        store.close()


def test_the_helpers_of_util_agree() -> None:
    for name in ("ensure_color", "ensure_grayscale"):
        for shape in (GREY, COLOUR, (16, 18, 1)):
            for copy in (False, True):
                image = picture(shape, 3)
                mine = getattr(ours.util, name)(image, ensure_copy=copy)
                theirs = getattr(imgstore.util, name)(image, ensure_copy=copy)
                np.testing.assert_array_equal(mine, theirs)
                assert (mine is image) == (theirs is image)
    mine, theirs = ours.util.ImageCodecProcessor(), imgstore.util.ImageCodecProcessor()
    mosaic = picture(GREY, 1)
    for code in ("cv_bayerbg", "cv_gray", "nonsense"):
        assert mine.check_code(code) == theirs.check_code(code)
    for default in ("cv_bayerbg", None, "cv_bayergr"):
        mine.set_default_code(default)
        theirs.set_default_code(default)
        assert mine.encoding == theirs.encoding
        np.testing.assert_array_equal(mine.autoconvert(mosaic), theirs.autoconvert(mosaic))
    for pylon in ("BayerBG", "BayerRG", "Bayer_BG", "BayerGB", None, "None"):
        assert (ours.util.ImageCodecProcessor.from_pylon_format(pylon).encoding
                == imgstore.util.ImageCodecProcessor.from_pylon_format(pylon).encoding)
    with pytest.raises(ValueError, match="pylon"):
        ours.util.ImageCodecProcessor.from_pylon_format("Mono8")
    np.testing.assert_array_equal(ours.util.ImageCodecProcessor().convert_to_bgr(
        mosaic, "cv_bayerbg"), theirs.convert_to_bgr(mosaic, "cv_bayerbg"))
    assert ours.util.FourCC(*"MJPG") == imgstore.util.FourCC(*"MJPG")
    assert ours.util.get_local_timezone() == imgstore.util.get_local_timezone()
