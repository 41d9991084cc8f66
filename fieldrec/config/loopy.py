"""A destination of `type: loopy`: loopbio's Loopy, or another server that speaks tus 1.0. Pure.

The key is a secret: it is never part of an error, a log, the status or a copy of the configuration.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from fieldrec.config.section import Bytes, Section

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})")
_KEY = re.compile(r"[!-~]{1,512}")
"""What can be sent in a header: printable ASCII without spaces."""
_NEAR = ("localhost", ".localhost", ".local", ".lan", ".internal")
SMALLEST_PART, LARGEST_PART = 64 * 1024, 64 * 1024 * 1024


def check_url(url: str) -> str:
    """`url`, or ValueError saying what is wrong with it."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError("the port must be a number from 1 to 65535") from error
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not (_HOST.fullmatch(host) or _address(host)):
        raise ValueError("expected https://host/path")
    if port == 0 or parts.query or parts.fragment or not url.isascii() or not url.isprintable() \
            or " " in url:
        raise ValueError("expected https://host/path and nothing behind it")
    if parts.username is not None or parts.password is not None:
        raise ValueError("no user or password in it: the key goes into api_key_file")
    if parts.scheme == "http" and not _is_near(host):
        raise ValueError("use https: over http the key could be read on its way; http is for a "
                         "server on this computer or in its own network")
    return url


def check_key(key: str) -> str:
    """`key`, or ValueError that does not show it."""
    if not _KEY.fullmatch(key):
        raise ValueError("a key is one word of printable ASCII characters")
    return key


def _check_secret(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        check_key(value.get_secret_value())
    return value


def _check_user(value: str | None) -> str | None:
    if value is not None and not _KEY.fullmatch(value):
        raise ValueError("expected the e-mail address of an account")
    return value


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_near(host: str) -> bool:
    """Whether it is this computer, or one in a network of our own."""
    address = _address(host)
    if address is not None:
        return address.is_loopback or address.is_private or address.is_link_local
    return host == "localhost" or host.endswith(_NEAR) or "." not in host


class LoopyConfig(Section):
    """Loopy, or another server for uploads by tus 1.0. Nothing can be read back from it: what was
    uploaded does not count as a verified copy, and nothing is ever deleted for it."""

    PATHS: ClassVar[tuple[str, ...]] = ("api_key_file",)
    type: Literal["loopy"]
    url: Annotated[str, AfterValidator(check_url)] = "https://app.loopb.io/file-upload"
    """Where uploads are made; https, or http within the own network."""
    api_key_file: Path | None = None
    """A file with the account's key alone, readable by its owner only (chmod 600). Relative to the
    configuration file."""
    api_key: Annotated[SecretStr | None, AfterValidator(_check_secret)] = None
    """The key itself, if it has to stand here."""
    user: Annotated[str | None, AfterValidator(_check_user)] = None
    """The account's e-mail address, for keys that need it."""
    automatic: bool = False
    """Queue an upload of every recording when it is complete (and exported, where exports are
    uploaded and made automatically)."""
    upload: Literal["exported", "raw", "both"] = "exported"
    """What is uploaded of a recording: its exports, its raw as one tar, or both."""
    part_bytes: Annotated[Bytes, Field(ge=SMALLEST_PART, le=LARGEST_PART)] = 4 * 1024 * 1024
    """What one request carries; also what is kept in memory."""
    timeout_s: float = Field(default=60.0, ge=1, le=600)
    """A server that takes and says nothing for so long is not there."""

    @property
    def proves(self) -> bool:
        """Nothing is deleted for what was uploaded: it cannot be read back (I5)."""
        return False

    @model_validator(mode="after")
    def _there_is_one_key(self) -> LoopyConfig:
        if (self.api_key is None) is (self.api_key_file is None):
            raise ValueError("give api_key_file, or api_key, one of them")
        return self
