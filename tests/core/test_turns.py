"""Turns: how many calls run at once, and an honest refusal beyond what may wait."""

import asyncio

import pytest

from toolhost.calls.turns import RUNNING, WAITING, BusyError, Turns
from toolhost.web.errors import status_of


async def take(turns: Turns, user: str, plugin: str, calls: int, running: list[str], go: asyncio.Event) -> None:
    with turns.admit(user):
        async with turns.turn(user, plugin, calls):
            running.append(user)
            await go.wait()
            running.remove(user)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_plugin_runs_as_many_as_its_policy_says() -> None:
    async def main() -> None:
        turns, running, go = Turns(), [], asyncio.Event()
        tasks = [asyncio.create_task(take(turns, f"u{number}", "git", 2, running, go)) for number in range(5)]
        await settle()
        assert len(running) == 2
        go.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_one_person_does_not_take_all_turns() -> None:
    async def main() -> None:
        turns, running, go = Turns(), [], asyncio.Event()
        tasks = [
            asyncio.create_task(take(turns, "ada", f"plugin{number}", 8, running, go)) for number in range(RUNNING + 5)
        ]
        tasks.append(asyncio.create_task(take(turns, "bob", "plugin0", 8, running, go)))
        await settle()
        assert running.count("ada") == RUNNING
        assert running.count("bob") == 1
        go.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_who_waits_for_a_turn_of_their_own_holds_none_of_a_plugin() -> None:
    async def main() -> None:
        turns, running, go = Turns(), [], asyncio.Event()
        tasks = [asyncio.create_task(take(turns, "ada", "slow", RUNNING, running, go)) for _ in range(RUNNING)]
        await settle()
        tasks += [asyncio.create_task(take(turns, "ada", "git", 1, running, go)) for _ in range(3)]
        await settle()
        tasks.append(asyncio.create_task(take(turns, "bob", "git", 1, running, go)))
        await settle()
        assert running.count("bob") == 1
        go.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_more_than_may_wait_is_refused_at_once_and_the_others_go_on() -> None:
    async def main() -> None:
        turns, running, go = Turns(), [], asyncio.Event()
        tasks = [asyncio.create_task(take(turns, "ada", "git", 8, running, go)) for _ in range(RUNNING + WAITING)]
        await settle()
        with pytest.raises(BusyError) as refused, turns.admit("ada"):
            pass
        assert refused.value.code == "too_many_calls"
        assert status_of(refused.value) == 429
        assert refused.value.hint
        with turns.admit("bob"):
            pass
        tasks[-1].cancel()
        await settle()
        with turns.admit("ada"):
            pass
        go.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_nothing_is_kept_of_calls_that_have_ended() -> None:
    async def main() -> None:
        turns, running, go = Turns(), [], asyncio.Event()
        go.set()
        await asyncio.gather(*(take(turns, f"u{number}", f"p{number}", 1, running, go) for number in range(20)))
        assert turns._people == {}

    asyncio.run(main())
