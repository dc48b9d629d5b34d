"""Calling the hooks of trusted extensions: first, chain, gate, wrap, observe.

pluggy registers implementations and checks their arguments; calling them is ours, because an implementation may be sync
or async, has a bounded time, and none may be passed over when it fails. Nothing is called where nobody implements a
hook.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pluggy

from toolhost import hookspecs
from toolhost.errors import MachineError, PluginError

if TYPE_CHECKING:
    from toolhost.host import Host
    from toolhost.settings import Settings

__all__ = ["Hooks"]

_logger = logging.getLogger(__name__)

_SECONDS = 5.0
_CHAIN_SECONDS = 2.0
_FAILURES = 5
"""Failures in a row after which an observer is not called any more."""
_WAITING = 10_000
"""Events that wait for the observers; what comes beyond is counted and dropped."""

Implementation = pluggy.HookImpl


class Hooks:
    """The extensions of one host.

    Args:
        extensions: Each by the name it was listed under.

    Attributes:
        names: What they were listed under.
        implemented: The hooks that any of them implements.
    """

    def __init__(self, extensions: Mapping[str, object] | None = None) -> None:
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        # pluggy calls the last one first: what is listed first is to be called first.
        for name, extension in reversed(list((extensions or {}).items())):
            try:
                manager.register(extension, name=name)
            except (pluggy.PluginValidationError, ValueError) as error:
                raise _unusable(name, str(error)) from None
            for caller in manager.get_hookcallers(extension) or ():
                _check(name, caller)
        self._of: dict[str, tuple[Implementation, ...]] = {
            name: tuple(reversed(getattr(manager.hook, name).get_hookimpls()))
            for name in vars(manager.hook)
            if not name.startswith("_")
        }
        self.names = tuple(extensions or ())
        self.implemented = frozenset(name for name, implementations in self._of.items() if implementations)
        self._events: asyncio.Queue[tuple[str, Mapping[str, Any]]] = asyncio.Queue(_WAITING)
        self._failures: dict[Implementation, int] = {}
        self._dropped = 0
        self._observing: asyncio.Task[None] | None = None

    @classmethod
    def load(cls, settings: Settings) -> Hooks:
        """Import the extensions that the settings list.

        A callable attribute, or a function `extension` of a module that is listed without one, is called with the
        settings, and what it returns is the extension; else the attribute, or the module, is.

        Raises:
            MachineError: `extension_failed`: a host without one of its extensions is not the host that was asked for.
        """
        return cls({name: _load(name, settings) for name in settings.extensions})

    async def start(self, host: Host) -> None:
        """Call `startup`, and begin to tell of events.

        Raises:
            MachineError: `extension_failed`.
        """
        for one in self._of["startup"]:
            try:
                await _called("startup", one, {"host": host}, _SECONDS)
            except PluginError as error:
                raise MachineError(error.code, error.message, error.hint) from error
        if any(self._of[name] for name in hookspecs.OBSERVING_HOOKS):  # of what happened until now they hear as well
            self._observing = asyncio.get_running_loop().create_task(self._observe(), name="extensions")

    async def stop(self, host: Host) -> None:
        """Call `shutdown`, the last started first; what fails is logged."""
        for one in reversed(self._of["shutdown"]):
            with suppress(PluginError):
                await _called("shutdown", one, {"host": host}, _SECONDS)

    async def first(self, name: str, **given: Any) -> Any:
        """The first answer that is not None."""
        for one in self._of[name]:
            answer = await _called(name, one, given, _SECONDS)
            if answer is not None:
                return answer
        return None

    async def chain(self, name: str, key: str, check: Callable[[Any, Any], str | None], **given: Any) -> Any:
        """What is left of a value when each has had it.

        Args:
            name: The hook.
            key: The argument that is handed on.
            check: Says what is wrong with a value that came of another one, or None.
            given: The arguments.

        Raises:
            PluginError: `extension_failed`.
        """
        for one in self._of[name]:
            answer = await _called(name, one, given, _CHAIN_SECONDS)
            given[key] = _kept(name, one, given[key], answer, check)
        return given[key]

    def chain_sync(self, name: str, key: str, check: Callable[[Any, Any], str | None], **given: Any) -> Any:
        """The same, of a hook whose implementations are sync."""
        for one in self._of[name]:
            with _failing(name, one):
                answer = one.function(*(given[argument] for argument in one.argnames))
            given[key] = _kept(name, one, given[key], answer, check)
        return given[key]

    async def gate(self, name: str, **given: Any) -> Sequence[Any]:
        """Every answer that is not None.

        Raises:
            PluginError: `extension_failed`.
        """
        answers = [await _called(name, one, given, _SECONDS) for one in self._of[name]]
        return [answer for answer in answers if answer is not None]

    @asynccontextmanager
    async def wrap(self, name: str, **given: Any) -> AsyncIterator[None]:
        """Stand within every implementation's `yield`.

        Raises:
            PluginError: `extension_failed`.
        """
        async with AsyncExitStack() as stack:
            for one in self._of[name]:
                await stack.enter_async_context(_wrapped(name, one, given))
            yield

    def collect(self, name: str, **given: Any) -> list[tuple[Implementation, Any]]:
        """Every answer of a hook whose implementations are sync, with whose it is.

        Raises:
            PluginError: `extension_failed`.
        """
        answers = []
        for one in self._of[name]:
            with _failing(name, one):
                answers.append((one, one.function(*(given[argument] for argument in one.argnames))))
        return answers

    def observe(self, name: str, **given: Any) -> None:
        """Tell of something, behind everything else: nobody waits, and nothing fails."""
        if name not in self.implemented:
            return
        try:
            self._events.put_nowait((name, given))
        except asyncio.QueueFull:
            self._dropped += 1
            if self._dropped == 1 or self._dropped % 1000 == 0:
                _logger.warning("%d events were not told to the extensions, which are behind", self._dropped)

    async def close(self) -> None:
        """Tell of what still waits, within a bounded time, and stop."""
        if self._observing is None:
            return
        try:
            async with asyncio.timeout(_SECONDS):
                await self._events.join()
        except TimeoutError:
            _logger.warning("%d events were not told to the extensions before the end", self._events.qsize())
        self._observing.cancel()
        await asyncio.gather(self._observing, return_exceptions=True)

    async def _observe(self) -> None:
        while True:
            name, given = await self._events.get()
            for one in self._of[name]:
                if self._failures.get(one, 0) >= _FAILURES:
                    continue
                try:
                    await _called(name, one, given, _SECONDS)
                except PluginError:
                    self._failures[one] = self._failures.get(one, 0) + 1
                    if self._failures[one] >= _FAILURES:
                        _logger.error(
                            "the extension %s failed %d times and is told no more", one.plugin_name, _FAILURES
                        )
                else:
                    self._failures[one] = 0
            self._events.task_done()


async def _called(name: str, one: Implementation, given: Mapping[str, Any], seconds: float) -> Any:
    with _failing(name, one):
        answer = one.function(*(given[argument] for argument in one.argnames))
        if inspect.isawaitable(answer):
            async with asyncio.timeout(seconds):
                answer = await answer
        return answer


@asynccontextmanager
async def _wrapped(name: str, one: Implementation, given: Mapping[str, Any]) -> AsyncIterator[None]:
    """One implementation around what is within; an error from within passes through it and stays the error."""
    with _failing(name, one):
        made: Any = one.function(*(given[argument] for argument in one.argnames))
        step, throw = (
            (made.__anext__, made.athrow) if inspect.isasyncgen(made) else (_soon(made.__next__), _soon(made.throw))
        )
        async with asyncio.timeout(_SECONDS):
            await step()
    try:
        yield
    except BaseException as error:
        with _failing(name, one):
            try:
                async with asyncio.timeout(_SECONDS):
                    await throw(error)
            except (StopAsyncIteration, StopIteration, _EndedError):
                pass
            except BaseException as raised:
                if raised is not error:
                    raise
        raise
    with _failing(name, one):
        try:
            async with asyncio.timeout(_SECONDS):
                await step()
        except (StopAsyncIteration, StopIteration, _EndedError):
            return
        raise RuntimeError("it yields more than once")


class _EndedError(Exception):
    """Raised where a generator has ended: a StopIteration cannot leave a coroutine."""


def _soon(function: Callable[..., Any]) -> Callable[..., Awaitable[None]]:
    async def call(*arguments: Any) -> None:
        try:
            function(*arguments)
        except StopIteration:
            raise _EndedError from None

    return call


@contextmanager
def _failing(name: str, one: Implementation) -> Iterator[None]:
    """What an implementation raises, as the refusal that everybody else is told."""
    try:
        yield
    except PluginError:
        raise
    except Exception as error:
        _logger.exception("the extension %s failed in %s", one.plugin_name, name)
        what = "took too long" if isinstance(error, TimeoutError) else f"raised {type(error).__name__}"
        raise PluginError(
            "extension_failed",
            f"The extension {one.plugin_name} {what} in {name}.",
            "The host's log has the details; an administrator can repair the extension or take it out.",
        ) from error


def _kept(name: str, one: Implementation, before: Any, answer: Any, check: Callable[[Any, Any], str | None]) -> Any:
    if answer is None:
        return before
    with _failing(name, one):
        problem = check(before, answer)
    if problem is not None:
        raise PluginError(
            "extension_failed", f"The extension {one.plugin_name} must not do this in {name}: {problem}.", ""
        )
    return answer


def _load(name: str, settings: Settings) -> object:
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        made = getattr(found, attribute) if attribute else getattr(found, "extension", None)
        if callable(made):
            return made(settings)
        return found if made is None else made
    except MachineError:
        raise
    except Exception as error:
        _logger.debug("the extension %s cannot be loaded", name, exc_info=True)
        raise _unusable(name, f"{type(error).__name__}: {error}") from error


def _check(name: str, caller: pluggy.HookCaller) -> None:
    for one in caller.get_hookimpls():
        if one.plugin_name != name:
            continue
        if caller.name in hookspecs.WORKER_HOOKS:
            raise _unusable(name, f"the hook {caller.name} is a plugin's, which runs in a sandbox")
        if caller.name in hookspecs.SYNC_HOOKS and inspect.iscoroutinefunction(one.function):
            raise _unusable(name, f"the hook {caller.name} cannot be a coroutine function")


def _unusable(name: str, why: str) -> MachineError:
    return MachineError(
        "extension_failed",
        f"The trusted extension {name} cannot be used: {why}",
        "Repair it, or take it out of the setting `extensions`.",
    )
