"""Named destinations: told apart by type, with one clear error for whatever is wrong in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.config import load_config
from fieldrec.config.destinations import FolderConfig, RsyncConfig, Target, parse_target
from fieldrec.core.errors import ConfigError

EXPECTED = "expected user@host:/path, or [user@address]:/path for IPv6"
KNOWN = ("automatic, bandwidth_bytes_per_s, count_cached, keep_free_bytes, key_file, known_hosts, "
         "port, shell, target, timeout_s, type")


def write(folder: Path, text: str) -> Path:
    path = folder / "box.yaml"
    path.write_text(f"destinations:\n  lab:\n{text}")
    return path


def test_a_folder_is_meant_where_no_type_is_given(tmp_path: Path) -> None:
    found = load_config(write(tmp_path, "    path: nas\n    must_be_mounted: true\n"
                                        "    keep_free_bytes: 2 GB\n"))
    assert found.destinations["lab"] == FolderConfig(
        path=tmp_path / "nas", must_be_mounted=True, keep_free_bytes=2_000_000_000)


def test_rsync_with_its_files_beside_the_configuration(tmp_path: Path) -> None:
    found = load_config(write(tmp_path, "    type: rsync\n    target: bee@lab:/srv/x/\n"
                                        "    key_file: keys/box\n    port: 2222\n"))
    lab = found.destinations["lab"]
    assert isinstance(lab, RsyncConfig)
    assert (lab.key_file, lab.known_hosts) == (tmp_path / "keys/box", tmp_path / "known_hosts")
    assert lab.parsed == Target("bee", "lab", "/srv/x") and not lab.automatic


@pytest.mark.parametrize(("text", "message"), [
    ("    type: rsyncc\n    target: a@b:/c\n",
     "3: destinations.lab.type: expected one of: folder (which is meant without a type), rsync, "
     "loopy"),
    ("    type: [rsync]\n",
     "3: destinations.lab.type: expected one of: folder (which is meant without a type), rsync, "
     "loopy"),
    ("    path: x\n    must_be_monted: true\n",
     "4: destinations.lab.must_be_monted: unknown key; did you mean 'must_be_mounted'?"),
    ("    type: rsync\n    target: a@b:/c\n    path: x\n",
     f"5: destinations.lab.path: unknown key; known keys: {KNOWN}"),
    ("    type: rsync\n", "2: destinations.lab.target: this key is required"),
    ("    automatic: true\n", "2: destinations.lab.path: this key is required"),
    ("    type: rsync\n    target: a@b:/c\n    port: 70000\n",
     "5: destinations.lab.port: input should be less than or equal to 65535 (got 70000)"),
    ("    type: rsync\n    target: /srv/x\n",
     f"4: destinations.lab.target: {EXPECTED} (got '/srv/x')"),
    ("    # nothing\n", "2: destinations.lab: nothing in it; write its keys below it, indented, "
                        "or leave it out"),
    ("    [1]\n", "2: destinations.lab: expected keys and values, `key: value` on lines below it, "
                  "indented: type, path, automatic, must_be_mounted, keep_free_bytes, raw_as"),
])
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}:{message}"


def test_none_is_called_as_the_drive_that_is_in(tmp_path: Path) -> None:
    path = tmp_path / "box.yaml"
    path.write_text("destinations:\n  drive: {path: x}\n")
    with pytest.raises(ConfigError, match=r"2: destinations\.drive: .* the one drive"):
        load_config(path)


@pytest.mark.parametrize(("text", "target", "remote"), [
    ("bee@lab:/srv", Target("bee", "lab", "/srv"), "bee@lab:"),
    ("lab.example:/", Target("", "lab.example", "/"), "lab.example:"),
    ("bee@192.0.2.7:/a b/'c'", Target("bee", "192.0.2.7", "/a b/'c'"), "bee@192.0.2.7:"),
    ("bee@[2001:db8::7]:/srv", Target("bee", "2001:db8::7", "/srv"), "bee@[2001:db8::7]:"),
    ("[bee@2001:db8::7]:/srv", Target("bee", "2001:db8::7", "/srv"), "bee@[2001:db8::7]:"),
    ("[fe80::1%eth0]:/srv", Target("", "fe80::1%eth0", "/srv"), "[fe80::1%eth0]:"),
])
def test_targets(text: str, target: Target, remote: str) -> None:
    assert parse_target(text) == target
    assert target.remote == remote


@pytest.mark.parametrize(("text", "message"), [
    ("", EXPECTED), ("lab", EXPECTED), ("bee@:/x", EXPECTED), (":/x", EXPECTED),
    ("a@b@lab:/x", EXPECTED), ("a@[b@::1]:/x", EXPECTED), ("2001:db8::7:/srv", "must be absolute"),
    ("bee@lab:srv", "the folder must be absolute"), ("bee@lab:", "the folder must be absolute"),
    ("bee@lab:/a/../b", "'..'"), ("bee@lab:/a*", "patterns"),
    ("bee@lab:/a\nb", "cannot be printed"),
    ("-oProxyCommand=x@lab:/x", "cannot be a user"), ("-lab:/x", "cannot be a host"),
    ("a;b@lab:/x", "cannot be a user"), ("bee@$(x):/x", "cannot be a host"),
    ("[bee@lab]:/x", "no IPv6 address"), ("[::1%-x y]:/x", "name of an interface"),
    ("bee@la b:/x", "cannot be a host"), ("bee@lab\n:/x", "cannot be a host"),
])
def test_targets_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_target(text)
    assert message in str(caught.value)


@given(st.text(max_size=40))
def test_no_target_becomes_an_option(text: str) -> None:
    try:
        target = parse_target(text)
    except ValueError:
        return
    assert not target.address.startswith("-") and target.path.startswith("/")
    assert not set(target.address) & set(" \t\n;|&$`'\"\\<>()")
