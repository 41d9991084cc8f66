"""The task that owns the drives: udev tells, mount(8) mounts, the table remembers, others lease.

Runs on the event loop under ``supervise``; everything that touches a drive's file system runs in a
worker thread of that drive or in a process, with a time limit, so that a dying drive blocks neither
the loop nor another drive (I9). :meth:`DriveWatcher.close` unmounts what we mounted (I7); what
others mounted stays mounted. No policy: what is copied to a drive, and when it is ejected, is for
jobs to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from fieldrec.config.drives import DrivesConfig
from fieldrec.core.errors import DriveBusy, DriveError, DriveGone, DriveRejected, SyncFailed
from fieldrec.core.model import Drive, DriveState
from fieldrec.core.workers import Worker
from fieldrec.drives import mount, mounts
from fieldrec.drives.arrival import Arrival, drive_of
from fieldrec.drives.choosing import mounter_for
from fieldrec.drives.mounted import Mounted
from fieldrec.drives.mounter import Mounter
from fieldrec.drives.parts import others_in_use
from fieldrec.drives.table import DriveTable, Key, Lease, name_of
from fieldrec.drives.udev import BlockDevice, BlockEvents, Change
from fieldrec.drives.work import DriveWork

GIVE_BACK_S = 60.0
"""How long eject waits for leases: a slice of a copy takes seconds, its sync up to a minute."""
SYNC_TIMEOUT_S = 300.0
LOOKS = 3
"""How often a drive that is written to where it is, and never fit, is looked at."""
MEASURE_EVERY_S = 5.0
"""How often the free space of drives that are written to is read."""


class DriveWatcher:
    """Every removable drive: noticed, mounted, leased, ejected.

    `in_use` are the recordings folders, there or not yet: their disks and the root's are never
    touched. `on_change` says that :meth:`drives` differs, `on_event(text, severity)` what happened,
    in a line for people; both are called on the loop.
    """

    def __init__(self, config: DrivesConfig, *, on_change: Callable[[], None],
                 on_event: Callable[[str, str], None], in_use: Sequence[Path],
                 mounter: Mounter | None = None) -> None:
        self._on_change = on_change
        self._on_event = on_event
        self._in_use = tuple(in_use)
        self._mount_root = config.mount_root
        self._table = DriveTable(self._changed)
        self._events = BlockEvents(config.match, self._take)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._pulse = asyncio.Event()
        self._blocks: dict[Key, BlockDevice] = {}
        self._work = DriveWork()
        self._mounted = Mounted(mounter or mounter_for(config, self._work, on_event), self._work,
                                in_use)
        self._arrival = Arrival(config, self._mounted, self._work, on_event, in_use)
        self._arrivals: dict[Key, object] = {}
        """A token per insertion that is still true."""
        self._refused: dict[Key, list[str]] = {}
        """Why it was rejected, each time since it came."""
        self._written: set[Key] = set()
        """Those that somebody has written to while they were looked at."""
        self._locks: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def drives(self) -> tuple[Drive, ...]:
        """All drives there are, and the last few that were. Any thread; never blocks."""
        return self._table.drives()

    def find(self, which: str) -> Key:
        """The one drive that is there and has this id, label or device, as (id, device).
        NotFoundError, UsageError in words."""
        return self._table.find(which)

    def lease(self, fs_uuid: str) -> Lease:
        """The right to write to a READY drive. Any thread; never blocks.

        DriveGone, DriveBusy, DriveRejected or NotFoundError, in words, when it cannot be had.
        """
        return self._table.lease(fs_uuid)

    async def run(self) -> None:
        """Watch until cancelled; raises when udev cannot be listened to. May be run again.

        On cancel drives stay mounted: leases may still be out. :meth:`close` comes after.
        """
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        scout = Worker("drives")
        try:
            disks = await scout.run(lambda _stop: mounts.machine_disks(self._in_use))
        finally:
            scout.close()
        for left in mounts.dead_below(self._mount_root):  # by a run that was killed
            await mount.detach(left)
        failed = self._events.start(disks)
        try:
            while not failed.done():
                await asyncio.wait({failed}, timeout=MEASURE_EVERY_S)
                await self._measure_leased()
                self._pulse.set()  # what others mount and unmount changes no table
            failed.result()
        finally:
            self._events.stop()
            await self._cancel_tasks()

    async def eject(self, which: str, give_back_s: float = GIVE_BACK_S, *, note: str = "") -> None:
        """Make a drive (by id, label or device) safe to remove: state SAFE, with `note` as its
        reason (what whoever takes it out should know).

        New leases are refused, those that are out waited for; then all is synced and unmounted,
        and a real USB device is switched off. DriveBusy when a lease does not come back within
        `give_back_s`, when somebody else holds or mounted the drive (it is READY again then), or
        when another partition of the same disk is in use (it is unmounted then, and safe as soon as
        the other is); DriveGone when it is pulled out meanwhile; NotFoundError, UsageError for a
        wrong name. On cancel it is READY again, or already safe.
        """
        key = self._table.find(which)
        self._table.ejecting(key)
        drive = self._drive(key)
        try:
            await self._until(lambda: self._table.leases(key) == 0, give_back_s,
                              f"drive {name_of(drive)} is still being written after "
                              f"{give_back_s:g} s; try again")
            self._there(key)
            await self._release(key)
        except (DriveError, SyncFailed, OSError) as error:
            self._there(key)
            self._table.eject_failed(key, f"eject failed: {error}")
            raise
        except asyncio.CancelledError:
            self._eject_cancelled(key, note)
            raise
        self._there(key)
        if why := self._waits_for_others(key, note):
            raise DriveBusy(f"drive {name_of(drive)} is {why}")
        try:
            await self._power_off(key)
        finally:  # it is unmounted: safe, even if cancelled here
            self._safe(key, note)

    def _waits_for_others(self, key: Key, note: str) -> str:
        """Why a drive that is unmounted will be safe only with the others; "" when it is."""
        others = self._other_parts(key)
        if not others:
            return ""
        why = (f"unmounted, but {', '.join(others)} on the same device is in use; it is safe when "
               "that is ejected too")
        self._table.waits(key, why)
        self._spawn(self._safe_with_the_others(key, note))
        return why

    async def _safe_with_the_others(self, key: Key, note: str) -> None:
        while self._other_parts(key):
            self._pulse.clear()
            await self._pulse.wait()
        self._safe(key, note)

    def _other_parts(self, key: Key) -> list[str]:
        drive = self._table.get(key)
        if drive is None or drive.state is not DriveState.EJECTING or self._closing:
            return []
        return others_in_use(key, self._blocks, self._table)

    def _safe(self, key: Key, note: str) -> None:
        drive = self._table.get(key)
        if drive is not None and drive.state is DriveState.EJECTING:
            self._table.safe(key, note)
            self._on_event(f"drive {name_of(drive)} is safe to remove"
                           + (f" ({note})" if note else ""), "info")
            if self._mounted.switched_off(key):  # no event will tell that it is out
                self._look_again_at_twins(key)
        self._work.end(key)

    async def close(self, give_back_s: float = 5.0) -> None:
        """Unmount everything we mounted; call after :meth:`run` has ended and jobs have stopped.

        What cannot be unmounted is named by an event, never forced. Idempotent.
        """
        self._closing = True
        self._events.stop()
        await self._cancel_tasks()
        await asyncio.gather(*(self._close_one(key, give_back_s) for key in self._mounted.ours()))
        self._work.close()

    async def _close_one(self, key: Key, give_back_s: float) -> None:
        drive = self._drive(key)
        try:
            if drive.state is DriveState.EJECTING:  # somebody's eject is under way: let it end
                await self._until(lambda: self._drive(key).state is not DriveState.EJECTING,
                                  GIVE_BACK_S, f"drive {name_of(drive)} is still being ejected")
                drive = self._drive(key)
            if drive.state is DriveState.READY:
                await self.eject(drive.device, give_back_s)
            elif drive.state is DriveState.ABSENT:
                await self._let_go(key)
            elif drive.state is not DriveState.SAFE:
                await self._mounted.take_down(key)
        except (DriveError, SyncFailed, OSError) as error:
            self._on_event(f"drive {name_of(drive)} stays mounted: {error}", "error")

    # ---- coming and going -------------------------------------------------------------------

    def _take(self, change: Change, block: BlockDevice) -> None:
        """One event of udev. Only notes and starts tasks; called by the loop's reader."""
        key = (block.fs_uuid, block.device)
        if change is Change.REMOVED:
            self._gone(key)
        elif change is Change.ADDED:
            self._arrive(key, block)
        else:
            self._blocks[key] = block
            self._look_again(key, block)

    def _look_again(self, key: Key, block: BlockDevice) -> None:
        """At one that is no drive for us and has been written to since it was looked at: it may
        have been formatted or mended where it is. A few times for each insertion, for our own
        repairs write to it too."""
        drive = self._table.get(key)
        if drive is None or len(self._refused.get(key, ())) >= LOOKS:
            return
        if drive.state is DriveState.REJECTED:
            self._arrive(key, block)
        elif drive.state in (DriveState.SEEN, DriveState.MOUNTING):
            self._written.add(key)  # while it was looked at: a formatter is still at it, perhaps

    def _arrive(self, key: Key, block: BlockDevice) -> None:
        """SEEN, and either REJECTED at once or on its way to be mounted."""
        self._blocks[key] = block
        self._written.discard(key)
        for out in self._mounted.put_in(key, block):
            self._table.absent(out)
        try:
            self._table.seen(drive_of(block))
        except DriveRejected as error:
            self._on_event(f"{error}; it is not used", "warning")
            return
        if reason := self._arrival.refused(block):
            self._reject(key, reason)
            return
        token = self._arrivals[key] = object()
        self._spawn(self._take_in(key, block, token))

    async def _take_in(self, key: Key, block: BlockDevice, token: object) -> None:
        """From SEEN to READY or REJECTED; a task of its own per insertion.

        The locks make it wait until what was there before is cleared away; the token tells whether
        the drive was pulled out (and perhaps put in again) meanwhile.
        """
        async with self._alone(key):
            if self._arrivals.get(key) is not token:
                return
            self._table.mounting(key)
            try:
                arrived = await self._arrival.make_fit(key, block)
            except (DriveError, OSError) as error:
                await self._mounted.take_down(key)
                if self._arrivals.get(key) is token:
                    self._reject(key, str(error))
                    if key in self._written:
                        self._look_again(key, self._blocks[key])
            except asyncio.CancelledError:
                self._events.forget(block.device)  # reported anew when run() runs again
                await self._mounted.take_down(key)
                raise
            else:
                if self._arrivals.get(key) is not token:
                    await self._mounted.take_down(key)
                    return
                self._table.ready(key, arrived.mount_point, arrived.size_bytes,
                                  arrived.free_bytes, known=arrived.known, rule=arrived.rule,
                                  marker=arrived.marker)
                for text, severity in self._arrival.welcome(self._drive(key)):
                    self._on_event(text, severity)

    def folder_came(self) -> None:
        """A recordings folder can be used that could not before. On the loop: a drive that turns
        out to be its disk is let go, though it is being written."""
        for key, block in tuple(self._blocks.items()):
            drive = self._table.get(key)
            reason = self._mounted.recorded_on(block)
            if reason and drive is not None and drive.state is DriveState.READY:
                self._arrivals.pop(key, None)
                self._reject(key, reason)
                self._spawn(self._let_go(key))

    def _reject(self, key: Key, reason: str) -> None:
        self._table.rejected(key, reason)
        refused = self._refused.setdefault(key, [])
        if reason not in refused:
            self._on_event(f"drive {name_of(self._drive(key))} is not used: {reason}", "warning")
        refused.append(reason)

    def _gone(self, key: Key) -> None:
        """The device or its file system is no longer there."""
        self._arrivals.pop(key, None)
        self._blocks.pop(key, None)
        self._refused.pop(key, None)
        self._written.discard(key)
        drive = self._table.get(key)
        if drive is None or drive.state is DriveState.ABSENT or self._mounted.switched_off(key):
            return  # switched off by us: it stays SAFE until it is put in again
        self._table.absent(key)
        name = name_of(drive)
        if drive.leases:
            self._on_event(f"drive {name} was pulled out while it was being written; put it in "
                           "again to go on", "error")
        elif drive.state in (DriveState.READY, DriveState.EJECTING):
            self._on_event(f"drive {name} was pulled out without eject", "warning")
        else:
            self._on_event(f"drive {name} is out", "info")
        self._spawn(self._let_go(key))
        self._look_again_at_twins(key)

    def _look_again_at_twins(self, key: Key) -> None:
        """What had to wait outside because it has the id of the drive that is out now."""
        for other, block in tuple(self._blocks.items()):
            twin = self._table.get(other) if other[0] == key[0] != "" else None
            if twin is not None and twin.state is DriveState.REJECTED:
                self._arrive(other, block)

    async def _let_go(self, key: Key) -> None:
        """Lazy unmount of what is no longer there."""
        async with self._alone(key):
            await self._mounted.let_go(key)

    @contextlib.asynccontextmanager
    async def _alone(self, key: Key) -> AsyncIterator[None]:
        """One at a time, in the order of the events, per file-system id, which also names the mount
        folder, and per device: another card in the same slot has the number of the one before."""
        fs_uuid, device = (self._locks.setdefault(name, asyncio.Lock()) for name in key)
        async with fs_uuid, device:
            yield

    # ---- ejecting ---------------------------------------------------------------------------

    def _eject_cancelled(self, key: Key, note: str) -> None:
        """SAFE if the unmounting was through already, else READY again."""
        drive, block = self._table.get(key), self._blocks.get(key)
        if drive is None or drive.state is not DriveState.EJECTING:
            return
        if block is None or not self._mounted.released(key, block):
            self._table.eject_failed(key, "eject was cancelled")
        elif not self._waits_for_others(key, note):
            self._safe(key, note)

    async def _release(self, key: Key) -> None:
        """Sync and unmount; DriveBusy where it stays mounted, by whomever. What others mounted goes
        first: where it stays, ours stays too, and the drive can be used as before."""
        drive, block = self._drive(key), self._blocks.get(key)
        point = drive.mount_point
        if point is not None and mounts.mount_at(point) is not None:  # else others unmounted it
            await self._work.run(key, lambda _stop: mount.sync(point), SYNC_TIMEOUT_S,
                                 f"drive {name_of(drive)} does not finish writing")
        if block is not None and not self._closing:
            await self._mounted.release_others(key, block, name_of(drive))
        await self._mounted.release(key, name_of(drive))
        if block is not None and (where := self._mounted.still_mounted(block)):
            raise DriveBusy(f"drive {name_of(drive)} is synced, but {where}")

    async def _power_off(self, key: Key) -> None:
        block = self._blocks.get(key)
        if block is not None and not self._closing:
            await self._mounted.power_off(self._blocks, block)

    # ---- small parts ------------------------------------------------------------------------

    async def _measure_leased(self) -> None:
        """Read the free space of drives that are written to; one that fails keeps its figure."""
        for drive in self._table.drives():
            key = (drive.fs_uuid, drive.device)
            if drive.leases and drive.mount_point is not None and not self._work.hangs(key):
                with contextlib.suppress(OSError, DriveError):
                    _, free_bytes = await self._arrival.measure(key, drive.mount_point,
                                                                name_of(drive))
                    self._table.measured(key, free_bytes)

    def _drive(self, key: Key) -> Drive:
        """The drive as the table has it; DriveGone when it is forgotten."""
        drive = self._table.get(key)
        if drive is None:
            raise DriveGone(f"drive {key[1]} is gone")
        return drive

    def _there(self, key: Key) -> None:
        """DriveGone unless the drive that is being ejected is still there."""
        drive = self._drive(key)
        if drive.state is not DriveState.EJECTING:
            raise DriveGone(f"drive {name_of(drive)} was pulled out before it was safe; check it")

    async def _until(self, true: Callable[[], bool], timeout_s: float, complaint: str) -> None:
        """Wait for a change of the table that makes `true`; DriveBusy when it does not come."""
        try:
            async with asyncio.timeout(timeout_s):
                while not true():
                    self._pulse.clear()
                    await self._pulse.wait()
        except TimeoutError:
            raise DriveBusy(complaint) from None

    def _changed(self) -> None:
        """The table changed, in whichever thread: wake those that wait and tell the owner."""
        if self._loop is None or threading.get_ident() == self._loop_thread:
            self._notify()
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody is left to tell
                self._loop.call_soon_threadsafe(self._notify)

    def _notify(self) -> None:
        self._pulse.set()
        self._on_change()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """A drive's task that fails unexpectedly fails run(), for supervise to say so."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._events.fail(error)

    async def _cancel_tasks(self) -> None:
        """End drives' tasks; each lets go of what it was mounting."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
