"""The copy inside the movie: read back whole, and passed over by everybody else."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import av
import cv2
import pytest

from fieldrec.export import embedding
from fieldrec.store.movie.embedded import MP4_UUID, embedded
from fieldrec.store.video.structure import structure_of
from tests.fakes.export_content import moving, write_store
from tests.fakes.movies import make_movie
from tests.fakes.waiting import PATIENCE_S

COUNT = 5
MOVIES = [("High", ".mp4"), ("High", ".mkv"), ("Lossless", ".mkv"), ("Lossless", ".avi"),
          ("HEVC", ".mp4"), ("VP9", ".mkv")]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("stores") / "bees", moving(COUNT))


@pytest.mark.parametrize(("name", "extension"), MOVIES)
def test_it_says_what_the_sidecar_says(store: Path, tmp_path: Path, name: str, extension: str
                                       ) -> None:
    movie = make_movie(store, tmp_path / f"bees{extension}", name).path
    carried = embedding.read(movie)
    told = json.loads((tmp_path / f"bees{extension}.json").read_bytes())
    assert carried is not None
    assert {*told} - {*carried} == {"file", "verified_at_ns", "quality"}
    assert {key: told[key] for key in carried if key != "tail_bytes"} == {
        key: carried[key] for key in carried if key != "tail_bytes"}


@pytest.mark.parametrize(("name", "extension"), MOVIES)
def test_nobody_stumbles_over_it(store: Path, tmp_path: Path, name: str, extension: str) -> None:
    movie = make_movie(store, tmp_path / f"bees{extension}", name).path
    assert structure_of(movie).problem is None
    capture = cv2.VideoCapture(str(movie))
    shown = 0
    while capture.read()[0]:
        shown += 1
    capture.release()
    with av.open(str(movie)) as opened:
        decoded = len(list(opened.decode(video=0)))
        assert len(opened.streams.video) == 1
    assert (shown, decoded) == (COUNT, COUNT)


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
@pytest.mark.parametrize(("name", "extension"), MOVIES)
def test_ffmpeg_says_nothing_of_it(store: Path, tmp_path: Path, name: str, extension: str) -> None:
    movie = make_movie(store, tmp_path / f"bees{extension}", name).path
    done = subprocess.run(
        ["ffmpeg", "-v", "warning", "-i", movie, "-map", "0:v", "-c", "copy", "-f", "null", "-"],
        capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert done.stderr == ""


@pytest.mark.parametrize("extension", [".mp4", ".mkv", ".avi"])
def test_a_movie_that_carries_nothing(store: Path, tmp_path: Path, extension: str) -> None:
    name = "Lossless" if extension == ".avi" else "High"
    movie = make_movie(store, tmp_path / f"bees{extension}", name, embeds=False).path
    assert embedding.read(movie) is None


@pytest.mark.parametrize("extension", [".mp4", ".mkv", ".avi"])
def test_no_cut_or_garbage_breaks_the_search(store: Path, tmp_path: Path, extension: str) -> None:
    name = "Lossless" if extension == ".avi" else "High"
    movie = make_movie(store, tmp_path / f"bees{extension}", name).path
    whole = movie.read_bytes()
    content = embedded(movie)
    assert content is not None
    for length in [*range(64), *range(64, len(whole), 997), len(whole) - 1]:
        movie.write_bytes(whole[:length])
        assert embedded(movie) in (None, content)
    for at in range(0, min(len(whole), 4000), 37):
        movie.write_bytes(whole[:at] + b"\x01\x00\x00\x00\x00\x00\x00\x00\x01" + whole[at + 9:])
        embedded(movie)


def test_boxes_of_others_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    ours = MP4_UUID + b'{"a": 1}'
    box = struct.pack(">I4s", 8 + len(ours), b"uuid") + ours
    for before in (b"", struct.pack(">I4s16s", 24, b"uuid", b"x" * 16),
                   struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + b"12345"):
        path.write_bytes(struct.pack(">I4s4s", 12, b"ftyp", b"isom") + before + box)
        assert embedding.read(path) == {"a": 1}
    for wrong in (b"[1]", b"{", b"", b"[" * 100_000):
        ours = MP4_UUID + wrong
        path.write_bytes(struct.pack(">I4s", 8 + len(ours), b"uuid") + ours)
        assert embedding.read(path) is None


def test_an_attachment_behind_the_pictures_is_found(tmp_path: Path) -> None:
    """Where a program that joins Matroska files anew may put it, its SeekHead says."""
    def element(name: bytes, content: bytes) -> bytes:
        return name + (len(content) | 1 << 56).to_bytes(8, "big") + content

    def segment(at: int) -> bytes:
        seek = element(b"\x53\xab", b"\x19\x41\xa4\x69") + element(b"\x53\xac",
                                                                   at.to_bytes(8, "big"))
        head = element(b"\x11\x4d\x9b\x74", element(b"\x4d\xbb", seek))
        return head + element(b"\x1f\x43\xb6\x75", b"pictures")

    file = element(b"\x46\x6e", b"fieldrec.json") + element(b"\x46\x5c", b'{"a": 2}')
    attachments = element(b"\x19\x41\xa4\x69", element(b"\x61\xa7", file))
    path = tmp_path / "x.mkv"
    path.write_bytes(element(b"\x1a\x45\xdf\xa3", b"") + element(
        b"\x18\x53\x80\x67", segment(len(segment(0))) + attachments))
    assert embedding.read(path) == {"a": 2}


class Writes:
    def __init__(self) -> None:
        self.data = b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)


def test_an_odd_length_is_padded_in_avi() -> None:
    from tests.fakes.movies import AVI

    for content in (b"{}", b"{ }"):
        file = Writes()
        embedding.after(file, AVI, content)
        assert len(file.data) % 2 == 0
        size = int.from_bytes(file.data[4:8], "little")
        assert file.data[8:8 + size].endswith(content)


def test_the_checksums_of_matroska_are_right(store: Path, tmp_path: Path) -> None:
    """Those of its head too, in which the time base is put right after libavformat wrote it."""
    import threading

    from fieldrec.export.presets import preset
    from fieldrec.export.run import run_export

    made = run_export(store, preset("Lossless"), output_folder=tmp_path, stop=threading.Event(),
                      on_progress=lambda *_: None)
    found = structure_of(made.path)
    assert (found.problem, found.damages, found.checked) == (None, (), True)
