"""Programs with a time limit: what they say is heard, and none is left running."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from fieldrec.drives.programs import MOST_OUTPUT_BYTES, Ended, run, run_heard


@pytest.mark.asyncio
async def test_a_command_that_fails_says_why() -> None:
    code, text = await run("ls", "/nowhere", timeout_s=30)
    assert code != 0
    assert text == "ls: cannot access '/nowhere': No such file or directory"


@pytest.mark.asyncio
async def test_a_command_that_hangs_is_killed() -> None:
    assert await run("sleep", "1000", timeout_s=0.05) == (-1, "sleep did not end in 0.05 s")


@pytest.mark.asyncio
async def test_a_cancelled_command_is_killed() -> None:
    task = asyncio.create_task(run("sleep", "1000", timeout_s=1000))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.asyncio
async def test_both_channels_are_heard_in_printable_lines() -> None:
    ended = await run_heard("sh", "-c", "printf 'a\\033[1m\\n'; echo b >&2; exit 4", timeout_s=30)
    assert ended == Ended(4, "a?[1m\nb")


@pytest.mark.asyncio
async def test_what_never_stops_talking_is_cut_and_read_to_its_end() -> None:
    ended = await run_heard(sys.executable, "-c", "print('x' * 3_000_000)", timeout_s=60)
    assert (ended.code, ended.timed_out) == (0, False)
    assert ended.text == "x" * MOST_OUTPUT_BYTES


@pytest.mark.asyncio
async def test_a_signal_is_told_from_an_exit_code() -> None:
    assert (await run_heard("sh", "-c", "kill -SEGV $$", timeout_s=30)).code == -11


@pytest.mark.asyncio
async def test_a_listened_to_program_is_killed_when_time_is_up_or_nobody_waits() -> None:
    ended = await run_heard("sh", "-c", "echo begun; exec sleep 1000", timeout_s=0.2)
    assert ended.timed_out and ended.code == -9
    read, write = os.pipe()
    try:
        task = asyncio.create_task(run_heard("sh", "-c", f"echo >/proc/{os.getpid()}/fd/{write};"
                                             "exec sleep 1000", timeout_s=1000))
        loop, came = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(read, came.set)
        await came.wait()
        loop.remove_reader(read)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.asyncio
async def test_a_program_that_is_not_there_is_said() -> None:
    with pytest.raises(FileNotFoundError):
        await run_heard("no-such-program", timeout_s=30)
