"""`fieldrec run`: the daemon, and the one process that may switch the machine off."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from fieldrec.cli.where import Where, where_options
from fieldrec.core.errors import FieldrecError

if TYPE_CHECKING:
    from fieldrec.app import App

log = logging.getLogger(__name__)

HANGS_S = 5.0
"""Beyond the budget of the orderly stop: then nothing is waited for any more."""


@click.command("run")
@where_options
@click.option("--verbose", "-v", is_flag=True, help="Log more.")
def run_command(where: Where, verbose: bool) -> None:
    """Run the daemon until SIGTERM or SIGINT, which end it in order; a second signal at once."""
    from fieldrec.cli.link import Interrupted, run

    config = where.load()
    log_to_stderr(verbose)
    faulthandler.enable()  # systemd's watchdog sends SIGABRT: the log shows where it hung
    with contextlib.suppress(Interrupted):  # the signal was the order to end: done, exit 0
        run(lambda: _serve(config))


async def _serve(config: Any) -> None:
    while await _one_life(config):
        log.warning("power is back: the machine stays on, and fieldrec begins again")


async def _one_life(config: Any) -> bool:
    """From the start to the orderly stop, and what comes after it; whether the box is to begin
    again, because it was fed while it stopped. ShutdownStuck when something did not end."""
    from fieldrec.app import DAEMON, App
    from fieldrec.app.last_resort import LastResort

    app = App(config, DAEMON)
    last_resort = LastResort(config.system.shutdown_budget_s + HANGS_S, lambda: _run_now(app))
    app.on_stop = last_resort.begin
    failure: FieldrecError | None = None
    off = False
    try:
        async with app:
            await app.stop_requested.wait()
    finally:  # also when it is stuck, or a signal came meanwhile
        try:
            off = await _switched_off(app)
        except FieldrecError as error:
            log.error("the machine was not switched off: %s", error)
            failure = error
        last_resort.done()
    if failure is not None:
        raise failure  # systemd begins again: with power back, or to try once more
    return app.ending is not None and not off


async def _switched_off(app: App) -> bool:
    """Whether the machine is being switched off now."""
    from fieldrec.app.switching_off import switch_off

    if app.ending is None:
        return False
    off = await switch_off(app.ending, app.machine)
    log.warning("the machine is being switched off (%s)" if off
                else "the machine stays on: no longer true is %s", app.ending.why)
    return off


def _run_now(app: App) -> None:
    """Where the loop does not turn any more: nobody can be asked."""
    if app.ending is not None:
        app.machine.run(app.ending.command)


def log_to_stderr(verbose: bool) -> None:
    """Lines on stderr; with priorities where systemd's journal reads them."""
    under_systemd = "JOURNAL_STREAM" in os.environ
    logging.basicConfig(
        stream=sys.stderr, level=logging.DEBUG if verbose else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s" if under_systemd
        else "%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("asyncio").setLevel(logging.WARNING)
