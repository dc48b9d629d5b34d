"""Threats F: system calls a sandboxed process may not make."""

from __future__ import annotations

import json
import os
from pathlib import Path

from driver import Driver, children, own, readable, writable

_CALL = """
import ctypes, errno, json, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
made = []
for number, *arguments in json.loads(sys.argv[1]):
    words = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a.encode()) for a in arguments]
    r = libc.syscall(number, *words)
    made.append(0 if r >= 0 else errno.errorcode[ctypes.get_errno()])
print(json.dumps(made))
"""

# x86-64 numbers; the table itself is by name.
_FORBIDDEN = {
    "unshare(NEWUSER)": (272, 0x10000000),
    "unshare(NEWNS)": (272, 0x20000),
    "unshare(NEWTIME)": (272, 0x80),
    "clone(NEWUSER)": (56, 0x10000000 | 17, 0, 0, 0, 0),
    "clone3": (435, 0, 0),
    "setns": (308, 0, 0),
    "chroot": (161, "/tmp"),
    "pivot_root": (155, ".", "."),
    "mount": (165, "none", "/tmp", "tmpfs", 0, 0),
    "umount2": (166, "/tmp", 2),
    "fsopen": (430, "tmpfs", 0),
    "open_tree": (428, -100, "/", 1),
    "move_mount": (429, 0, "", 0, "", 4),
    "mount_setattr": (442, -100, "/", 0, 0, 0),
    "ptrace": (101, 16, 1, 0, 0),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    "pidfd_getfd": (438, 0, 0, 0),
    "kcmp": (312, 1, 1, 0, 0, 0),
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "userfaultfd": (323, 0),
    "io_uring_setup": (425, 1, 0),
    "io_uring_enter": (426, 0, 0, 0, 0, 0, 0),
    "io_uring_register": (427, 0, 0, 0, 0),
    "keyctl": (250, 0, -3, 0),
    "add_key": (248, "user", "a", "b", 1, -3),
    "request_key": (249, "user", "a", "b", -3),
    "open_by_handle_at": (304, -100, 0, 0),
    "name_to_handle_at": (303, -100, "/", 0, 0, 0),
    "quotactl": (179, 0, "/", 0, 0),
    "kexec_load": (246, 0, 0, 0, 0),
    "init_module": (175, 0, 0, ""),
    "finit_module": (313, 0, "", 0),
    "syslog": (103, 3, 0, 0),
    "acct": (163, "/tmp/a"),
    "swapon": (167, "/tmp/a", 0),
    "settimeofday": (164, 0, 0),
    "personality(ADDR_NO_RANDOMIZE)": (135, 0x40000),
    "modify_ldt": (154, 0, 0, 0),
    "memfd_create": (319, "m", 0),
    "memfd_secret": (447, 0),
    "openat2": (437, -100, "/tmp", 0, 24),
    "TIOCSTI": (16, 0, 0x5412, 0),
    "TIOCSTI with high bits": (16, 0, 0x5412 | 1 << 32, 0),
    "TIOCLINUX": (16, 0, 0x541C, 0),
    "fchmodat2 set-uid": (452, -100, "/tmp/f", 0o4755, 0),
    "chmod set-uid": (90, "/tmp/f", 0o4755),
    "chmod set-gid with high bits": (90, "/tmp/f", 0o2755 | 1 << 32),
    "fchmodat set-uid": (268, -100, "/tmp/f", 0o4755),
    "open set-uid": (2, "/tmp/g", 0o101, 0o4755),
    "openat set-gid": (257, -100, "/tmp/g", 0o101, 0o2755),
    "openat O_TMPFILE set-uid": (257, -100, "/tmp", 0o20200001, 0o4755),
    "creat set-uid": (85, "/tmp/g", 0o4755),
    "mkdir set-gid": (83, "/tmp/h", 0o2755),
    "mkdirat set-uid": (258, -100, "/tmp/h", 0o4755),
    "mknod set-uid": (133, "/tmp/i", 0o104755, 0),
    "mknodat set-uid": (259, -100, "/tmp/i", 0o104755, 0),
    "mknod device": (133, "/tmp/j", 0o20666, 0x103),
    "setxattr": (188, "/tmp/f", "user.a", "b", 1, 0),
    "F_SETLEASE": (72, 3, 1024, 1),
    "F_SETLEASE with high bits": (72, 3, 1024 | 1 << 32, 0),
}  # fmt: skip


_KINDS = ("user", "pid", "mnt", "ipc", "uts", "cgroup", "net")
_NAMESPACES = f"""
import json, os, sys
open(f"/workspace/{{sys.argv[1]}}", "w").close()
while len(os.listdir("/workspace")) < 2: pass  # the other one is there too
print(json.dumps({{kind: os.readlink(f"/proc/self/ns/{{kind}}") for kind in {_KINDS}}}))
print({{line.rsplit(":", 1)[1] for line in open("/proc/self/cgroup")}})
print(os.getsid(0), os.getpgrp())
"""


