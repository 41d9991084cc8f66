"""ssh as fieldrec uses it: which words, which keys are trusted, what its errors mean. Blocking.

Nobody is asked anything (BatchMode), no agent and no configuration of a user has a say, and a host
is known by a file of ours alone. No path and no name is ever part of a command that a shell at the
far side reads: rsync sends them by its own protocol, and the scripts in rsync.py read them from
their input.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldrec.config.destinations import RsyncConfig
from fieldrec.core import durable
from fieldrec.core.errors import DestinationAway, DestinationError, DestinationFull, FieldrecError

ALIVE_TRIES = 3
"""Questions without an answer after which a connection is given up."""
SEEN_S = 10.0
"""For a look at a key file here."""
_KEY_LINE = re.compile(r"(\S+) ((?:ssh|ecdsa|sk)-[a-z0-9@.-]+) ([A-Za-z0-9+/=]+)\Z")
_AWAY = (("Connection refused", "refuses the connection; is sshd running there?"),
         ("Connection timed out", "does not answer"), ("timed out", "does not answer"),
         ("No route to host", "cannot be reached: no route"),
         ("Network is unreachable", "cannot be reached: no network"),
         ("Could not resolve", "is not known by that name"),
         ("getaddrinfo", "is not known by that name"),
         ("not responding", "stopped answering"),
         ("Connection closed", "closed the connection"),
         ("Connection reset", "closed the connection"),
         ("Broken pipe", "closed the connection"))


_NOT_FOUND = re.compile(r"(?:^|: )(\w+): (?:command )?not found"
                        r"|(?:command not found|Unknown command): (\w+)", re.MULTILINE)
"""What shells say of a program that is not there."""


@dataclass(frozen=True, slots=True)
class HostKey:
    """A key that a host shows, as a line of known_hosts."""

    line: str

    @property
    def place(self) -> str:
        """The host's name in known_hosts, as ssh looks it up: in lower case, an address in its
        shortest form, the port with it."""
        return self.line.split()[0]

    @property
    def kind(self) -> str:
        """Such as ssh-ed25519."""
        return self.line.split()[1]

    @property
    def short_kind(self) -> str:
        """As the files of the host's keys are called: ed25519, ecdsa, rsa."""
        return next((kind for kind in ("ed25519", "ecdsa", "dsa") if kind in self.kind), "rsa")

    @property
    def fingerprint(self) -> str:
        """As ssh and ssh-keygen show it."""
        raw = base64.b64decode(self.line.split()[2])
        return "SHA256:" + base64.b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")


def environment() -> dict[str, str]:
    """Of ssh and rsync: nothing in it changes what they do."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "USER") if key in os.environ}
    return {**kept, "LC_ALL": "C"}


def ssh_words(config: RsyncConfig) -> list[str]:
    """The command, without the host."""
    options = {
        "BatchMode": "yes", "StrictHostKeyChecking": "yes", "UpdateHostKeys": "no",
        "UserKnownHostsFile": _quoted(config.known_hosts), "GlobalKnownHostsFile": "none",
        "IdentityAgent": "none", "PreferredAuthentications": "publickey",
        "ConnectTimeout": str(config.timeout_s), "ServerAliveCountMax": str(ALIVE_TRIES),
        "ServerAliveInterval": str(max(config.timeout_s // ALIVE_TRIES, 1)),
        "ClearAllForwardings": "yes", "ForwardAgent": "no", "LogLevel": "ERROR"}
    if config.key_file is not None:
        options |= {"IdentityFile": _quoted(config.key_file), "IdentitiesOnly": "yes"}
    words = ["ssh", "-F", "none", "-T", "-p", str(config.port)]
    return words + [word for key, value in options.items() for word in ("-o", f"{key}={value}")]


def remote_shell(config: RsyncConfig) -> str:
    """The same for rsync's `-e`, which splits it into words by itself."""
    return " ".join("'" + word.replace("'", "''") + "'" for word in ssh_words(config))


def failure(name: str, config: RsyncConfig, code: int, said: str) -> FieldrecError:
    """The error to report for what ssh or rsync said when it ended with `code`."""
    host = config.parsed.host
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
        return DestinationAway(f"destination {name}: {host} shows another host key than the one "
                               "that is trusted; nothing was sent; if it was set up anew, run "
                               f"fieldrec destinations trust {name}")
    if "Host key verification failed" in said or "host key is known" in said:
        return DestinationAway(f"destination {name}: the host key of {host} is not trusted yet; "
                               f"run fieldrec destinations trust {name}")
    if "Permission denied (" in said or "Too many authentication" in said:
        return DestinationAway(f"destination {name}: {_why_refused(config)}")
    if "No space left" in said or "Disk quota exceeded" in said:
        return DestinationFull(f"destination {name} is full; make room there and try again")
    for sign, words in _AWAY:
        if sign in said:
            return DestinationAway(f"destination {name}: {host} {words}")
    return _of_rsync(name, config, code, said)


