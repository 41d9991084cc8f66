"""Configuration errors: one line each, with file, line, key and advice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.config import load_config
from fieldrec.config.document import Document, dotted
from fieldrec.config.models import CameraConfig, Config
from fieldrec.core.errors import ConfigError

TWELFTH = "# a comment\n" * 10 + "store:\n  chunk_size: 5\n"
SIZE = "expected a size such as 500 MB, 1.5 GiB or a number of bytes"
NAMED = "use letters, digits, '.', '_' and '-' only (at most 100 characters)"
KEYED = "this cannot be a name: use letters, digits, '.', '_', '-'"


@pytest.mark.parametrize(("text", "message"), [
    (TWELFTH, "12: store.chunk_size: unknown key; did you mean 'chunksize'?"),
    ("camera: {}\n", "1: camera: unknown key; did you mean 'cameras'?"),
    ("cameras:\n  a:\n    backend: x\n    sreial: y\n",
     "4: cameras.a.sreial: unknown key; did you mean 'serial'?"),
    ("console:\n  - device: /dev/x\n    boud: 9600\n",
     "3: console.0.boud: unknown key; did you mean 'baud'?"),
    ("store:\n  zzz: 1\n", "2: store.zzz: unknown key; known keys: chunksize, durability_s, "
     "write"),
    ("cameras:\n  a: {}\n", "2: cameras.a.backend: this key is required"),
    ("store:\n  chunksize: many\n", "2: store.chunksize: input should be a valid integer, "
     "unable to parse string as an integer (got 'many')"),
    ("store:\n  chunksize: [1]\n", "2: store.chunksize: input should be a valid integer"),
    ("store:\n  chunksize: 1\n",
     "2: store.chunksize: input should be greater than or equal to 2 (got 1)"),
    ("store:\n  durability_s: .inf\n",
     "2: store.durability_s: input should be a finite number (got inf)"),
    ("storage:\n  reserve_bytes: 5 parsecs\n",
     f"2: storage.reserve_bytes: {SIZE} (got '5 parsecs')"),
    ("storage:\n  reserve_bytes: yes\n",
     "2: storage.reserve_bytes: expected a size, not yes or no (got True)"),
    ("storage:\n  reserve_bytes: -1\n",
     "2: storage.reserve_bytes: input should be greater than or equal to 0 (got -1)"),
    ("cameras:\n  a:\n    backend: x\n    serial: 0123\n",
     "4: cameras.a.serial: input should be a valid string (got 83); put it in quotes"),
    ("cameras:\n  a: {backend: x, serial: s}\n  b:\n    backend: x\n    serial: S\n",
     "5: cameras.b.serial: camera 'a' has the same serial 'S'; give each its own"),
    ("cameras:\n  a: {backend: x, serial: b}\n  b: {backend: x}\n",
     "3: cameras.b.serial: camera 'a' has the same serial 'b'; give each its own"),
    ("cameras:\n  a:\n    backend: x\n    serial: ../x\n",
     "4: cameras.a.serial: '../x' cannot be part of a file name: use letters, digits, "
     "'.', '_', '-'"),
    ("cameras:\n  ok: {backend: x}\n  ../up: {backend: x}\n", f"3: cameras.../up: {KEYED}"),
    ("record:\n  name: a/b\n", f"2: record.name: {NAMED} (got 'a/b')"),
    ("drives:\n  folder: ..\n", f"2: drives.folder: {NAMED} (got '..')"),
    ("system:\n  timezone: Europe/Wien\n", "2: system.timezone: expected an IANA time zone such "
     "as UTC or Europe/Vienna (got 'Europe/Wien')"),
    ("system:\n  timezone: ../../etc/passwd\n", "2: system.timezone: expected an IANA time zone "
     "such as UTC or Europe/Vienna (got '../../etc/passwd')"),
    ("power:\n  poll_s: 1\n  low_percent: 5\n", "1: power: expected critical_percent < "
     "critical_leave_percent and critical_percent <= low_percent < low_leave_percent"),
    ("console:\n  - device: /dev/x\n    baud: 1200\n", "3: console.0.baud: input should be 9600, "
     "19200, 38400, 57600, 115200, 230400, 460800 or 921600 (got 1200)"),
    ("storage:\nstore: {}\n",
     "1: storage: nothing in it; write its keys below it, indented, or leave it out"),
    ("store: {}\nstore: {}\n", "2: store: the key is there twice"),
    ("store:\n  chunksize: 5\n  chunksize: 6\n", "3: store.chunksize: the key is there twice"),
    ("a: [1\nb: 2\n", "2: not valid YAML: expected ',' or ']', but got ':'"),
    ("a:\n\t- x\n", "2: not valid YAML: found character '\\t' that cannot start any token"),
    ("a: !!python/object:os.system x\n", "1: not valid YAML: could not determine a constructor "
     "for the tag 'tag:yaml.org,2002:python/object:os.system'"),
    ("a: 1\nb: \x1b\n", "2: not valid YAML: special characters are not allowed"),
    ("- a\n", "1: expected sections such as 'cameras:' and 'storage:', not a list"),
    ("hello\n", "1: expected sections such as 'cameras:' and 'storage:', not a str"),
    ("1: x\n", "1: 1: keys should be strings (got 1)"),
])
def test_message(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Document("FILE", text).validate(Config)
    assert str(caught.value) == f"FILE:{message}"


def test_every_problem_has_a_line_of_its_own() -> None:
    with pytest.raises(ConfigError) as caught:
        Document("FILE", "store:\n  a: 1\n  chunksize: x\nb: 1\n").validate(Config)
    lines = str(caught.value).splitlines()
    assert sorted(line.split(":")[1] for line in lines) == ["2", "3", "4"]
    assert all(line.startswith("FILE:") for line in lines)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration: No such file"):
        load_config(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match=r"cannot read the configuration: Is a directory"):
        load_config(tmp_path)
    (tmp_path / "latin").write_bytes(b"system: {name: \xe4}")
    with pytest.raises(ConfigError, match="not a text file in UTF-8"):
        load_config(tmp_path / "latin")


def test_an_impossible_date_and_a_deep_file() -> None:
    with pytest.raises(ConfigError, match=r"^FILE: a value cannot be read: .*; put it in quotes$"):
        Document("FILE", "a: 2026-13-45\n")
    with pytest.raises(ConfigError, match="nested too deeply"):
        Document("FILE", "a: " + "[" * 5000 + "]" * 5000)


def test_aliases_that_never_end() -> None:
    with pytest.raises(ConfigError, match=r"nested too deeply|too many keys"):
        Document("FILE", "a: &a [*a]\n")
    laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    with pytest.raises(ConfigError, match="too many keys"):
        Document("FILE", laughs)


def test_a_merged_key_may_be_overridden() -> None:
    text = "cameras:\n  a: &a {backend: x, serial: '1'}\n  b:\n    <<: *a\n    serial: '2'\n"
    config = Document("FILE", text).validate(Config)
    assert [camera.serial for camera in config.cameras.values()] == ["1", "2"]


def test_lines_and_parts() -> None:
    document = Document("FILE", "cameras:\n  a:\n    backend: x\n")
    assert document.line_of(("cameras", "a", "backend")) == 3
    assert document.line_of(("cameras", "a", "options", "fps")) == 2
    assert document.validate(CameraConfig, ("cameras", "a")).backend == "x"
    assert str(document.error(("cameras", "a"), "no")) == "FILE:2: cameras.a: no"
    assert dotted(()) == "file"
    assert Document("FILE", "").values == {}


def test_a_part_that_is_not_in_the_file_has_its_defaults() -> None:
    document = Document("FILE", "cameras:\n  a:\n    backend: x\n")
    with pytest.raises(ConfigError, match=r"^FILE:2: cameras\.a\.options\.backend: .* required$"):
        document.validate(CameraConfig, ("cameras", "a", "options"))


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60)
       | st.text(alphabet=" :-[]{}&*!<'\"\n\tab01.#%|>", max_size=40))
def test_no_text_raises_anything_but_our_error(text: str) -> None:
    try:
        Document("FILE", text).validate(Config)
    except ConfigError as error:
        assert all(line.startswith("FILE:") for line in str(error).split("\n"))
