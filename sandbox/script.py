"""The launcher: the shell script that stands in every sandbox as pid 1, and the script a call hands it.

    bwrap (monitor, outside)
      └─ P: pid 1, the launcher (a copy of dash, reached by descriptor only, mode 0111)
           └─ Q: its subshell: says "R" when it stands, waits on the ctl pipe, becomes the tool

P never runs anything of the call. It waits for Q, says how Q ended on the status pipe (its own descriptor 2, which Q
gives up before it becomes the tool), and ends, which ends the pid namespace. Mode 0111 makes P non-dumpable: the tool
cannot reach its memory or descriptors through /proc, so it cannot forge the status.

What the status pipe carries, in order:

    bubblewrap's own error message, if it could not make the sandbox
    "R"                         ready: everything is set up but the call itself
    "!cwd\\n" or "!limits\\n"    the call could not begin
    "Killed\n"                  a signal's name, where a signal ended the tool (not for SIGINT and SIGPIPE: dash)
    "137\n"                     dash's $?: the exit status, or 128 + the signal
    two lines of `times`        CPU time of P, then of its children
"""

from __future__ import annotations

import math
import resource
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from toolhost.sandbox.plan import Limits

__all__ = [
    "ARGS",
    "CTL",
    "JSON",
    "LAUNCHER",
    "READY",
    "ROOTS",
    "SECCOMP",
    "STDERR",
    "Ended",
    "call_script",
    "ended",
    "launch_words",
]

# Where the spawner places descriptors. The launcher's are single digits (dash knows no others); the rest are
# bubblewrap's, which closes them itself.
STDERR, CTL, LAUNCHER = 5, 6, 7
JSON, SECCOMP, ARGS, ROOTS = 9, 10, 11, 12

READY = b"R"

# dash reads a script in pieces and runs what it has: the braces around every call script make a cut one an error.
_LAUNCH = f"( printf R >&2; . /proc/self/fd/{CTL} ); echo $? >&2; times >&2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What the launcher said.

    Attributes:
        code: Exit status, or None where a signal ended the tool.
        signal: The signal, or None.
        ambiguous: True for 130 and 141 without a name: an exit, or SIGINT or SIGPIPE.
        refused: `cwd`, `limits`, or None: the step at which the call could not begin.
        cpu: CPU seconds of the tool and the children it waited for.
    """

    code: int | None
    signal: int | None
    ambiguous: bool
    refused: str | None
    cpu: float


def launch_words() -> tuple[str, ...]:
    """The command bubblewrap starts."""
    return (f"/proc/self/fd/{LAUNCHER}", "-c", _LAUNCH)


def call_script(argv: Iterable[str], cwd: str, env: Iterable[tuple[str, str]], limits: Limits, *, cpu: bool) -> bytes:
    """The script that turns a waiting launcher into one call.

    Args:
        argv: Exact argument vector.
        cwd: Folder inside.
        env: The whole environment.
        limits: Per-process limits come from here.
        cpu: Whether CPU time is limited (a worker lives through many calls).
    """
    # -p counts the processes of this user namespace: the launcher is one more. -f is in blocks of 512 bytes.
    wanted = [
        ("-p", resource.RLIMIT_NPROC, limits.processes + 1, 1),
        ("-n", resource.RLIMIT_NOFILE, limits.open_files, 1),
        ("-f", resource.RLIMIT_FSIZE, limits.file_size, 512),
        ("-d", resource.RLIMIT_DATA, limits.memory, 1024),
        ("-c", resource.RLIMIT_CORE, 0, 1),
    ]
    if cpu:
        # The soft limit first: SIGXCPU tells CPU time from any other kill; a second later SIGKILL cannot be caught.
        seconds = max(math.ceil(limits.cpu), 1)
        wanted += [("-S -t", resource.RLIMIT_CPU, seconds, 1), ("-H -t", resource.RLIMIT_CPU, seconds + 1, 1)]
    ulimits = [f"ulimit {flag} {_within_host(which, value) // unit} 2>&5" for flag, which, value, unit in wanted]
    lines = [
        "{",
        f"cd {shlex.quote(cwd)} 2>&5 || {{ echo !cwd >&2; exit 126; }}",
        " && ".join(ulimits) + " || { echo !limits >&2; exit 126; }",
        f"exec 2>&{STDERR} {STDERR}>&- {CTL}<&- {LAUNCHER}<&-",
        "unset PWD OLDPWD",
        *(f"export {name}={shlex.quote(value)}" for name, value in env),
        "exec " + " ".join(shlex.quote(word) for word in argv),
        "}\n",
    ]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _within_host(which: int, value: int) -> int:
    """The value, or what the host process may have where that is less: asking for more is refused by the kernel."""
    _, hard = resource.getrlimit(which)
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def ended(status: bytes) -> Ended | None:
    """Read what the status pipe said; None where the launcher did not report an end."""
    ready = status.find(READY)
    if ready < 0:
        return None
    lines = status[ready + 1 :].split(b"\n")
    refused = None
    if lines[0].startswith(b"!"):
        refused = lines.pop(0)[1:].decode("ascii", "replace")
    name = b""
    if lines and not lines[0].isdigit():
        name = lines.pop(0)
    if not lines or not lines[0].isdigit():
        return None
    code = int(lines[0])
    cpu = sum(_seconds(word) for word in lines[2].split()) if len(lines) > 2 else 0.0
    if name and code > 128:
        return Ended(code=None, signal=code - 128, ambiguous=False, refused=refused, cpu=cpu)
    return Ended(code=code, signal=None, ambiguous=code in (130, 141), refused=refused, cpu=cpu)


def _seconds(word: bytes) -> float:
    minutes, _, seconds = word.rstrip(b"s").partition(b"m")
    try:
        return int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0
