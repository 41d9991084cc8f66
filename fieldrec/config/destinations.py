"""The section about named places to copy to: one class for each `type`. Pure; floor 1.

`folder` is meant where no type is given. Another kind is a class here (or in a file of its own) and
a line in :data:`DestinationConfig`; the class names those of its keys that are paths (`PATHS`), so
that loading makes them absolute.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from fieldrec.config.loopy import LoopyConfig
from fieldrec.config.section import Bytes, Section


class FolderConfig(Section):
    """A folder of this computer, or of a network share that it has mounted."""

    PATHS: ClassVar[tuple[str, ...]] = ("path",)
    type: Literal["folder"] = "folder"
    path: Path
    """Existing folder, outside the recordings folder; relative to the configuration file."""
    automatic: bool = False
    """Queue a copy of every recording (raw and exported) when it is complete."""
    must_be_mounted: bool = False
    """Whether something must be mounted on `path`, a share or a disk. While nothing is, nothing is
    written: the empty folder underneath is on the system's disk and would fill it."""
    keep_free_bytes: Bytes = 0
    """Left free there."""
    raw_as: Literal["files", "tar"] = "files"
    """How raw recordings lie there: every frame a file, or one uncompressed tar for each chunk."""

    @property
    def proves(self) -> bool:
        """Whether a copy that was verified there is one that a source may be deleted for (I5)."""
        return True


@dataclass(frozen=True, slots=True)
class Target:
    """Where rsync goes, taken apart."""

    user: str
    """"" means: whoever fieldrec runs as."""
    host: str
    """Name or address; IPv6 without brackets."""
    path: str
    """Absolute there; to a key that rrsync confines, it begins at the folder of that key."""

    @property
    def address(self) -> str:
        """user@host, as ssh takes it."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def remote(self) -> str:
        """user@host: with brackets where rsync needs them, for a path behind it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.user}@{host}:" if self.user else f"{host}:"


_EXPECTED = "expected user@host:/path, or [user@address]:/path for IPv6"
PATTERN_SIGNS = "*?[]\\"
"""What rsync takes for a pattern where it stands in a path at the far side."""
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}")
_ZONE = re.compile(r"[A-Za-z0-9._-]{1,32}")
_PLAIN = re.compile(r"(?:(?P<user>[^]@:/[]+)@)?(?P<host>[^]@:/[]+):(?P<path>.*)", re.DOTALL)
_BRACKETS = re.compile(r"(?:(?P<before>[^]@:/[]+)@)?\[(?:(?P<user>[^]@:/[]+)@)?(?P<host>[^]@[]+)\]"
                       r":(?P<path>.*)", re.DOTALL)


def parse_target(text: str) -> Target:
    """`user@host:/path`, `user@[address]:/path` or `[user@address]:/path`, the user optional;
    ValueError says what is wrong. Nothing in it can become an option or a shell's word."""
    plain, brackets = _PLAIN.fullmatch(text), _BRACKETS.fullmatch(text)
    if plain is not None:
        user, host, path = plain["user"], plain["host"], plain["path"]
        if not _HOST.fullmatch(host):
            raise ValueError(f"{host!r} cannot be a host; {_EXPECTED}")
    elif brackets is not None and not (brackets["before"] and brackets["user"]):
        user, host, path = (brackets["before"] or brackets["user"], brackets["host"],
                            brackets["path"])
        _check_address(host)
    else:
        raise ValueError(_EXPECTED)
    if user and not _USER.fullmatch(user):
        raise ValueError(f"{user!r} cannot be a user; {_EXPECTED}")
    _check_path(path)
    return Target(user or "", host, "/" + path.strip("/"))


def _check_path(path: str) -> None:
    if not path.startswith("/"):
        raise ValueError(f"the folder must be absolute; {_EXPECTED}")
    if not path.isprintable() or ".." in path.split("/"):
        raise ValueError("the folder has '..' in it, or what cannot be printed")
    if set(path) & set(PATTERN_SIGNS):
        raise ValueError(f"the folder has one of {' '.join(PATTERN_SIGNS)} in it, which rsync "
                         "takes for patterns")


def _check_address(host: str) -> None:
    address, percent, zone = host.partition("%")
    try:
        ipaddress.IPv6Address(address)
    except ValueError as error:
        raise ValueError(f"{host!r} is no IPv6 address; {_EXPECTED}") from error
    if percent and not _ZONE.fullmatch(zone):
        raise ValueError(f"{zone!r} cannot be the name of an interface; {_EXPECTED}")


def _checked_target(value: str) -> str:
    parse_target(value)
    return value


class RsyncConfig(Section):
    """A folder of another computer, by rsync over ssh."""

    PATHS: ClassVar[tuple[str, ...]] = ("key_file", "known_hosts")
    type: Literal["rsync"]
    target: Annotated[str, AfterValidator(_checked_target)]
    """`user@host:/path` or `[user@address]:/path`."""
    automatic: bool = False
    """Queue a copy of every recording (raw and exported) when it is complete."""
    shell: bool = True
    """Whether the key may run sh, mv, sync, df, find, xargs and GNU dd. false: rsync alone, as for
    a key that rrsync confines to one folder."""
    count_cached: bool = False
    """Without a shell what is verified may come from the memory of that computer instead of its
    disk, so a move is refused and nothing is ever deleted for such a copy. true: it counts."""
    key_file: Path | None = None
    """Private key without a passphrase (the file itself is never shown); null: those of the user
    that fieldrec runs as. Relative to the configuration file."""
    port: int = Field(default=22, ge=1, le=65535)
    known_hosts: Path = Path("known_hosts")
    """Host keys that are trusted: `fieldrec destinations trust NAME` writes it, another key is
    refused. Relative to the configuration file."""
    bandwidth_bytes_per_s: Bytes = 0
    """At most so many bytes a second; 0: as fast as it goes."""
    timeout_s: int = Field(default=30, ge=5, le=600)
    """A host that says nothing for so long is not there."""
    keep_free_bytes: Bytes = 0
    """Left free there, where the host tells how much there is (not through rrsync)."""

    @property
    def proves(self) -> bool:
        """Whether a copy that was verified there is one that a source may be deleted for (I5)."""
        return self.shell or self.count_cached

    @property
    def parsed(self) -> Target:
        """The target, taken apart."""
        return parse_target(self.target)


def _type_of(value: Any) -> str | None:
    """The tag that pydantic goes by; what is no mapping is refused as a folder would be."""
    kind = value.get("type", "folder") if isinstance(value, dict) else \
        getattr(value, "type", "folder")
    return kind if isinstance(kind, str) else None


DestinationConfig = Annotated[
    Annotated[FolderConfig, Tag("folder")]
    | Annotated[RsyncConfig, Tag("rsync")]
    | Annotated[LoopyConfig, Tag("loopy")],
    Discriminator(_type_of, custom_error_type="destination_type",
                  custom_error_message="expected one of: folder (which is meant without a type), "
                                       "rsync, loopy",
                  custom_error_context={"path": ("type",)})]
"""A named place to copy to; the key in `destinations:` is its name."""
