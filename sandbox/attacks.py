"""Escapes to try in a real sandbox: one row, one attempt. `selfattack.py` makes them, the tests make them too.

An attempt is a script for bash or python3 that prints ESCAPED where it succeeds; to print the canary, the content of a
file outside every root, is success too. `quick` ones are made at every start of the server, all in one sandbox. Bash,
because it can try a connection by itself.

What an attempt finds: /workspace, writable, with `link` (to the canary), `program` (an ELF file, mode 755), `hidden/x`
(the canary, which the plan hides), `kept/file` (which the plan protects) and `socket` (somebody listens). Its
arguments: the path of the canary, the host's process id, the port of a listener on 127.0.0.1, and, as JSON, the numbers
of system calls by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ATTACKS", "CALLS", "PROGRAMS", "Attack"]

PROGRAMS = ("bash", "cat", "chmod", "cp", "grep", "ln", "mkdir", "mknod", "mv", "rm", "true", "unshare")
"""What there is inside beside the program that makes the attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attempt.

    Attributes:
        group: Which root of escapes it tries: paths, programs, environment, kernel, network, processes, limits.
        what: What it would have got, or done.
        code: The script.
        by: The program that makes it.
        quick: Whether it is made at every start.
    """

    group: str
    what: str
    code: str
    by: Literal["bash", "python3"] = "bash"
    quick: bool = False


def _quick(group: str, what: str, code: str) -> Attack:
    return Attack(group=group, what=what, code=code, quick=True)


def _bash(group: str, what: str, code: str) -> Attack:
    return Attack(group=group, what=what, code=code)


def _python(group: str, what: str, code: str) -> Attack:
    return Attack(group=group, what=what, code=code, by="python3")


CALLS = {
    "unshare": (0x10000000,),
    "clone": (0x10000000 | 17, 0, 0, 0, 0),
    "clone3": (0, 0),
    "setns": (0, 0),
    "chroot": ("/tmp",),  # noqa: S108 - the sandbox's
    "pivot_root": (".", "."),
    "mount": ("none", "/tmp", "tmpfs", 0, 0),  # noqa: S108
    "umount2": ("/tmp", 2),  # noqa: S108
    "fsopen": ("tmpfs", 0),
    "open_tree": (-100, "/", 1),
    "move_mount": (0, "", 0, "", 4),
    "ptrace": (16, 1, 0, 0),
    "process_vm_readv": (1, 0, 0, 0, 0, 0),
    "pidfd_getfd": (0, 0, 0),
    "bpf": (0, 0, 0),
    "perf_event_open": (0, 0, -1, -1, 0),
    "userfaultfd": (0,),
    "io_uring_setup": (1, 0),
    "keyctl": (0, -3, 0),
    "add_key": ("user", "a", "b", 1, -3),
    "open_by_handle_at": (-100, 0, 0),
    "memfd_create": ("m", 0),
    "shmget": (0, 4096, 0o1600),
    "socket": (40, 1, 0),
    "init_module": (0, 0, ""),
    "kexec_load": (0, 0, 0, 0),
    "personality": (0x40000,),
    "syslog": (3, 0, 0),
    "openat2": (-100, "/tmp", 0, 24),  # noqa: S108
}
"""System calls that must fail whatever they are asked, and arguments to ask with."""

_LIBC = """
import ctypes, errno, json, mmap, os, shutil, socket, sys
canary, host, port, numbers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(name, *arguments):
    words = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a.encode()) for a in arguments]
    return libc.syscall(ctypes.c_long(numbers[name]), *words) if name in numbers else -1
def tried(name, *arguments):
    if call(name, *arguments) >= 0: print("ESCAPED", name)
