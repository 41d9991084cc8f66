"""A real tus server (node, `@tus/server`) in a folder and on a port of its own, and a proxy that
cuts connections.

The npm packages are those of tests/node, put beside the Python environment by scripts/test.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.waiting import PATIENCE_S

SCRIPT = Path(__file__).parents[1] / "node" / "tus_server.js"
MODULES = Path(sys.prefix) / "node" / "node_modules"
NODE = shutil.which("node") or shutil.which("nodejs") or ""
MISSING = ("node is not installed: sudo apt install nodejs npm" if not NODE else
           "" if (MODULES / "@tus" / "server").is_dir() else
           f"the npm packages of tests/node are not in {MODULES.parent}: run scripts/test")
KEY = "k3y0fTheAccount"


class TusServer:
    """The server; leaving the block ends it. `told`: what it does, see tus_server.js."""

    def __init__(self, folder: Path, **told: Any) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self.tell(**told)

    def __enter__(self) -> TusServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/files"

    def tell(self, **told: Any) -> None:
        """From now on it does this."""
        new = self.folder / "told.new"
        new.write_text(json.dumps(told))
        new.replace(self.folder / "told.json")

    def start(self) -> None:
        """Begin, again on the same port; returns when it listens."""
        with (self.folder / "errors.txt").open("ab") as errors:
            process = subprocess.Popen(
                [NODE, str(SCRIPT), str(self.port), str(self.folder)], stdout=subprocess.PIPE,
                stderr=errors, text=True, env={**os.environ, "NODE_PATH": str(MODULES)})
        self._process = process
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], PATIENCE_S)[0]:
            raise AssertionError("the tus server does not begin")
        line = process.stdout.readline()
        assert line, (self.folder / "errors.txt").read_text()
        self.port = int(line)

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def requests(self, method: str = "") -> list[dict[str, Any]]:
        """What it was asked, of one method or all."""
        path = self.folder / "requests.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [one for one in map(json.loads, lines) if method in ("", one["method"])]

    def uploads(self) -> list[tuple[str, bytes, int | None]]:
        """(file name, bytes, length as declared) of each, by name."""
        found = []
        for told in (self.folder / "files").glob("*.json"):
            upload = json.loads(told.read_text())
            name = upload["metadata"]["filename"]
            found.append((name, told.with_suffix("").read_bytes(), upload.get("size")))
        return sorted(found)

    def received_bytes(self) -> int:
        """Of all uploads together, finished or not."""
        return sum(len(data) for _, data, _ in self.uploads())

    def forget(self) -> None:
        """Lose every upload, as a server does with those that have expired."""
        for path in (self.folder / "files").iterdir():
            path.unlink()


@pytest.fixture(scope="module")
def tus_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TusServer]:
    """One for all tests of a file: it takes half a second to begin."""
    with TusServer(tmp_path_factory.mktemp("tus")) as server:
        yield server


@pytest.fixture
def server(tus_node: TusServer) -> Iterator[TusServer]:
    """It, with nothing that a test before left."""
    tus_node.tell(key=KEY)
    tus_node.forget()
    (tus_node.folder / "requests.jsonl").unlink(missing_ok=True)
    yield tus_node


def told_name(metadata: str) -> str:
    """The file name in an Upload-Metadata header."""
    return base64.b64decode(metadata.removeprefix("filename ")).decode()


class CuttingProxy:
    """Hands a connection on to a port, and resets it once so many bytes have gone to the server;
    each number of `cuts` is for one connection, later ones are left alone. `stalls`: instead of a
    reset nothing moves any more."""

    def __init__(self, port: int, cuts: list[int], *, stalls: bool = False) -> None:
        self._port = port
        self.cuts = cuts
        self._stalls = stalls
        self.was_cut = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="cutting proxy")

    def __enter__(self) -> CuttingProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends[0].close()
        self._thread.join()
        self._ends[1].close()
        self._listener.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/files"

    def _run(self) -> None:
        while True:
            ready = select.select([self._listener, self._ends[1]], [], [])[0]
            if self._ends[1] in ready:
                return
            client, _ = self._listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                client.close()
                continue
            with client, server:
                if self._carry(client, server):
                    return

    def _carry(self, client: socket.socket, server: socket.socket) -> bool:
        """One connection, until one side ends or it is cut; whether the proxy ends."""
        left = self.cuts.pop(0) if self.cuts else None
        while True:
            ready = select.select([client, server, self._ends[1]], [], [])[0]
            if self._ends[1] in ready:
                return True
            for source, to in ((client, server), (server, client)):
                if source not in ready:
                    continue
                try:
                    data = source.recv(16_384 if left is None else max(min(16_384, left), 1))
                    to.sendall(data)
                except OSError:
                    return False
                if not data:
                    return False
                if left is not None and source is client:
                    left -= len(data)
                    if left <= 0:
                        return self._cut(client)

    def _cut(self, client: socket.socket) -> bool:
        self.was_cut += 1
        if self._stalls:
            select.select([self._ends[1]], [], [])
            return True
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
