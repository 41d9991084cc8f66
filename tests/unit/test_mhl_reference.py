"""What we write is what the reference implementation of ASC MHL accepts."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.catalogue.verify import verify
from fieldrec.core.clock import Clock, SystemClock
from fieldrec.destinations.folder import FolderDestination
from fieldrec.jobs import transfer
from fieldrec.jobs.root_history import close_history
from tests.fakes import ascmhl_schema, ascmhl_tool
from tests.fakes.small_stores import make_export, make_store

pytest.importorskip("ascmhl", reason="the ascmhl package is the oracle")
NEVER = threading.Event()


class At(SystemClock):
    """A moment, to copy at."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns

    def epoch_ns(self) -> int:
        return self._now_ns


def offload(recordings: Path, nas: Path, clock: Clock | None = None) -> tuple[str, ...]:
    """Copy all that is there; the items that were written."""
    made: list[str] = []
    with closing(FolderDestination("nas", nas)) as place:
        for recording in scan(recordings):
            done = transfer.transfer(recording, place, stop=NEVER, clock=clock)
            made += [copy.path for copy in done.copied]
    return tuple(made)


@pytest.fixture
def nas(tmp_path: Path) -> Path:
    """A destination with a recording, raw and exported; the source is beside it."""
    recordings, nas = tmp_path / "recordings", tmp_path / "nas"
    recordings.mkdir()
    nas.mkdir()
    make_export(recordings, "bees", make_store(recordings, "bees"))
    assert offload(recordings, nas) == ("bees", "bees.high.mp4")
    return nas


def test_a_copy_is_right_for_the_reference_and_stays_known_when_that_adds_a_generation(
        nas: Path) -> None:
    code, said = ascmhl_tool.verify(nas / "bees")
    assert code == ascmhl_tool.OK, said
    assert "of file bees/000002/index.npz: OK" in said
    code, said = ascmhl_tool.ascmhl_debug("verify", "-dh", "-v", nas / "bees")
    assert (code, "root folder   OK" in said, said.count(" OK ")) == (ascmhl_tool.OK, True, 5), said
    code, said = ascmhl_tool.ascmhl("create", nas / "bees")
    assert code == ascmhl_tool.OK, said
    assert len(list((nas / "bees" / "ascmhl").glob("*.mhl"))) == 2
    assert offload(nas.parent / "recordings", nas) == ()


NAMES = ("line\nbreak\ttab", "carriage\rreturn", "q\"uo'te &<>]]>&amp;", "caf\u00e9", "cafe\u0301",
         "\u65e5\u672c", " spaces ", "%s", "-dash", "empty")


def test_all_that_is_written_is_valid_and_right_whatever_the_names(nas: Path) -> None:
    """Copies as files and as tars, an export, the history of the whole; generations with right,
    damaged, missing, renamed and new files."""
    recordings = nas.parent / "recordings"
    make_store(recordings, "wasps & <flies>", seed=9)
    for name in NAMES:
        (recordings / "wasps & <flies>" / name).write_bytes(name.encode()
                                                            if name != "empty" else b"")
    with closing(FolderDestination("nas", nas, raw_as="tar")) as place:
        transfer.transfer(scan(recordings)[1], place, stop=NEVER)
        close_history(place, 0)
    assert ascmhl_tool.verify(nas)[0] == ascmhl_tool.OK
    assert all(outcome.is_right for outcome in verify(nas))
    spoil(nas / "bees", "flip")
    there = nas / "wasps & <flies>" / "wasps & <flies>"
    (there / "000001.tar").unlink()
    (there / NAMES[2]).rename(there / "na\u00efve\n")
    (nas / "stranger's \"thing\"").write_bytes(b"")
    for _ in range(2):
        said = {Path(o.path).name: (len(o.damaged), len(o.missing), len(o.extra))
                for o in verify(nas, write=SystemClock())}
    assert said == {"bees": (1, 0, 0), "wasps & <flies>": (0, 2, 0), "nas": (0, 0, 0)}
    assert ascmhl_schema.assert_valid(nas) == 3 * 3
    code, told = ascmhl_tool.ascmhl_debug("verify", nas)
    assert (code, "2 missing file(s)" in told, told.count("mismatch")) == (
        ascmhl_tool.DAMAGED, True, 1), told


@pytest.mark.parametrize(("damage", "code"), [
    ("flip", ascmhl_tool.DAMAGED), ("missing", ascmhl_tool.MISSING), ("extra", ascmhl_tool.NEW),
    ("manifest", ascmhl_tool.MODIFIED)])
def test_the_reference_finds_what_is_wrong_with_a_copy(nas: Path, damage: str, code: int) -> None:
    spoil(nas / "bees", damage)
    assert ascmhl_tool.verify(nas / "bees")[0] == code


def spoil(item: Path, damage: str) -> Path:
    """Do one thing to a copy; the file it was done to."""
    path = item / "bees" / "000001" / "000002.npy"
    match damage:
        case "flip":
            data = bytearray(path.read_bytes())
            data[-1] ^= 1
            path.write_bytes(data)
        case "truncated":
            path.write_bytes(path.read_bytes()[:-1])
        case "missing":
            path.unlink()
        case "extra":
            path = path.with_name("stranger.npy")
            path.write_bytes(b"x")
        case "manifest":
            path, = (item / "ascmhl").glob("*.mhl")
            path.write_bytes(path.read_bytes().replace(b"xxh64", b"xxh64 ", 1))
    return path
