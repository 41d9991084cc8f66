"""`fieldrec view`: look at a store, in a window, in the terminal or as a contact sheet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from fieldrec.cli.out import echo
from fieldrec.cli.where import Where, new_path, where_options
from fieldrec.core.errors import StateError, StoreDamaged, StoreError, UsageError

if TYPE_CHECKING:
    from fieldrec.cli.player import Player
    from fieldrec.cli.sheet import Picture

IDLE_S = 0.5
"""A still picture is drawn again after this long: the terminal may have another size."""


@click.command("view")
@click.argument("store")
@click.option("--fps", "fps", type=click.FloatRange(min=0),
              help="Frames shown per second; 0: every frame, as fast as it can be drawn. "
                   "Default: as recorded.")
@click.option("--from", "begin", metavar="INDEX|TIME", default="0",
              help="Where to begin: 1500, +1:30 (from the start), 07:30, 2026-11-21T07:30.")
@click.option("--terminal", is_flag=True, help="In the terminal, also where a window can be had.")
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.png",
              help="Write a contact sheet of evenly spaced frames instead.")
@click.option("--count", default=20, show_default=True, type=click.IntRange(1, 500),
              help="Frames on the sheet.")
@where_options
def view_command(where: Where, store: str, fps: float | None, begin: str, terminal: bool,
                 sheet: Path | None, count: int) -> None:
    """Look at STORE: the name of a recording or the path of any store; or at a camera as it is now:
    camera:KEY of the configuration, camera:SERIAL or camera:SPEC (camera:synthetic:640x480).

    Keys: space pauses, "." and "," step, arrows jump 1 and 10 s, Home and End, q or Esc quits.
    """
    if store.startswith("camera:"):
        _view_camera(where, store.removeprefix("camera:"), terminal, sheet, count)
        return
    path = where.store(store)
    if sheet is not None:
        write_sheet(path, begin, sheet, count)
        echo(f"{sheet}: contact sheet of {path.name}")
    else:
        _play(path, begin, fps, terminal)


def _view_camera(where: Where, name: str, terminal: bool, sheet: Path | None, count: int) -> None:
    from fieldrec.cli import live

    if sheet is None:
        why = _why_no_window(name, terminal)
        with live.Live(*live.camera_for(where, name)) as running:
            _on_screen(why, running.name, running.spec.shape[:2],
                       lambda screen: live.show(running, screen))
        return
    target = _new_sheet(sheet)
    with live.Live(*live.camera_for(where, name)) as running:
        found = live.cells(running, count)
        _write_sheet(target, f"camera {running.name}", running.facts(), found)
    echo(f"{sheet}: contact sheet of camera {name}, {len(found)} frames")


class _Screen(Protocol):
    """Where frames are shown."""

    def show(self, picture: Picture | None, status: str) -> None:
        """Draw one frame, None for one that cannot be read."""
        ...

    def keys(self, timeout_s: float) -> list[str]:
        """What was typed in the meantime."""
        ...


def _play(path: Path, begin: str, fps: float | None, terminal: bool) -> None:
    why = _why_no_window(path.name, terminal)
    with Shown(path, begin) as shown:
        player = shown.player(fps)
        _on_screen(why, path.name, shown.store.spec.shape[:2],
                   lambda screen: _run(shown, player, screen))


def _why_no_window(name: str, terminal: bool) -> str:
    """Why it is shown in the terminal, "" for a window. StateError where there is neither."""
    from fieldrec.cli.window import why_no_window

    why = "--terminal was asked for" if terminal else why_no_window()
    if why and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise StateError(f"nothing to show {name} on: {why}, and this is no terminal; "
                         "--sheet OUT.png writes a contact sheet")
    return why


def _on_screen(why: str, title: str, shape: tuple[int, ...], run: Callable[[_Screen], None]
               ) -> None:
    """Run a viewer in a window, or in the terminal if there is a reason why not."""
    from fieldrec.cli.long_work import Interrupted

    try:
        if why:
            _in_terminal(run)
        else:
            _in_window(title, shape, run)
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted") from error


def _in_window(title: str, shape: tuple[int, ...], run: Callable[[_Screen], None]) -> None:
    import cv2

    from fieldrec.cli.window import Window

    try:
        with Window(title) as window:
            run(_Blank(window, shape))
    except cv2.error as error:
        raise StateError(f"no window can be opened ({' '.join(str(error).split())[:200]}); "
                         "--terminal shows it in the terminal") from error


class _Blank:
    """A window that gets a black picture for a frame that cannot be read."""

    def __init__(self, window: Any, shape: tuple[int, ...]) -> None:
        self._window, self._shape = window, shape
        self.keys = window.keys

    def show(self, picture: Picture | None, status: str) -> None:
        import numpy as np

        self._window.show(np.zeros(self._shape, np.uint8) if picture is None else picture, status)


def _in_terminal(run: Callable[[_Screen], None]) -> None:
    from fieldrec.cli.pictures_in_terminal import Terminal

    with Terminal(sys.stdin.fileno(), sys.stdout.fileno()) as terminal:
        run(_Drawn(terminal))


class _Drawn:
    """A terminal that gets half blocks."""

    def __init__(self, terminal: Any) -> None:
        self._terminal = terminal
        self.keys = terminal.keys

    def show(self, picture: Picture | None, status: str) -> None:
        from fieldrec.cli.pictures_in_terminal import half_blocks

        columns, rows = self._terminal.size()
        lines = [] if picture is None or rows < 2 else half_blocks(picture, columns, rows - 1)
        self._terminal.show(lines, f" {status}"[:columns].ljust(columns))


def _run(shown: Shown, player: Player, screen: _Screen) -> None:
    """Show what is due until a key ends it."""
    from fieldrec.cli.player import KEYS_HELP

    while not player.ended:
        index = player.advance(time.monotonic())
        picture, trouble = shown.picture(index)
        mode = "paused" if player.paused else ""
        screen.show(picture, "   ".join(
            part for part in (shown.status(index), trouble, mode, KEYS_HELP) if part))
        waiting_s = player.wait_s(time.monotonic())
        for key in screen.keys(IDLE_S if waiting_s is None else waiting_s):
            player.key(key, time.monotonic())


class Shown:
    """An open store, as people look at it."""

    def __init__(self, path: Path, begin: str) -> None:
        """Opens the store. StoreError when there is nothing to look at."""
        from fieldrec.catalogue.moments import place
        from fieldrec.cli.local_time import zone
        from fieldrec.store.reader import StoreReader
        from fieldrec.store.visible import Visible

        self.path = path
        self.store = StoreReader(path)
        if self.store.frame_count == 0:
            raise StoreError(f"{path}: there is no frame in it that could be shown"
                             + "".join(f"; {problem}" for problem in self.store.problems[:1]))
        self.numbers, self.times_ns = self.store.numbers, self.store.times_ns
        self.first = place(begin, self.times_ns, zone(self.store.timezone))
        if self.first == self.store.frame_count:
            raise UsageError(f"--from {begin}: {path.name} ends before, it has "
                             f"{self.first} frames")
        self._visible = Visible(self.store)

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def player(self, fps: float | None) -> Player:
        """A player from the first frame asked for; at the recording's own rate without `fps`."""
        from fieldrec.cli.player import Player

        rate_hz = self.rate_hz()
        return Player(self.first, self.store.frame_count, show_hz=rate_hz if fps is None else fps,
                      rate_hz=rate_hz, now_s=time.monotonic())

    def rate_hz(self) -> float:
        """Frames per second by the frames' own times; the nominal rate of a single frame."""
        from fieldrec.catalogue.statistics import intervals

        found = intervals(self.numbers, self.times_ns)
        return (found.rate_hz if found is not None else 0.0) or self.store.spec.nominal_hz or 25.0

    def picture(self, index: int) -> tuple[Picture | None, str]:
        """One frame, or None and why it cannot be read."""
        try:
            return self._visible.picture(index), ""
        except StoreDamaged:
            return None, "CANNOT BE READ"

    def status(self, index: int) -> str:
        """Which frame this is: index, the camera's number, local time."""
        from fieldrec.cli.local_time import local_time, zone_label
        from fieldrec.status import words

        time_ns, zone = int(self.times_ns[index]), self.store.timezone
        return (f"{words.count(index)} of {words.count(self.store.frame_count)}   "
                f"#{self.numbers[index]}   {local_time(time_ns, zone)} "
                f"{zone_label(time_ns, zone)}")

    def facts(self) -> str:
        """The store in a line, for the head of a sheet."""
        from fieldrec.cli.local_time import length, local_time, zone_label
        from fieldrec.status import words

        store, spec = self.store, self.store.spec
        first_ns, last_ns = int(self.times_ns[0]), int(self.times_ns[-1])
        return " · ".join((
            f"{spec.shape[1]}x{spec.shape[0]} {spec.pixel_format} {store.metadata.format}",
            words.plural(store.frame_count, "frame"), length((last_ns - first_ns) / 1e9),
            f"{self.rate_hz():.2f} fps", f"from {local_time(first_ns, store.timezone, 0)} "
                                         f"{zone_label(first_ns, store.timezone)}"))


