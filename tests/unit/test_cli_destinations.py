"""`fieldrec destinations`: what can be used now and why not, side by side; and trusting a host."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fieldrec.app import destination_health
from fieldrec.cli.destinations import destinations_command
from fieldrec.config import load_config
from fieldrec.core.errors import DestinationAway, NotFoundError, UsageError
from fieldrec.destinations import _ssh
from fieldrec.destinations._ssh import HostKey
from tests.fakes import hanging_share, near_ssh, tus
from tests.fakes.hanging_share import HangingShare
from tests.fakes.jumping_loop import Ahead
from tests.fakes.raw_web import RawWeb
from tests.fakes.sshd import Sshd, missing
from tests.fakes.tus import TusServer
from tests.fakes.waiting import PATIENCE_S, wait_until

needs_sshd = pytest.mark.skipif(bool(missing()), reason=missing())
needs_share = pytest.mark.skipif(bool(hanging_share.missing()), reason=hanging_share.missing())


def box(folder: Path, destinations: str) -> Path:
    (folder / "rec").mkdir(exist_ok=True)
    file = folder / "box.yaml"
    file.write_text(f"storage: {{directory: rec}}\ndestinations:\n{destinations}")
    return file


def run(file: Path, *words: str, answer: str = "") -> tuple[str, BaseException | None]:
    done = CliRunner().invoke(destinations_command, ["--config", str(file), *words], input=answer)
    return done.output, done.exception


def as_json(file: Path) -> dict[str, dict[str, Any]]:
    output, _ = run(file, "--json")
    return {one["name"]: one for one in json.loads(output)}


def test_folders_that_are_there_and_one_that_is_not(tmp_path: Path) -> None:
    (tmp_path / "nas").mkdir()
    file = box(tmp_path, "  nas: {path: nas}\n  gone: {path: gone}\n"
                         "  disk: {path: nas, must_be_mounted: true}\n")
    found = as_json(file)
    assert found["nas"]["reachable"] and found["nas"]["writable"] and not found["nas"]["why"]
    assert found["nas"]["free_bytes"] > 0
    assert not found["gone"]["reachable"] and "create it" in found["gone"]["why"]
    assert "nothing is mounted" in found["disk"]["why"]
    output, error = run(file)
    assert isinstance(error, DestinationAway)
    assert str(error) == "cannot be used now: gone, disk"
    assert "reachable" in output and "create it" in output


def test_none_is_no_fault(tmp_path: Path) -> None:
    output, error = run(box(tmp_path, "  {}\n"))
    assert output == "no destination is configured and no drive is there\n" and error is None


@pytest.fixture
def share(tmp_path: Path) -> Iterator[HangingShare]:
    with hanging_share.hanging_share(tmp_path) as held:
        yield held


@pytest.mark.root
@needs_share
def test_one_that_hangs_holds_up_no_other(tmp_path: Path, share: HangingShare,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nas").mkdir()
    file = box(tmp_path, f"  share: {{path: {share.mount_point}}}\n  nas: {{path: nas}}\n")
    assert all(one["reachable"] for one in as_json(file).values()), "control; all is loaded by now"
    monkeypatch.setattr(destination_health, "LIMIT_S", 0.5)
    monkeypatch.setattr(destination_health.look_at_all, "__kwdefaults__", {"limit_s": 0.5})
    share.hold()
    try:
        found = as_json(file)
    finally:
        share.release()
    assert "does not answer" in found["share"]["why"] and not found["share"]["reachable"]
    assert found["nas"]["reachable"]


@pytest.mark.root
@needs_sshd
def test_a_host_is_trusted_when_somebody_says_so(tmp_path: Path) -> None:
    with Sshd(tmp_path / "sshd") as server:
        file = box(tmp_path, f"  lab:\n    type: rsync\n    target: root@127.0.0.1:{server.there}\n"
                             f"    port: {server.port}\n    key_file: {server.folder / 'shell'}\n")
        assert "not trusted yet" in as_json(file)["lab"]["why"]
        output, error = run(file, "trust", "lab", answer="n\n")
        assert isinstance(error, UsageError) and "SHA256:" in output
        assert not (tmp_path / "known_hosts").exists()
        shown = next(word for word in output.split() if word.startswith("SHA256:"))
        assert "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub" in output
        _, error = run(file, "trust", "lab", "--fingerprint", "SHA256:other")
        assert isinstance(error, UsageError)
        output, error = run(file, "trust", "lab", "--fingerprint", shown)
        assert error is None and "stored in" in output
        found = as_json(file)["lab"]
        assert found["reachable"] and found["writable"] and found["free_bytes"] > 0, found


@pytest.mark.skipif(bool(tus.MISSING), reason=tus.MISSING)
def test_loopy_is_asked_whether_it_takes_the_key(tmp_path: Path) -> None:
    key = tmp_path / "loopy.key"
    key.write_text("k3y0fTheAccount")
    key.chmod(0o600)
    with TusServer(tmp_path / "server", key="k3y0fTheAccount", space=12_000_000) as server:
        file = box(tmp_path, f"  loopy: {{type: loopy, url: '{server.url}', api_key_file: "
                             "loopy.key}\n")
        found = as_json(file)["loopy"]
        assert (found["reachable"], found["free_bytes"], found["why"]) == (True, 12_000_000, "")
        assert {one["method"] for one in server.requests()} == {"OPTIONS"}, "nothing is begun"
        key.write_text("another")
        found = as_json(file)["loopy"]
        assert found["reachable"] and found["why"].startswith("loopy refuses the key (403")
        key.chmod(0o644)
        assert "may be read by others" in as_json(file)["loopy"]["why"]
    key.chmod(0o600)
    found = as_json(file)["loopy"]
    assert not found["reachable"] and found["why"] == "127.0.0.1 refuses connections"


def test_loopy_that_says_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                   ) -> None:
    monkeypatch.setattr(destination_health.look_at_all, "__kwdefaults__", {"limit_s": 0.1})
    with RawWeb([hold := Held()]) as server:
        file = box(tmp_path, f"  loopy: {{type: loopy, url: 'http://127.0.0.1:{server.port}/', "
                             "api_key: k3y}\n")
        found = as_json(file)["loopy"]
        hold.released.set()
    assert not found["reachable"] and "does not answer" in found["why"]


def test_a_host_whose_disk_hangs_leaves_nothing_behind(tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    programs = near_ssh.install(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    (programs / "ssh").write_text(f"#!/bin/sh\necho $$ > '{tmp_path}/pid'\nexec sleep 1000\n")
    config = load_config(box(tmp_path, "  lab: {type: rsync, target: 'bee@lab:/srv'}\n"))
    pid = tmp_path / "pid"

    async def look() -> list[destination_health.Health]:
        ahead = Ahead()
        looking = asyncio.create_task(destination_health.look_at_all(config))
        await asyncio.to_thread(wait_until, lambda: pid.exists() and pid.stat().st_size,
                                PATIENCE_S, "ssh has begun")
        await ahead.by(destination_health.LIMIT_S)
        return await looking

    found, = asyncio.run(look())
    assert not found.reachable and "does not answer" in found.why
    assert not Path("/proc", pid.read_text().strip()).exists()


class Held:
    """An answer that comes when nobody waits for it any more."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def __call__(self) -> bytes:
        self.released.wait()
        return b""


