"""Stores of packets: written by the store's own door, read back by the numbers in the pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fieldrec.camera.burnt_number import read_number
from fieldrec.core.model import FrameSpec
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.reader import StoreReader
from fieldrec.store.video.packet_form import packet_form
from fieldrec.store.writer import StoreWriter
from tests.fakes.coded_streams import Packet, h264_packets, jpeg_packets

START_NS = 1_795_000_000_000_000_000
STEP_NS = 40_000_000
PACKETS: Mapping[str, Any] = {"H264": h264_packets, "MJPEG": jpeg_packets}
CODINGS = tuple(PACKETS)


def packet_writer(path: Path, coding: str = "H264", *, chunksize: int = 15,
                  size: tuple[int, int] = (180, 320)) -> StoreWriter:
    """A store of packets, recorded from now on."""
    spec = FrameSpec((*size, 3), "uint8", coding, 25.0)
    return StoreWriter(path, spec, chunksize=chunksize, timezone="UTC", created_epoch_ns=START_NS,
                       user_metadata=recording_metadata({"bird": "dove"}, spec, "UTC"),
                       form=packet_form(coding) or "npy")


def append(store: StoreWriter, coded: Iterable[tuple[int, Packet]]) -> list[int]:
    """The numbers of those that were stored."""
    return [number for number, packet in coded if store.append_packet(
        memoryview(packet.data), packet.key, number, START_NS + number * STEP_NS, number * 1000)]


def shown(path: Path) -> list[int | None]:
    """The numbers burnt into the pictures of a whole store; those of its index are the same."""
    with StoreReader(path) as reader:
        assert reader.problems == ()
        numbers = reader.numbers.tolist()
        assert reader.times_ns.tolist() == [START_NS + number * STEP_NS for number in numbers]
        assert reader.device_times_ns.tolist() == [number * 1000 for number in numbers]
        found = [read_number(reader.read(at)) for at in range(reader.frame_count)]
    assert found == numbers
    return found
