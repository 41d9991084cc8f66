"""Which of a driver's formats serves a wish, and what may be wished for.

Pure but for the ioctls of :class:`fieldrec.camera.v4l2.Device`, in the caller's thread. What is
not wished for stays as the camera has it; among formats that serve equally well, the one that
costs least to convert is taken (v4l2_pixels.py has the order).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fieldrec.camera.parameters import Parameter
from fieldrec.camera.v4l2 import Device, Layout, Sizes, WireFormat
from fieldrec.camera.v4l2_pixels import choices, wire_formats
from fieldrec.core.errors import CameraError

_USUAL_HZ = 30.0
"""What a format must reach to be as good as a faster one, where no rate is asked for."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a camera; None for whatever it has."""

    pixel_format: str
    fourcc: str | None
    width: int | None
    height: int | None
    hz: float | None


def choose(device: Device, formats: Sequence[WireFormat], wish: Wish) -> Layout:
    """Set the format that serves `wish` best; what the driver made of it. CameraError lists what
    the driver offers."""
    present = device.layout()
    best: tuple[float, str, int, int] | None = None
    for wire in _candidates(device, formats, wish):
        size = _size(wire.sizes, wish, present)
        if size is None:
            continue
        hz = min(max(device.rates(wire.fourcc, *size), default=_USUAL_HZ), wish.hz or _USUAL_HZ)
        if best is None or hz > best[0]:
            best = (hz, wire.fourcc, *size)
    if best is None:
        raise _refused(device, formats, f"cannot give pictures of "
                       f"{wish.width or 'any width'} x {wish.height or 'any height'}")
    _, code, width, height = best
    made = device.set_layout(code, width, height)
    if (made.fourcc, made.width, made.height) != (code, width, height):
        raise _refused(device, formats, f"cannot give {code} {width}x{height}, it made that "
                       f"{made.fourcc} {made.width}x{made.height}")
    return made


def size_parameters(device: Device, formats: Sequence[WireFormat], layout: Layout,
                    pixel_format: str, hz: float) -> Iterator[Parameter]:
    """Width, Height, PixelFormat and AcquisitionFrameRate; none can change while frames come."""
    sizes = next((wire.sizes for wire in formats if wire.fourcc == layout.fourcc), ())
    for name, value, lows, highs, steps in (
            ("Width", layout.width, [size.min_width for size in sizes],
             [size.max_width for size in sizes], {size.step_width for size in sizes}),
            ("Height", layout.height, [size.min_height for size in sizes],
             [size.max_height for size in sizes], {size.step_height for size in sizes})):
        step = float(steps.pop()) if len(sizes) == 1 else None
        yield Parameter(name, value, float(min(lows, default=value)),
                        float(max(highs, default=value)), step, unit="px", live=False)
    offered = dict.fromkeys(made for wire in formats for made in choices(wire.fourcc))
    yield Parameter("PixelFormat", pixel_format, choices=tuple(offered), live=False)
    rates = device.rates(layout.fourcc, layout.width, layout.height)
    yield Parameter("AcquisitionFrameRate", hz, min(rates, default=None),
                    max(rates, default=None), unit="Hz", live=False, writable=bool(rates))


def _candidates(device: Device, formats: Sequence[WireFormat], wish: Wish) -> list[WireFormat]:
    offered = {wire.fourcc: wire for wire in formats}
    if wish.fourcc is None:
        found = [offered[code] for code in wire_formats(wish.pixel_format) if code in offered]
        if not found:
            raise _refused(device, formats, f"cannot give {wish.pixel_format}")
        return found
    # Of three characters and a blank, as "Y16 ", people leave the blank out.
    code = wish.fourcc.ljust(4)
    if code not in offered:
        raise _refused(device, formats, f"has no format {wish.fourcc}")
    if wish.pixel_format not in choices(code):
        raise CameraError(f"{device.path}: {wish.fourcc} cannot become {wish.pixel_format}; it can "
                          f"become: {', '.join(choices(code)) or 'nothing that fieldrec stores'}")
    return [offered[code]]


def _refused(device: Device, formats: Sequence[WireFormat], what: str) -> CameraError:
    made = dict.fromkeys(made for wire in formats for made in choices(wire.fourcc))
    return CameraError(f"{device.path}: {what}; the driver offers: "
                       f"{'; '.join(map(str, formats)) or 'nothing'}; as pixel_format: "
                       f"{', '.join(made) or 'none'}")


def _size(sizes: Sequence[Sizes], wish: Wish, present: Layout) -> tuple[int, int] | None:
    """Of a format's sizes, the one wished for; what is not wished for is as near as can be to what
    the camera has now."""
    width, height = wish.width or present.width, wish.height or present.height
    if not sizes or any(size.has(width, height) for size in sizes):
        return width, height
    near = [(_clamp(width, size.min_width, size.max_width, size.step_width),
             _clamp(height, size.min_height, size.max_height, size.step_height)) for size in sizes]
    fits = [(wide, high) for wide, high in near
            if wish.width in (None, wide) and wish.height in (None, high)]
    return min(fits, key=lambda size: abs(size[0] - width) + abs(size[1] - height), default=None)


def _clamp(value: int, low: int, high: int, step: int) -> int:
    return low + (min(max(value, low), high) - low) // step * step
