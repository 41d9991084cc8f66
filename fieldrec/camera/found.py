"""What cameras a backend can see: asked by `fieldrec cameras`, and to name them in errors.

A backend module may have a function ``find() -> list[FoundCamera]``. It blocks for as long as
looking takes (seconds at most), opens no camera that another program may be using, and never
raises: what keeps it from looking is a :class:`FoundCamera` with a `problem`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """One camera as its backend sees it."""

    backend: str
    serial: str
    """What tells it from others of its model, and what `serial:` in the configuration takes."""
    model: str = ""
    spec: str = ""
    """What `fieldrec record --camera` takes, e.g. "basler:40012345"."""
    link: str = ""
    """How it is connected, with its speed: "USB 5000 Mbit/s", "GigE 192.168.1.20"."""
    formats: tuple[str, ...] = ()
    """Pixel formats and sizes it offers, as far as can be asked without opening it."""
    problem: str = ""
    """Why it, or this backend, cannot be used; with what to do."""
