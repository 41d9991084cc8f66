"""`fieldrec upload` as people use it, to a real tus server: without a daemon, with one, killed in
the middle of it. The key is looked for in all that was printed and stored."""

from __future__ import annotations

import io
import subprocess
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fieldrec.core import errors
from tests.fakes import tus
from tests.fakes.commands import (
    COMMAND,
    daemon,
    environment,
    fieldrec,
    refused,
    write_config,
)
from tests.fakes.small_stores import contents, make_export, make_store
from tests.fakes.tus import TusServer
from tests.fakes.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.skipif(bool(tus.MISSING), reason=tus.MISSING)
KEY = "k3y0fTheAccount"


def box(folder: Path, url: str, **more: Any) -> Path:
    """A configuration with a destination `loopy`, whose key lies beside it."""
    key = folder / "loopy.key"
    key.write_text(KEY)
    key.chmod(0o600)
    config = write_config(folder, destinations={"loopy": {
        "type": "loopy", "url": url, "api_key_file": "loopy.key",
        "part_bytes": PART_BYTES, **more}})
    (folder / "recordings").mkdir(exist_ok=True)
    return config


def told_nowhere(folder: Path, *printed: str) -> None:
    """The key is in the file that holds it and nowhere else."""
    assert not any(KEY in text for text in printed)
    stored = contents(folder)
    assert len(stored) > 5
    assert [name for name, data in stored.items() if KEY.encode() in data] == ["loopy.key"]


def untarred(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {one.name: (archive.extractfile(one) or io.BytesIO()).read() for one in archive}


PART_BYTES = 65536


def holding(server: TusServer, at: int) -> bool:
    """Whether the part at this offset waits to be taken."""
    return any(int(one["headers"]["upload-offset"]) >= at for one in server.requests("PATCH"))


def test_killed_in_the_middle_and_run_again(tmp_path: Path) -> None:
    """First by force, then by a signal, then to its end; none of it is sent twice."""
    with TusServer(tmp_path / "server") as server:
        home = tmp_path / "box"
        home.mkdir()
        config = box(home, server.url, upload="raw")
        make_store(home / "recordings", "bees", frames=600)
        command = [*COMMAND, "upload", "bees", "--to", "loopy", "--config", str(config)]
        for parts, end in ((3, "kill"), (7, "terminate")):
            server.tell(key=KEY, holdAt=parts * PART_BYTES)
            running = subprocess.Popen(command, env=environment(), text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            wait_until(partial(holding, server, parts * PART_BYTES), PATIENCE_S, "parts arrive")
            getattr(running, end)()
            told = running.communicate(timeout=PATIENCE_S)[0]
            assert running.returncode != 0
            assert KEY not in told
        assert "interrupted" in told
        server.tell(key=KEY)
        done = fieldrec("upload", "bees", "--to", "loopy", "--config", config)
        assert done.returncode == 0, done.stderr
        assert "cannot be read back" in " ".join(done.stdout.split())
        (name, data, length), = server.uploads()
        assert (name, length) == ("imgstore.tar", len(data))
        assert untarred(data) == contents(home / "recordings" / "bees")
        assert len(server.requests("POST")) == 1
        offsets = [int(one["headers"]["upload-offset"]) for one in server.requests("PATCH")]
        assert len(offsets) - len(set(offsets)) <= 2  # the parts that were under way
        told_nowhere(home, done.stdout, done.stderr)


def test_by_the_daemon_over_a_restart(tmp_path: Path) -> None:
    with TusServer(tmp_path / "server", key=KEY, holdAt=3 * PART_BYTES) as server:
        home = tmp_path / "box"
        home.mkdir()
        config = box(home, server.url, upload="both", automatic=True)
        uuid = make_store(home / "recordings", "bees", frames=600)
        make_export(home / "recordings", "bees", uuid)
        with daemon(config) as first:
            first.wait(lambda: holding(server, 3 * PART_BYTES), "parts arrive")
            job, = [one for one in first.ask("jobs") if one["kind"] == "upload"]
            snapshot = str(first.ask("snapshot"))
            first.kill()
        server.kill()
        server.tell(key=KEY)
        server.start()
        with daemon(config) as second:
            second.wait_jobs(job["id"])
            jobs = second.ask("jobs")
            assert second.stop() == 0
        assert len(server.requests("POST")) == 2  # one each: it went on
        assert [name for name, _, _ in server.uploads()] == ["bees.high.mp4", "imgstore.tar"]
        assert untarred(server.uploads()[1][1]) == contents(home / "recordings" / "bees")
        told_nowhere(home, first.log, second.log, snapshot, str(jobs))


def test_what_is_refused(tmp_path: Path) -> None:
    with TusServer(tmp_path / "server", key="another") as server:
        home = tmp_path / "box"
        home.mkdir()
        config = box(home, server.url, upload="raw")
        make_store(home / "recordings", "bees")
        done = fieldrec("upload", "bees", "--to", "loopy", "--config", config)
        assert done.returncode == errors.JobError.exit_code
        assert "loopy refuses the key (403: Key *** is not valid)" in done.stderr
        told_nowhere(home, done.stdout, done.stderr)
        refused(fieldrec("move", "--all", "-d", "loopy", "--config", config),
                errors.UsageError.exit_code, "loopy takes uploads", "fieldrec upload --to loopy")
        refused(fieldrec("upload", "bees", "--to", "nas", "--config", config),
                errors.NotFoundError.exit_code, "no destination 'nas' for uploads; known: loopy")
        assert (home / "recordings" / "bees").is_dir()
