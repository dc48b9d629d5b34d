"""The launcher: the shell script that stands in every sandbox as pid 1, and the script a call hands it.

    bwrap (monitor, outside)
      └─ P: pid 1, the launcher (a copy of dash, reached by descriptor only, mode 0111)
           └─ Q: its subshell: says "R" when it stands, waits on the ctl pipe, becomes the tool

P never runs anything of the call. It waits for Q, says how Q ended on the status pipe (its own descriptor 2, which Q
gives up before it becomes the tool), and waits for its end, which ends the pid namespace: the host kills it, or has
closed the ctl pipe by dying. (If it ended by itself it would hold the processor that the host was just woken on.) Mode
0111 makes P non-dumpable: the tool cannot reach its memory or descriptors through /proc, so it cannot forge the status.

In a sandbox that is kept for the calls of one conversation P has a Q for each of them: it reads a line from its
standard input, makes a Q, kills whatever the call has left behind, and says how Q ended; where there was something to
kill it reads another line, which the host writes when that is gone.

What the status pipe carries, in order:

    bubblewrap's own error message, if it could not make the sandbox
    "!limits\\n"                 the system refused a limit
    "R"                         ready: everything is set up but the call itself
    "!cwd\\n" or "!limits\\n"    the call could not begin
    "Killed\n"                  a signal's name, where a signal ended the tool (not for SIGINT and SIGPIPE: dash)
    "+\n"                       no process but P is left
    "137\n"                     dash's $?: the exit status, or 128 + the signal
    two lines of `times`        CPU time of P, then of its children; only where a signal could have ended the tool
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
    "LIMITS_REFUSED",
    "NEXT",
    "READY",
    "ROOTS",
    "SECCOMP",
    "STDERR",
    "Ended",
    "call_script",
    "ended",
    "launch_words",
    "report_length",
    "standing_limits",
]

# Where the spawner places descriptors. The launcher's are single digits (dash knows no others); the rest are
# bubblewrap's, which closes them itself.
STDERR, CTL, LAUNCHER = 5, 6, 7
JSON, SECCOMP, ARGS, ROOTS = 9, 10, 11, 12

READY = b"R"
NEXT = b"\n"
LIMITS_REFUSED = b"!limits"

# dash reads a script in pieces and runs what it has: the braces around every call script make a cut one an error.
_REFUSE = "{ echo !limits >&2; exit 126; }"
_CALL = f"( trap - INT; {{ %s; }} 2>/dev/null || {_REFUSE}; printf R >&2; . /proc/self/fd/{CTL} ); r=$?"
_REPORT = "echo $r >&2; [ $r -le 128 ] || times >&2"
# `kill -1` means everybody but P itself, which is pid 1, and says 1 where there is nobody. Whatever else it says is no
# word of that, such as 2: its own redirection failed.
_ALONE = "echo + >&2"
# A shell with -c listens to SIGINT alone: the tool, which is in one group with it, could end it before its report.
_DEAF = "trap '' INT"
_LAUNCH = f"{_DEAF}; {_CALL}; kill -0 -1 2>&-; [ $? -ne 1 ] || {_ALONE}; {_REPORT}; read -r x <&{CTL}"
_LAUNCH_AGAIN = (
    f"{_DEAF}; while read -r x; do {_CALL}; kill -9 -1 2>&-; "
    f"if [ $? -eq 1 ]; then {_ALONE}; {_REPORT}; else {_REPORT}; read -r x; fi; done"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What the launcher said.

    Attributes:
        code: Exit status, or None where a signal ended the tool.
        signal: The signal, or None.
        alone: Whether no process was left but the launcher.
        ambiguous: True for 130 and 141 without a name: an exit, or SIGINT or SIGPIPE.
        refused: `cwd`, `limits`, or None: the step at which the call could not begin.
        cpu: CPU seconds of the tool and the children it waited for.
    """

    code: int | None
    signal: int | None
    alone: bool
    ambiguous: bool
    refused: str | None
    cpu: float


def launch_words(limits: str, *, again: bool = False) -> tuple[str, ...]:
    """The command bubblewrap starts.

    Args:
        limits: From `standing_limits`.
        again: Whether for many calls, one after another; each begins with `NEXT` on standard input.
    """
    return (f"/proc/self/fd/{LAUNCHER}", "-c", (_LAUNCH_AGAIN if again else _LAUNCH) % limits)


