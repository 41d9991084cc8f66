"""What `fieldrec awake` and `fieldrec stay-awake` print of what the daemon answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from fieldrec.cli import awake
from fieldrec.power.awake import AwakeStatus, Holder
from fieldrec.status.control_socket import AWAKE

SECOND_NS = 1_000_000_000
NOW_NS = 1_795_000_000 * SECOND_NS


class Answers:
    """A link that answers what it is told to, and notes what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def call(self, verb: str, **arguments: Any) -> Any:
        self.asked.append((verb, arguments))
        return self.answer


def printed(monkeypatch: pytest.MonkeyPatch, link: Answers, command: Any, *words: str) -> str:
    import asyncio

    def with_link(_where: object, act: Callable[[Any], Any]) -> Any:
        return asyncio.run(act(link))

    monkeypatch.setattr(awake, "with_daemon", with_link)
    done = CliRunner().invoke(command, [*words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_who_holds_it_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    status = AwakeStatus(
        (Holder("recording", NOW_NS, None), Holder("job 7: copy", NOW_NS, NOW_NS + SECOND_NS)),
        "held awake by recording, job 7: copy", NOW_NS + 60 * SECOND_NS, NOW_NS, "no RTC")
    link = Answers(AWAKE.dump_python(status, mode="json"))
    text = " ".join(printed(monkeypatch, link, awake.awake_command).split())
    for words in ("recording 2026-11-18 11:06:40Z it ends",
                  "job 7: copy 2026-11-18 11:06:40Z 2026-11-18 11:06:41Z",
                  "now: held awake by recording, job 7: copy",
                  "wanted next: 2026-11-18 11:07:40Z; wake-up in the RTC: 2026-11-18 11:06:40Z",
                  "cannot be woken: no RTC"):
        assert words in text
    told = json.loads(printed(monkeypatch, link, awake.awake_command, "--json"))
    assert AWAKE.validate_python(told) == status


def test_nobody_does(monkeypatch: pytest.MonkeyPatch) -> None:
    status = AwakeStatus((), "nothing is scheduled: nothing would wake it", None, None)
    text = printed(monkeypatch, Answers(AWAKE.dump_python(status, mode="json")),
                   awake.awake_command)
    assert text == ("now: nothing is scheduled: nothing would wake it\n"
                    "wanted next: nothing is scheduled; wake-up in the RTC: none set\n")


def test_stay_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    link = Answers("the box stays awake for 30 min")
    assert printed(monkeypatch, link, awake.stay_awake_command, "30min") == \
        "the box stays awake for 30 min\n"
    assert link.asked == [("stay_awake", {"seconds": 1800.0})]
