"""In which order the pictures of a video file are shown, found by the cheapest way that is proven.

The container's index where it lists every packet and the codec never reorders; else the timestamps
of all packets, read without decoding; else, where a container has no timestamps worth the name
(B-frames in AVI, two pictures with the same millisecond) or where a packet need not be a picture,
everything is decoded once. One thread; blocks for the disk. Imports PyAV.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from av.error import FFmpegError

from fieldrec.store.video.avi import Avi
from fieldrec.store.video.checks import (
    BLOCK_HEAD,
    ChunkHeads,
    FrameHeads,
    PacketCheck,
    packet_check,
)
from fieldrec.store.video.ctts import shown_after_decoding
from fieldrec.store.video.packets import VideoFile, indexed, indexed_offsets, listed
from fieldrec.store.video.structure import AVI, MATROSKA, MP4, OTHER, Structure, structure_of
from fieldrec.store.video.table import (
    NO_TIME,
    Integers,
    Known,
    Packets,
    PictureTable,
    by_decoder,
    by_index,
    by_positions,
    by_time,
)

_NEVER_REORDER = frozenset({
    "mjpeg", "ffv1", "rawvideo", "huffyuv", "ffvhuff", "utvideo", "png", "magicyuv", "prores",
    "dnxhd", "jpeg2000", "bmp", "tiff", "vp9", "av1"})
"""One packet, one picture, shown in order of coding."""
_REORDER = frozenset({"h264", "hevc"})
"""One packet, one picture, perhaps shown later than others that are coded behind it."""
_TELLS_TIMES = (MATROSKA, MP4)
"""Containers that say when a picture is shown; of the others, FFmpeg makes it up."""
_AVI_LIST_BYTES = 4 + Avi.frame_head_bytes
_STRAY_BYTES = {AVI: 1, MATROSKA: 64}
"""AVI pads packets to even places; Matroska has heads of clusters between some."""
_SET_UP_DAMAGED = "what it says of its coding is damaged"


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """What is known of a file before its pictures are decoded."""

    table: PictureTable
    kind: str
    problem: str | None
    """Why the file is not whole, in words; None when nothing is known against it."""
    refused: str | None
    """Why none of its pictures can be trusted; None when they can."""


def listing(video: VideoFile, expected: int | None) -> Listing:
    """List a file that was just opened. OSError, FFmpegError.

    `expected`: how many pictures were written, by the store's index; None where that is not
    known.
    """
    kind = _kind(video)
    codec = codec_name(video)
    in_order = codec in _NEVER_REORDER or (codec in _REORDER and not video.context.has_b_frames)
    table = _by_container(video, kind, codec, in_order, expected)
    if table is not None:
        with closing(check_of(video, kind, table.packets)) as check:
            ours = _by_frame_heads(check, table.packets, expected)
            return Listing(ours or table, kind, None, _refused(video, check))
    by_index = indexed_offsets(video) if kind == AVI else np.zeros(0, np.int64)
    packets, ended = listed(video)
    with closing(check_of(video, kind, packets)) as check:
        refused = _refused(video, check)
        ours = _by_frame_heads(check, packets, expected)
        if ours is not None:
            return Listing(ours, kind, ended, refused)
        structure = structure_of(video.path, checksums=not isinstance(check, FrameHeads))
    if structure.unreadable:
        refused = refused or _SET_UP_DAMAGED
    packets = _without_damaged(packets, structure)
    known = Known(expected, cut=structure.cut or ended is not None,
                  hidden=_hides_some(video, kind),
                  damaged_from=structure.damages[0].start if structure.damages else None,
                  checked=structure.checked, from_zero=kind == MATROSKA,
                  headless=kind == AVI and not _begins_its_list(video, packets),
                  stray_bytes=_STRAY_BYTES.get(kind),
                  indexed=_as_indexed(by_index, packets, video.frames_told, expected)
                  if kind == AVI else None)
    if in_order or (codec in _REORDER and kind in _TELLS_TIMES and _times_are_good(packets)):
        table = by_time(packets, known, reorders=not in_order)
    else:
        table = by_decoder(packets, known, *_decoded_order(video))
    return Listing(table, kind, structure.problem or ended, refused)


def _by_container(video: VideoFile, kind: str, codec: str, in_order: bool, expected: int | None
                  ) -> PictureTable | None:
    """The table as the container's own lists tell it; None where they do not suffice."""
    if not (in_order and kind in (AVI, MP4)) and not (codec in _REORDER and kind == MP4):
        return None
    packets = indexed(video, video.path.stat().st_size)
    if packets is None:
        return None
    if kind == AVI:
        with closing(ChunkHeads(video.path)) as heads:
            if not any(heads.is_sound(*sample) for sample in _samples(video, kind, packets)):
                return None  # the index points beside the pictures
    if in_order:
        return by_index(packets, expected)
    delays = shown_after_decoding(video.path, len(packets))
    if delays is None:
        return None
    packets = replace(packets, pts=packets.dts + delays)
    if not (packets.shown & packets.sound).all() or not _times_are_good(packets):
        return None
    return by_time(packets, Known(len(packets)), reorders=True)


def codec_name(video: VideoFile) -> str:
    """FFmpeg's name of the coding, whatever decoder is used."""
    codec = video.context.codec
    return str(getattr(codec, "canonical_name", None) or codec.name)


def check_of(video: VideoFile, kind: str, packets: Packets) -> PacketCheck:
    """The checks that this file's packets allow. OSError."""
    return packet_check(video.path, kind, codec_name(video), video.context.extradata,
                        _samples(video, kind, packets))


