"""A window for a viewer, where this machine can open one. Main thread only, as GUIs demand it."""

from __future__ import annotations

import os
import re
import time

import cv2
import numpy as np

from fieldrec.cli.sheet import Picture, draw_line, fitted

LARGEST = (1600, 900)
"""A window opens at most this large; the user may enlarge it."""
BAR = 26
"""Pixels of the status bar below the picture."""

_KEYS = {27: "escape", 65360: "home", 65367: "end", 65361: "left", 65362: "up", 65363: "right",
         65364: "down", 65365: "page up", 65366: "page down"}


def why_no_window() -> str:
    """Why no window can be opened here, in words; "" when one can."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display"
    built = re.search(r"^\s*GUI:\s*(\S*)", cv2.getBuildInformation(), re.MULTILINE)
    if built is not None and built[1] == "NONE":
        return "this OpenCV has no windows (opencv-python in place of -headless has)"
    return ""


class Window:
    """One window, closed at the end of the with statement. cv2.error when it cannot be opened."""

    def __init__(self, title: str) -> None:
        self._name = title
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        self._sized = False

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *_: object) -> None:
        cv2.destroyAllWindows()

    def show(self, picture: Picture, status: str) -> None:
        """Draw the picture, with the status below it."""
        height, width = picture.shape[:2]
        colour = picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
        if width < 480:  # room for the status
            colour = fitted(picture, 480, 480 * height // width + 1)
        bar = np.full((BAR, colour.shape[1], 3), 30, np.uint8)
        draw_line(bar, status, 6, BAR - 8, 0.45)
        cv2.imshow(self._name, np.concatenate([colour, bar]))
        if not self._sized:
            self._sized = True
            scale = min(1.0, LARGEST[0] / colour.shape[1], LARGEST[1] / colour.shape[0])
            cv2.resizeWindow(self._name, round(colour.shape[1] * scale),
                             round((colour.shape[0] + BAR) * scale))

    def keys(self, timeout_s: float) -> list[str]:
        """What was typed within the time; "q" when the window was closed."""
        deadline_s = time.monotonic() + timeout_s
        code = cv2.waitKeyEx(max(1, round(timeout_s * 1000)))
        if cv2.getWindowProperty(self._name, cv2.WND_PROP_VISIBLE) < 1:
            return ["q"]
        if code < 0:
            time.sleep(max(0.0, deadline_s - time.monotonic()))
            return []
        return [_KEYS.get(code, chr(code & 0xFF))]
