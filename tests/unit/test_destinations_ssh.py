"""Which keys are used and trusted, and what is said when nobody comes in. Without a server."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fieldrec.config.destinations import RsyncConfig
from fieldrec.core.errors import DestinationAway, DestinationError, DestinationFull, FieldrecError
from fieldrec.destinations._ssh import HostKey, failure, trust, trusted_keys

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not "
                                "installed: sudo apt install openssh-client")
REFUSED = "bee@lab: Permission denied (publickey)."
NO_FOLDER = 'rsync: [Receiver] mkdir "/srv/x" failed: No such file or directory (2)'


def config(folder: Path, **more: object) -> RsyncConfig:
    return RsyncConfig.model_validate({
        "type": "rsync", "target": "bee@lab:/srv/x", "known_hosts": folder / "known_hosts", **more})


def keygen(path: Path, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)],
                   check=True)
    return path


def test_a_key_that_cannot_be_used_is_told_from_one_that_is_not_known_there(tmp_path: Path
                                                                            ) -> None:
    good, locked = keygen(tmp_path / "good"), keygen(tmp_path / "locked", "secret")
    open_ = tmp_path / "open"
    shutil.copyfile(good, open_)
    open_.chmod(0o644)
    none = tmp_path / "none"
    none.write_text("something else")
    none.chmod(0o600)
    said = {good: "bee@lab refuses the key .*good; add its public half",
            locked: "locked has a passphrase, .* ssh-keygen -p -f ",
            open_: "open can be read by others, .*; chmod 600 ",
            none: "none is no private key that ssh can use",
            tmp_path / "gone": "gone is missing; make one: ssh-keygen"}
    for path, words in said.items():
        with pytest.raises(DestinationAway, match=words):
            raise failure("lab", config(tmp_path, key_file=path), 255,
                          f"UNPROTECTED PRIVATE KEY FILE!\n{REFUSED}")
    with pytest.raises(DestinationAway, match="of the user that fieldrec runs as"):
        raise failure("lab", config(tmp_path), 255, REFUSED)


@pytest.mark.parametrize(("code", "said", "kind", "words"), [
    (12, "bash: line 1: rsync: command not found\nrsync: connection unexpectedly closed",
     DestinationAway, "rsync is not installed on lab; install it there"),
    (127, "sh: 1: rsync: not found", DestinationAway, "rsync is not installed on lab"),
    (127, "zsh:1: command not found: rsync", DestinationAway, "rsync is not installed on lab"),
    (127, "fish: Unknown command: df", DestinationAway, "df is not installed on lab"),
    (2, "protocol version mismatch -- is your shell clean?\n(see the rsync manpage)",
     DestinationAway, "prints something, which rsync cannot bear; look for it in .bashrc"),
    (1, "", DestinationError, "lab ended the call without a word"),
    (11, "rsync: write failed: No space left on device (28)", DestinationFull, "is full"),
    (3, NO_FOLDER, DestinationAway, "folder /srv/x is missing on lab; create it there"),
    (255, "Host key verification failed.", DestinationAway, "run fieldrec destinations trust lab"),
    (255, "Timeout, server lab not responding.", DestinationAway, "lab stopped answering"),
    (4, "rsync: on remote machine: --fsync: unknown option", DestinationError, "is too old"),
    (1, "rsync: invalid option -- s", DestinationError, "is too old; 3.2.4 or newer"),
    (255, "getaddrinfo lab: Name or service not known", DestinationAway, "lab is not known by"),
    (23, "rsync: odd \x1b[31m thing", DestinationError, r"rsync: odd \?\[31m thing"),
])
def test_what_is_said_of_what_went_wrong(tmp_path: Path, code: int, said: str,
                                         kind: type[FieldrecError], words: str) -> None:
    error = failure("lab", config(tmp_path), code, said)
    assert type(error) is kind
    with pytest.raises(kind, match=f"destination lab.*{words}"):
        raise error


def test_the_keys_of_a_host_replace_those_it_had_however_it_is_called(tmp_path: Path) -> None:
    """ssh and ssh-keyscan write a name in lower case and an address in its shortest form."""
    box = config(tmp_path, target="[bee@2001:DB8:0:0:0:0:0:7]:/srv/x", port=2222)
    other = "lab ssh-ed25519 AAAA"
    box.known_hosts.write_text(f"# mine\n{other}\n")
    first, second = (HostKey(f"[2001:db8::7]:2222 ssh-ed25519 {key}") for key in ("BBBB", "CCCC"))
    trust(box, first)
    assert trusted_keys(box, [second]) == [first]
    trust(box, second)
    assert trusted_keys(box, [second]) == [second]
    assert box.known_hosts.read_text() == f"# mine\n{other}\n{second.line}\n"
