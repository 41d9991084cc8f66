"""Calls to servers that are slow, endless, elsewhere or not who they should be."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fieldrec.config.loopy import LoopyConfig
from fieldrec.core.clock import Clock, SystemClock
from fieldrec.core.errors import DestinationAway, DestinationError, JobRefused, Unreachable
from fieldrec.destinations.http_call import ANSWER_BYTES, Answer, Caller, Halted
from fieldrec.destinations.loopy import Loopy
from fieldrec.destinations.tus import Tus
from tests.fakes.raw_web import RawWeb

KEY = "k3y0fTheAccount"
DONE = b"HTTP/1.1 204 Done\r\nTus-Resumable: 1.0.0\r\n\r\n"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None,
                                   reason="openssl is not installed: sudo apt install openssl")


class Counting(SystemClock):
    """A second passes between two looks at it."""

    def __init__(self) -> None:
        super().__init__()
        self._looks = 0

    def monotonic_ns(self) -> int:
        self._looks += 1
        return self._looks * 10**9


def caller(url: str, *, stop: threading.Event | None = None, limit_s: float = 20,
           clock: Clock | None = None) -> closing[Caller]:
    return closing(Caller(url, stop=stop or threading.Event(), limit_s=limit_s,
                          clock=clock or SystemClock()))


def at(server: RawWeb, scheme: str = "http", host: str = "127.0.0.1") -> str:
    return f"{scheme}://{host}:{server.port}/files"


# -- answers that do not end -----------------------------------------------------------------------

def test_a_server_that_hangs_up_after_a_long_answer_is_heard_to_the_end() -> None:
    said = b"x" * 50_000
    with RawWeb([b"HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 50000\r\n\r\n", said],
                DONE) as server, caller(at(server)) as calls:
        answer = calls.call("OPTIONS", "/files", {})
        assert (answer.status, len(answer.text)) == (503, len(said))
        assert calls.call("OPTIONS", "/files", {}).status == 204
        assert server.connections == 2


def test_no_more_of_an_endless_answer_is_read_than_is_of_use() -> None:
    endless = [b"HTTP/1.0 500 No\r\n\r\n", *[b"x" * ANSWER_BYTES] * 200]
    with RawWeb(list(endless), DONE) as server, caller(at(server)) as calls:
        assert len(calls.call("OPTIONS", "/files", {}).text) == ANSWER_BYTES
        assert calls.call("OPTIONS", "/files", {}).status == 204


def test_an_answer_that_trickles_in_for_ever_is_given_up() -> None:
    """Interim answers, of which HTTP allows any number: each look at the clock is a second."""
    trickle = [b"HTTP/1.1 100 Wait\r\n\r\n" * 4000] * 60
    with RawWeb(list(trickle)) as server, \
            caller(at(server), clock=Counting()) as calls, \
            pytest.raises(Unreachable, match=r"127\.0\.0\.1 does not answer"):
        calls.call("OPTIONS", "/files", {})


def test_a_stop_is_heeded_while_an_answer_trickles_in() -> None:
    stop = threading.Event()

    def stopped() -> bytes:
        stop.set()
        return b"HTTP/1.1 100 Wait\r\n\r\n" * 4000

    with RawWeb([b"HTTP/1.1 100 Wait\r\n\r\n" * 4000, stopped, *[stopped] * 60]) as server, \
            caller(at(server), stop=stop) as calls, pytest.raises(Halted):
        calls.call("OPTIONS", "/files", {})


def test_a_refusal_that_comes_before_all_was_sent_is_heard() -> None:
    with RawWeb([b"HTTP/1.1 413 No\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge"]
                ) as server, caller(at(server)) as calls:
        answer = calls.call("PATCH", "/files/1", {}, memoryview(bytes(4_000_000)))
    assert (answer.status, answer.text) == (413, "large")


@pytest.mark.parametrize(("said", "error"), [
    ([b"SSH-2.0-OpenSSH\r\n"], DestinationError),
    ([b"HTTP/1.1 204 No\r\n" + b"A: b\r\n" * 200 + b"\r\n"], DestinationError),
    ([b"HTTP/1.1 200 Yes\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], Unreachable),
    ([b""], Unreachable)])
def test_what_is_no_answer(said: list[Any], error: type[DestinationError]) -> None:
    with RawWeb(said) as server, caller(at(server)) as calls, pytest.raises(error) as raised:
        calls.call("OPTIONS", "/files", {})
    assert type(raised.value) is error


def test_parts_of_an_answer_are_put_together() -> None:
    with RawWeb(b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n4\r\n now\r\n"
                b"0\r\n\r\n", DONE) as server, caller(at(server)) as calls:
        assert calls.call("OPTIONS", "/files", {}).text == "not now"
        assert calls.call("OPTIONS", "/files", {}).status == 204
        assert server.connections == 1


# -- names -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("ends", ["a stop", "the time"])
def test_nobody_waits_for_a_look_up_that_hangs(monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    asked, released = threading.Event(), threading.Event()
    stop = threading.Event()

    def hangs(*_words: Any, **_more: Any) -> list[Any]:
        asked.set()
        if ends == "a stop":
            stop.set()
        released.wait()
        raise socket.gaierror("nobody listens any more")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    error, limit_s = (Halted, 600.0) if ends == "a stop" else (Unreachable, 0.01)
    try:
        with caller("http://loopy.local/files", stop=stop, limit_s=limit_s) as calls, \
                pytest.raises(error):
            calls.call("OPTIONS", "/files", {})
        assert asked.is_set()
    finally:
        released.set()
        for thread in threading.enumerate():
            if thread.name == "look up loopy.local":
                thread.join()


def test_names_that_cannot_be_are_not_found() -> None:
    with caller(f"http://{'x' * 70}.local/files") as calls, \
            pytest.raises(Unreachable, match="is not found"):
        calls.call("OPTIONS", "/files", {})


@pytest.mark.parametrize(("url", "host"), [
    ("http://loopy.local/files", "loopy.local"), ("http://[::1]:81/files", "[::1]:81"),
    ("http://loopy.local:8080/files", "loopy.local:8080"),
    ("https://loopy.local/files", "loopy.local")])
def test_the_host_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch, url: str, host: str
                                        ) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(Caller, "_open", lambda _calls: ours)
    with theirs, caller(url) as calls:
        theirs.sendall(DONE)
        calls.call("OPTIONS", "/files", {})
        assert f"\r\nHost: {host}\r\n".encode() in theirs.recv(4096)


# -- where the key goes ----------------------------------------------------------------------------

class Nothing:
    """Something to upload."""

    name = "bees.mp4"
    total_bytes = 0
    deferred = False

    def slices(self, begin: int) -> Iterator[memoryview]:
        yield memoryview(b"")[begin:]


def upload_to(server: RawWeb) -> None:
    config = LoopyConfig.model_validate({"type": "loopy", "url": at(server), "api_key": KEY})
    with closing(Loopy("loopy", config, stop=threading.Event(), pauses_s=())) as loopy:
        loopy.upload(Nothing(), None, on_begun=lambda _at: None, on_progress=lambda _count: None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirections_are_not_followed(status: int) -> None:
    with RawWeb(DONE) as elsewhere:
        moved = f"HTTP/1.1 {status} No\r\nLocation: {at(elsewhere)}\r\nContent-Length: 0\r\n\r\n"
        with RawWeb(moved.encode()) as server, \
                pytest.raises(JobRefused, match="loopy is elsewhere now: http://127") as raised:
            upload_to(server)
        assert KEY.encode() in server.requests[0] and KEY not in str(raised.value)
        assert elsewhere.connections == 0


def test_no_proxy_of_the_environment_gets_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawWeb(DONE) as proxy, RawWeb([b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"]) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.setenv(name, at(proxy))
        with pytest.raises(JobRefused, match="refuses the key"):
            upload_to(server)
        assert proxy.connections == 0


class Saying(Caller):
    """Gives one answer, and asks nobody."""

    def __init__(self, location: str) -> None:
        self._location = location

    def call(self, *_words: Any, **_more: Any) -> Answer:
        return Answer(201, {"location": self._location}, "")


@pytest.mark.parametrize(("location", "said"), [
    ("http://[lab/files/1", "is none"), ("//evil/files/1", "another host"),
    ("http://127.0.0.1\\@evil/1", "another host"), ("http://me@evil/1", "another host"),
    ("/files/a b", "cannot be used"), ("/files/\x80", "cannot be used"),
    ("mailto:me", "another host")])
def test_addresses_of_uploads_that_are_refused(location: str, said: str) -> None:
    with pytest.raises(DestinationError, match=said):
        Tus(Saying(location), "http://127.0.0.1/files", {}).create("bees.mp4", 3)


# -- TLS -------------------------------------------------------------------------------------------

def certificate(folder: Path, *before: str) -> ssl.SSLContext:
    """A server's, for localhost; ca.pem trusts it."""
    subprocess.run([*before, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                    folder / "key.pem", "-out", folder / "ca.pem"], check=True,
                   capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


@needs_openssl
def test_only_a_server_whose_certificate_is_good_is_told_anything(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = certificate(tmp_path)
    with RawWeb(DONE, DONE, tls=tls) as server:
        with caller(at(server, "https", "localhost")) as calls, \
                pytest.raises(DestinationAway, match=r"\(self-signed.*\); is the url right\?"):
            calls.call("OPTIONS", "/files", {})
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        with caller(at(server, "https")) as calls, \
                pytest.raises(DestinationAway, match=r"not accepted .*127\.0\.0\.1"):
            calls.call("OPTIONS", "/files", {})
        assert server.requests == []
        with caller(at(server, "https", "localhost")) as calls:
            for _ in range(2):
                assert calls.call("OPTIONS", "/files", {}).status == 204
        assert server.connections == 3


@needs_openssl
@pytest.mark.skipif(shutil.which("faketime") is None,
                    reason="faketime is not installed: sudo apt install faketime")
def test_one_that_has_run_out_makes_the_clock_suspect(tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    tls = certificate(tmp_path, "faketime", "2020-01-01")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with RawWeb(tls=tls) as server, caller(at(server, "https", "localhost")) as calls, \
            pytest.raises(DestinationAway, match=r"is this computer's clock right\?"):
        calls.call("OPTIONS", "/files", {})


def test_a_line_that_breaks_off_is_no_fault_of_the_certificate() -> None:
    from fieldrec.destinations.http_call import _in_words

    assert _in_words(ssl.SSLEOFError(8, "EOF occurred in violation of protocol")) == "broke off"
