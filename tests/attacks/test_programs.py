"""Threats C: what is executed is the file that was decided about, and nothing else can be."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from driver import Driver, own, writable
from hosted import Hosted


def test_a_program_no_rule_names_is_neither_allowed_nor_there(host: Hosted) -> None:
    assert host.run("curl", "x")["status"] == "denied"
    assert host.run("env")["status"] == "denied"
    said = host.run("sh", "-c", "for p in curl env bwrap ld.so perl awk; do [ -e /usr/bin/$p ] && echo $p; done; true")
    assert (said["status"], said["stdout"]) == ("ok", "")


@pytest.mark.parametrize(
    "line",
    [
        "./e", "/workspace/e", "exec ./e", ". ./e", "/tmp/e", "/dev/shm/e", "/proc/self/cwd/e", "./script",
        "/tmp/script",
        "/lib64/ld-linux-x86-64.so.2 ./e", "/lib64/ld-linux-x86-64.so.2 /tmp/e", "exec 9<e; /proc/self/fd/9",
        "/lib64/ld-linux-x86-64.so.2 --preload ./e /usr/bin/true", "LD_PRELOAD=/workspace/e true",
        "LD_AUDIT=/workspace/e true",
    ],
)  # fmt: skip
def test_nothing_that_was_written_runs(host: Hosted, line: str) -> None:
    shutil.copy("/bin/echo", host.workspace / "e")
    (host.workspace / "script").write_text("#!/usr/bin/sh\necho RAN\n")
    (host.workspace / "script").chmod(0o755)
    own(host.workspace)
    said = host.run("sh", "-c", f"cp e script /tmp; set -- RAN; {line} RAN")
    assert "RAN" not in said["stdout"]


def test_code_in_a_writable_file_cannot_be_mapped(host: Hosted) -> None:
    code = """
import ctypes, mmap, os
for folder in ("/workspace", "/tmp", "/dev/shm"):
    with open(folder + "/m", "wb+") as file:
        file.write(bytes(4096)); file.flush()
        for kind in (mmap.MAP_PRIVATE, mmap.MAP_SHARED):
            try: mmap.mmap(file.fileno(), 4096, kind, mmap.PROT_READ | mmap.PROT_EXEC); print("RAN", folder)
            except PermissionError: pass
        m = mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE)
        libc = ctypes.CDLL(None, use_errno=True)
        place = ctypes.addressof(ctypes.c_char.from_buffer(m))
        if libc.mprotect(ctypes.c_void_p(place), 4096, 5) == 0: print("RAN mprotect", folder)
libc.syscall.restype = ctypes.c_long
fd = libc.syscall(319, b"x", 0)
if fd >= 0: print("RAN memfd")
print("end")
"""
    assert host.run("python3", "-c", code)["stdout"] == "end\n"


def test_a_program_that_changed_after_it_was_pinned_does_not_run(box: Driver) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    folder = Path("/usr/local/bin")
    program = folder / "toolhost-test-program"
    shutil.copy("/bin/echo", program)
    try:
        request = {"programs": [str(program)], "arguments": ["first"]}
        box.ask(keep="pinned", **request)
        assert box.ask(kept="pinned")["stdout"] == "first\n"
        shutil.copy("/bin/cat", program)
        assert box.ask(kept="pinned")["error"]["code"] == "program_changed"
    finally:
        program.unlink()


def test_what_a_program_s_name_leads_to_is_shown_and_pinned(host: Hosted) -> None:
    explained = host.explain("awk", "{print $1}", "x")
    assert explained["decision"]["outcome"] == "allow"
    assert explained["argv"][0] == "/usr/bin/awk"


@pytest.mark.parametrize(
    "program",
    [
        "bash", "zsh", "python3.11", "/usr/bin/python3", "perl", "node", "busybox", "env", "xargs", "nice", "timeout",
        "nohup", "setsid", "stdbuf", "script", "make", "sudo", "chroot", "unshare", "/lib64/ld-linux-x86-64.so.2",
    ],
)  # fmt: skip
def test_what_runs_any_code_loads_only_where_it_is_listed(shared_host: Hosted, program: str) -> None:
    shared_host.write("other", f'[commands]\nallow = ["{program} ..."]\n')
    try:
        problems = shared_host.ask(do="reload")["problems"]
        assert any(": runs_code: " in one or ": host_deny: " in one for one in problems), problems
    finally:
        (shared_host.policies / "other.toml").unlink()
        assert shared_host.ask(do="reload")["problems"] == []


@pytest.mark.parametrize(
    "support", ["/usr/bin", "/usr", "/usr/bin/bash", "/usr/local/bin", "/etc", "/home", "relative"]
)
def test_support_is_no_way_to_name_programs(shared_host: Hosted, support: str) -> None:
    shared_host.write("other", f'support = ["{support}"]\n[commands]\nallow = ["true"]\n')
    try:
        assert shared_host.ask(do="reload")["problems"]
    finally:
        (shared_host.policies / "other.toml").unlink()
        shared_host.ask(do="reload")


def test_a_writable_root_over_support_is_refused(new_host) -> None:
    data = Path("/srv/toolhost-test-support")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    data.mkdir()
    try:
        own(data)
        host = new_host(
            probe=f'support = ["{data}"]\n[commands]\nallow = ["ls [{{read...}}]"]\n[paths]\nwrite = ["{data}"]\n'
        )
        result = host.run("ls")
        assert (result["status"], result["decision"]["code"]) == ("denied", "support_writable")
    finally:
        data.rmdir()


@pytest.mark.parametrize("number", sorted(signal.valid_signals()))
def test_no_signal_makes_the_launcher_report_another_end(box: Driver, number: int) -> None:
    said = box.sh(f"kill -{int(number)} 1; exit 7")
    assert (said["status"], said["exit_code"]) == ("exited", 7)


def test_the_tool_has_three_descriptors_and_they_are_pipes(box: Driver) -> None:
    code = """
import os
numbers = sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1]  # the last is the listing itself
print([(number, os.readlink(f"/proc/self/fd/{number}").split(":")[0]) for number in numbers])
"""
    said = box.python(code)
    assert said["stdout"] == "[(0, 'pipe'), (1, 'pipe'), (2, 'pipe')]\n"


def test_no_process_of_the_sandbox_can_be_read_through_proc_but_its_own(box: Driver, work: Path) -> None:
    script = (
        "for p in /proc/[0-9]*; do for f in root cwd exe fd/0 fd/1 fd/2 fd/6 fd/7 mem environ; do"
        " [ $p = /proc/1 ] && cat $p/$f 2>/dev/null | head -c 10 && readlink $p/$f; done; done; true"
    )
    said = box.sh(script, "cat", "head", "readlink", roots=[writable(work)])
    assert said["stdout"] == ""
