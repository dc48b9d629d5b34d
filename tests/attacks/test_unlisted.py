"""What no list of attacks names: privileges of the scheduler and the killer, odd files, and what all calls share."""

from __future__ import annotations

from pathlib import Path

from driver import Driver, writable

_TRIED = """
import ctypes, fcntl, os, resource, signal, socket, stat, time
libc = ctypes.CDLL(None, use_errno=True)

def kept_alive():
    with open("/proc/self/oom_score_adj", "w") as file: file.write("-1000")

def raised(what):
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (hard + 1, hard + 1))

def immutable():
    fd = os.open("/workspace/file", os.O_RDONLY)
    fcntl.ioctl(fd, 0x40086602, (0x10).to_bytes(8, "little"))  # FS_IOC_SETFLAGS, FS_IMMUTABLE_FL

def reopened():
    fd = os.open("/proc/self/fd/1", os.O_RDWR)
    if stat.S_ISREG(os.fstat(fd).st_mode): return
    raise OSError

def large():
    with open("/workspace/large", "wb") as file: file.truncate(1 << 40)

def others():
    if [name for name in os.listdir("/proc") if name.isdigit() and name not in ("1", str(os.getpid()))]: return
    raise OSError

def dumped():
    if resource.getrlimit(resource.RLIMIT_CORE) == (0, 0): raise OSError

open("/workspace/file", "w").close()
ways = {
    "a real-time priority": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "a deadline of the scheduler": lambda: os.sched_setscheduler(0, 6, os.sched_param(0)),
    "a better niceness": lambda: os.nice(-1),
    "being spared when memory is short": kept_alive,
    "more open files": lambda: raised(resource.RLIMIT_NOFILE),
    "more processes": lambda: raised(resource.RLIMIT_NPROC),
    "a core file": dumped,
    "a terminal": os.openpty,
    "the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, 0),
    "the name of the machine": lambda: socket.sethostname("x"),
    "a file of root": lambda: os.chown("/workspace/file", 0, 0),
    "a file that cannot be removed": immutable,
    "a device": lambda: os.mknod("/workspace/device", stat.S_IFCHR | 0o666, os.makedev(1, 5)),
    "a listening socket in a folder": lambda: socket.socket(socket.AF_UNIX).bind("/workspace/socket"),
    "a regular file behind standard output": reopened,
    "a file larger than the limit": large,
    "other processes": others,
    "the root of the first process": lambda: os.open("/proc/1/root/etc", os.O_RDONLY),
}
for what, way in ways.items():
    try: way()
    except (OSError, ValueError): continue
    print("HAD", what)
"""


def test_no_unlisted_privilege_can_be_had(box: Driver, work: Path) -> None:
    said = box.python(_TRIED, roots=[writable(work)])
    assert (said["exit_code"], said["stdout"]) == (0, ""), said["stderr"]
    assert sorted(path.name for path in work.iterdir()) in (["file"], ["file", "large"])


_HOG = """
import ctypes, fcntl, os, select, sys, time
held = []
for _ in range(100):  # the user's share of large pipes, which the host's own are taken from
    held += os.pipe()
    try: fcntl.fcntl(held[-1], 1031, 1 << 20)
    except OSError: break
libc = ctypes.CDLL(None)
while libc.inotify_init1(0) >= 0: pass
print("go", flush=True)
sys.stdin.read()
time.sleep(1)
"""


def test_what_all_calls_of_the_machine_share_is_not_taken_from_the_others(box: Driver) -> None:
    hog = {"programs": ["python3"], "arguments": ["-c", _HOG]}
    script = "cat > /tmp/x; sleep 0.5; cat /tmp/x; echo " + "x" * 100_000
    other = {"programs": ["sh", "cat", "sleep"], "arguments": ["-c", script], "stdin": "y" * 200_000}
    hogged, *others = box.ask(do="gather", requests=[hog, other, other])["answers"]
    assert (hogged["exit_code"], hogged["stdout"]) == (0, "go\n"), hogged
    assert [len(one["stdout"]) for one in others] == [300_001, 300_001]
