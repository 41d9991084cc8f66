"""Drives that somebody prepared: links, pipes, devices, mounts, rubbish wherever we write or read.

Each is planted at each of the paths; then a copy and a move are tried. Whatever comes of them: what
lies outside our folder is untouched, nothing hangs, no source is lost, nothing that is not whole
has a final name, and what is said is one line for people. See whole.py for how that is judged.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from fieldrec.app.drive_top import About, write_top
from fieldrec.catalogue.scan import scan
from fieldrec.core.errors import EncoderFailed, FieldrecError, JobRefused, StoreDamaged
from fieldrec.destinations import PROOF_LIMIT
from fieldrec.destinations.drive import DriveDestination
from fieldrec.destinations.folder import FolderDestination
from fieldrec.drives import marker
from fieldrec.export.presets import preset
from fieldrec.export.run import run_export
from fieldrec.jobs import manifest, transfer
from fieldrec.jobs.raw import exports_at
from fieldrec.jobs.root_history import close_history
from fieldrec.store.reader import StoreReader
from tests.crash import whole
from tests.crash.running import quick_folder
from tests.fakes.export_content import moving, write_store
from tests.fakes.small_stores import make_export, make_store

NEVER = threading.Event()
NOW_NS = 1_795_000_000_000_000_000
ROOT = os.geteuid() == 0
PATHS = (
    "fieldrec", "fieldrec/.part-bees", "fieldrec/.part-bees/bees",
    "fieldrec/.part-bees/bees/000000", "fieldrec/.part-bees/bees/000000/000000.npy",
    "fieldrec/.part-bees/bees/metadata.yaml", "fieldrec/.part-bees/ascmhl",
    "fieldrec/.part-bees/ascmhl/ascmhl_chain.xml", "fieldrec/.part-bees.high.mp4",
    "fieldrec/.part-bees.high.mp4.json", "fieldrec/bees", "fieldrec/bees/ascmhl",
    "fieldrec/bees/ascmhl/ascmhl_chain.xml", "fieldrec/bees/bees", "fieldrec/bees.high.mp4",
    "fieldrec/bees.high.mp4.json", "fieldrec/bees.json", "fieldrec/logbook",
    "fieldrec/logbook/box", "fieldrec/logbook/box/.part-1.jsonl", "fieldrec/logbook/box/1.jsonl",
    "fieldrec/ascmhl", "fieldrec/ascmhl/ascmhl_chain.xml", "fieldrec/ascmhl/.part-ascmhl_chain.xml",
    "README.txt", ".part-README.txt", "README-fieldrec.txt", ".fieldrec-destination")
"""Every name that a copy, or what goes along with it, makes or reads."""


class Trap:
    """A drive's mount point, what lies beside it that must not change, and a recording."""

    def __init__(self, root: Path) -> None:
        self.drive, self.outside, self.recordings = root / "drive", root / "outside", root / "rec"
        for folder in (self.drive, self.outside, self.recordings):
            folder.mkdir()
        (self.outside / "file").write_text("precious")
        (self.outside / "folder").mkdir()
        (self.outside / "folder" / "ascmhl_chain.xml").write_text("<x/>")
        uuid = make_store(self.recordings, "bees", 6)
        make_export(self.recordings, "bees", uuid, 6)
        self.before = whole.original(self.recordings, "bees", "bees.high.mp4")
        self.was_outside = self.seen_outside()

    def seen_outside(self) -> dict[str, tuple[int, int, bytes]]:
        return {path.relative_to(self.outside).as_posix(): (
            path.lstat().st_mode, path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"") for path in self.outside.rglob("*")}

    def place(self) -> DriveDestination:
        return DriveDestination("FIELD", self.drive, "fieldrec", device=None, gone=lambda: False,
                                must_be_mounted=False)

    def try_all(self) -> list[FieldrecError]:
        """Copy, put the logbook beside it, move; what was refused."""
        recording = next(found for found in scan(self.recordings) if found.name == "bees")
        refused: list[FieldrecError] = []
        works: list[Callable[[DriveDestination], object]] = [
            lambda place: transfer.transfer(recording, place, stop=NEVER),
            lambda place: place.beside("logbook/box/1.jsonl", 1000),
            lambda place: place.put_beside("logbook/box/1.jsonl", b"{}\n"),
            lambda place: transfer.verified_copy_exists(place, "bees", recording.uuid),
            lambda place: transfer.move(recording, place, stop=NEVER),
            lambda place: close_history(place, NOW_NS),
            lambda _place: self.write_top()]
        for work in works:
            with closing(self.place()) as place:
                try:
                    work(place)
                except FieldrecError as error:
                    assert "\n" not in str(error)
                    refused.append(error)
        return refused

    def write_top(self) -> None:
        """The README, and a look for the marker."""
        said: list[str] = []
        with closing(FolderDestination("FIELD", self.drive)) as top:
            write_top(top, [], About("box", "fieldrec", "UTC", None), [], [], NOW_NS, said.append)
        assert all("\n" not in text for text in said)
        assert marker.read(self.drive, "1234-ABCD", [b"k" * 32]).marker is None

    def judge(self) -> None:
        assert self.seen_outside() == self.was_outside, "written where nobody should"
        folder = self.drive / "fieldrec"
        if folder.is_symlink() or not folder.is_dir():
            folder = self.drive / "none"
        committed = {name for name, files in self.before.items.items()
                     for path in (folder.glob(f"{name.removesuffix('.high.mp4')}*")
                                  if folder.is_dir() else ())
                     if not path.is_symlink() and _is_there(path, name, files)}
        for name, files in self.before.items.items():
            assert name in committed or whole.files_in(self.recordings / name) == files, \
                f"{name} is lost"


