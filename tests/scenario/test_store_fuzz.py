"""Fuzz: cut, flip, empty, remove and misplace bytes in every kind of file of every kind of store.

Thousands of damaged stores, the same ones in every run. Whatever was done: nothing hangs or
crashes, only our own errors come out, no command prints a traceback, and where fieldrec wrote the
store no frame is given as right that is not the one recorded under its number and time.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest
from numpy.typing import NDArray

import fieldrec.store as ours
from fieldrec.catalogue.check_store import check_store
from fieldrec.catalogue.repair import repair_store
from fieldrec.cli.main import _run as run_command
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import FrameSpec
from fieldrec.store.reader import StoreReader
from fieldrec.store.recover import recover
from fieldrec.store.writer import StoreWriter

SHAPE = (16, 24)
VIDEO_SHAPE = (32, 48, 3)
FRAMES = 11
CHUNKSIZE = 4
TIME_NS = 1_795_000_000_000_000_000
STEP_NS = 40_000_000
ROUNDS = int(os.environ.get("FIELDREC_FUZZ_ROUNDS", "100"))
"""Damaged stores per kind, always the same ones; eight kinds."""
OPENING = (FieldrecError, ValueError, KeyError, TypeError, OSError)
"""What opening may raise: our errors, and the types that imgstore raises for the same mistakes."""


@dataclass
class Kind:
    """One kind of store, whole, and what is in it."""

    path: Path
    told_apart: bool
    """Whether the store holds digests, so that wrong pixels must be noticed."""
    truth: dict[int, NDArray[Any]] = field(default_factory=dict)


def picture(number: int, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.random.default_rng(number).integers(0, 256, shape, np.uint8)


def smooth(number: int) -> NDArray[Any]:
    rows = np.arange(VIDEO_SHAPE[0])[:, None] * 2 + np.arange(VIDEO_SHAPE[1]) + number * 11
    return np.repeat((rows % 220)[:, :, None], 3, axis=2).astype(np.uint8)


def by_api(library: Any, form: str, path: Path) -> None:
    video = "/" in form
    shape = VIDEO_SHAPE if video else SHAPE
    store = library.new_for_format(form, str(path), imgshape=shape, imgdtype="uint8",
                                   chunksize=CHUNKSIZE, metadata={"animal": "newt"})
    for at in range(FRAMES):
        store.add_image(smooth(100 + at) if video else picture(100 + at, shape), 100 + at,
                        (TIME_NS + at * STEP_NS) / 1e9)
        store.add_extra_data(temperature=at / 3)
    store.close()


def interrupted(path: Path) -> None:
    """As after a kill: the last chunk is open."""
    writer = StoreWriter(path, FrameSpec(SHAPE, "uint8", "MONO8", 25.0), chunksize=CHUNKSIZE,
                         user_metadata={}, timezone="UTC", created_epoch_ns=TIME_NS)
    for at in range(FRAMES):
        writer.append(picture(100 + at, SHAPE), 100 + at, TIME_NS + at * STEP_NS, None)
        writer.add_extra_data(temperature=at / 3)
        writer.sync()
    writer.abandon()


MAKERS: dict[str, tuple[bool, Callable[[Path], None]]] = {
    "npy": (True, lambda path: by_api(ours, "npy", path)),
    "png": (True, lambda path: by_api(ours, "png", path)),
    "jpg": (True, lambda path: by_api(ours, "jpg", path)),
    "interrupted": (True, interrupted),
    "avi": (False, lambda path: by_api(ours, "mjpeg/avi", path)),
    "mp4": (False, lambda path: by_api(ours, "avc1/mp4", path)),
    "imgstore-npy": (False, lambda path: by_api(imgstore, "npy", path)),
    "imgstore-png": (False, lambda path: by_api(imgstore, "png", path)),
}


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory, where there is one: thousands of stores are synced to it."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module", params=list(MAKERS))
def kind(request: pytest.FixtureRequest, memory: Path) -> Kind:
    told_apart, make = MAKERS[request.param]
    path = memory / "whole" / request.param
    path.parent.mkdir(exist_ok=True)
    make(path)
    whole = Kind(path, told_apart)
    for number, _, frame in frames_of(path):
        whole.truth[number] = frame
    assert sorted(whole.truth) == list(range(100, 100 + FRAMES))
    return whole


def frames_of(path: Path) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """(number, time_ns, pixels) of every frame that can be read; only our errors."""
    with StoreReader(path) as store:
        for index in range(len(store)):
            with contextlib.suppress(FieldrecError):
                yield int(store.numbers[index]), int(store.times_ns[index]), store.read(index)


# --- damage ---------------------------------------------------------------------------------------

def damage(root: Path, chance: random.Random) -> str:
    """Do something bad to one to three files; what was done, in words."""
    done = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        files = sorted(path for path in root.rglob("*") if path.is_file())
        groups = sorted({_group(path) for path in files})
        group = chance.choice(groups)
        path = chance.choice([file for file in files if _group(file) == group])
        act = chance.choice((cut, cut, flip, flip, flip, zeros, empty, garbage, remove, longer,
                             swap_name))
        act(path, chance)
        done.append(f"{act.__name__} {path.relative_to(root)}")
    return ", ".join(done)


def _group(path: Path) -> str:
    """Each kind of file is hit as often as the others, however many there are of it."""
    return path.name if path.name.startswith((".", "index", "frames", "extra", "meta")) else (
        "".join(path.suffixes))


def cut(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:chance.randrange(max(1, len(data)))])


def flip(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes() or b"\0")
    for _ in range(chance.choice((1, 1, 4, 40))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def zeros(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    start = chance.randrange(max(1, len(data)))
    data[start:start + 512] = bytes(len(data[start:start + 512]))
    path.write_bytes(data)


def empty(path: Path, chance: random.Random) -> None:
    path.write_bytes(b"")


def garbage(path: Path, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(chance.choice((1, 100, 5000))))


def remove(path: Path, chance: random.Random) -> None:
    path.unlink()


def longer(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes() + chance.randbytes(chance.choice((1, 511, 4096))))


def swap_name(path: Path, chance: random.Random) -> None:
    """Two files of a kind change places, as a confused copy leaves them."""
    others = [file for file in sorted(path.parent.iterdir())
              if file.is_file() and file.suffix == path.suffix]
    other = chance.choice(others)
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)


# --- what must hold -------------------------------------------------------------------------------

def only_what_was_recorded(kind: Kind, path: Path, done: str, unsure: frozenset[int] = frozenset()
                           ) -> None:
    """Every frame that reads is the one recorded under its number; videos and stores of other
    programs have no digests, nor have the chunks in `unsure`, whose index had to be made again;
    without any index left the numbers are counted."""
    if _metadata_hit(done):  # sizes, types and encodings may be lies that nothing contradicts
        with contextlib.suppress(*OPENING):
            list(frames_of(path))
        return
    try:
        for number, time_ns, frame in frames_of(path):
            if kind.told_apart and (number - 100) // CHUNKSIZE not in unsure and len(unsure) < 3:
                assert number in kind.truth, f"a number nobody recorded: {number}"
                assert abs(time_ns - (TIME_NS + (number - 100) * STEP_NS)) < 200, "another time"
                np.testing.assert_array_equal(frame, kind.truth[number])
    except FieldrecError:
        return


def indexes_hit(done: str) -> frozenset[int]:
    """The chunks whose index (or journal) was damaged: with it their digests may be gone."""
    return frozenset(int(number) for number in re.findall(r"(\d{6})/(?:index\.npz|frames)", done))


def _metadata_hit(done: str) -> bool:
    return "metadata.yaml" in done


def api_survives(path: Path) -> None:
    """A script's loop over the store ends, with imgstore's exceptions or ours."""
    try:
        store = ours.new_for_filename(str(path))
    except OPENING:
        return
    with store:
        for _ in range(3 * FRAMES):
            try:
                store.get_next_image()
            except EOFError:
                break
            except FieldrecError:
                continue
        else:
            raise AssertionError("sequential reading does not come to an end")
        for index in range(FRAMES):
            with contextlib.suppress(FieldrecError, ValueError):
                store.get_image(100 + index)
        with contextlib.suppress(FieldrecError, ValueError):
            store.get_extra_data(ignore_corrupt_chunks=True)


@pytest.mark.slow
def test_a_damaged_store_never_gives_wrong_frames_hangs_or_crashes(
        kind: Kind, memory: Path) -> None:
    for seed in range(ROUNDS):
        path = memory / f"{kind.path.name}-{seed}"
        shutil.copytree(kind.path, path)
        done = damage(path, random.Random(f"{kind.path.name}-{seed}"))
        try:
            only_what_was_recorded(kind, path, done)
            api_survives(path)
            problems = check_store(path, deep=True)
            with contextlib.suppress(FieldrecError):
                recover(path)
            with contextlib.suppress(FieldrecError):
                repair_store(path)
            only_what_was_recorded(kind, path, done, indexes_hit(done))
            assert problems or "longer" in done or not kind.told_apart or whole(kind, path), (
                "nothing found")
        except Exception as error:
            error.add_note(f"seed {seed} of {kind.path.name}: {done}")
            raise
        shutil.rmtree(path)


def whole(kind: Kind, path: Path) -> bool:
    """Whether every frame is there."""
    return {number for number, _, _ in frames_of(path)} == set(kind.truth)


@pytest.mark.parametrize("command", [("check", "--deep"), ("show",), ("recover",),
                                     ("check", "--repair"), ("view", "--sheet")])
def test_no_command_answers_damage_with_a_traceback(
        command: tuple[str, ...], kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    """A bug would come out of the command as an exception: nothing else is caught there."""
    for seed in range(8):
        path = tmp_path / f"{seed}"
        shutil.copytree(kind.path, path)
        done = damage(path, random.Random(f"{command}-{kind.path.name}-{seed}"))
        sheet = [str(tmp_path / f"{seed}.png")] if "--sheet" in command else []
        monkeypatch.setattr(sys, "argv", ["fieldrec", command[0], str(path), *command[1:], *sheet])
        try:
            code = run_command()
        except Exception as error:
            error.add_note(f"seed {seed} of {kind.path.name}: {done}")
            raise
        said = capsys.readouterr().err
        assert code not in (1, 2), f"{done}: {said}"
        assert said.count("\n") == (0 if code == 0 else 1), f"{done}: {said}"
