"""The outermost parts of video files: cut, never closed, damaged, whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldrec.store.video.structure import AVI, MATROSKA, MP4, OTHER, structure_of
from tests.fakes.videos import write_video

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "a.mkv": (MATROSKA, {}),
    "a.mp4": (MP4, {}),
    "parts.mp4": (MP4, {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "a.avi": (AVI, {"codec": "mjpeg", "pixels": "yuvj420p"}),
}
CLUSTER = b"\x1f\x43\xb6\x75"


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_file_has_no_problem_and_every_cut_one_has(tmp_path: Path, name: str) -> None:
    kind, options = KINDS[name]
    path = write_video(tmp_path / name, frames=12, **options)
    data = path.read_bytes()
    whole = structure_of(path)
    assert (whole.kind, whole.problem, whole.cut, whole.damages) == (kind, None, False, ())
    for size in range(len(data) - 1, 40, -max(1, len(data) // 60)):
        path.write_bytes(data[:size])
        found = structure_of(path)
        # a file of parts may end with any of them
        assert found.problem is not None or name == "parts.mp4"
        assert found.cut == (found.problem is not None)


def test_other_files_are_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "note"
    for content in (b"", b"x", b"RIFFabcdWAVE", bytes(100)):
        path.write_bytes(content)
        found = structure_of(path)
        assert (found.kind, found.problem) == (OTHER, None)


def test_every_flipped_bit_of_matroska_pictures_is_found(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", frames=60, gop=10)
    data = path.read_bytes()
    first = data.index(CLUSTER)
    end = data.rindex(b"\x1c\x53\xbb\x6b")  # Cues: a reader can do without
    assert structure_of(path).checked
    for at in range(first, end, max(1, (end - first) // 200)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        found = structure_of(path)
        assert found.problem is not None
        assert found.cut or found.damaged_at(at) or found.damages[0].start <= at + 12
        assert not found.damaged_at(first - 1)


def test_where_the_coding_is_described_nothing_may_be_damaged(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", frames=3)
    data = bytearray(path.read_bytes())
    data[data.index(b"V_MPEG4") + 2] ^= 1
    path.write_bytes(data)
    assert structure_of(path).unreadable
    assert structure_of(path, checksums=False).unreadable


def test_checksums_can_be_left_out(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", frames=30)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert structure_of(path, checksums=False).problem is None
    assert structure_of(path).damages


def test_files_without_checksums_are_not_called_checked(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", frames=3, container_options={"write_crc32": "0"})
    found = structure_of(path)
    assert (found.checked, found.problem) == (False, None)


def test_an_avi_that_was_never_closed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", frames=3, codec="mjpeg", pixels="yuvj420p")
    data = bytearray(path.read_bytes())
    data[4:8] = bytes(4)
    path.write_bytes(data)
    assert "never closed" in str(structure_of(path).problem)