def write_sheet(path: Path, begin: str, target: Path, count: int) -> None:
    """Put a contact sheet of the store into a new PNG file."""
    from fieldrec.status import words

    target = _new_sheet(target)
    with Shown(path, begin) as shown:
        _write_sheet(target, words.safe_text(path.absolute().name), shown.facts(),
                     _cells(shown, count))


def _new_sheet(target: Path) -> Path:
    """Where a sheet can be written, checked before any work is done for it."""
    if target.suffix.lower() != ".png":
        raise UsageError(f"--sheet {target}: a contact sheet is a .png file")
    return new_path(target)


def _write_sheet(target: Path, title: str, facts: str, found: list[Any]) -> None:
    import cv2

    from fieldrec.cli.sheet import contact_sheet
    from fieldrec.core import durable

    sheet = contact_sheet(title, facts, found)
    try:
        durable.write_atomic(target, cv2.imencode(".png", sheet)[1].tobytes())
    except OSError as error:
        raise StoreError(f"{target}: cannot write: {error.strerror}") from error


def _cells(shown: Shown, count: int) -> list[Any]:
    from fieldrec.cli.local_time import local_time, time_of_day
    from fieldrec.cli.sheet import Cell, evenly

    store = shown.store
    places = evenly(shown.first, store.frame_count, count)
    days = {local_time(int(shown.times_ns[at]), store.timezone, 0)[:10]
            for at in (places[0], places[-1])}
    cells = []
    for index in places:
        time_ns = int(shown.times_ns[index])
        when = (time_of_day(time_ns, store.timezone) if len(days) == 1 else
                local_time(time_ns, store.timezone, 0)[5:])
        cells.append(Cell(shown.picture(index)[0], f"#{shown.numbers[index]}", when))
    return cells
