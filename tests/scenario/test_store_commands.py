"""The commands for single stores as people use them: the real `fieldrec` in a process of its own.

What they compute and what they refuse is tested in the unit tests; here it is words, exit codes,
signals, terminals, and that nothing half-made is left.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pty
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from typing import Any

import av
import cv2
import imgstore
import numpy as np
import pytest

from fieldrec.core import errors
from tests.fakes.clips import write_clip
from tests.fakes.commands import COMMAND, environment, fieldrec, fieldrec_json, leftovers, refused
from tests.fakes.recordings import small_recording
from tests.fakes.sidecar_content import told_by
from tests.fakes.small_stores import make_store
from tests.fakes.waiting import PATIENCE_S

STATE = errors.StateError.exit_code
STORE = errors.StoreError.exit_code
DAMAGED = errors.StoreDamaged.exit_code


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", frames=12)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A store of twelve numbered frames, called `frogs`."""
    return small_recording(tmp_path / "frogs")


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".frames.index")


# -- save ------------------------------------------------------------------------------------------


def test_save_says_what_it_did_and_imgstore_reads_it(tmp_path: Path, clip: Path) -> None:
    done = fieldrec("save", "--source", "clip.mp4", "--format", "png", "frogs", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("frogs: 12 frames, 0 dropped, 0 lost")
    assert "last written, less its length" in done.stdout
    store = imgstore.new_for_filename(str(tmp_path / "frogs"))
    assert store.frame_count == 12
    store.close()
    assert leftovers(tmp_path) == []


def test_save_from_a_camera_and_from_a_configured_one(tmp_path: Path) -> None:
    config = tmp_path / "box.yaml"
    config.write_text("cameras:\n  left: {backend: synthetic, options: {width: 96, height: 64, "
                      "hz: 100}}\n")
    for source, options in (("synthetic:96x64@100,mono8", ()), ("left", ("--config", config))):
        done = fieldrec("save", "--source", source, "--frames", 5, "--format", "mjpeg/avi",
                        *options, tmp_path / source.partition(":")[0])
        assert done.returncode == 0, done.stderr
        assert f"{tmp_path / source.partition(':')[0]}: 5 frames" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_the_store_in_order(tmp_path: Path, number: int) -> None:
    running = subprocess.Popen(
        [*COMMAND, "save", "--source", "synthetic:96x64@100,mono8", str(tmp_path / "pond")],
        env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with running:
        wait_for(lambda: (tmp_path / "pond" / "000000" / "000003.npy").exists())
        running.send_signal(number)
        _, said = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130
    assert said == f"fieldrec: interrupted; {tmp_path / 'pond'} was closed in order\n"
    assert fieldrec_json("check", "--deep", tmp_path / "pond") == []
    assert leftovers(tmp_path) == []


def wait_for(condition: Any, timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
@pytest.mark.parametrize("form", ["npy", "mjpeg/avi"])
def test_a_full_disk_closes_the_store_in_order(tmp_path: Path, form: str) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=True)
    try:
        done = fieldrec("save", "--source", "synthetic:320x240@1000,mono8,paced=false",
                        "--format", form, "--chunksize", 50, small / "pond")
        assert done.returncode == errors.StoreFull.exit_code, done.stderr
        assert done.stderr.count("\n") == 1
        assert "closed in order" in done.stderr
        assert leftovers(small) == []
        assert fieldrec_json("check", "--deep", small / "pond") == []
        shown = fieldrec_json("show", small / "pond")
        assert shown["state"] == "complete"
        assert shown["frame_count"] > 3
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


# -- show ------------------------------------------------------------------------------------------


def test_show_tells_a_person_what_there_is(saved: Path) -> None:
    done = fieldrec("show", saved)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line[:12].strip(): line[12:].strip() for line in done.stdout.splitlines()}
    assert rows["recording"] == "frogs"
    assert rows["state"] == "complete"
    assert rows["frames"] == "12, numbers 0 to 11"
    assert rows["picture"] == "160x120 BGR8, npy, 3 chunks of 5"
    assert rows["rate"].startswith("25 fps by the frames' times")
    assert rows["missing"] == "none"
    assert "tree frog" in done.stdout


def test_show_by_name_by_path_and_by_its_metadata(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    make_store(folder, "bees")
    make_store(tmp_path, "bees", seed=2)
    by_name = fieldrec_json("show", "bees", cwd=tmp_path)
    assert by_name["path"] == str(folder / "bees")
    for path in ("./bees", "./bees/", "./bees/metadata.yaml", tmp_path / "bees"):
        assert fieldrec_json("show", path, cwd=tmp_path)["path"] == str(tmp_path / "bees")
    inside = fieldrec_json("show", ".", cwd=tmp_path / "bees")
    assert (inside["name"], inside["uuid"]) == ("bees", fieldrec_json(
        "show", "./bees", cwd=tmp_path)["uuid"])


def test_what_comes_from_outside_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    store = imgstore.new_for_format("npy", str(tmp_path / "bees"), imgshape=(4, 4),
                                    imgdtype="uint8", metadata={"evil\x1b[2J": "\x1b[31mred\nline"})
    store.add_image(np.zeros((4, 4), np.uint8), 0, 0.0)
    store.add_extra_data(**{"a\x1b[2Jb": 1})
    store.close()
    done = fieldrec("show", tmp_path / "bees")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "red line" in done.stdout


# -- check, recover --------------------------------------------------------------------------------


def test_check_repair_and_recover_one_store(saved: Path) -> None:
    assert fieldrec("check", saved, "--deep").stdout == f"{saved}: all right\n"
    frame = saved / "000001" / "000002.npy"
    frame.write_bytes(frame.read_bytes()[:-1])
    done = fieldrec("check", saved)
    assert done.returncode == DAMAGED
    assert f"I2 {frame}" in done.stdout
    assert "check --repair" in done.stderr
    done = fieldrec("check", saved, "--repair", "--deep")
    assert done.returncode == 0, done.stderr
    assert "repaired: " in done.stdout
    assert "11 frames kept, 1 damaged" in fieldrec("show", saved).stdout
    (saved / ".lock").touch()
    old = time.time() - 3600
    for path in (saved, *saved.rglob("*")):
        os.utime(path, (old, old))
    refused(fieldrec("transcode", saved, saved.parent / "x.mp4"), STATE, "fieldrec recover")
    refused(fieldrec("convert", saved, saved.parent / "x", "--format", "png"), STATE,
            "fieldrec recover")
    done = fieldrec("recover", saved)
    assert done.returncode == 0, done.stderr
    assert "11 frames kept" in done.stdout
    assert fieldrec_json("check", saved) == []


def test_check_repairs_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in ("bees", "wasps"):
        make_store(folder, name)
        (folder / name / "000001" / "index.npz").write_bytes(b"")
    assert fieldrec("check", cwd=tmp_path).returncode == DAMAGED
    done = fieldrec("check", "--repair", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {line.split(":")[1].strip() for line in done.stdout.splitlines()[:-1]} == {
        "bees", "wasps"}
    assert fieldrec_json("check", "--deep", cwd=tmp_path) == []


# -- transcode -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_transcode_makes_a_movie_with_true_times(saved: Path, name: str) -> None:
    done = fieldrec("transcode", saved, name, "--from", "2", "--to", "+0.4", cwd=saved.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{name}: 8 frames, 0.280 s")
    assert "every frame verified" in done.stdout
    with av.open(str(saved.parent / name)) as movie:
        times_s = [float(frame.time) for frame in movie.decode(video=0)]
    assert times_s == pytest.approx([at * 0.04 for at in range(8)], abs=0.001)
    told = told_by(saved.parent / name)
    assert told["frames"]["number"] == list(range(2, 10))
    assert told["user_metadata"]["species"] == "tree frog"
    assert leftovers(saved.parent) == []


def test_a_transcode_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    done = fieldrec("save", "--source", "synthetic:1280x1024@100,mono8,paced=false", "--frames",
                    150, tmp_path / "pond")
    assert done.returncode == 0, done.stderr
    running = subprocess.Popen(
        [*COMMAND, "transcode", "pond", "out.mp4"], cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with running:
        wait_for((tmp_path / ".work-out.mp4").exists)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130
    assert said == "fieldrec: interrupted; nothing of out.mp4 is left\n"
    assert visible(tmp_path) == ["pond"]


def test_a_transcode_among_the_recordings_is_neither_an_export_nor_a_problem(
        tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    make_store(folder, "bees")
    assert fieldrec("transcode", "bees", folder / "bees.part.mp4", "--to", "5",
                    cwd=tmp_path).returncode == 0
    assert fieldrec_json("show", "bees", cwd=tmp_path)["exports"] == []
    assert fieldrec_json("check", "--deep", cwd=tmp_path) == []
    assert fieldrec("recover", cwd=tmp_path).stdout == "nothing to recover\n"
    assert (folder / "bees.part.mp4").exists()
    data = bytearray((folder / "bees.part.mp4").read_bytes())
    data[-1] ^= 1
    (folder / "bees.part.mp4").write_bytes(data)
    assert fieldrec("check", cwd=tmp_path).returncode == 0
    done = fieldrec("check", "--deep", cwd=tmp_path)
    assert done.returncode == DAMAGED
    assert "transcode again" in done.stdout


# -- convert ---------------------------------------------------------------------------------------


def test_convert_says_what_is_lossy_and_what_was_left_out(saved: Path) -> None:
    done = fieldrec("convert", saved, saved.parent / "png", "--format", "png")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (f"{saved.parent / 'png'}: 12 frames, 0 extra data records; every frame "
                           "reads back exactly\n")
    done = fieldrec("convert", saved, saved.parent / "film", "--format", "mjpeg/avi")
    assert done.returncode == 0
    assert "PSNR" in done.stdout
    assert "mjpeg/avi is lossy" in done.stdout
    (saved / "000001" / "000002.npy").write_bytes(b"")
    refused(fieldrec("convert", saved, saved.parent / "bad", "--format", "tif"), DAMAGED,
            "frame 7", "--skip-damaged")
    done = fieldrec("convert", saved, saved.parent / "bad", "--format", "tif", "--skip-damaged")
    assert done.returncode == 0
    assert "11 frames" in done.stdout
    assert "left out: frame 7" in done.stdout
    assert leftovers(saved.parent) == []


# -- view ------------------------------------------------------------------------------------------


def test_a_contact_sheet_is_a_picture_of_the_store(saved: Path) -> None:
    sheet = saved.parent / "sheet.png"
    done = fieldrec("view", saved, "--sheet", sheet, "--count", 6)
    assert (done.returncode, done.stdout) == (0, f"{sheet}: contact sheet of frogs\n")
    drawn = cv2.imread(str(sheet))
    assert drawn is not None
    assert min(drawn.shape[:2]) > 300
    refused(fieldrec("view", saved, "--sheet", sheet), STORE, "exists already")


def test_a_frame_that_cannot_be_read_has_its_place_on_the_sheet(saved: Path) -> None:
    (saved / "000000" / "000000.npy").write_bytes(b"")
    done = fieldrec("view", saved, "--sheet", saved.parent / "sheet.png")
    assert done.returncode == 0, done.stderr
    assert (saved.parent / "sheet.png").exists()


class Viewer:
    """`fieldrec view` in a terminal of 60 by 20."""

    def __init__(self, *arguments: str) -> None:
        self.ours, its = pty.openpty()
        ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
        self.before = termios.tcgetattr(its)
        self._its = its
        self.process = subprocess.Popen(
            [*COMMAND, "view", *arguments], stdin=its, stdout=its, stderr=subprocess.PIPE,
            text=True, env=environment({"DISPLAY": "", "WAYLAND_DISPLAY": ""}),
            start_new_session=True)
        self.said = ""

    def until(self, text: str) -> None:
        """Read until `text` has been drawn."""
        deadline_s = time.monotonic() + 60
        while text not in self.said:
            assert time.monotonic() < deadline_s, self.said[-300:]
            if select.select([self.ours], [], [], 0.1)[0]:
                try:
                    self.said += os.read(self.ours, 65536).decode(errors="replace")
                except OSError as error:
                    assert error.errno == errno.EIO
            elif self.process.poll() is not None:
                raise AssertionError(f"ended before {text!r}: {self.process.stderr}")

    def type(self, keys: str) -> None:
        self.said = ""
        os.write(self.ours, keys.encode())

    def ended(self) -> tuple[int, str]:
        """Exit code and stderr; the terminal must be as it was."""
        assert self.process.stderr is not None
        with self.process:
            while self.process.poll() is None:
                if select.select([self.ours], [], [], 0.05)[0]:
                    self.said += os.read(self.ours, 65536).decode(errors="replace")
            said = self.process.stderr.read()
        assert termios.tcgetattr(self._its) == self.before
        return self.process.returncode, said

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        for descriptor in (self.ours, self._its):
            os.close(descriptor)


@contextlib.contextmanager
def viewing(*arguments: str) -> Iterator[Viewer]:
    viewer = Viewer(*arguments)
    try:
        yield viewer
    finally:
        viewer.close()


def test_a_person_looks_at_a_store_in_a_terminal(saved: Path) -> None:
    with viewing(str(saved), "--fps", "0") as viewer:
        viewer.until("11 of 12   #11")
        assert "▀" in viewer.said
        assert "\x1b[38;2;" in viewer.said
        viewer.type("\x1b[H")  # Home
        viewer.until("0 of 12   #0 ")
        viewer.type(".")
        viewer.until("1 of 12   #1 ")
        viewer.type("..,")
        viewer.until("2 of 12   #2 ")
        viewer.type("\x1b[B")  # ten seconds back: the first
        viewer.until("0 of 12   #0 ")
        viewer.type("q")
        assert viewer.ended() == (0, "")
        assert viewer.said.endswith("\x1b[?1049l")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 130), (signal.SIGINT, 130)])
def test_a_viewer_that_is_ended_gives_the_terminal_back(saved: Path, number: int, code: int
                                                        ) -> None:
    with viewing(str(saved), "--from", "3") as viewer:
        viewer.until("of 12")
        viewer.process.send_signal(number)
        assert viewer.ended() == (code, "fieldrec: interrupted\n")
        assert viewer.said.endswith("\x1b[?1049l")


def test_a_damaged_frame_does_not_end_the_viewer(saved: Path) -> None:
    (saved / "000000" / "000001.npy").write_bytes(b"")
    with viewing(str(saved), "--from", "1") as viewer:
        viewer.until("CANNOT BE READ")
        viewer.until("11 of 12")
        viewer.type("\x1b")
        assert viewer.ended() == (0, "")


# -- selftest --------------------------------------------------------------------------------------


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Path]:
    """A folder where syncs cost nothing, where there is one: hundreds of them are made."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


def test_selftest_finds_all_right(fast: Path) -> None:
    done = fieldrec("selftest", "--directory", fast)
    assert done.returncode == 0, done.stderr
    assert "all right" in done.stdout
    assert "WRONG" not in done.stdout
    assert "missing: a window" in done.stdout
    assert list(fast.iterdir()) == []


def test_selftest_fails_where_something_is_wrong(tmp_path: Path, fast: Path) -> None:
    """Pictures that are stored one grey level off, by a module that is loaded at start."""
    (tmp_path / "sitecustomize.py").write_text(
        "import fieldrec.store.frame_files as files\n"
        "fitted = files._fitted\n"
        "files._fitted = lambda form, pixels: fitted(form, pixels ^ 1 if pixels.dtype.kind == 'u'"
        " else pixels)\n")
    done = fieldrec("selftest", "--json", "--directory", fast,
                    env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    found = {row["format"]: row["right"] for row in json.loads(done.stdout)["formats"]}
    assert (found["npy"], found["png"], found["avc1/mp4"]) == (True, False, True)
    assert all(line.startswith("fieldrec: ") for line in done.stderr.splitlines())
    assert "png: uint8 mono 64x48: frame 0 in order: other pixels" in done.stderr
