"""The tus protocol, version 1.0, as a client: creation, deferred length, checksum, termination.

Blocking; the thread of whoever uploads. One call each; whoever calls decides what follows from a
refusal. The server's word is checked: an offset is a number, an upload's address is on the server
that was asked, for every call carries the key.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urljoin, urlsplit

import xxhash

from fieldrec.core.errors import DestinationError
from fieldrec.destinations.http_call import Answer, Caller, OnSent

VERSION = "1.0.0"
CHECKSUMS: Mapping[str, Callable[[memoryview], bytes]] = {
    "xxh64": lambda data: xxhash.xxh64(data).digest(),
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
}
"""By the names that servers use, the fastest first."""
_BODY = "application/offset+octet-stream"


class Refused(DestinationError):
    """The server has answered, and not as was hoped."""

    def __init__(self, what: str, answer: Answer) -> None:
        super().__init__(f"{what}: {answer.status}")
        self.status = answer.status
        self.text = answer.text
        self.after_s = _number(answer.headers.get("retry-after")) or 0
        """How long it wants to be left alone; 0 when it does not say."""
        self.elsewhere = answer.headers.get("location", "")
        """Where it says that it is now."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server says of itself."""

    most_bytes: int | None
    """Of one upload; None where it knows no limit."""
    extensions: frozenset[str] | None
    """None where it does not say."""
    checksum: str | None
    """One of :data:`CHECKSUMS` that it checks; None when it checks none of them."""
    headers: Mapping[str, str]

    def has(self, extension: str, unsaid: bool) -> bool:
        """Whether it can do that; `unsaid` where it does not tell."""
        return unsaid if self.extensions is None else extension in self.extensions


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an upload is."""

    offset: int
    length: int | None
    """None while it has not been told."""


class Tus:
    """One server. `headers` go with every call."""

    def __init__(self, caller: Caller, url: str, headers: Mapping[str, str]) -> None:
        self._caller = caller
        self._url = url
        self._path = urlsplit(url).path or "/"
        self._headers = dict(headers)

    def offer(self) -> Offer:
        """Ask what it can do and takes."""
        answer = self._caller.call("OPTIONS", self._path, self._headers)
        if answer.status not in (200, 204):
            raise Refused("OPTIONS", answer)
        said = answer.headers
        most = _number(said.get("tus-max-size"))
        named = _words(said.get("tus-checksum-algorithm", ""))
        extensions = _words(said["tus-extension"]) if "tus-extension" in said else None
        checksum = next((name for name in CHECKSUMS if name in named), None)
        return Offer(most if most is not None and most > 0 else None, extensions,
                     checksum if "checksum" in (extensions or ()) else None, said)

    def create(self, filename: str, total_bytes: int | None) -> str:
        """Begin an upload of so many bytes, None: told later; its address, a path."""
        length = {"Upload-Defer-Length": "1"} if total_bytes is None \
            else {"Upload-Length": str(total_bytes)}
        name = base64.b64encode(filename.encode()).decode()
        answer = self._call("POST", self._path, {**length, "Upload-Metadata": f"filename {name}"})
        if answer.status != 201 or not answer.headers.get("location"):
            raise Refused("POST", answer)
        return self._on_this_server(answer.headers["location"])

    def standing(self, upload: str) -> Standing:
        """How far it is."""
        answer = self._call("HEAD", upload, {})
        offset = _number(answer.headers.get("upload-offset"))
        if answer.status not in (200, 204) or offset is None:
            raise Refused("HEAD", answer)
        return Standing(offset, _number(answer.headers.get("upload-length")))

    def send(self, upload: str, offset: int, data: memoryview, *, checksum: str | None = None,
             length: int | None = None, on_sent: OnSent = lambda _count: None) -> int:
        """Send what comes at `offset`, with the length of the whole where it is told now; the
        offset after it, by the server's word."""
        more = {"Content-Type": _BODY, "Upload-Offset": str(offset)}
        if length is not None:
            more["Upload-Length"] = str(length)
        if checksum is not None and data:
            digest = base64.b64encode(CHECKSUMS[checksum](data)).decode()
            more["Upload-Checksum"] = f"{checksum} {digest}"
        answer = self._call("PATCH", upload, more, data, on_sent)
        after = _number(answer.headers.get("upload-offset"))
        if answer.status not in (200, 204) or after is None or not \
                offset <= after <= offset + len(data):
            raise Refused("PATCH", answer)
        return after

    def end(self, upload: str) -> None:
        """Let the server forget an upload."""
        answer = self._call("DELETE", upload, {})
        if answer.status not in (200, 204):
            raise Refused("DELETE", answer)

    def _call(self, method: Literal["POST", "HEAD", "PATCH", "DELETE"], path: str,
              headers: Mapping[str, str], body: memoryview | bytes = b"",
              on_sent: OnSent = lambda _count: None) -> Answer:
        return self._caller.call(method, path, {"Tus-Resumable": VERSION, **self._headers,
                                                **headers}, body, on_sent)

    def _on_this_server(self, location: str) -> str:
        """The path of an upload. Behind a proxy a server may be wrong about scheme and port, which
        therefore stay as they were; a key is not given to another host."""
        try:
            where = urlsplit(urljoin(self._url, location))
        except ValueError as error:
            raise DestinationError("it gave an address for the upload that is none") from error
        if where.hostname != urlsplit(self._url).hostname:
            raise DestinationError(f"it wants uploads to go to another host ({where.hostname}), "
                                   "which does not get the key; is the url right?")
        path = where.path + (f"?{where.query}" if where.query else "")
        if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
            raise DestinationError("it gave an address for the upload that cannot be used")
        return path


def _number(text: str | None) -> int | None:
    """A whole number that is not negative, of at most 18 digits; None for anything else."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip().lower() for word in text.split(","))
