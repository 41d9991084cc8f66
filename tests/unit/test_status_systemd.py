"""sd_notify with real datagram sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldrec.status import systemd


@pytest.fixture(params=["path", "abstract"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
             ) -> Iterator[socket.socket]:
    if request.param == "path":
        address = told = str(tmp_path / "notify")
    else:
        told = f"@fieldrec-test-{os.getpid()}"
        address = "\0" + told[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(address)
        end.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", told)
        yield end


def test_messages(receiver: socket.socket) -> None:
    assert systemd.ready("two cameras")
    assert receiver.recv(999) == b"READY=1\nSTATUS=two cameras"
    assert systemd.status("recording")
    assert receiver.recv(999) == b"STATUS=recording"
    assert systemd.stopping()
    assert receiver.recv(999) == b"STOPPING=1\nSTATUS=stopping"
    assert systemd.watchdog()
    assert receiver.recv(999) == b"WATCHDOG=1"


def test_a_label_cannot_add_a_message(receiver: socket.socket) -> None:
    assert systemd.status("x\nMAINPID=1")
    assert receiver.recv(999) == b"STATUS=x MAINPID=1"


def test_a_full_socket_costs_the_message_and_no_time(receiver: socket.socket) -> None:
    sent = sum(systemd.watchdog() for _ in range(5000))
    assert 0 < sent < 5000


@pytest.mark.parametrize("address", ["", "relative", "vsock:1:2", "/nowhere/notify", "@" * 300])
def test_no_socket_is_no_trouble(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not systemd.ready()


def test_without_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.stopping()


@pytest.mark.parametrize(("limit", "pid", "seconds"), [
    ("30000000", None, 15.0), ("30000000", "1", None), ("0", None, None), ("x", None, None)])
def test_watchdog_interval(limit: str, pid: str | None, seconds: float | None,
                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", limit)
    monkeypatch.setenv("WATCHDOG_PID", pid or str(os.getpid()))
    assert systemd.watchdog_interval_s() == seconds
    monkeypatch.delenv("WATCHDOG_USEC")
    assert systemd.watchdog_interval_s() is None