def _is_there(path: Path, name: str, files: whole.Files) -> bool:
    """Whether this is the item, under whichever name: a suffix where its own is taken."""
    if path.is_file() != (list(files) == [""]) or whole.proven(path) is None:
        return False
    there = {inside: data for inside, data in whole.files_in(path).items()
             if not whole.is_proof(inside)}
    return there == {f"{name}/{inside}" if inside else inside: data
                     for inside, data in files.items()}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    with quick_folder(tmp_path) as folder:
        yield folder


@pytest.fixture
def trap(memory: Path) -> Trap:
    return Trap(memory)


def device_node(path: Path, _trap: Trap) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


def unix_socket(path: Path, trap: Trap) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        short = Path(f"/proc/self/fd/{(folder := os.open(path.parent, os.O_RDONLY))}")
        made.bind(str(short / path.name))
        os.close(folder)


PLANTED: dict[str, Callable[[Path, Trap], object]] = {
    "absolute link to a folder": lambda path, trap: path.symlink_to(trap.outside / "folder"),
    "absolute link to a file": lambda path, trap: path.symlink_to(trap.outside / "file"),
    "climbing link": lambda path, trap: path.symlink_to(
        os.path.relpath(trap.outside / "folder", path.parent)),
    "harmless link": lambda path, _trap: path.symlink_to("."),
    "link to nothing": lambda path, trap: path.symlink_to(trap.outside / "new"),
    "link to itself": lambda path, _trap: path.symlink_to(path.name),
    "pipe": lambda path, _trap: os.mkfifo(path),
    "socket": unix_socket,
    "file": lambda path, _trap: path.write_bytes(b"\0" * 100),
    "folder": lambda path, _trap: path.mkdir(),
    "full folder": lambda path, _trap: (path / "x" / "y").mkdir(parents=True),
    **({"device": device_node} if ROOT else {}),
}


@pytest.mark.parametrize("planted", sorted(PLANTED))
def test_whatever_is_planted_wherever_we_write(planted: str, memory: Path) -> None:
    """One drive for each path."""
    for number, relative in enumerate(PATHS):
        root = memory / str(number)
        root.mkdir()
        trap = Trap(root)
        path = trap.drive / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        PLANTED[planted](path, trap)
        refused = trap.try_all()
        trap.judge()
        assert all(isinstance(error, FieldrecError) for error in refused), relative
        if "link" in planted and "fieldrec/.part-" in relative and "ascmhl" not in relative \
                and not relative.endswith(".json"):
            assert any(isinstance(error, JobRefused) and "in the way" in str(error)
                       for error in refused), (relative, refused)
        shutil.rmtree(root)


@pytest.mark.parametrize("planted", ["pipe", "link to nothing", "absolute link to a file"])
def test_what_is_planted_where_an_export_is_made_straight_to_the_drive(planted: str, trap: Trap
                                                                       ) -> None:
    """A pipe holds nobody; a link is replaced or refused, never written through."""
    raw = write_store(trap.recordings / "moths", moving(4))
    with StoreReader(raw) as store:
        uuid = store.uuid
    for relative in (".part-moths.low.mp4", ".work-moths.low.mp4/plan.json",
                     ".work-moths.low.mp4/0000000000-0000000004.segment", "moths.low.mp4",
                     "moths.low.mp4.json", ".moths.low.mp4.json.tmp"):
        folder = trap.drive / relative.replace("/", "_")
        path = folder / relative
        path.parent.mkdir(parents=True)
        PLANTED[planted](path, trap)
        with suppress(EncoderFailed):
            run_export(raw, preset("Low"), output_folder=folder, stop=NEVER,
                       on_progress=lambda *_: None)
        with closing(FolderDestination("FIELD", folder)) as place:
            made = exports_at(place, "moths", uuid, "Low")
        assert len(made) == (0 if "link" in planted and relative.startswith(".part") else 1)
    trap.judge()


@contextmanager
def bind_mounted(source: Path, target: Path) -> Iterator[None]:
    if not ROOT:
        pytest.skip("needs root: a bind mount")
    subprocess.run(["mount", "--bind", source, target], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True)


@pytest.mark.root
@pytest.mark.parametrize("relative", ["fieldrec", "fieldrec/.part-bees", "fieldrec/.part-bees/bees",
                                      "fieldrec/.part-bees/bees/000000", "fieldrec/logbook"])