def standing_limits(limits: Limits, *, cpu: bool) -> str:
    """The limits that a launcher sets before it stands, in its own words: they cost no call anything.

    Args:
        limits: Per-process limits come from here.
        cpu: Whether CPU time is limited (a worker lives through many calls).
    """
    # -p counts the processes of this user namespace: the launcher is one more. -f is in blocks of 512 bytes.
    wanted = [
        ("-p", resource.RLIMIT_NPROC, limits.processes + 1, 1),
        ("-f", resource.RLIMIT_FSIZE, limits.file_size, 512),
        ("-c", resource.RLIMIT_CORE, 0, 1),
    ]
    if cpu:
        # The soft limit first: SIGXCPU tells CPU time from any other kill; a second later SIGKILL cannot be caught.
        seconds = max(math.ceil(limits.cpu), 1)
        wanted += [("-S -t", resource.RLIMIT_CPU, seconds, 1), ("-H -t", resource.RLIMIT_CPU, seconds + 1, 1)]
    return _ulimits(wanted)


def call_script(
    argv: Iterable[str],
    cwd: str,
    env: Iterable[tuple[str, str]],
    limits: Limits,
    *,
    again: bool = False,
) -> bytes:
    """What turns a waiting launcher into one call; it runs only when it has come whole.

    Args:
        argv: Exact argument vector.
        cwd: Folder inside.
        env: The whole environment.
        limits: Those that the launcher itself could not live under come from here.
        again: Whether more calls follow in the same sandbox: then there is no standard input, and the output pipes are
            opened anew, so that no call changes the flags of the next one's.
    """
    # Not before: the launcher reads this script by a descriptor of its own, and it may be long.
    last = _ulimits(
        [("-n", resource.RLIMIT_NOFILE, limits.open_files, 1), ("-d", resource.RLIMIT_DATA, limits.memory, 1024)]
    )
    streams = f"</dev/null >/proc/self/fd/1 2>/proc/self/fd/{STDERR}" if again else f"2>&{STDERR}"
    lines = [
        f"cd {shlex.quote(cwd)} 2>&5 || {{ echo !cwd >&2; exit 126; }}",
        "unset PWD OLDPWD",  # of `cd`
        *(f"export {name}={shlex.quote(value)}" for name, value in env),
        f"{{ {last}; }} 2>&5 || {_REFUSE}",
        f"exec {streams} {STDERR}>&- {CTL}<&- {LAUNCHER}<&-",
        "exec " + " ".join(shlex.quote(word) for word in argv),
    ]
    return "\n".join(("{", *lines, "}\n")).encode("utf-8", "surrogateescape")


def _ulimits(wanted: Iterable[tuple[str, int, int, int]]) -> str:
    return " && ".join(f"ulimit {flag} {_within_host(which, value) // unit}" for flag, which, value, unit in wanted)


def _within_host(which: int, value: int) -> int:
    """The value, or what the host process may have where that is less: asking for more is refused by the kernel."""
    _, hard = resource.getrlimit(which)
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def report_length(status: bytes) -> int | None:
    """How many bytes of what the status pipe said tell of one call; None while they are not all there."""
    length = 0
    left: int | None = None  # lines
    for line in status.split(b"\n")[:-1]:
        length += len(line) + 1
        if left is None and (code := line.removeprefix(READY)).isdigit():
            left = 0 if int(code) <= 128 else 2
        elif left is not None:
            left -= 1
        if left == 0:
            return length
    return None


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
    if lines and lines[0] != b"+" and not lines[0].isdigit():
        name = lines.pop(0)
    alone = bool(lines) and lines[0] == b"+"
    if alone:
        lines.pop(0)
    if not lines or not lines[0].isdigit():
        return None
    code = int(lines[0])
    cpu = sum(_seconds(word) for word in lines[2].split()) if len(lines) > 2 else 0.0
    if name and code > 128:
        return Ended(code=None, signal=code - 128, alone=alone, ambiguous=False, refused=refused, cpu=cpu)
    return Ended(code=code, signal=None, alone=alone, ambiguous=code in (130, 141), refused=refused, cpu=cpu)


def _seconds(word: bytes) -> float:
    minutes, _, seconds = word.rstrip(b"s").partition(b"m")
    try:
        return int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0
