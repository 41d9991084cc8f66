"""What we write is what the reference implementation of ASC MHL accepts."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.destinations.folder import FolderDestination
from fieldrec.jobs import transfer
from tests.fakes import ascmhl_tool
from tests.fakes.small_stores import make_export, make_store

pytest.importorskip("ascmhl", reason="the ascmhl package is the oracle")
NEVER = threading.Event()


def offload(recordings: Path, nas: Path) -> tuple[str, ...]:
    """Copy all that is there; the items that were written."""
    made: list[str] = []
    with closing(FolderDestination("nas", nas)) as place:
        for recording in scan(recordings):
            done = transfer.transfer(recording, place, stop=NEVER)
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
