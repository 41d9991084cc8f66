"""rsync over ssh, with a real sshd and a real rsync: what the contract's tests cannot show."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.config.destinations import RsyncConfig
from fieldrec.core.errors import (
    DestinationAway,
    DestinationError,
    DestinationFull,
    FieldrecError,
)
from fieldrec.destinations._ssh import shown_keys, trust, trusted_keys
from fieldrec.destinations.rsync import RsyncDestination
from fieldrec.jobs import transfer
from tests.fakes.copies import listed, store_of
from tests.fakes.loop_devices import loop_disk
from tests.fakes.small_stores import contents, make_export, make_store
from tests.fakes.sources import Given
from tests.fakes.sshd import Sshd, below, missing
from tests.unit.test_destinations_folder import flip_on_medium, loop_mounted

pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(missing()), reason=missing())]
NEVER = threading.Event()
LARGE = 24_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


def nothing(_count: int) -> None:
    pass


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def lab(config: RsyncConfig) -> RsyncDestination:
    return RsyncDestination("lab", config)


def test_a_recording_is_moved_over_ipv6_whatever_the_folder_is_called(
        server: Sshd, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "it's $HOME; \"there\""
    here.mkdir()
    there.mkdir()
    uuid = make_store(here, "bees", 10)
    make_export(here, "bees", uuid, 10)
    raw = contents(here / "bees")
    with closing(lab(server.config(host="::1", path=there))) as place:
        result = transfer.move(scan(here)[0], place, stop=NEVER)
    assert {copy.path for copy in result.copied} == {"bees", "bees.high.mp4"}
    assert list(here.iterdir()) == [], "the source is gone"
    assert contents(store_of(there / "bees")) == raw
    assert len(listed(there / "bees")) == len(raw)
    assert names(there) == ["bees", "bees.high.mp4", "bees.high.mp4.json"]


def test_what_only_the_far_disk_has_otherwise_is_found(server: Sshd, tmp_path: Path) -> None:
    """The memory of the far side still had what was written: it was dropped from there."""
    data = b"a very telling mark" * 1000
    for mount, image, _ in loop_mounted(tmp_path, 16):
        source = Given(tmp_path / "source", {"a": data, "b": b"x" * 5000})
        with closing(lab(server.config(path=mount))) as place:
            place.begin("bees")
            place.write("bees", source, nothing)
            assert (mount / ".part-bees" / "a").read_bytes() == data, "it is in memory again"
            flip_on_medium(image, data[:4096])
            assert (mount / ".part-bees" / "a").read_bytes() == data, "in memory it is right"
            place.close()
            assert place.verify("bees", source, nothing) == ["a"]


def test_a_confined_key_leads_to_its_folder_and_runs_nothing_else(server: Sshd, there: Path,
                                                                  tmp_path: Path) -> None:
    server.confine(there)
    source = Given(tmp_path / "source", {"": b"film"})
    config = server.config(key="confined")
    with closing(lab(config)) as place:
        place.begin("my bees.mp4")
        place.write("my bees.mp4", source, nothing)
        assert names(there) == [".part-my bees.mp4", "my bees.mp4"]
    with pytest.raises(DestinationError, match="the key may not do that"):
        lab(config.model_copy(update={"shell": True})).free_bytes()


@pytest.mark.parametrize("how", ["the connection is cut", "rsync is killed"])
def test_what_was_sent_is_not_sent_again(server: Sshd, there: Path, tmp_path: Path, how: str
                                         ) -> None:
    source = Given(tmp_path / "source", {"large": os.urandom(LARGE)}, sliced=1 << 20)
    breaks: dict[str, Callable[[], None]] = {
        "the connection is cut": server.cut, "rsync is killed": kill_ours}

    gone: list[int] = []
    done: list[bool] = []

    def cut(count: int) -> None:
        gone.append(count)
        if sum(gone) > LARGE // 8 and not done:
            done.append(True)
            breaks[how]()

    config = server.config(path=there)
    with closing(lab(config.model_copy(update={"bandwidth_bytes_per_s": 6_000_000}))) as place:
        place.begin("bees")
        with pytest.raises(DestinationError):
            place.write("bees", source, cut)
    with closing(lab(config)) as place:
        left = place.begin("bees")
        assert 0 < left["large"] < LARGE
        place.write("bees", source, nothing)
        assert place.verify("bees", source, nothing) == []
        assert place.sent_bytes < LARGE - left["large"] // 2, "only what was missing"


def kill_ours() -> None:
    for pid in below(os.getpid()):
        if Path(f"/proc/{pid}/comm").read_text().strip() == "rsync":
            os.kill(pid, signal.SIGKILL)


def test_a_full_disk_there(server: Sshd, tmp_path: Path) -> None:
    with loop_disk(tmp_path, "ext4", 8 << 20) as disk, \
            closing(lab(server.config(path=disk.mount_point))) as place:
        assert 0 < place.free_bytes() < 8 << 20
        source = Given(tmp_path / "source", {"a": os.urandom(10_000_000)})
        place.begin("bees")
        with pytest.raises(DestinationFull, match="make room there"):
            place.write("bees", source, nothing)


def test_why_a_host_is_not_there(server: Sshd, tmp_path: Path) -> None:
    """Each in words that say what to do; jobs wait for all of them."""
    stranger = server.config(known_hosts=tmp_path / "none")
    cases: list[tuple[RsyncConfig, str]] = [
        (stranger, "not trusted yet; run fieldrec destinations trust lab"),
        (server.config(key="stranger"), "refuses the key .*; add its public half"),
        (server.config(path=tmp_path / "gone"), "folder .*gone is missing on 127.0.0.1, or may"),
        (server.config(port=1), "refuses the connection; is sshd running")]
    for config, said in cases:
        with pytest.raises(DestinationAway, match=said):
            lab(config).free_bytes()


def test_another_host_key_is_refused_until_it_is_trusted(server: Sshd, there: Path, tmp_path: Path
                                                         ) -> None:
    config = server.config(path=there, known_hosts=tmp_path / "own hosts")
    shown = shown_keys("lab", config)
    assert [key.kind for key in shown] == ["ssh-ed25519"]
    assert shown[0].fingerprint.startswith("SHA256:")
    trust(config, shown[0])
    assert trusted_keys(config, shown) == shown
    assert lab(config).free_bytes() > 0
    server.stop()
    server.start("other-host")
    try:
        with pytest.raises(DestinationAway, match="another host key than the one that is trusted"):
            lab(config).free_bytes()
        trust(config, shown_keys("lab", config)[0])
        assert len(trusted_keys(config, shown)) == 1, "the old one is trusted no more"
        assert lab(config).free_bytes() > 0
    finally:
        server.stop()
        server.start()


def test_a_call_is_broken_off_when_asked(server: Sshd, there: Path) -> None:
    stop = threading.Event()
    place = lab(server.config(path=there))
    place.heed(stop)
    stop.set()
    with pytest.raises(DestinationError, match="broken off"):
        place.items()
    place.abort("bees")  # cleans up all the same, and never raises


def test_nothing_secret_is_in_what_is_said(server: Sshd, tmp_path: Path) -> None:
    config = server.config(key="stranger")
    secret = (server.folder / "stranger").read_text().splitlines()[1]
    with pytest.raises(FieldrecError) as caught:
        lab(config).free_bytes()
    assert secret not in str(caught.value)
    assert secret not in config.model_dump_json()
