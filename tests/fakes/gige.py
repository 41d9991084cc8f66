"""GigE Vision cameras that are programs: the real protocol over loopback, and a network for them.

A camera answers on a fixed port of its address, so only one test at a time can have one there. As
root each test gets a network of its own (the kernel's network namespace of the test's thread);
without root they queue up for the machine's.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.waiting import PATIENCE_S, wait_until

PROGRAM = "arv-fake-gv-camera-0.8"
_PORT = 3956
_DISCOVERY = bytes.fromhex("4201000200000001")
"""GVCP: command, answer wanted, DISCOVERY, no data, request 1."""
_CLONE_NEWNET = 0x40000000


def why_not() -> str:
    """Why there can be no such camera here; "" when there can."""
    try:
        ctypes.CDLL("libaravis-0.8.so.0")
    except OSError:
        return "libaravis is not installed: apt install libaravis-0.8-0"
    return "" if shutil.which(PROGRAM) else f"no {PROGRAM}: apt install aravis-tools"


def start_usb_watch() -> None:
    """libaravis watches USB from its first use until the process ends, by a socket that would look
    left behind by the first test: begin now, without looking at the network, which takes a second.
    """
    if why_not():
        return
    aravis = ctypes.CDLL("libaravis-0.8.so.0")
    aravis.arv_disable_interface(b"GigEVision")
    aravis.arv_update_device_list()
    aravis.arv_enable_interface(b"GigEVision")


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """A loopback that nobody else uses, for this thread and the programs that it starts."""
    if os.geteuid() == 0:
        with _new_namespace():
            yield
    else:
        with (Path(tempfile.gettempdir()) / "fieldrec-test-gige.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@contextlib.contextmanager
def _new_namespace() -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "no network namespace")
        try:
            run("ip", "link", "set", "lo", "up")
            yield
        finally:
            if libc.setns(before, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "the thread's network is not as it was")
    finally:
        os.close(before)


def run(*command: str) -> None:
    """Run a command of the system; its error fails the test."""
    subprocess.run(command, check=True, capture_output=True)


class FakeGigeCamera:
    """One camera: 2048x2048 sensor, 512x512 Mono8 at 25 Hz until it is told otherwise.

    Pixel (x, y) of frame n is (x + y + n) % 255. Its numbers begin near 65000, of 16 bits. It
    cannot send lost packets again.
    """

    def __init__(self, serial: str = "FAKE01", address: str = "127.0.0.1", *,
                 lost_per_thousand: int = 0) -> None:
        self.address = address
        self._command = [PROGRAM, "-i", address, "-s", serial, "-r", str(lost_per_thousand)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> FakeGigeCamera:
        self.plug_in()
        return self

    def __exit__(self, *_: object) -> None:
        self.pull_out()

    def plug_in(self) -> None:
        """Start it; it answers when this returns."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        wait_until(self._answers, PATIENCE_S, f"{self._command} answers")

    def pull_out(self) -> None:
        """It is gone, from one packet to the next."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(0.05)
            try:
                asking.sendto(_DISCOVERY, (self.address, _PORT))
                return bool(asking.recv(1024))
            except OSError:
                return False
