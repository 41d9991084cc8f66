"""Does an encoder really encode on this machine, and with these options? It is tried, on a frame.

Runs in the export process (or a command). A trial is a process of its own with a time limit, since
drivers crash and hang; its priority is that of who starts it. ``python -m fieldrec.export.hardware
REQUEST``, where REQUEST is JSON, gives one JSON line. What was found is kept for as long as this
process lives.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fieldrec.core.errors import EncoderFailed
from fieldrec.export.codecs import CODECS, Quality, together
from fieldrec.export.presets import AS_RAW, Preset

TRIAL_S = 10.0
"""Longer than a driver needs to encode one frame, even on a busy machine at idle priority. What is
too slow costs no export: the software encoder takes it."""
_GONE_S = 2.0
"""How long to wait for a killed trial: one that hangs in its driver is left to the kernel."""
_SIDE = 64
_FRAMES = 4
"""Given at most, for encoders that hold some back; they need not wait for the end."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How the trial of an encoder went."""

    works: bool
    reason: str
    """Why it does not work, in the driver's words; "" when it does."""


def trial(encoder: str, pixel_format: str, width: int, height: int, options: Mapping[str, str]
          ) -> Trial:
    """Encode one frame of this size by `encoder`, once in the life of this process. Blocks."""
    _found[encoder] = _tried(encoder, pixel_format, width, height, tuple(sorted(options.items())))
    return _found[encoder]


def found(encoder: str) -> Trial | None:
    """How its last trial in this process went; None: there was none."""
    return _found.get(encoder)


_found: dict[str, Trial] = {}


def objection(preset: Preset) -> str:
    """Why the software encoder does not take a preset's options; "" when it does. Blocks as a
    trial does."""
    codec = CODECS[preset.codec]
    native = preset.pixel_format == AS_RAW
    quality = Quality(preset.crf, preset.speed, 25, preset.bitrate_bits_per_s,
                      threads=preset.threads, pixel_format=preset.pixel_format)
    return trial(codec.encoder, "gray" if native else preset.pixel_format, _SIDE, _SIDE,
                 together(codec.options(quality), preset.options)).reason


@functools.cache
def _tried(encoder: str, pixel_format: str, width: int, height: int,
           options: tuple[tuple[str, str], ...]) -> Trial:
    request = {"encoder": encoder, "pixel_format": pixel_format, "width": width, "height": height,
               "options": dict(options), "parent": os.getpid()}
    return in_a_process([sys.executable, "-m", "fieldrec.export.hardware", json.dumps(request)])


def in_a_process(command: list[str], limit_s: float = TRIAL_S) -> Trial:
    """Run a trial and tell how it went, whatever becomes of it. Blocks for `limit_s` and a moment
    at most."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        said, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        _kill(process)
        return Trial(False, f"no answer within {limit_s:g} s")
    except BaseException:
        _kill(process)
        raise
    if process.returncode < 0:
        return Trial(False, f"crashed by signal {-process.returncode}")
    with contextlib.suppress(ValueError, IndexError, KeyError, TypeError):
        answer = json.loads(said.splitlines()[-1])
        return Trial(bool(answer["works"]), str(answer["reason"]))
    return Trial(False, f"ended with code {process.returncode} and no answer")


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_GONE_S)


def main(arguments: list[str]) -> int:
    """In the trial's own process: encode, and say how it went."""
    from fieldrec.export.process import die_with_parent

    request = json.loads(arguments[0])
    if not die_with_parent(int(request["parent"])):
        return 1
    reason = _objection(request)
    sys.stdout.write(json.dumps({"works": not reason, "reason": reason}) + "\n")
    return 0


def _objection(request: dict[str, Any]) -> str:
    """Why a frame cannot be encoded so; "" when it can."""
    from fieldrec.export.opening import plain_encoder

    try:
        context = plain_encoder(request["encoder"], request["pixel_format"], request["width"],
                                request["height"], request["options"])
        size = sum(packet.size for picture in _pictures(request)
                   for packet in context.encode(picture))
    except (EncoderFailed, OSError, ValueError) as error:  # PyAV's errors are the last two
        return str(error).removeprefix(f"{request['encoder']}: ")
    return "" if size else "it gave no packet for a frame"


def _pictures(request: dict[str, Any]) -> Iterator[Any]:
    import av

    for number in range(_FRAMES):
        picture = av.VideoFrame(request["width"], request["height"], request["pixel_format"])
        for plane in picture.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        picture.pts = number
        yield picture
    yield None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
