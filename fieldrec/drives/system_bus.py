"""One conversation with one service on the system bus, by dbus-fast, on the event loop.

A connection per conversation: mounting is rare, a connection costs some milliseconds, and a bus or
a service that was restarted meanwhile is no special case. Every call has a time limit; whatever
goes wrong below comes out as `NoAnswer`, a refusal of the service as `Refused` (I9). dbus-fast is
imported at the first conversation, in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from fieldrec.core.workers import Worker
from fieldrec.drives.labels import printable

ADDRESS = "DBUS_SYSTEM_BUS_ADDRESS"
SOCKETS = (Path("/run/dbus/system_bus_socket"), Path("/var/run/dbus/system_bus_socket"))
CONNECT_S = 3.0
CLOSE_S = 1.0
LONGEST_COMPLAINT = 300
NO_BUS = "this machine has no system bus"


class NoAnswer(Exception):
    """The bus or the service is not there, has ended, or does not answer in time."""


class NoService(NoAnswer):
    """This machine does not run the service, and never starts it."""


class Refused(Exception):
    """The service answered with an error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name
        """The D-Bus error's name, without the service's prefix."""


def missing() -> str:
    """Why there can be no conversation at all: no bus, no dbus-fast; "" when there can.

    Blocks (it looks for files); called once, at the start.
    """
    if ADDRESS not in os.environ and not any(path.exists() for path in SOCKETS):
        return NO_BUS
    try:
        found = importlib.util.find_spec("dbus_fast")
    except ImportError:
        found = None
    return "" if found else "the package dbus-fast is not installed (extra `udisks`)"


class Conversation:
    """Calls of one service; an async context manager, for one task."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._bus: Any = None
        self.heard = asyncio.Event()
        """Set by any signal of the service, once :meth:`listen` was called."""

    async def __aenter__(self) -> Conversation:
        """NoAnswer when the bus does not answer in time."""
        worker = Worker("dbus-import")
        try:
            aio = await worker.run(lambda _stop: importlib.import_module("dbus_fast.aio"))
            constants = importlib.import_module("dbus_fast.constants")
            async with asyncio.timeout(CONNECT_S):
                self._bus = await aio.MessageBus(bus_type=constants.BusType.SYSTEM).connect()
        except Exception as error:
            raise NoAnswer(f"the system bus does not answer ({_text(error)})") from error
        finally:
            worker.close()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        traceback: TracebackType | None) -> None:
        self._bus.disconnect()
        with contextlib.suppress(Exception):  # it may have broken before: it is closed either way
            async with asyncio.timeout(CLOSE_S):
                await self._bus.wait_for_disconnect()

    async def listen(self) -> None:
        """From now on `heard` is set by signals of the service."""
        self._bus.add_message_handler(self._hear)
        await self._send("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                         "AddMatch", "s", [f"type='signal',sender='{self._service}'"], CONNECT_S)

    async def call(self, path: str, interface: str, member: str, signature: str = "",
                   *body: Any, timeout_s: float) -> Any:
        """Call a method; its first return value, None without one. Refused, NoAnswer."""
        return await self._send(self._service, path, interface, member, signature, list(body),
                                timeout_s)

    async def _send(self, service: str, path: str, interface: str, member: str, signature: str,
                    body: list[Any], timeout_s: float) -> Any:
        from dbus_fast import Message, MessageType

        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._bus.call(Message(
                    destination=service, path=path, interface=interface, member=member,
                    signature=signature, body=body))
        except TimeoutError:
            raise NoAnswer(f"{service} did not answer {member} in {timeout_s:g} s") from None
        except Exception as error:
            raise NoAnswer(f"{service} went away ({_text(error)})") from error
        if reply.message_type is MessageType.ERROR:
            text = printable(str(reply.body[0] if reply.body else ""), LONGEST_COMPLAINT)
            _raise(reply.error_name, text)
        return reply.body[0] if reply.body else None

    def _hear(self, message: Any) -> None:
        from dbus_fast import MessageType

        if message.message_type is MessageType.SIGNAL:
            self.heard.set()


_GONE = ("ServiceUnknown", "NoReply", "NameHasNoOwner", "Disconnected", "TimedOut", "Timeout")
_BUS_ERROR = "org.freedesktop.DBus.Error."


def _raise(name: str, text: str) -> None:
    """The error of a reply: of the bus about a service that is not there, or of the service."""
    if name == _BUS_ERROR + "ServiceUnknown":
        raise NoService(text)
    if name.startswith((_BUS_ERROR + "Spawn", *(_BUS_ERROR + gone for gone in _GONE))):
        raise NoAnswer(text)
    raise Refused(name.rpartition("Error.")[2], text)


def _text(error: BaseException) -> str:
    return printable(str(error), LONGEST_COMPLAINT) or type(error).__name__
