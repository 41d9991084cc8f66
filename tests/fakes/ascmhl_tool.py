"""The reference implementation of ASC MHL (the package ``ascmhl``), run without its network.

Its programs ask a web address for newer versions as they start: every proxy they may use is a
loopback port that nobody listens on, so that the question goes nowhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.fakes import ascmhl_schema

NOWHERE = "http://127.0.0.1:9"
OK, MISSING, DAMAGED, NEW, MODIFIED = 0, 10, 11, 21, 31
"""Its exit codes."""


def ascmhl(*words: str | Path) -> tuple[int, str]:
    """`ascmhl WORDS`: exit code and all it said."""
    return _run("ascmhl.cli.ascmhl", "mhltool_cli", words)


def ascmhl_debug(*words: str | Path) -> tuple[int, str]:
    """`ascmhl-debug WORDS`: the same."""
    return _run("ascmhl.cli.ascmhl_debug", "mhldebugtool_cli", words)


def verify(root: Path) -> tuple[int, str]:
    """`ascmhl-debug verify`; before that, all that lies there must be valid by the schemas."""
    ascmhl_schema.assert_valid(root)
    return ascmhl_debug("verify", "-v", root)


def _run(module: str, command: str, words: tuple[str | Path, ...]) -> tuple[int, str]:
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY",
                             "ALL_PROXY"), NOWHERE)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c",
         f"from {module} import {command} as run; run(prog_name='ascmhl')",
         *(str(word) for word in words)],
        env={**os.environ, **proxies, "no_proxy": "", "NO_PROXY": "", "TZ": "UTC"},
        capture_output=True, text=True, timeout=110, check=False)
    return done.returncode, done.stdout + done.stderr
