"""`fieldrec run`: the daemon."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import subprocess
import sys
from typing import Any

import click

from fieldrec.cli.where import Where, where_options

log = logging.getLogger(__name__)


@click.command("run")
@where_options
@click.option("--verbose", "-v", is_flag=True, help="Log more.")
def run_command(where: Where, verbose: bool) -> None:
    """Run the daemon until SIGTERM or SIGINT, which end it in order; a second signal at once."""
    from fieldrec.cli.link import Interrupted, run

    config = where.load()
    log_to_stderr(verbose)
    faulthandler.enable()  # systemd's watchdog sends SIGABRT: the log shows where it hung
    poweroff: list[bool] = []
    with contextlib.suppress(Interrupted):  # the signal was the order to end: done, exit 0
        run(lambda: _serve(config, poweroff))
    if poweroff:
        try:
            subprocess.run(config.power.poweroff_command, check=False)
        except OSError as error:
            log.error("power.poweroff_command: %s", error)


async def _serve(config: Any, poweroff: list[bool]) -> None:
    from fieldrec.app import DAEMON, App

    async with App(config, DAEMON) as app:
        await app.stop_requested.wait()
    if app.poweroff_wanted:
        poweroff.append(True)


def log_to_stderr(verbose: bool) -> None:
    """Lines on stderr; with priorities where systemd's journal reads them."""
    under_systemd = "JOURNAL_STREAM" in os.environ
    logging.basicConfig(
        stream=sys.stderr, level=logging.DEBUG if verbose else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s" if under_systemd
        else "%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("asyncio").setLevel(logging.WARNING)