def _samples(video: VideoFile, kind: str, packets: Packets) -> list[tuple[int, bytes]]:
    """(offset, bytes) of the first, the last and one between of those that may be whole."""
    rows = np.flatnonzero(packets.sound & (packets.offsets >= 0))
    shift = BLOCK_HEAD if kind == MATROSKA else 0
    some = [(int(packets.offsets[at]), int(packets.sizes[at]))
            for at in sorted({*rows[:1], *rows[len(rows) // 2:][:1], *rows[-1:]})]
    with video.path.open("rb") as file:
        return [(offset, os.pread(file.fileno(), size, offset + shift)) for offset, size in some]


def _kind(video: VideoFile) -> str:
    name = video.kind
    if name.startswith("mov"):
        return MP4
    if name.startswith("matroska"):
        return MATROSKA
    return AVI if name == "avi" else OTHER


def _refused(video: VideoFile, check: PacketCheck) -> str | None:
    """A file by fieldrec says twice how its pictures are coded. OSError."""
    if not isinstance(check, FrameHeads):
        return None
    track, context = check.track(), video.context
    if track is None or (track.private and track.private != context.extradata) or (
            (track.width, track.height) != (context.width, context.height)):
        return _SET_UP_DAMAGED
    return None


def _by_frame_heads(check: PacketCheck, packets: Packets, expected: int | None
                    ) -> PictureTable | None:
    """The table by what the frame heads of a file by fieldrec say, where the container's list has
    not all of them; None where it has. OSError."""
    if not isinstance(check, FrameHeads) or not len(packets):
        return None
    if check.lists_all(packets.offsets.tolist(), packets.sizes.tolist()):
        return None
    frames = check.frames()
    offsets = np.array([offset for _head, offset in frames], np.int64)
    sizes, positions, keys = np.array([(head.size, head.position, head.key)
                                       for head, _offset in frames], np.int64).reshape(-1, 3).T
    at = {offset: row for row, offset in enumerate(packets.offsets.tolist())}
    rows = np.array([at.get(offset, -1) for offset in offsets.tolist()], np.int64)
    known = rows >= 0
    pts, dts = (np.where(known, stamps[rows], NO_TIME) if len(stamps) else np.full(0, NO_TIME)
                for stamps in (packets.pts, packets.dts))
    every = np.ones(len(frames), np.bool_)
    return by_positions(Packets(offsets, sizes, pts, dts, keys.astype(np.bool_), every, every),
                        positions, expected)


def _without_damaged(packets: Packets, structure: Structure) -> Packets:
    """Those in damaged parts marked, and in AVI those that two entries of its index point to."""
    damaged = np.array([structure.damaged_at(offset) for offset in packets.offsets.tolist()],
                       np.bool_)
    if structure.kind == AVI:
        _values, which, counts = np.unique(packets.offsets, return_inverse=True, return_counts=True)
        damaged |= counts[which] > 1
    return replace(packets, sound=packets.sound & ~damaged)


def _hides_some(video: VideoFile, kind: str) -> bool:
    """Whether an edit list leaves out pictures that the file has."""
    return kind == MP4 and 0 < len(video.index_entries) < video.frames_told


def _as_indexed(by_index: Integers, packets: Packets, told: int, expected: int | None
                ) -> int | None:
    """How many packets from the first on lie where the index of an AVI file says; None where there
    is none."""
    if told == expected and len(packets) > told:
        return 0  # some are there twice
    if len(by_index) < min(len(packets), max(2, told)):
        return None  # FFmpeg begins one while it reads
    count = min(len(by_index), len(packets))
    astray = np.flatnonzero(by_index[:count] != packets.offsets[:count])
    return int(astray[0]) if len(astray) else count


def _begins_its_list(video: VideoFile, packets: Packets) -> bool:
    """Whether nothing was lost before the first packet of an AVI file, where the times are only
    counted: it follows the word that begins the list of pictures, or our own first frame head."""
    if not len(packets) or packets.offsets[0] < _AVI_LIST_BYTES:
        return False
    with video.path.open("rb") as file:
        before = os.pread(file.fileno(), _AVI_LIST_BYTES, int(packets.offsets[0]) - _AVI_LIST_BYTES)
    return before[-12:-8] == b"movi" or before[:4] == b"movi"


def _times_are_good(packets: Packets) -> bool:
    """Whether every picture has a time of its own, and none before a key picture is shown after."""
    pts = packets.pts[packets.sound]
    if (pts == NO_TIME).any() or len(np.unique(pts)) < len(pts):
        return False
    latest = np.maximum.accumulate(pts)
    keys = np.flatnonzero(packets.keys[packets.sound])
    later = keys[keys > 0]
    return bool((pts[later] > latest[later - 1]).all())


def _decoded_order(video: VideoFile) -> tuple[Integers, int]:
    """(ordinals as a decoder puts their pictures out, how many came before anything failed)."""
    video.restart()
    order: list[int] = []
    certain = None
    for ordinal, packet in enumerate(chain(video.packets(), (None,))):
        try:
            if packet is not None:
                packet.pts = packet.dts = ordinal
            frames = video.context.decode(packet)
        except FFmpegError:
            certain = len(order) if certain is None else certain
            continue
        order += [frame.pts for frame in frames if frame.pts is not None]
        if certain is None and any(frame.is_corrupt for frame in frames):
            certain = len(order) - len(frames)
    return np.array(order, np.int64), len(order) if certain is None else certain
