"""By which way a file is listed, and that the cheap ways say what the dear one says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fieldrec.core.errors import StoreDamaged
from fieldrec.store.video import order
from fieldrec.store.video.ctts import shown_after_decoding
from fieldrec.store.video.decoder import VideoDecoder
from fieldrec.store.video.order import listing
from fieldrec.store.video.packets import VideoFile
from tests.fakes.videos import write_video

B_FRAMES: dict[str, Any] = {"gop": 10, "b_frames": 3}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg.avi": ("index", {"codec": "mjpeg", "pixels": "yuvj420p"}),
    "jpeg.mp4": ("index", {"codec": "mjpeg", "pixels": "yuvj420p"}),
    "ffv1.avi": ("index", {"codec": "ffv1", "pixels": "bgr0"}),
    "plain.mp4": ("index", {"b_frames": 0}),
    "b.mp4": ("index", B_FRAMES),
    "parts.mp4": ("packets", {**B_FRAMES,
                              "container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    "b.mkv": ("packets", B_FRAMES),
    "ffv1.mkv": ("packets", {"codec": "ffv1", "pixels": "bgr0"}),
    "same ms.mkv": ("decoder", {**B_FRAMES, "times": [at * 30 for at in range(60)]}),
    "b.avi": ("decoder", B_FRAMES),
    "mpeg4.mp4": ("decoder", {"codec": "mpeg4"}),
}


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The dear ways that were gone."""
    gone: list[str] = []
    for name, what in (("listed", "packets"), ("_decoded_order", "decoder")):
        _spy(monkeypatch, name, what, gone)
    yield gone


def _spy(monkeypatch: pytest.MonkeyPatch, name: str, what: str, gone: list[str]) -> None:
    function = getattr(order, name)

    def noting(*arguments: Any) -> Any:
        gone.append(what)
        return function(*arguments)

    monkeypatch.setattr(order, name, noting)


@pytest.mark.parametrize("name", WAYS)
def test_the_cheapest_way_that_is_exact_is_gone(tmp_path: Path, name: str, ways: list[str]) -> None:
    way, options = WAYS[name]
    path = write_video(tmp_path / name, **options)
    with closing(VideoFile(path)) as video:
        table = listing(video, None).table
    assert {"index": [], "packets": ["packets"], "decoder": ["packets", "decoder"]}[way] == ways
    assert len(table) == table.certain == 60
    with closing(VideoFile(path)) as video:
        assert table.order.tolist() == order._decoded_order(video)[0].tolist()


def test_when_pictures_are_shown_is_read_from_the_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "b.mp4", **B_FRAMES)
    delays = shown_after_decoding(path, 60)
    with closing(VideoFile(path)) as video:
        stamps = [(packet.pts, packet.dts) for packet in video.packets()]
    assert delays is not None
    told = [(pts or 0) - (dts or 0) for pts, dts in stamps]
    assert np.array_equal(delays - delays[0], np.array(told) - told[0])
    assert shown_after_decoding(path, 59) is None
    assert shown_after_decoding(write_video(tmp_path / "plain.mp4"), 60) is None


def test_a_damaged_file_is_no_table(tmp_path: Path) -> None:
    path = write_video(tmp_path / "b.mp4", **B_FRAMES)
    data = path.read_bytes()
    for size in (0, 3, 20, len(data) // 2, data.index(b"ctts") + 30):
        path.write_bytes(data[:size])
        assert shown_after_decoding(path, 60) is None
    for at in range(data.index(b"moov") - 4, len(data), 5):
        path.write_bytes(data[:at] + b"\xff" * 4 + data[at + 4:])
        shown_after_decoding(path, 60)  # whatever it says, it says it


def test_times_that_no_decoder_could_mean_are_not_believed(tmp_path: Path, ways: list[str]
                                                            ) -> None:
    """A picture that is coded before a key picture and said to be shown after it."""
    path = tmp_path / "late.mkv"
    with av.open(str(write_video(tmp_path / "b.mkv", **B_FRAMES))) as reading, \
            av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(reading.streams.video[0])
        for ordinal, packet in enumerate(reading.demux(video=0)):
            if packet.size and packet.pts is not None:
                packet.pts += 600 * (ordinal == 5)
                packet.stream = stream
                container.mux(packet)
    with closing(VideoDecoder(path, 60)) as decoder:
        assert "decoder" in ways
        assert len(decoder.listing.table) == 60


def test_a_set_up_that_was_damaged_refuses_every_picture(tmp_path: Path) -> None:
    path = write_video(tmp_path / "b.mkv", **B_FRAMES)
    data = bytearray(path.read_bytes())
    data[data.index(b"avc", 100) if b"avc" in data[100:400] else data.index(b"\x63\xa2") + 12] ^= 1
    path.write_bytes(data)
    with closing(VideoDecoder(path, 60)) as decoder, pytest.raises(StoreDamaged, match="coding"):
        decoder.picture(0)
