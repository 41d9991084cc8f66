"""Upload jobs on real folders and a real tus server: what is sent, where it goes on, what stays."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import imgstore
import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.config.loopy import LoopyConfig
from fieldrec.core.model import Job, JobKind, JobState
from fieldrec.destinations import loopy
from fieldrec.jobs import again
from fieldrec.jobs.automation import Wanted, uploads_wanted
from fieldrec.jobs.runner import JobRunner
from fieldrec.jobs.upload_rows import FILE_NAME, UploadRow, UploadRows
from tests.fakes import tus
from tests.fakes.job_box import JobBox, StandInBox
from tests.fakes.small_stores import contents, make_export, make_store
from tests.fakes.tus import KEY, CuttingProxy, TusServer, server, tus_node

__all__ = ["server", "tus_node"]
pytestmark = pytest.mark.asyncio
needs_server = pytest.mark.skipif(bool(tus.MISSING), reason=tus.MISSING)
J, K = JobState, JobKind
PART = 64 * 1024


class UploadBox(StandInBox):
    """A box with a destination `loopy`."""

    def __init__(self, root: Path, url: str, **more: Any) -> None:
        self.place = LoopyConfig.model_validate({
            "type": "loopy", "url": url, "api_key": KEY, "part_bytes": PART, "timeout_s": 20,
            **more})
        super().__init__(root)
        self.become(present_destinations=frozenset({"nas", "loopy"}))

    def make_runner(self) -> JobRunner:
        return JobRunner(
            self.queue, catalogue=self.scan, recordings=self.all_recordings(),
            destinations=self.destinations, make_encoder=self.make_encoder,
            conditions=lambda: self.conditions, first_retry_s=0.001,
            uploads={"loopy": self.place},
            on_event=lambda text, _severity: self.events.append(text))

    async def upload(self, name: str = "bees") -> Job:
        return await self.add(K.UPLOAD, name, destination="loopy")


@asynccontextmanager
async def a_box(root: Path, url: str, **more: Any) -> AsyncIterator[UploadBox]:
    box = UploadBox(root, url, **more)
    await box.queue.open()
    try:
        yield box
    finally:
        await box.queue.close()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopy, "PAUSES_S", (0.01, 0.02))


def untarred(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {one.name: (archive.extractfile(one) or io.BytesIO()).read() for one in archive}


@needs_server
async def test_a_raw_store_arrives_as_a_tar_that_imgstore_opens(tmp_path: Path, server: TusServer
                                                                ) -> None:
    async with a_box(tmp_path, server.url, upload="raw") as box:
        make_store(box.recordings, "bees", frames=30)
        before = contents(box.recordings / "bees")
        job = await box.upload()
        async with box.running():
            done = await box.until(job, J.DONE)
        assert box.states(job) == [J.QUEUED, J.RUNNING, J.DONE]
        assert done.reason.endswith("uploaded; not verified, for it cannot be read back")
        assert done.done_bytes == done.total_bytes > 0
        assert contents(box.recordings / "bees") == before
    (name, data, length), = server.uploads()
    assert (name, length) == ("imgstore.tar", len(data))
    assert untarred(data) == before
    (tmp_path / "there").mkdir()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(tmp_path / "there", filter="data")
    store = imgstore.new_for_filename(str(tmp_path / "there" / "metadata.yaml"))
    assert store.frame_count == 30
    store.close()


@needs_server
async def test_exports_or_both_and_none_of_it_twice(tmp_path: Path, server: TusServer) -> None:
    async with a_box(tmp_path, server.url, upload="both") as box:
        uuid = make_store(box.recordings, "bees")
        make_export(box.recordings, "bees", uuid)
        async with box.running():
            await box.until(await box.upload(), J.DONE)
            assert [name for name, _, _ in server.uploads()] == ["bees.high.mp4", "imgstore.tar"]
            sent = len(server.requests("PATCH"))
            again = await box.until(await box.upload(), J.DONE)
            assert again.reason == "uploaded already"
            assert again.done_bytes == again.total_bytes > 0
            assert len(server.requests("PATCH")) == sent
            movie = box.recordings / "bees.high.mp4"
            os.utime(movie, (1, 1))  # it may be another one
            await box.until(await box.upload(), J.DONE)
        assert sorted(name for name, _, _ in server.uploads()) == [
            "bees.high.mp4", "bees.high.mp4", "imgstore.tar"]


@needs_server
async def test_what_is_wanted_and_is_not_there(tmp_path: Path, server: TusServer) -> None:
    async with a_box(tmp_path, server.url) as box:
        uuid = make_store(box.recordings, "bees")
        box.encode_gate.clear()
        job = await box.upload()
        async with box.running():
            failed = await box.until(job, J.FAILED)
            assert failed.reason.startswith("bees has no export to upload; `fieldrec export`")
            export = await box.add(K.EXPORT)
            waits = await box.upload()
            await box.until(waits, J.WAITING, reason=f"job {export.id} exports bees first")
            box.encode_gate.set()
            await box.until(waits, J.DONE)
        (name, _, _), = server.uploads()
        assert name == "bees.high.mp4"
        gone = await box.queue.add(K.UPLOAD, "cats", uuid, destination="loopy")
        other = await box.add(K.UPLOAD, destination="nas")
        async with box.running():
            await box.until(gone, J.FAILED, reason="cats is gone; there is nothing to upload")
            await box.until(other, J.FAILED, reason="destination nas takes no uploads")


@needs_server
async def test_it_goes_on_after_a_restart_where_it_was(tmp_path: Path, server: TusServer) -> None:
    async with a_box(tmp_path, server.url, upload="raw") as box:
        make_store(box.recordings, "bees", frames=400)
        server.tell(key=KEY, delayMs=100)
        job = await box.upload()
        async with box.running():
            await box.until_true(lambda: box.queue.job(job.id).done_bytes > 3 * PART)
        assert box.queue.job(job.id).state is J.QUEUED
        assert 0 < server.received_bytes() < 400 * 1536
    server.tell(key=KEY)
    before = server.received_bytes()
    async with a_box(tmp_path, server.url, upload="raw") as box:
        async with box.running():
            await box.until(job, J.DONE)
        (_, data, _), = server.uploads()
        assert untarred(data) == contents(box.recordings / "bees")
        assert len(server.requests("POST")) == 1
        offsets = [int(one["headers"]["upload-offset"]) for one in server.requests("PATCH")]
        assert offsets.count(0) == 1 and before in offsets


@needs_server
async def test_a_source_that_changed_meanwhile_begins_anew(tmp_path: Path, server: TusServer
                                                           ) -> None:
    async with a_box(tmp_path, server.url) as box:
        uuid = make_store(box.recordings, "bees")
        make_export(box.recordings, "bees", uuid, size_bytes=8 * PART)
        server.tell(key=KEY, delayMs=100)
        job = await box.upload()
        async with box.running():
            await box.until_true(lambda: box.queue.job(job.id).done_bytes > 3 * PART)
        server.tell(key=KEY)
        make_export(box.recordings, "bees", uuid, size_bytes=6 * PART, seed=8)
        async with box.running():
            await box.until(job, J.DONE)
        (_, data, _), = server.uploads()  # the other one was ended, and taken away
        assert data == (box.recordings / "bees.high.mp4").read_bytes()
        assert len(server.requests("DELETE")) == 1


@needs_server
async def test_a_source_that_changes_while_it_is_sent(tmp_path: Path, server: TusServer) -> None:
    async with a_box(tmp_path, server.url) as box:
        uuid = make_store(box.recordings, "bees")
        make_export(box.recordings, "bees", uuid, size_bytes=4_500_000)
        server.tell(key=KEY, delayMs=20)
        job = await box.upload()
        async with box.running():
            await box.until_true(lambda: box.queue.job(job.id).done_bytes > 5 * PART)
            os.utime(box.recordings / "bees.high.mp4", (1, 1))
            server.tell(key=KEY)
            await box.until(job, J.DONE)
        assert ("bees.high.mp4", (box.recordings / "bees.high.mp4").read_bytes(), 4_500_000) in \
            server.uploads()
        assert len(server.requests("POST")) == 2


@needs_server
async def test_a_frame_that_is_not_what_was_recorded_ends_it(tmp_path: Path, server: TusServer
                                                             ) -> None:
    async with a_box(tmp_path, server.url, upload="raw") as box:
        make_store(box.recordings, "bees")
        frame = box.recordings / "bees" / "000001" / "000001.npy"
        data = bytearray(frame.read_bytes())
        data[-1] ^= 1
        frame.write_bytes(data)
        job = await box.upload()
        async with box.running():
            failed = await box.until(job, J.FAILED)
        assert "000001.npy: the frame's pixels are not those that were recorded" in failed.reason
        assert [length for _, _, length in server.uploads()] == [None]  # never finished


@needs_server
async def test_cancelled_it_leaves_nothing_there(tmp_path: Path, server: TusServer) -> None:
    async with a_box(tmp_path, server.url, upload="raw") as box:
        make_store(box.recordings, "bees", frames=400)
        server.tell(key=KEY, delayMs=100)
        job = await box.upload()
        async with box.running():
            await box.until_true(lambda: box.queue.job(job.id).done_bytes > 3 * PART)
            await box.queue.cancel(job.id)
            await box.until_true(lambda: not box.runner._running)
        assert server.uploads() == []
        assert rows_of(box) == []


async def test_it_waits_for_a_network_as_long_as_it_takes(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(again, "FACTOR", 1)
    async with a_box(tmp_path, "http://127.0.0.1:9/files", upload="raw", timeout_s=1) as box:
        make_store(box.recordings, "bees")
        job = await box.upload()
        async with box.running():
            await box.until_true(lambda: box.states(job).count(J.RUNNING) > 8
                                 or box.queue.job(job.id).state.finished)
        assert any("refuses connections" in event for event in box.events)
        now = box.queue.job(job.id)
        assert (now.state.finished, now.attempt) == (False, 0)  # more tries than any copy has


@needs_server
async def test_a_bad_line_is_gone_on_with_until_all_is_there(tmp_path: Path, server: TusServer
                                                             ) -> None:
    with CuttingProxy(server.port, [PART + 9_000] * 5) as proxy:
        async with a_box(tmp_path, proxy.url, upload="raw") as box:
            make_store(box.recordings, "bees", frames=400)
            job = await box.upload()
            async with box.running():
                await box.until(job, J.DONE)
            (_, data, _), = server.uploads()
            assert untarred(data) == contents(box.recordings / "bees")
        assert proxy.was_cut >= 3


@needs_server
async def test_nothing_is_deleted_for_an_upload(tmp_path: Path, server: TusServer) -> None:
    """I5: a server that has it all proves nothing."""
    async with a_box(tmp_path, server.url, upload="raw") as box:
        make_store(box.recordings, "bees")
        async with box.running():
            await box.until(await box.upload(), J.DONE)
            delete = await box.add(K.DELETE, destination="loopy")
            failed = await box.until(delete, J.FAILED)
        assert "it is kept" in failed.reason
        assert (box.recordings / "bees").is_dir()
        for kind in (K.MOVE, K.COPY):
            job = await box.add(kind, destination="loopy")
            async with box.running():
                await box.until(job, J.WAITING, J.FAILED, reason="loopy")
            await box.queue.cancel(job.id) if not box.queue.job(job.id).state.finished else None
        assert (box.recordings / "bees").is_dir()


@needs_server
async def test_raw_that_is_to_be_uploaded_is_not_deleted_before(tmp_path: Path, server: TusServer
                                                                ) -> None:
    async with a_box(tmp_path, server.url, upload="raw") as box:
        uuid = make_store(box.recordings, "bees")
        make_export(box.recordings, "bees", uuid)
        server.tell(key=KEY, answers=[503] * 500)
        upload = await box.upload()
        delete = await box.add(K.DELETE_RAW, preset="High", destination=None)
        async with box.running():
            await box.until_true(lambda: len(server.requests("PATCH")) > 1
                                 or box.queue.job(delete.id).state.finished)
            server.tell(key=KEY)
            await box.until(upload, J.DONE)
            await box.until_true(lambda: box.queue.job(delete.id).state.finished)
        ended = [job.id for job in box.seen if job.state.finished]
        assert ended.index(upload.id) < ended.index(delete.id)
        assert len(server.uploads()) == 1


@needs_server
async def test_the_key_is_in_nothing_that_is_kept_or_told(
        tmp_path: Path, server: TusServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    async with a_box(tmp_path, server.url, upload="raw") as box:
        make_store(box.recordings, "bees")
        server.tell(key="another")
        job = await box.upload()
        async with box.running():
            await box.until(job, J.FAILED)
            server.tell(key=KEY)
            await box.queue.retry(job.id)
            await box.until(job, J.DONE)
        told = [caplog.text, *box.events, *map(repr, box.seen), repr(box.place)]
    stored = contents(tmp_path).values()
    assert len(stored) > 3
    assert not any(KEY in text for text in told)
    assert not any(KEY.encode() in data for data in stored)


def rows_of(box: JobBox) -> list[UploadRow]:
    rows = UploadRows(box.queue.path.with_name(FILE_NAME))
    try:
        return list(rows._rows.values())
    finally:
        rows.close()


async def test_rows_are_kept_replaced_and_removed(tmp_path: Path) -> None:
    row = UploadRow("loopy", "u", "bees", "f1", "/files/1", 7, 0)
    rows = UploadRows(tmp_path / "uploads.sqlite")
    rows.put(row)
    rows.put(UploadRow("loopy", "u", "bees", "f1", "", 7, 99))
    rows.put(UploadRow("other", "u", "bees", "f1", "/x", 7, 0))
    rows.close()
    again = UploadRows(tmp_path / "uploads.sqlite")
    found = again.get(row.key)
    assert found is not None and found.done_ns == 99
    again.remove(("other", "u", "bees"))
    again.remove(("other", "u", "bees"))
    again.close()
    (tmp_path / "uploads.sqlite").write_bytes(b"no database at all" * 100)
    damaged = UploadRows(tmp_path / "uploads.sqlite")
    assert "put aside" in damaged.trouble
    assert damaged.get(row.key) is None
    damaged.put(row)
    damaged.close()
    await asyncio.sleep(0)


async def test_which_uploads_the_box_gives_itself(tmp_path: Path) -> None:
    make_store(tmp_path, "ants", seed=1)
    uuid = make_store(tmp_path, "bees", seed=2)
    make_export(tmp_path, "bees", uuid)
    found = scan(tmp_path)

    def names(what: str, first: str | None = None) -> list[str]:
        wanted = uploads_wanted(found, "loopy", what, exported_first=first)
        assert all(isinstance(one, Wanted) and one.kind is K.UPLOAD
                   and one.destination == "loopy" for one in wanted)
        return [one.item for one in wanted]

    assert names("exported") == ["bees"]
    assert names("raw") == names("both") == ["ants", "bees"]
    assert names("raw", "High") == ["ants", "bees"]
    assert names("both", "High") == names("exported", "High") == ["bees"]
    assert names("both", "Low") == names("exported", "Low") == []
