"""The section about drives: every mistake is one line with file, line, key and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.config import load_config, load_document
from fieldrec.config.drives import DriveRule, DrivesConfig
from fieldrec.core.errors import ConfigError
from tests.fakes.config_words import problem


@pytest.mark.parametrize(("text", "says"), [
    ("drives:\n  accept: [any, markd]",
     "2: drives.accept.1: expected any, marked, label:PATTERN (such as label:FIELD*) or uuid:ID "
     "(got 'markd')"),
    ("drives: {accept: none}", "1: drives.accept.0: expected any, marked, label:PATTERN (such as "
                               "label:FIELD*) or uuid:ID (got 'none')"),
    ("drives:\n  accept: []", "2: drives.accept: no drive could be used then; write any, or "
                              "`enabled: false`"),
    ("drives:\n  accept:\n    - marked\n    - 'uuid:a/b'",
     "4: drives.accept.1: expected uuid: and an id of letters, digits and '-', as `fieldrec drive "
     "list` shows it (got 'uuid:a/b')"),
    ("drives: {accept: ['label:**']}",
     "1: drives.accept.0: this pattern is every drive with a label, and drives named by their "
     "label may get moves; write any, or a part of the label (got 'label:**')"),
    ("drives: {accept: ['label: ']}",
     "1: drives.accept.0: expected label: and a pattern of 1 to 100 characters, such as "
     "label:FIELD* (got 'label: ')"),
    ("drives: {on_insert: delete}",
     "1: drives.on_insert: input should be 'copy', 'move', 'export' or 'nothing' (got 'delete')"),
    ("drives: {cameras: ['']}",
     "1: drives.cameras.0: expected a camera's serial, or a pattern such as side-* (got '')"),
    ("drives: {keep_free_bytes: lots}",
     "1: drives.keep_free_bytes: expected a size such as 500 MB, 1.5 GiB or a number of bytes "
     "(got 'lots')"),
    ("drives: {check: yes}", "1: drives.check: input should be 'never', 'look' or 'repair' "
                             "(got True)"),
    ("drives: {check_s: 0}", "1: drives.check_s: input should be greater than 0 (got 0)"),
    ("drives: {suspect_after: 0}",
     "1: drives.suspect_after: input should be greater than or equal to 1 (got 0)"),
    ("drives: {raw_as: zip}", "1: drives.raw_as: input should be 'files' or 'tar' (got 'zip')"),
    ("drives: {mounter: udisk}",
     "1: drives.mounter: input should be 'auto', 'udisks' or 'mount' (got 'udisk')"),
    ("drives: {match: {}}", "1: drives.match: every disk of this machine would be a drive then; "
                            "write {ID_BUS: usb} (`enabled: false` is for no drives at all)"),
    ("drives: {file_systems: ext4}",
     "1: drives.file_systems: expected a list, such as [a, b] (got 'ext4')"),
    ("drives: {enabled: 3}", "1: drives.enabled: expected true or false (got 3)"),
    ("drives: {mount_root: 5}", "1: drives.mount_root: expected a path (got 5)"),
    ("drives: {acept: any}", "1: drives.acept: unknown key; did you mean 'accept'?"),
    ("drives:\n  rules:\n    - {drive: any}\n    - {on_insert: copy}",
     "4: drives.rules.1.drive: this key is required"),
    ("drives:\n  rules:\n    - drive: marked\n      oninsert: copy",
     "4: drives.rules.0.oninsert: unknown key; did you mean 'on_insert'?"),
    ("drives:\n  rules:\n    - drive: marked\n      on_insert: remove",
     "4: drives.rules.0.on_insert: input should be 'copy', 'move', 'export' or 'nothing' "
     "(got 'remove')"),
    ("drives:\n  rules:\n    - drive: any\n    - drive: marked",
     "4: drives.rules.1.drive: never reached: rule 1 is for any already, and the first that fits "
     "counts"),
    ("drives:\n  rules:\n    - drive: 'uuid:AB'\n    - drive: 'uuid:ab'",
     "4: drives.rules.1.drive: never reached: rule 1 is for uuid:AB already, and the first that "
     "fits counts"),
])
def test_mistakes(tmp_path: Path, text: str, says: str) -> None:
    assert problem(tmp_path, text + "\n") == says


def test_where_drives_are_mounted_is_beside_the_file_and_not_in_the_recordings(tmp_path: Path
                                                                               ) -> None:
    path = tmp_path / "box.yaml"
    path.write_text("drives: {mount_root: mnt}")
    assert load_config(path).drives.mount_root == tmp_path / "mnt"
    path.write_text("drives: {mount_root: recordings/mnt}")
    with pytest.raises(ConfigError, match=r"mount_root: .* is inside the recordings folder"):
        load_config(path)


def test_one_word_is_a_list(tmp_path: Path) -> None:
    file = tmp_path / "box.yaml"
    file.write_text("drives: {accept: marked, cameras: top, rules: [{drive: marked, "
                    "keep_free_bytes: 1 GB, cameras: []}, {drive: any}]}\n")
    drives = load_document(file)[1].drives
    assert (drives.accept, drives.cameras) == (("marked",), ("top",))
    assert drives.rules == (
        DriveRule(drive="marked", keep_free_bytes=10**9, cameras=()), DriveRule(drive="any"))


def test_what_holds_without_a_word() -> None:
    drives = DrivesConfig()
    assert (drives.accept, drives.on_insert, drives.eject, drives.check) == (
        ("any",), "copy", True, "look")
    assert drives.rules == () and drives.cameras == () and not drives.require_usb3
