"""Encoders that take turns: for a codec in which every frame stands for itself. In the process of
the export.

One encoder that divides a frame among its threads waits at each frame for the slowest of them, and
stands still while its packet is written. Several of one thread each, a frame to each in turn, do
neither. Their packets are those of one encoder, bit for bit.
"""

from __future__ import annotations

import os
import queue
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

Packets = list["Packet[VideoStream]"]

_MOST = 4
"""Each holds a frame and what it knows of it."""


def turns_for(threads: int) -> int:
    """How many encoders serve a preset with so many threads; 0: as many as there are processors."""
    return max(1, min(_MOST, threads or len(os.sched_getaffinity(0))))


class TakingTurns:
    """Used as one encoder, by one thread; :meth:`close` ends the threads of the others."""

    def __init__(self, open_one: Callable[[], VideoCodecContext], count: int) -> None:
        """`open_one` opens an encoder that uses no thread but its caller's. Its errors."""
        self._free: queue.SimpleQueue[VideoCodecContext] = queue.SimpleQueue()
        self._all = [open_one() for _ in range(count)]
        for context in self._all:
            self._free.put(context)
        self._under_way: deque[Future[Packets]] = deque()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="encode")

    @property
    def extradata(self) -> bytes | None:
        """The encoder's head."""
        return self._all[0].extradata

    def encode(self, picture: av.VideoFrame | None) -> Packets:
        """Take a picture, or None for the end; the packets that are ready, in the order of the
        pictures. Blocks while one picture more than there are encoders is under way. The encoder's
        errors, maybe those of a picture before."""
        if picture is not None:
            self._under_way.append(self._threads.submit(self._encode_one, picture))
            return self._under_way.popleft().result() if len(self._under_way) > len(self._all) \
                else []
        ready = [packet for one in self._under_way for packet in one.result()]
        self._under_way.clear()
        return ready + [packet for context in self._all for packet in context.encode(None)]

    def close(self) -> None:
        """Return when no thread is left. Idempotent."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _encode_one(self, picture: av.VideoFrame) -> Packets:
        context = self._free.get()
        try:
            return context.encode(picture)
        finally:
            self._free.put(context)