"""

ATTACKS: tuple[Attack, ...] = (
    # What is outside the roots
    _quick("paths", "a file outside the roots", 'read -r x < "$1" && echo ESCAPED'),
    _quick("paths", "a file behind a link out of a root", "read -r x < /workspace/link && echo ESCAPED"),
    _quick("paths", "a file through links of /proc",
           'for p in self 1 thread-self; do for d in root cwd/../../../../..; do read -r x < "/proc/$p/$d$1"'
           " && echo ESCAPED; done; done"),
    _quick("paths", "a path the policy hides", "read -r x < /workspace/hidden/x && echo ESCAPED"),
    _quick("paths", "a write outside the roots",
           "for f in /x /usr/bin/x /dev/x /proc/x /etc/x; do (echo x > $f) && echo ESCAPED; done"),
    _bash("paths", "a file behind a chain of links made inside",
          'cd /workspace; ln -s "$1" a; ln -s a b; ln -s ../workspace/b c; cat c; ln -s /proc/1/root r; cat "r$1"'),
    _bash("paths", "a hidden path after its folder was renamed",
          "cd /workspace; mv hidden seen && echo ESCAPED; cat seen/x; ln hidden/x y && echo ESCAPED"),
    _bash("paths", "a protected path after its folder was replaced",
          "cd /workspace; echo x > kept/file && echo ESCAPED; mv kept old && echo ESCAPED;"
          " rm -rf kept && echo ESCAPED; rm kept/file && echo ESCAPED"),
    _bash("paths", "a hard link to a program", "ln /usr/bin/true /workspace/t && echo ESCAPED"),
    _bash("paths", "a device", "mknod /workspace/d b 8 0 && echo ESCAPED; mknod /tmp/d c 1 1 && echo ESCAPED"),
    # What stays on the host's disk
    _quick("files", "set-id bits", "chmod u+s /workspace/program && echo ESCAPED; chmod g+s /workspace/program"
           " && echo ESCAPED"),
    _python("files", "set-id bits by every call that takes a mode", _LIBC + """
w = "/workspace/"
tried("open", w + "a", 0o101, 0o4755); tried("openat", -100, w + "b", 0o101, 0o6755); tried("creat", w + "c", 0o4755)
tried("mkdir", w + "d", 0o2755); tried("mkdirat", -100, w + "e", 0o2755); tried("mknod", w + "f", 0o104755, 0)
tried("mknodat", -100, w + "g", 0o104755, 0); tried("chmod", w + "program", 0o4755)
tried("fchmodat", -100, w + "program", 0o4755); tried("fchmodat2", -100, w + "program", 0o4755, 0)
tried("openat", -100, "/workspace", 0o20200001, 0o4755); tried("chmod", w + "program", 0o4755 | 1 << 40)
"""),
    _python("files", "a lease that lets nobody else open a file", _LIBC + """
import fcntl
with open("/workspace/program", "r+b") as file:
    try: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK); print("ESCAPED")
    except OSError: pass
"""),
    _python("files", "file capabilities",
            _LIBC + 'tried("setxattr", "/workspace/program", "security.capability", "x", 1, 0)'),
    # Programs
    _quick("programs", "a program from a writable root", "/workspace/program && echo ESCAPED"),
    _quick("programs", "a program from /tmp", "cp /usr/bin/true /tmp/p && /tmp/p && echo ESCAPED"),
    _quick("programs", "a program by the loader", "for l in /lib64/ld-linux*.so.* /lib/ld-linux*.so.*; do"
           " $l /workspace/program && echo ESCAPED; done"),
    _bash("programs", "a script with an interpreter", "cd /workspace; printf '#!/usr/bin/bash\\necho ESCAPED\\n' > s;"
          " chmod 755 s; ./s; cp s /dev/shm/s; /dev/shm/s"),
    _bash("programs", "a program no rule names", "for p in /usr/bin/* /usr/sbin/* /usr/local/bin/*; do case ${p##*/} in"
          " bash|cat|chmod|cp|grep|ln|mkdir|mknod|mv|rm|true|unshare|sh|dash|'*') ;; *) echo ESCAPED $p ;; esac; done"),
    _bash("programs", "bubblewrap, or the launcher that stands as pid 1",
          "/proc/1/exe -c 'echo ESCAPED'; cat /proc/1/exe /proc/1/mem /proc/1/maps | grep -q . && echo ESCAPED"),
    _python("programs", "code from a writable file in memory", _LIBC + """
