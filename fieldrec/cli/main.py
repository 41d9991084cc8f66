"""The `fieldrec` command: finds the sub-command, loads only what it needs, turns errors into lines.

Exit codes: 0 done · 1 a bug (traceback), or a self-test that failed · 2 command-line syntax ·
3 configuration · 4 wrong name or argument · 5 not found · 6 not allowed now · 7 folder in use ·
8 stop took too long · 10-12 camera · 20-26 store and disk · 30-33 drive · 40-44 job · 50 power
source · 130 left at a signal. The tree of errors is in `fieldrec/core/errors.py`.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import threading
from collections.abc import Mapping

import click

from fieldrec import __version__
from fieldrec.cli import out
from fieldrec.core.errors import FieldrecError, ShutdownStuck

THREAD_PATIENCE_S = 2.0

COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("demo", "Record, export, verify and copy built-in input, unattended."),
    "run": ("run", "Run the daemon of a configuration."),
    "record": ("record", "Make one recording without a daemon."),
    "start": ("recording_verbs", "Start recording (daemon)."),
    "stop": ("recording_verbs", "Stop recording (daemon)."),
    "pause": ("recording_verbs", "Keep no more frames for a while (daemon)."),
    "resume": ("recording_verbs", "Go on after a pause (daemon)."),
    "step": ("recording_verbs", "Keep some frames while paused (daemon)."),
    "split": ("recording_verbs", "Go on in new recordings (daemon)."),
    "configure": ("recording_verbs", "List or set a camera's parameters (daemon)."),
    "status": ("look", "Say how the box is."),
    "list": ("look", "List the recordings."),
    "show": ("show", "Show one recording, or any store."),
    "jobs": ("look", "List the jobs, with why they wait."),
    "energy": ("energy", "Say what recording and jobs have used."),
    "check": ("look", "Check that everything on disk is as promised."),
    "verify": ("verify", "Compare copies and drives with their histories, anywhere."),
    "recover": ("look", "Complete interrupted recordings."),
    "export": ("verbs", "Encode recordings to video, verified."),
    "copy": ("verbs", "Copy recordings to a destination, verified."),
    "move": ("verbs", "Copy, verify, then delete the source."),
    "upload": ("verbs", "Upload recordings to Loopy, resumable."),
    "copy-all": ("offload", "COPY ALL: what is missing at a destination, verified."),
    "move-all": ("offload", "MOVE ALL: copy, verify, then delete here."),
    "export-all": ("offload", "EXPORT ALL: exports straight to a destination, raw deleted."),
    "delete": ("verbs", "Delete a recording."),
    "cancel": ("verbs", "Cancel a job."),
    "pause-job": ("verbs", "Hold a job until it is resumed."),
    "resume-job": ("verbs", "Let a paused job go on."),
    "job-first": ("verbs", "Let a job go before the others."),
    "retry": ("verbs", "Queue a failed job again."),
    "awake": ("awake", "Say who keeps the box awake, and what wakes it (daemon)."),
    "stay-awake": ("awake", "Keep the box awake for a while (daemon)."),
    "drive": ("drive", "Drives: list, show, prepare one for this recorder, trust it again."),
    "destinations": ("destinations", "Look at each destination: reachable, writable, free."),
    "eject": ("eject", "Make a drive safe to remove."),
    "schedule": ("schedule", "Tasks by the clock and the sun: list, add, simulate…"),
    "cameras": ("cameras", "List the cameras that are there, and those that are missing."),
    "power": ("power", "Read every power source once: what each says, and all together."),
    "view": ("view", "Look at a store or a camera: window, terminal or contact sheet."),
    "save": ("save", "Save a video file or a camera as a store of any format."),
    "convert": ("convert", "Make a store of another format, compared frame by frame."),
    "transcode": ("transcode", "Make a movie of a store, with its true times."),
    "bench": ("bench", "Measure what exporting costs on this machine."),
    "selftest": ("selftest", "Prove that every format writes and reads back right here."),
    "report": ("report", "What a deployment came to: recordings, gaps, power, in a page or table."),
    "deployment": ("report", "Begin another deployment, with a record of its own."),
    "config": ("config", "Check a configuration file, or show what is used."),
}


class Commands(click.Group):
    """Sub-commands by name; a module is imported only when its command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            near = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"no such command {cmd_name!r}{hint}", ctx)
        module = importlib.import_module(f"fieldrec.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fieldrec")
def cli() -> None:
    """An open recorder for video in the field: raw first, verified export and offload later."""


def main() -> None:
    """Entry point of the console script. Never returns."""
    out.prepare()
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # its warnings are not for our users
    try:
        code = _run()
    finally:
        _leave_stuck_threads()
    sys.exit(code)


def _leave_stuck_threads() -> None:
    """A thread that hangs in a driver or on a dead disk must not keep a finished process alive;
    what it holds is recovered at the next start."""
    stuck = [t for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    for thread in stuck:
        thread.join(THREAD_PATIENCE_S)
    names = [thread.name for thread in stuck if thread.is_alive()]
    if names:
        click.echo(f"fieldrec: left although still busy: {', '.join(names)}", err=True)
        sys.stdout.flush()
        os._exit(ShutdownStuck.exit_code)


def _run() -> int:
    """Run the command; its exit code."""
    try:
        cli(standalone_mode=False)
        sys.stdout.flush()
    except FieldrecError as error:
        return complain(str(error), error.exit_code)
    except click.exceptions.Abort:
        return complain("interrupted", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return complain(_syntax(error), error.exit_code)
    except BrokenPipeError:
        out.silence()
    except SystemExit:  # click's answer to a reader (head, less) of --help that has gone
        out.silence()
    return 0


def _syntax(error: click.ClickException) -> str:
    """What is wrong with the command line, and where to read how it should be; one line."""
    text = " ".join(error.format_message().split()).removesuffix(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{text}; see `{context.command_path if context else 'fieldrec'} --help`"


def complain(message: str, exit_code: int) -> int:
    """One line per problem on stderr; returns the exit code."""
    for line in message.splitlines() or ["failed"]:
        click.echo(f"fieldrec: {line}", err=True)
    return exit_code


if __name__ == "__main__":
    main()