def test_the_configuration_may_be_named_behind_trust_too(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one key is stored of those that a host shows, the one that was compared."""
    keys = [HostKey(f"lab {kind} {key}") for kind, key in (
        ("ssh-ed25519", "AAAA"), ("ecdsa-sha2-nistp256", "BBBB"), ("ssh-rsa", "CCCC"))]
    monkeypatch.setattr(_ssh, "shown_keys", lambda _name, _config: keys)
    file = box(tmp_path, "  lab: {type: rsync, target: 'bee@lab:/srv'}\n")
    monkeypatch.setenv("FIELDREC_CONFIG", str(tmp_path / "another.yaml"))
    known = tmp_path / "known_hosts"
    for words, answer, stored in (
            (["--config", str(file), "trust", "lab"], "y\n", keys[0]),
            (["trust", "lab", "--config", str(file)], "y\n", keys[0]),
            (["trust", "lab", "--config", str(file), "--fingerprint", keys[1].fingerprint], "",
             keys[1])):
        done = CliRunner().invoke(destinations_command, words, input=answer)
        assert done.exception is None, done.output
        assert known.read_text() == f"{stored.line}\n"
    assert [key.short_kind for key in keys] == ["ed25519", "ecdsa", "rsa"]


def test_only_hosts_are_trusted(tmp_path: Path) -> None:
    file = box(tmp_path, "  nas: {path: nas}\n")
    assert isinstance(run(file, "trust", "lab")[1], NotFoundError)
    assert isinstance(run(file, "trust", "nas")[1], UsageError)