def _why_refused(config: RsyncConfig) -> str:
    """Nobody came in: the key cannot be used here, or is not known there. ssh says the same of
    both."""
    key = config.key_file
    if key is not None:
        try:
            done = subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", str(key)], check=False,
                                  capture_output=True, stdin=subprocess.DEVNULL, timeout=SEEN_S,
                                  env=environment())
        except (OSError, subprocess.TimeoutExpired):
            done = None
        if done is not None and done.returncode:
            return _key_trouble(key, done.stderr.decode("utf-8", "replace"))
    return (f"{config.parsed.address} refuses the key {key or 'of the user that fieldrec runs as'};"
            " add its public half to authorized_keys there")


def _key_trouble(key: Path, said: str) -> str:
    if "bad permissions" in said:
        return f"the key {key} can be read by others, so ssh does not use it; chmod 600 {key}"
    if "passphrase" in said:
        return (f"the key {key} has a passphrase, which nobody is there to type; make one without, "
                f"or take it off: ssh-keygen -p -f {key}")
    if "No such file" in said:
        return f"the key {key} is missing; make one: ssh-keygen -t ed25519 -N '' -f {key}"
    if "Permission denied" in said:
        return f"the key {key} cannot be read by the user that fieldrec runs as"
    return f"{key} is no private key that ssh can use ({_last(said)})"


def _of_rsync(name: str, config: RsyncConfig, code: int, said: str) -> FieldrecError:
    if (program := _NOT_FOUND.search(said)) is not None:
        return DestinationAway(f"destination {name}: {program[1] or program[2]} is not installed "
                               f"on {config.parsed.host}; install it there")
    if "is your shell clean" in said:
        return DestinationAway(f"destination {name}: logging in to {config.parsed.host} prints "
                               "something, which rsync cannot bear; look for it in .bashrc or "
                               ".profile there")
    if "No such file or directory" in said and code in (1, 2, 3, 11, 12, 23):
        return DestinationAway(f"destination {name}: folder {config.parsed.path} is missing on "
                               f"{config.parsed.host}; create it there")
    if "Read-only file system" in said:
        return DestinationError(f"destination {name} is read-only; make it writable")
    if "Permission denied" in said:
        return DestinationAway(f"destination {name}: no permission to write in "
                               f"{config.parsed.path} there")
    if re.search("(unknown|unrecognized|invalid|illegal) option|unknown checksum", said):
        return DestinationError(f"destination {name}: the rsync there is too old; 3.2.4 or newer "
                                f"is needed ({_last(said)})")
    if "rrsync" in said and "error" in said:
        return DestinationError(f"destination {name}: the key may not do that: {_last(said)}")
    if code in (12, 30, 35, 255):
        return DestinationAway(f"destination {name}: the connection to {config.parsed.host} broke "
                               f"off ({_last(said) or f'code {code}'})")
    return DestinationError(f"destination {name}: {_last(said) or _nothing_said(config, code)}")


def _nothing_said(config: RsyncConfig, code: int) -> str:
    return (f"{config.parsed.host} ended the call without a word (code {code}); may that user run "
            "programs there?")


def shown_keys(name: str, config: RsyncConfig) -> list[HostKey]:
    """The keys that the host shows now, best first; DestinationAway when it shows none. Nothing is
    known yet about whose they are."""
    words = ["ssh-keyscan", "-T", str(config.timeout_s), "-p", str(config.port),
             config.parsed.host]
    try:
        done = subprocess.run(words, capture_output=True, env=environment(), check=False,
                              stdin=subprocess.DEVNULL, timeout=4 * config.timeout_s)
    except FileNotFoundError as error:
        raise DestinationError("ssh-keyscan is not installed; install openssh-client") from error
    except subprocess.TimeoutExpired as error:
        raise DestinationAway(f"destination {name}: {config.parsed.host} does not answer"
                              ) from error
    lines = done.stdout.decode("ascii", "replace").splitlines()
    keys = [HostKey(line) for line in lines if _KEY_LINE.match(line)]
    if not keys:
        said = done.stderr.decode("utf-8", "replace")
        raise failure(name, config, 255, "\n".join(
            line for line in said.splitlines() if not line.startswith("#")) or "timed out")
    return sorted(keys, key=lambda key: ("ed25519" not in key.kind, key.kind))


def trusted_keys(config: RsyncConfig, shown: Sequence[HostKey]) -> list[HostKey]:
    """Keys that are trusted now of the host that shows these."""
    places = {key.place for key in shown}
    known = [HostKey(line) for line in _lines(config.known_hosts) if _KEY_LINE.match(line)]
    return [key for key in known if key.place in places]


def trust(config: RsyncConfig, key: HostKey) -> None:
    """From now on this is the host's key, and no other. OSError where that cannot be written."""
    kept = [line for line in _lines(config.known_hosts) if line.split()[:1] != [key.place]]
    text = "".join(f"{line}\n" for line in (*kept, key.line))
    durable.write_atomic(config.known_hosts, text.encode())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []


def _quoted(path: Path) -> str:
    """A path as an option of ssh, in which spaces part names and % stands for something."""
    text = str(path).replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _last(said: str) -> str:
    """The line that says most, cleaned."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("rsync error")] or lines
    return "".join(sign if sign.isprintable() else "?" for sign in telling[-1])[:200] \
        if telling else ""
