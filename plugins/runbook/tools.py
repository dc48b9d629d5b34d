"""The tools of the `runbook` plugin. A step runs through `ctx.run`: the policy decides, and a person where it asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolhost import ReadPath, ToolContext, ToolError, ToolOutput, hookimpl, tool
from toolhost.plugins.runbook.book import Book, Step, filled, read_book, start_of

__all__ = ["list_books", "register_tools", "run", "show"]

_HERE = ReadPath(".")
_MOST_BOOKS = 200
_MOST_LOOKED_INTO = 8 << 20  # bytes of a file that a check reads
_MOST_OUTPUT = 4_000  # characters of a step's output that are shown


@tool(name="list")
def list_books(path: ReadPath = _HERE) -> ToolOutput:
    """List the runbooks in a folder and its folder runbooks/: TOML files with [[steps]]. Gives path and purpose.

    Args:
        path: The folder.
    """
    lines, data = [], []
    for file in sorted([*Path(path).glob("*.toml"), *Path(path, "runbooks").glob("*.toml")])[:_MOST_BOOKS]:
        try:
            book = read_book(str(file))
        except ToolError as error:
            if file.parent.name == "runbooks":
                lines.append(f"{file}: {error.message}")
            continue
        lines.append(f"{file}: {book.about or 'no purpose given'} ({len(book.steps)} steps)")
        data.append({"path": str(file), "about": book.about, "steps": [step.name for step in book.steps]})
    return ToolOutput(text="\n".join(lines) or f"There are no runbooks in {path}.", data=data)


@tool
def show(path: ReadPath) -> ToolOutput:
    """Show a runbook: its inputs with their defaults, and what each step does. Look at it before running it.

    Args:
        path: The file.
    """
    book = read_book(path)
    lines = [book.about] if book.about else []
    lines += [f"input {name} = {value!r}" for name, value in book.inputs.items()]
    lines += [f"{number}. {step.name}: {step.shown()}{_remark(step)}" for number, step in enumerate(book.steps, 1)]
    steps = [
        {"name": step.name, "run": list(step.run), "check": step.check, "confirm": step.confirm} for step in book.steps
    ]
    return ToolOutput(text="\n".join(lines), data={"about": book.about, "inputs": dict(book.inputs), "steps": steps})


@tool
def run(
    ctx: ToolContext,
    path: ReadPath,
    inputs: dict[str, Any] = {},  # noqa: B006 - never changed
    start: str = "",
) -> ToolOutput:
    """Carry out a runbook, step by step. Each command is decided by this plugin's policy, and a person is asked where
    that asks. The first step that fails ends it; what was done stays done, and start goes on from a step.

    Args:
        path: The file.
        inputs: Values for its inputs, by name.
        start: The name of the step to begin with; the first by default.
    """
    book = read_book(path)
    values = _values(book, inputs)
    first = _first(book, start)
    lines, data = [], []
    for number, step in enumerate(book.steps[first:], first):
        ctx.progress(number, len(book.steps), step.name)
        ready = filled(step, values)
        failed, output = _carry_out(ctx, ready)
        mark = "failed, as it may" if failed and step.may_fail else "failed" if failed else "done"
        lines.append(f"{number + 1}. {step.name}: {mark}")
        lines += [f"   {line}" for line in _tail(output).splitlines()]
        data.append({"name": step.name, "ok": not failed, "output": _tail(output)})
        if failed and not step.may_fail:
            ctx.log("\n".join(lines))
            raise ToolError(
                f"Step {number + 1} of {len(book.steps)}, {step.name!r}, failed: {failed} "
                f"{_said(number - first)}start={step.name!r} goes on from there.",
                "step_failed",
            )
    ctx.progress(len(book.steps), len(book.steps), "done")
    return ToolOutput(text="\n".join(lines), data=data)


def _carry_out(ctx: ToolContext, step: Step) -> tuple[str, str]:
    """Why a step failed, or an empty string, and what it put out."""
    if step.check:
        return _look(step), ""
    try:
        if step.confirm:
            agreed = ctx.ask(step.confirm, ["yes", "no"]).wait() == "yes"
            return "" if agreed else "A person said no.", ""
        done = ctx.run(*step.run, stdin=step.stdin, cwd=step.cwd, timeout=step.timeout).wait()
    except ToolError as error:  # denied, refused, or over a limit
        return error.message, ""
    output = done.stdout + (f"\n{done.stderr}" if done.stderr else "")
    if done.ok:
        return "", output
    how = f"exit code {done.exit_code}" if done.signal is None else f"signal {done.signal}"
    said = done.stderr.strip().rsplit("\n", 1)[-1][:200]
    return f"{step.run[0]} ended with {how}" + (f": {said}." if said else "."), output


def _look(step: Step) -> str:
    try:
        text = start_of(step.check, _MOST_LOOKED_INTO if step.contains else 0).decode(errors="replace")
    except IsADirectoryError:
        return f"{step.check} is a folder." if step.contains else ""
    except OSError as error:
        return f"{step.check}: {error.strerror}."
    return "" if step.contains in text else f"{step.check} does not hold {step.contains!r}."


def _values(book: Book, inputs: dict[str, Any]) -> dict[str, str]:
    if unknown := sorted(set(inputs) - set(book.inputs)):
        known = ", ".join(book.inputs) or "none"
        raise ToolError(f"The runbook has no input {unknown[0]!r}; it has: {known}.", "invalid_arguments")
    return {**book.inputs, **{name: str(value) for name, value in inputs.items()}}


def _first(book: Book, start: str) -> int:
    if not start:
        return 0
    names = [step.name for step in book.steps]
    if start not in names:
        raise ToolError(f"There is no step {start!r}; there are: {', '.join(names)}.", "invalid_arguments")
    return names.index(start)


def _remark(step: Step) -> str:
    return " (may fail)" if step.may_fail else ""


def _said(done: int) -> str:
    return "" if not done else f"The {done} before it {'is' if done == 1 else 'are'} done. "


def _tail(output: str) -> str:
    text = output.strip()
    if len(text) <= _MOST_OUTPUT:
        return text
    return f"[{len(text) - _MOST_OUTPUT} characters before]\n{text[-_MOST_OUTPUT:]}"


@hookimpl
def register_tools(register: Callable[[Callable[..., object]], None]) -> None:
    """The three tools."""
    for function in (list_books, show, run):
        register(function)
