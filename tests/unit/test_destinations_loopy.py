"""Uploads against a real tus server: whole, deferred, broken off, refused with a reason."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.config.loopy import LoopyConfig
from fieldrec.core.errors import DestinationError, FieldrecError, JobRefused, Unreachable
from fieldrec.destinations.http_call import Halted
from fieldrec.destinations.loopy import Loopy
from tests.fakes import tus
from tests.fakes.tus import KEY, CuttingProxy, TusServer, server, tus_node

pytestmark = pytest.mark.skipif(bool(tus.MISSING), reason=tus.MISSING)
__all__ = ["server", "tus_node"]
PART = 64 * 1024
BIG = np.random.default_rng(4).bytes(9 * PART + 777)


class Made:
    """Something to upload, in slices of an odd size."""

    def __init__(self, data: bytes = BIG, name: str = "bees.high.mp4", *, deferred: bool = False
                 ) -> None:
        self.name = name
        self.data = data
        self.total_bytes = len(data)
        self.deferred = deferred
        self.begun_at: list[int] = []
        self.at_byte: dict[int, Any] = {}
        """Called when so many bytes have been asked for."""

    def slices(self, begin: int) -> Iterator[memoryview]:
        self.begun_at.append(begin)
        for at in range(begin, len(self.data), 10_007):
            for byte in [byte for byte in self.at_byte if byte <= at]:
                self.at_byte.pop(byte)()
            yield memoryview(self.data)[at:at + 10_007]


class Rig:
    """A client of the server, with pauses that take no time."""

    def __init__(self, url: str, **more: Any) -> None:
        self.stop = threading.Event()
        told = {"type": "loopy", "url": url, "api_key": KEY, "part_bytes": PART, "timeout_s": 20}
        self.config = LoopyConfig.model_validate({**told, **more})
        self.locations: list[str] = []
        self.progress: list[int] = []

    def upload(self, content: Made, location: str | None = None,
               pauses_s: tuple[float, ...] = (0.0, 0.01, 0.02)) -> None:
        server = Loopy("loopy", self.config, stop=self.stop, pauses_s=pauses_s)
        try:
            server.upload(content, location, on_begun=self.locations.append,
                          on_progress=self.progress.append)
        finally:
            server.close()


def test_a_file_whole(server: TusServer) -> None:
    rig = Rig(server.url)
    rig.upload(Made())
    assert server.uploads() == [("bees.high.mp4", BIG, len(BIG))]
    assert len(rig.locations) == 1
    assert rig.progress[0] == 0 and rig.progress[-1] == len(BIG)
    assert rig.progress == sorted(rig.progress)
    assert len(server.requests("PATCH")) == 10  # nothing is sent in one piece
    assert {one["headers"].get("x-api-key") for one in server.requests()} == {KEY}


def test_a_stream_whose_length_is_told_at_the_end(server: TusServer) -> None:
    Rig(server.url).upload(Made(name="imgstore.tar", deferred=True))
    assert server.uploads() == [("imgstore.tar", BIG, len(BIG))]
    begun, = server.requests("POST")
    assert begun["headers"]["upload-defer-length"] == "1"
    assert "upload-length" not in begun["headers"]
    *parts, last = server.requests("PATCH")
    assert last["headers"]["upload-length"] == str(len(BIG))
    assert last["headers"]["content-length"] == "0"
    assert all("upload-length" not in part["headers"] for part in parts)


def test_nothing_and_one_byte(server: TusServer) -> None:
    Rig(server.url).upload(Made(b"", "a"))
    Rig(server.url).upload(Made(b"", "b", deferred=True))
    Rig(server.url).upload(Made(b"x", "c"))
    Rig(server.url).upload(Made(b"y" * PART, "d", deferred=True))
    assert server.uploads() == [("a", b"", 0), ("b", b"", 0), ("c", b"x", 1),
                                ("d", b"y" * PART, PART)]


def test_the_user_goes_along(server: TusServer) -> None:
    server.tell(key=KEY, user="anna@example.org")
    Rig(server.url, user="anna@example.org").upload(Made(b"x"))
    assert len(server.uploads()) == 1


# -- broken off ------------------------------------------------------------------------------------


@pytest.mark.parametrize("deferred", [False, True])
def test_connections_reset_at_random_bytes(server: TusServer, deferred: bool) -> None:
    chance = random.Random(5)
    cuts = [chance.randrange(1, 60_000) for _ in range(200)]
    content = Made(deferred=deferred)
    with CuttingProxy(server.port, cuts) as proxy:
        rig = Rig(proxy.url)
        while True:
            try:
                rig.upload(content, rig.locations[-1] if rig.locations else None)
                break
            except Unreachable:  # several in a row without progress: a job would wait
                continue
        assert proxy.was_cut >= 12
    finished = [upload for upload in server.uploads() if upload[2] == len(upload[1])]
    assert (content.name, BIG, len(BIG)) in finished
    assert any(begin not in (0, len(BIG)) for begin in content.begun_at)  # it did go on


def test_the_server_dies_in_the_middle_and_comes_back(tmp_path: Path) -> None:
    with TusServer(tmp_path / "tus", key=KEY) as server:
        content = Made(deferred=True)
        content.at_byte[5 * PART] = server.kill
        rig = Rig(server.url)
        with pytest.raises(Unreachable, match=r"loopy: 127\.0\.0\.1 refuses connections") as raised:
            rig.upload(content)
        assert raised.value.progressed
        server.start()
        rig.upload(content, rig.locations[0])
        assert server.uploads() == [("bees.high.mp4", BIG, len(BIG))]
        assert content.begun_at[-1] >= 4 * PART
        assert len(rig.locations) == 1


def test_it_stops_when_told_and_goes_on_later(server: TusServer) -> None:
    content = Made()
    rig = Rig(server.url)
    content.at_byte[5 * PART] = rig.stop.set
    with pytest.raises(Halted):
        rig.upload(content)
    rig.stop.clear()
    rig.upload(content, rig.locations[0])
    assert server.uploads() == [("bees.high.mp4", BIG, len(BIG))]
    assert content.begun_at == [0, 5 * PART]


def test_what_had_ended_is_not_sent_again(server: TusServer) -> None:
    content, rig = Made(deferred=True), Rig(server.url)
    rig.upload(content)
    before = len(server.requests("PATCH"))
    rig.upload(content, rig.locations[0])
    assert len(server.requests("PATCH")) == before
    assert len(server.uploads()) == 1


def test_an_upload_that_has_expired_begins_anew(server: TusServer) -> None:
    content, rig = Made(), Rig(server.url)
    content.at_byte[5 * PART] = server.forget
    rig.upload(content)
    assert len(rig.locations) == 2
    assert server.uploads() == [("bees.high.mp4", BIG, len(BIG))]
    rig.upload(content, "/files/nobody-knows")
    assert len(rig.locations) == 3


def test_an_upload_of_something_else_is_not_gone_on_with(server: TusServer) -> None:
    rig = Rig(server.url)
    rig.upload(Made(b"longer than the other"))
    rig.upload(Made(b"short"), rig.locations[0])
    assert len(rig.locations) == 2
    assert {data for _, data, _ in server.uploads()} == {b"longer than the other", b"short"}


def test_another_offset_than_the_server_has_asks_it(server: TusServer) -> None:
    server.tell(key=KEY, answers=[0, 0, 409])
    content = Made()
    Rig(server.url).upload(content)
    assert content.begun_at == [0, 2 * PART]
    assert len(server.requests("HEAD")) == 2  # that one, and the last look


@pytest.mark.parametrize("status", [423, 429, 500, 503])
def test_a_server_that_cannot_just_now_is_asked_again(server: TusServer, status: int) -> None:
    server.tell(key=KEY, answers=[0, status, status, 0, status])
    Rig(server.url).upload(Made())
    assert server.uploads() == [("bees.high.mp4", BIG, len(BIG))]
    server.tell(key=KEY, answers=[status] * 50)
    with pytest.raises(Unreachable, match=rf"cannot take it now \({status}: as told\)"):
        Rig(server.url).upload(Made())


# -- refused ---------------------------------------------------------------------------------------


def refusal(rig: Rig, content: Made | None = None) -> str:
    with pytest.raises(JobRefused) as raised:
        rig.upload(content or Made())
    return str(raised.value)


def test_a_key_that_is_refused(server: TusServer) -> None:
    server.tell(key="another")
    said = refusal(Rig(server.url))
    assert said.startswith("loopy refuses the key (403: Key *** is not valid); put a valid one")
    assert KEY not in said
    assert server.uploads() == []


def test_a_key_that_is_taken_back_in_the_middle(server: TusServer) -> None:
    rig, content = Rig(server.url), Made()
    content.at_byte[5 * PART] = lambda: server.tell(key="another")
    assert "refuses the key" in refusal(rig, content)
    server.tell(key=KEY)
    rig.upload(content, rig.locations[0])  # nothing is lost by it
    assert content.begun_at[-1] == 5 * PART


def test_files_that_are_too_large_are_not_begun(server: TusServer) -> None:
    server.tell(key=KEY, maxSize=500_000)
    assert refusal(Rig(server.url)) == (
        "loopy takes files of at most 500.0 kB; bees.high.mp4 has 590.6 kB")
    server.tell(key=KEY, space=590_000.7)
    assert "loopy has 590.0 kB left for this account; bees.high.mp4 needs 590.6 kB" in \
        refusal(Rig(server.url))
    assert server.requests("POST") == []
    for space in ("inf", "nan", "much", len(BIG)):
        server.tell(key=KEY, space=space)
        Rig(server.url).upload(Made())


def test_a_server_that_finds_out_later_that_it_is_too_large(server: TusServer) -> None:
    server.tell(key=KEY, refuseAt=4 * PART, refuseWith=413)
    assert refusal(Rig(server.url), Made(deferred=True)) == (
        "loopy has no room for bees.high.mp4, 590.6 kB (413: as told)")


def test_an_address_that_is_none(server: TusServer) -> None:
    said = refusal(Rig(server.url.replace("/files", "/other")))
    assert "does not take uploads at http://127.0.0.1" in said and "(404" in said


def test_an_upload_on_another_host_does_not_get_the_key(server: TusServer) -> None:
    server.tell(key=KEY, location="http://upload.example.org")
    with pytest.raises(DestinationError, match=r"another host \(upload.example.org\)"):
        Rig(server.url).upload(Made())
    server.tell(key=KEY, location="https://127.0.0.1:9")  # behind a proxy: only the path counts
    Rig(server.url).upload(Made())
    assert ("bees.high.mp4", BIG, len(BIG)) in server.uploads()


# -- checksums -------------------------------------------------------------------------------------


def test_checksums_where_the_server_checks_them(server: TusServer) -> None:
    server.tell(key=KEY, checksum="md5, sha1,crc32")
    Rig(server.url).upload(Made(deferred=True))
    *parts, last = server.requests("PATCH")
    assert all(part["headers"]["upload-checksum"].startswith("sha1 ") for part in parts)
    assert "upload-checksum" not in last["headers"]
    assert server.uploads() == [("bees.high.mp4", BIG, len(BIG))]


def test_a_part_that_arrives_damaged_is_sent_again(server: TusServer,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    from fieldrec.destinations import tus as protocol

    wrong = [b"\0" * 20, b"\1" * 20]
    right = protocol.CHECKSUMS["sha1"]
    monkeypatch.setattr(protocol, "CHECKSUMS", {
        "sha1": lambda data: wrong.pop() if wrong and data[:1] == BIG[PART:PART + 1]
        else right(data)})
    server.tell(key=KEY, checksum="sha1")
    Rig(server.url).upload(Made())
    assert wrong == []
    assert server.uploads() == [("bees.high.mp4", BIG, len(BIG))]


# -- servers that do not answer --------------------------------------------------------------------


def test_a_slow_server_is_waited_for(server: TusServer) -> None:
    server.tell(key=KEY, delayMs=40)
    Rig(server.url).upload(Made(BIG[:3 * PART]))
    assert len(server.uploads()) == 1


def test_a_server_that_says_nothing_is_given_up(server: TusServer) -> None:
    with CuttingProxy(server.port, [30_000], stalls=True) as proxy, \
            pytest.raises(Unreachable, match=r"loopy: 127\.0\.0\.1 does not answer"):
        Rig(proxy.url, timeout_s=1).upload(Made(), pauses_s=())


def test_a_stop_ends_a_wait_for_an_answer(server: TusServer) -> None:
    with CuttingProxy(server.port, [30_000], stalls=True) as proxy:
        rig = Rig(proxy.url, timeout_s=600)
        stopping = threading.Timer(0.3, rig.stop.set)
        stopping.start()
        with pytest.raises(Halted):
            rig.upload(Made())
        stopping.join()


def test_nobody_there_and_no_such_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/files"
    with pytest.raises(Unreachable, match="refuses connections") as raised:
        Rig(url).upload(Made())
    assert not raised.value.progressed
    with pytest.raises(Unreachable, match=r"is not found; is there a network\?"):
        Rig("http://no-such-host.internal/files").upload(Made())


# -- the key ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "text", "said"), [
    (0o644, KEY, "may be read by others; `chmod 600"),
    (0o640, KEY, "may be read by others"),
    (0o600, "", "holds no key: one word"),
    (0o600, f"{KEY}\nX-Injected: 1", "holds no key: one word"),
    (0o600, f"{KEY}ä", "holds no key: one word"),
    (None, "", "cannot be read: No such file"),
])
def test_files_that_hold_no_key(tmp_path: Path, mode: int | None, text: str, said: str) -> None:
    path = tmp_path / "loopy.key"
    if mode is not None:
        path.write_text(text)
        path.chmod(mode)
    config = LoopyConfig(type="loopy", api_key_file=path)
    with pytest.raises(JobRefused) as raised:
        Loopy("loopy", config, stop=threading.Event())
    assert said in str(raised.value)
    error: BaseException | None = raised.value
    while error is not None:  # nor in what is logged of it
        assert KEY not in str(error)
        error = error.__cause__


def test_a_key_in_a_private_file(server: TusServer, tmp_path: Path) -> None:
    path = tmp_path / "loopy.key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    rig = Rig(server.url, api_key=None, api_key_file=path)
    rig.upload(Made(b"x"))
    assert len(server.uploads()) == 1


def test_what_a_look_at_it_tells(server: TusServer) -> None:
    rig = Rig(server.url)
    looking = Loopy("loopy", rig.config, stop=rig.stop)
    assert looking.room_bytes() is None
    server.tell(key=KEY, space=12.7)
    assert looking.room_bytes() == 12
    server.tell(key="another")
    with pytest.raises(FieldrecError, match="refuses the key"):
        looking.room_bytes()
    looking.close()