shutil.copy("/workspace/program", "/tmp/m")
for path in ("/workspace/program", "/tmp/m"):
    with open(path, "rb") as file:
        try: mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC); print("ESCAPED", path)
        except OSError: pass
fd = call("memfd_create", "m", 0)
if fd >= 0: print("ESCAPED memfd")
"""),
    # Environment and secrets
    _quick("environment", "the environment of the host", "grep -q . /proc/1/environ && echo ESCAPED"),
    _bash("environment", "the policy or a path of the host in pid 1's words",
          "grep -q -e --bind -e --ro-bind -e --seccomp /proc/1/cmdline && echo ESCAPED"),
    _bash("environment", "a descriptor left open", "for f in /proc/self/fd/*; do case ${f##*/} in"
          " 0|1|2|255|3) ;; *) [ -e $f ] && echo ESCAPED $f ;; esac; done"),
    # Kernel surface
    _quick("kernel", "namespaces of its own", "unshare -U true && echo ESCAPED; unshare -Ur -m true && echo ESCAPED"),
    _quick("kernel", "a capability, or a way to gain one",
           "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb):' /proc/self/status | grep -v -E '0{16}$' && echo ESCAPED;"
           " grep -q -E '^NoNewPrivs:.1' /proc/self/status || echo ESCAPED;"
           " grep -q -E '^Seccomp:.2' /proc/self/status || echo ESCAPED"),
    _python("kernel", "a forbidden system call",
            _LIBC + f"for name, arguments in {CALLS!r}.items(): tried(name, *arguments)"),
    _python("kernel", "the calls of another architecture", _LIBC + """
if os.uname().machine == "x86_64":
    m = mmap.mmap(-1, 4096, prot=7)
    m.write(b"\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3")  # getpid of i386
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()
    print("ESCAPED")
"""),
    # Network
    _quick("network", "a connection to the host", 'exec 3<>"/dev/tcp/127.0.0.1/$3" && echo ESCAPED'),
    _python("network", "a service behind a unix socket", _LIBC + """
for address in ("/workspace/socket", "\\0toolhost"):
    try: socket.socket(socket.AF_UNIX).connect(address); print("ESCAPED")
    except OSError: pass
"""),
    _python("network", "an address or a name", _LIBC + """
for family, address in ((2, ("127.0.0.1", port)), (2, ("1.1.1.1", 53)), (10, ("::1", port))):
    try: socket.socket(family).connect(address); print("ESCAPED")
    except OSError: pass
try: socket.getaddrinfo("example.org", 80); print("ESCAPED")
except OSError: pass
"""),
    # Other processes
    _quick("processes", "processes of the host", "grep -q -s '^Name:.toolhost' /proc/[0-9]*/status && echo ESCAPED;"
           " set -- /proc/[0-9]*; [ $# -gt 20 ] && echo ESCAPED"),
    _bash("processes", "the report of how it ended",
          "for n in 0 1 2 3 5 6 7 8 9 10 11; do (echo 0 > /proc/1/fd/$n) && echo ESCAPED; done"),
    # Limits
    _quick("limits", "a higher limit", "ulimit -n 1000000 && echo ESCAPED; ulimit -u 1000000 && echo ESCAPED"),
    _python("limits", "more processes than its share", _LIBC + """
import time
made = 0
try:
    while made < 100:
        if os.fork() == 0: time.sleep(20)
        made += 1
except OSError: pass
if made >= 100: print("ESCAPED")
"""),
    _python("limits", "more scratch than its share", _LIBC + """
try:
    with open("/dev/shm/fill", "wb") as file:
        for _ in range(100): file.write(bytes(1 << 20))
    print("ESCAPED")
except OSError: pass
"""),
)  # fmt: skip