def test_what_is_mounted_below_our_folder_is_not_entered(trap: Trap, relative: str) -> None:
    """No link, the same file system: only the kernel sees that it leads elsewhere."""
    path = trap.drive / relative
    path.mkdir(parents=True)
    with bind_mounted(trap.outside / "folder", path):
        refused = trap.try_all()
        trap.judge()
    assert any("in the way" in str(error) for error in refused)


@pytest.mark.parametrize("depth", [9, 255])
def test_deep_nesting_is_refused(trap: Trap, depth: int) -> None:
    at = os.open(trap.drive, os.O_RDONLY)
    for name in ["fieldrec", ".part-bees", *["d"] * depth]:
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    refused = trap.try_all()
    assert any(isinstance(error, JobRefused) for error in refused)
    trap.judge()


NASTY = ["new\nline", "\x1b[31mred", "<script>alert(1)", "\u202eexe.bees", "bees\\..", "-rf",
         "%s%n", "bees ", "BEES", "Bees.high.mp4", "\udcff\udcfe"]


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize("inside", ["", "bees", ".part-bees", ".part-bees/bees"])
def test_nasty_names_among_ours(trap: Trap, nasty: str, inside: str) -> None:
    folder = trap.drive / "fieldrec" / inside
    folder.mkdir(parents=True)
    (folder / nasty).write_text("x")
    for error in trap.try_all():
        assert str(error).isprintable() or nasty not in str(error)
    trap.judge()
    assert not (trap.recordings / "bees").exists(), "all the same it was moved"


@pytest.mark.parametrize("nasty", NASTY)
def test_a_nasty_name_that_is_in_the_way_is_told_in_plain_letters(trap: Trap, nasty: str) -> None:
    folder = trap.drive / "fieldrec" / ".part-bees"
    folder.mkdir(parents=True)
    (folder / nasty).symlink_to(trap.outside)
    refused = trap.try_all()
    assert any("in the way" in str(error) for error in refused)
    assert all(str(error).isascii() and str(error).isprintable() for error in refused)
    trap.judge()


def test_a_folder_with_very_many_entries(trap: Trap) -> None:
    """Any number by FIELDREC_MANY_ENTRIES; 10^6 take a minute, most of it to make them."""
    folder = trap.drive / "fieldrec"
    folder.mkdir()
    many = int(os.environ.get("FIELDREC_MANY_ENTRIES", "5000"))
    at = os.open(folder, os.O_RDONLY)
    for number in range(many):
        os.symlink("x", f"bees{number:07d}", dir_fd=at)
    os.close(at)
    assert trap.try_all() == []
    trap.judge()
    assert not (trap.recordings / "bees").exists()


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">%s]>
<hashlist version="2.0" xmlns="urn:ASC:MHL:v2.0"><hashes>&l30;</hashes></hashlist>""" % b"".join(
    b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10 if n else b"&a;") for n in range(31))
OUTSIDE = (b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
           b'<hashlist version="2.0" xmlns="urn:ASC:MHL:v2.0"><hashes>&a;</hashes></hashlist>')


def hashes(count: int) -> bytes:
    one = (b'<hash><path size="1">bees/%07d</path><xxh64 action="original">0123456789abcdef</xxh64>'
           b"</hash>")
    return (b'<?xml version="1.0"?><hashlist version="2.0" xmlns="urn:ASC:MHL:v2.0"><hashes>'
            + b"".join(one % number for number in range(count)) + b"</hashes></hashlist>")


@pytest.mark.parametrize("data", [LAUGHS, OUTSIDE, b"\0" * 5000, b"<a>" * 20000, hashes(5_000),
                                  b"<hashlist " + b"a" * (3 << 20), b"", b"{" * 100_000,
                                  b'{"a":' * 100_000], ids=lambda data: f"{data[:12]!r}")
def test_manifests_and_sidecars_that_somebody_wrote(trap: Trap, data: bytes) -> None:
    """In place of ours, at every place where one is looked for: no copy of ours is seen there."""
    history = trap.drive / "fieldrec" / "bees" / "ascmhl"
    history.mkdir(parents=True)
    for name in ("ascmhl_chain.xml", "0001_bees_2026-11-21_060000Z.mhl"):
        (history / name).write_bytes(data)
    (trap.drive / "fieldrec" / "bees.high.mp4").write_bytes(b"film")
    (trap.drive / "fieldrec" / "bees.high.mp4.json").write_bytes(data)
    assert trap.try_all() == []
    trap.judge()
    assert (history / "ascmhl_chain.xml").read_bytes() == data, "somebody else's is left alone"
    with pytest.raises(StoreDamaged):
        manifest.parse(data, "planted")


@pytest.mark.parametrize("name", ["bees/ascmhl/ascmhl_chain.xml", "bees.high.mp4.json"])
def test_a_manifest_of_a_gigabyte_is_not_read(trap: Trap, name: str) -> None:
    path = trap.drive / "fieldrec" / name
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(4 * PROOF_LIMIT)
    (trap.drive / "fieldrec" / "bees.high.mp4").touch()
    assert trap.try_all() == []
    trap.judge()