def test_every_namespace_and_the_session_are_the_call_s_own(box: Driver, work: Path) -> None:
    box.ask(do="facts")  # it is up
    (spawner,) = children(box.process.pid)
    calls = [
        {"programs": ["python3"], "arguments": ["-c", _NAMESPACES, name], "roots": [writable(work)]}
        for name in ("one", "two")
    ]
    said = [one["stdout"].splitlines() for one in box.ask(do="gather", requests=calls)["answers"]]
    first, second = (json.loads(lines[0]) for lines in said)
    for kind in _KINDS:
        assert first[kind] != os.readlink(f"/proc/self/ns/{kind}"), kind
        if kind != "net":  # the spawner's, which leads nowhere
            assert first[kind] not in (second[kind], os.readlink(f"/proc/{spawner}/ns/{kind}")), kind
    assert {lines[1] for lines in said} == {"{'/\\n'}"}, "the host's control group is told"
    assert {lines[2] for lines in said} == {"1 1"}


def test_forbidden_calls_fail(box: Driver) -> None:
    code = "held = open('/tmp/f', 'w')  # descriptor 3\n" + _CALL
    said = box.ask(programs=["python3"], arguments=["-c", code, json.dumps([list(one) for one in _FORBIDDEN.values()])])
    results = dict(zip(_FORBIDDEN, json.loads(said["stdout"]), strict=True))
    assert {name: errno for name, errno in results.items() if errno not in {"EPERM", "ENOSYS", "ENOTSUP"}} == {}


def test_an_open_that_creates_nothing_may_carry_any_mode(box: Driver) -> None:
    said = box.ask(programs=["python3"], arguments=["-c", _CALL, json.dumps([[257, -100, "/tmp", 0, 0o7777]])])
    assert json.loads(said["stdout"]) == [0]


def test_without_a_network_no_socket_of_any_family_can_be_opened(box: Driver) -> None:
    calls = [[41, family | high, kind, 0] for family in range(46) for high in (0, 1 << 32) for kind in (1, 2, 3)]
    said = box.ask(programs=["python3"], arguments=["-c", _CALL, json.dumps(calls)])
    assert set(json.loads(said["stdout"])) == {"EAFNOSUPPORT"}


def test_a_unix_socket_in_a_root_cannot_be_connected(box: Driver, space: Path) -> None:
    import socket

    folder = space / "run"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "docker.sock"))
        (folder / "docker.sock").chmod(0o777)
        own(folder)
        listener.listen()
        code = (
            "import socket\nfor p in ('/readable/docker.sock', '\\0x'):\n"
            "  try: socket.socket(socket.AF_UNIX).connect(p); print('in')\n  except OSError as e: print(e.errno)"
        )
        said = box.python(code, roots=[readable(folder)])
    assert said["stdout"].split() == ["97", "97"]


def test_socketpairs_work(box: Driver) -> None:
    said = box.python(
        "import socket, asyncio; a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1));"
        "asyncio.run(asyncio.sleep(0))"
    )
    assert said["stdout"] == "b'x'\n"


def test_another_architectures_calls_kill_the_process(box: Driver) -> None:
    # int 0x80 with eax = 20 (getpid of i386), as machine code in an anonymous mapping.
    code = (
        "import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7)\nm.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')\n"
        "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()\nprint('ran')"
    )
    said = box.python(code)
    assert (said["status"], said["signal"], said["stdout"]) == ("signaled", 31, "")


def test_the_process_has_no_privilege_and_can_gain_none(box: Driver) -> None:
    said = box.sh("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status", "grep")
    facts = dict(line.split(":\t") for line in said["stdout"].splitlines())
    assert {facts[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")


def test_host_processes_are_neither_seen_nor_reached(box: Driver) -> None:
    host = box.ask(do="facts")["pid"]
    said = box.sh(f"kill -9 -1; kill -0 {host} 2>/dev/null && echo reached; ls -d /proc/[0-9]*", "ls")
    assert "reached" not in said["stdout"]
    assert len(said["stdout"].splitlines()) <= 4
    assert box.sh("echo alive")["stdout"] == "alive\n"


def test_the_launcher_cannot_be_inspected_or_steered(box: Driver) -> None:
    script = (
        "for f in exe fd environ mem maps root cwd; do"
        " (ls /proc/1/$f/ || cat /proc/1/$f) >/dev/null 2>&1 && echo saw $f; done;"
        "for n in 2 5 6 7 8 9; do (echo R0 > /proc/1/fd/$n) 2>/dev/null && echo wrote $n; done;"
        "kill -9 1; kill -STOP 1; exit 7"
    )
    said = box.sh(script, "ls", "cat")
    assert said["stdout"] == ""
    assert said["exit_code"] == 7


def test_set_id_files_cannot_be_planted_by_ordinary_programs(box: Driver, work: Path) -> None:
    script = (
        "cp /usr/bin/cp /workspace/s; chmod 6755 /workspace/s; chmod u+s /workspace/s;"
        "install -m 4755 /usr/bin/cp /workspace/t; true"
    )
    box.sh(script, "cp", "chmod", "install", roots=[writable(work)])
    assert all(not path.stat().st_mode & 0o6000 for path in work.iterdir())
