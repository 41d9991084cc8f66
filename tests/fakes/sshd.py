"""A real sshd with rsync behind it, on loopback only: own port, own keys, own folder.

Two keys may come in: one with a shell, one that rrsync confines to the folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from fieldrec.config.destinations import RsyncConfig
from tests.fakes.waiting import PATIENCE_S, wait_until

SSHD, RRSYNC = Path("/usr/sbin/sshd"), Path("/usr/bin/rrsync")


def missing() -> str:
    """Why there is no sshd to be had here; "" when there is."""
    if os.geteuid() != 0:
        return "a real sshd that anybody may log in to needs root"
    if not SSHD.exists() or shutil.which("rsync") is None or not RRSYNC.exists():
        return "sshd or rsync is not installed: sudo apt install openssh-server rsync"
    return ""


class Sshd:
    """One server; leaving the block ends it and every connection."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.there = folder / "there"
        """What the keys lead to."""
        self.there.mkdir(parents=True)
        folder.chmod(0o700)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        for name in ("host", "other-host", "shell", "confined", "stranger"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                            str(folder / name)], check=True)
        self.confine(self.there)
        self.known_hosts = folder / "known hosts"
        self.known_hosts.write_text("".join(
            f"[{host}]:{self.port} {self._public('host')}\n" for host in ("127.0.0.1", "::1")))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Sshd:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def confine(self, folder: Path, *options: str) -> None:
        """Let the confined key lead to this folder."""
        confined = f"command=\"{RRSYNC} {' '.join(options)} '{folder}'\",restrict"
        (self.folder / "authorized_keys").write_text(
            f"{self._public('shell')}\n{confined} {self._public('confined')}\n")

    def start(self, host_key: str = "host") -> None:
        """Returns when it can be asked."""
        Path("/run/sshd").mkdir(exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nListenAddress ::1\n"
            f"HostKey {self.folder / host_key}\nPidFile none\nStrictModes no\nUsePAM no\n"
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}\nMaxStartups 100\n"
            "PasswordAuthentication no\nPermitRootLogin prohibit-password\nPrintMotd no\n"
            "PrintLastLog no\n")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True)
        wait_until(self._answers, PATIENCE_S, "sshd")

    def stop(self) -> None:
        """End it, with every connection."""
        if self._process is not None:
            self.cut()
            self._process.terminate()
            self._process.wait()
            self._process = None

    def cut(self) -> None:
        """Break off every connection; new ones may come."""
        assert self._process is not None
        for pid in below(self._process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def config(self, *, key: str = "shell", host: str = "127.0.0.1", path: Path | None = None,
               **more: object) -> RsyncConfig:
        """A destination that leads here; to the confined key the folder is "/"."""
        where = "/" if key == "confined" else str(path or self.there)
        shown = f"[root@{host}]" if ":" in host else f"root@{host}"
        values = {"type": "rsync", "target": f"{shown}:{where}", "port": self.port,
                  "key_file": self.folder / key, "known_hosts": self.known_hosts,
                  "timeout_s": 5, "shell": key != "confined", **more}
        return RsyncConfig.model_validate(values)

    def _public(self, name: str) -> str:
        return " ".join((self.folder / f"{name}.pub").read_text().split()[:2])

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as asked:
                return asked.recv(4) == b"SSH-"
        except OSError:
            return False


def below(pid: int) -> list[int]:
    """The processes that came from one, itself left out."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(status.parent.name)] = int(fields[1])
    found = [pid]
    for one in found:
        found.extend(child for child, parent in parents.items() if parent == one)
    return found[1:]
