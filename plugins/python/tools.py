"""The tools of the `python` plugin: each run is a command of its own, under the policy's `[commands]`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from toolhost import Completed, ReadPath, ToolContext, ToolError, ToolOutput, hookimpl, tool

__all__ = ["file", "register_tools", "run"]

_OUT = Path("out")
_COMMAND = ("python3", "-E", "-s", "-B")  # no variables and no packages of a user; modules beside the script are found
_LONGEST = 120_000  # bytes of code: one argument of a command
_MOST_TEXT = 200_000  # characters of output that are shown
_MOST_FILES = 20
_MOST_SAID = 900  # characters of an error
_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp")


@tool
def run(
    ctx: ToolContext,
    code: str,
    args: list[str] = [],  # noqa: B006 - never changed
    stdin: str = "",
    timeout: int = 60,
) -> ToolOutput:
    """Run Python code and give what it prints. It works in the workspace, has the standard library and no network.
    Print what you want to see. Images it writes to the folder out/ (png, jpeg, gif, webp) are shown with the result.

    Args:
        code: The program.
        args: Its arguments, sys.argv[1:].
        stdin: What it reads on standard input.
        timeout: Seconds until it is stopped, up to 300.
    """
    if len(code.encode(errors="replace")) > _LONGEST:
        raise ToolError(f"The code is longer than {_LONGEST} bytes: write it to a file and use `file`.", "too_large")
    return _output(ctx, ("-c", code), args, stdin, timeout)


@tool
def file(
    ctx: ToolContext,
    path: ReadPath,
    args: list[str] = [],  # noqa: B006 - never changed
    stdin: str = "",
    timeout: int = 60,
) -> ToolOutput:
    """Run a Python file of the workspace and give what it prints; otherwise like `run`.

    Args:
        path: The file.
        args: Its arguments, sys.argv[1:].
        stdin: What it reads on standard input.
        timeout: Seconds until it is stopped, up to 300.
    """
    if not Path(path).is_file():
        raise ToolError(f"{path} is no file here.", "not_found")
    return _output(ctx, (str(path),), args, stdin, timeout)


def _output(ctx: ToolContext, program: tuple[str, ...], args: list[str], stdin: str, timeout: int) -> ToolOutput:
    if not 1 <= timeout <= 300:
        raise ToolError("timeout is between 1 and 300 seconds.", "invalid_arguments")
    before = _written()
    done = ctx.run(*_COMMAND, *program, *args, stdin=stdin, timeout=timeout).wait()
    made = [path for path, facts in _written().items() if before.get(path) != facts]
    if not done.ok:
        raise _failed(ctx, done)
    parts = [_cut(done.stdout)]
    if done.stderr:
        parts.append(f"[standard error]\n{_cut(done.stderr)}")
    if made:
        parts.append(f"[written: {', '.join(made[:_MOST_FILES])}]")
    text = "\n".join(part.removesuffix("\n") for part in parts if part)
    shown = [path for path in made if path.lower().endswith(_IMAGES)]
    return ToolOutput(
        text=text or "[It printed nothing.]", files=[*shown, *(p for p in made if p not in shown)][:_MOST_FILES]
    )


def _written() -> dict[str, tuple[int, int]]:
    """What lies in out/: size and time of change of each file."""
    found = {}
    for path in sorted(_OUT.rglob("*")) if _OUT.is_dir() and not _OUT.is_symlink() else ():
        facts = path.lstat()
        if path.is_file() and not path.is_symlink():
            found[str(path)] = (facts.st_size, facts.st_mtime_ns)
    return found


def _failed(ctx: ToolContext, done: Completed) -> ToolError:
    """What it printed goes to the log; the end of its traceback, where the reason stands, into the error."""
    if done.stdout:
        ctx.log(_cut(done.stdout))
    if len(done.stderr) > _MOST_SAID:
        ctx.log(_cut(done.stderr))
    how = f"exit code {done.exit_code}" if done.signal is None else f"signal {done.signal}"
    said = done.stderr.strip()[-_MOST_SAID:]
    return ToolError(f"It ended with {how}." + (f"\n{said}" if said else ""), "python_failed")


def _cut(text: str) -> str:
    if len(text) <= _MOST_TEXT:
        return text
    return (
        f"{text[:_MOST_TEXT]}\n[{len(text) - _MOST_TEXT} more characters: print less, or write to a file and read it]"
    )


@hookimpl
def register_tools(register: Callable[[Callable[..., object]], None]) -> None:
    """The two tools."""
    for function in (run, file):
        register(function)
