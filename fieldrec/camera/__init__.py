"""Floor 2: cameras. One module per backend; adding one is adding one file.

A backend module has ``Options`` (a pydantic model of its configuration keys) and ``BACKEND``, a
class that satisfies :class:`Camera`. All calls block and are made by one thread at a time: the
recorder's worker (open, close) or its ``cap-<camera>`` thread (start, grab, stop). A backend holds
no policy: it does not retry, log progress or know of stores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict

from fieldrec.core.model import FrameHeader, FrameSpec

if TYPE_CHECKING:  # a command that only asks a daemon does without
    from numpy.typing import NDArray

Pixels: TypeAlias = "NDArray[Any]"


class CameraOptions(BaseModel):
    """Base of every backend's ``Options``: unknown keys forbidden, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Camera(Protocol):
    """What a backend must do. All methods block; none is called concurrently with another."""

    def __init__(self, serial: str, options: Any) -> None:
        """Keep the options; touch no hardware. `options` is the module's ``Options``."""
        ...

    def open(self) -> FrameSpec:
        """Connect and configure; say what every frame will look like.

        CameraError (one line: what, which device, what to do) when it cannot. Called again after
        :meth:`close` to reconnect.
        """
        ...

    def start(self) -> None:
        """Begin acquisition; the next :meth:`grab` returns a frame from now on. CameraError."""
        ...

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """Wait for the next frame and put its pixels into `into`, a C-contiguous array of the
        spec's shape and dtype (a ring slot: no other copy is made).

        CameraTimeout after `timeout_s` without a frame, CameraLost when the device is gone,
        CameraEnded when a finite source has played out. `monotonic_ns` is CLOCK_BOOTTIME as close
        to the frame's arrival as the backend can read it.
        """
        ...

    def stop(self) -> None:
        """End acquisition; never raises for a device that is gone. Idempotent."""
        ...

    def close(self) -> None:
        """Disconnect and free everything; never raises. Idempotent, also before :meth:`open`."""
        ...


def blank(spec: FrameSpec) -> Pixels:
    """A C-contiguous array that :meth:`Camera.grab` accepts, for previews and tests."""
    import numpy as np

    return np.zeros(spec.shape, dtype=spec.dtype)
