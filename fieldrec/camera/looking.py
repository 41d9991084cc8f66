"""Which cameras there are: every backend's ``find``, all at the same time, none waited for long.

Called by commands, on any thread. A backend whose driver hangs is left alone in its thread, which
is a daemon thread and does not keep the process alive.
"""

from __future__ import annotations

import importlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping

import fieldrec.camera
from fieldrec.camera.discovery import backend_names
from fieldrec.camera.found import FoundCamera

log = logging.getLogger(__name__)

PATIENCE_S = 8.0
"""Looking around a network takes a second or two, loading a vendor's library as long again."""

Find = Callable[[], list[FoundCamera]]


def finders() -> dict[str, Find]:
    """The ``find`` of every backend that has one, or that says why it cannot be loaded."""
    found: dict[str, Find] = {}
    for name in backend_names():
        try:
            module = importlib.import_module(f"{fieldrec.camera.__name__}.{name}")
        except ImportError as error:
            found[name] = _cannot_load(name, error)
            continue
        if hasattr(module, "find"):
            found[name] = module.find
    return found


def look(backends: Mapping[str, Find], patience_s: float = PATIENCE_S) -> list[FoundCamera]:
    """What these find, in their order. A backend that fails or does not come back in time is one
    entry without a serial, with its problem."""
    answers: queue.SimpleQueue[tuple[str, list[FoundCamera]]] = queue.SimpleQueue()
    for name, find in backends.items():
        threading.Thread(target=_ask, args=(name, find, answers), name=f"find-{name}",
                         daemon=True).start()
    found: dict[str, list[FoundCamera]] = {}
    deadline_s = time.monotonic() + patience_s
    while len(found) < len(backends):
        try:
            name, cameras = answers.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            break
        found[name] = cameras
    late = f"did not answer within {patience_s:g} s; is one of its cameras stuck? unplug it"
    return [camera for name in backends
            for camera in found.get(name, [FoundCamera(name, "", problem=late)])]


def _ask(name: str, find: Find, answers: queue.SimpleQueue[tuple[str, list[FoundCamera]]]) -> None:
    try:
        cameras = find()
    except Exception as error:  # a driver's, which must not end the list of the others
        log.debug("backend %s cannot look for cameras", name, exc_info=True)
        cameras = [FoundCamera(name, "", problem=f"{type(error).__name__}: {error}")]
    answers.put((name, cameras))


def _cannot_load(name: str, error: ImportError) -> Find:
    return lambda: [FoundCamera(name, "", problem=f"cannot be loaded: {error}")]
