"""The compiled filter, instruction by instruction: what the kernel would answer to a call, computed here."""

from __future__ import annotations

import errno
import os
import stat
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolhost.sandbox import seccomp

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
X32 = 0x40000000
KILL, ALLOW = "kill", "allow"

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86-64")


def verdict(number: int, *arguments: int, arch: int = X86_64, network: bool = False) -> str | int:
    """Run classic BPF over a `struct seccomp_data` (linux/seccomp.h): `kill`, `allow`, or the errno."""
    program = list(struct.iter_unpack("HBBI", seccomp.filter_bytes(network=network)))
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0, *(word & (1 << 64) - 1 for word in words))
    accumulator = index = at = 0
    memory = [0] * 16
    for _ in range(len(program) + 1):
        code, yes, no, k = program[at]
        at += 1
        operand = k if not code & 0x08 else index
        match code & 0x07:
            case 0x00:  # BPF_LD: absolute, immediate, memory
                mode = code & 0xE0
                accumulator = struct.unpack_from("=I", data, k)[0] if mode == 0x20 else memory[k] if mode == 0x60 else k
            case 0x01:
                index = memory[k] if code & 0xE0 == 0x60 else k
            case 0x02:
                memory[k] = accumulator
            case 0x04:
                accumulator = {0x50: accumulator & operand, 0x40: accumulator | operand}[code & 0xF0]
            case 0x05:
                operation = code & 0xF0
                if operation == 0x00:
                    at += k
                    continue
                holds = {
                    0x10: accumulator == operand,
                    0x20: accumulator > operand,
                    0x30: accumulator >= operand,
                    0x40: bool(accumulator & operand),
                }[operation]
                at += yes if holds else no
            case 0x06:
                action = k & 0xFFFF0000
                return {0x7FFF0000: ALLOW, 0x80000000: KILL, 0x00000000: KILL}.get(action) or k & 0xFFFF
            case 0x07:
                index, accumulator = (accumulator, accumulator) if code & 0x80 == 0 else (index, index)
    raise AssertionError("the filter does not end")


ALWAYS = {
    "clone3": errno.ENOSYS,
    "setns": errno.EPERM, "chroot": errno.EPERM, "pivot_root": errno.EPERM, "mount": errno.EPERM,
    "umount2": errno.EPERM, "open_tree": errno.EPERM, "open_tree_attr": errno.EPERM, "move_mount": errno.EPERM,
    "fsopen": errno.EPERM, "fsconfig": errno.EPERM, "fsmount": errno.EPERM, "fspick": errno.EPERM,
    "mount_setattr": errno.EPERM, "statmount": errno.EPERM, "listmount": errno.EPERM, "ptrace": errno.EPERM,
    "process_vm_readv": errno.EPERM, "process_vm_writev": errno.EPERM, "process_madvise": errno.EPERM,
    "kcmp": errno.EPERM, "pidfd_getfd": errno.EPERM, "personality": errno.EPERM, "io_uring_setup": errno.ENOSYS,
    "io_uring_enter": errno.ENOSYS, "io_uring_register": errno.ENOSYS, "userfaultfd": errno.EPERM, "bpf": errno.EPERM,
    "perf_event_open": errno.EPERM, "keyctl": errno.EPERM, "add_key": errno.EPERM, "request_key": errno.EPERM,
    "open_by_handle_at": errno.EPERM, "name_to_handle_at": errno.EPERM, "memfd_create": errno.EPERM,
    "memfd_secret": errno.EPERM, "shmget": errno.ENOSYS, "msgget": errno.ENOSYS, "semget": errno.ENOSYS,
    "kexec_load": errno.EPERM, "kexec_file_load": errno.EPERM, "init_module": errno.EPERM, "finit_module": errno.EPERM,
    "delete_module": errno.EPERM, "iopl": errno.EPERM, "ioperm": errno.EPERM, "modify_ldt": errno.EPERM,
    "acct": errno.EPERM, "quotactl": errno.EPERM, "quotactl_fd": errno.EPERM, "swapon": errno.EPERM,
    "swapoff": errno.EPERM, "reboot": errno.EPERM, "syslog": errno.EPERM, "vhangup": errno.EPERM,
    "fanotify_init": errno.EPERM, "settimeofday": errno.EPERM, "clock_settime": errno.EPERM, "adjtimex": errno.EPERM,
    "sethostname": errno.EPERM, "setdomainname": errno.EPERM, "mbind": errno.EPERM, "set_mempolicy": errno.EPERM,
    "openat2": errno.ENOSYS, "setxattr": errno.ENOTSUP, "lsetxattr": errno.ENOTSUP, "fsetxattr": errno.ENOTSUP,
    "setxattrat": errno.ENOTSUP,
}  # fmt: skip
WORDS = st.integers(0, (1 << 64) - 1)


def number(call: str) -> int:
    found = seccomp.number_of(call)
    assert found is not None, call
    return found


@pytest.mark.parametrize("network", [False, True])
@given(arguments=st.lists(WORDS, min_size=6, max_size=6))
def test_what_is_always_forbidden_is_so_with_any_arguments(network: bool, arguments: list[int]) -> None:
    for call, wanted in ALWAYS.items():
        assert verdict(number(call), *arguments, network=network) == wanted, call


@given(call=st.integers(0, 0xFFFFFFFF), arguments=st.lists(WORDS, min_size=6, max_size=6))
def test_another_architecture_s_calls_kill_whatever_they_are(call: int, arguments: list[int]) -> None:
    for arch in (I386, AARCH64, 0, X86_64 ^ 1):
        assert verdict(call, *arguments, arch=arch) == KILL
    # -1 is what a tracer leaves for "no call".
    assert verdict(call | X32, *arguments) == KILL or call | X32 == 0xFFFFFFFF


MODES = {
    "chmod": 1,
    "fchmod": 1,
    "fchmodat": 2,
    "fchmodat2": 2,
    "creat": 1,
    "mkdir": 1,
    "mkdirat": 2,
    "mknod": 1,
    "mknodat": 2,
}
OPENS = {"open": (1, 2), "openat": (2, 3)}


@given(mode=st.integers(0, 0o7777), high=st.integers(0, 0xFFFFFFFF))
def test_a_mode_with_a_set_id_bit_is_refused_in_every_call_that_takes_one(mode: int, high: int) -> None:
    set_id = bool(mode & (stat.S_ISUID | stat.S_ISGID))
    wide = mode | high << 32
    for call, place in MODES.items():
        arguments = [0] * place + [wide]
        assert verdict(number(call), *arguments) == (errno.EPERM if set_id else ALLOW), call
    for call, (flags_at, mode_at) in OPENS.items():
        for flags, creates in (
            (os.O_CREAT | os.O_WRONLY, True),
            (os.O_TMPFILE | os.O_RDWR, True),
            (os.O_RDONLY, False),
        ):
            arguments = [0] * (mode_at + 1)
            arguments[flags_at], arguments[mode_at] = flags | high << 32, wide
            assert verdict(number(call), *arguments) == (errno.EPERM if set_id and creates else ALLOW), (call, flags)


NAMESPACES = (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)


@given(flags=st.integers(0, 0xFFFFFFFF), high=st.integers(0, 0xFFFFFFFF))
def test_a_namespace_is_refused_among_any_other_flags(flags: int, high: int) -> None:
    wanted = any(flags & one for one in NAMESPACES)
    for call in ("clone", "unshare"):
        assert verdict(number(call), flags | high << 32) == (errno.EPERM if wanted else ALLOW)


@given(high=st.integers(0, 0xFFFFFFFF), rest=WORDS)
def test_a_terminal_s_requests_are_refused_however_wide(high: int, rest: int) -> None:
    for request in (0x5412, 0x541C):
        assert verdict(number("ioctl"), rest, request | high << 32, rest) == errno.EPERM
    assert verdict(number("ioctl"), rest, 0x5401 | high << 32, rest) == ALLOW


@given(high=st.integers(0, 0xFFFFFFFF), fd=st.integers(0, 0xFFFFFFFF), kind=st.integers(0, 2))
def test_a_lease_is_refused_on_any_file_and_nothing_else_of_fcntl(high: int, fd: int, kind: int) -> None:
    assert verdict(number("fcntl"), fd, 1024 | high << 32, kind) == errno.EPERM
    assert {verdict(number("fcntl"), fd, command | high << 32, kind) for command in (*range(1024), 1025)} == {ALLOW}


@given(family=st.integers(0, 0xFFFFFFFF), high=st.integers(0, 0xFFFFFFFF), kind=st.integers(0, 0xFFFFFFFF))
def test_sockets_are_refused_but_for_those_of_the_internet_where_there_is_a_network(
    family: int, high: int, kind: int
) -> None:
    wide = family | high << 32
    assert verdict(number("socket"), wide, kind) == errno.EAFNOSUPPORT
    with_network = verdict(number("socket"), wide, kind, network=True)
    if family not in (2, 10):
        assert with_network not in (ALLOW, KILL)
    if kind & 0xF == 3:
        assert with_network != ALLOW
    pair = verdict(number("socketpair"), wide, kind)
    assert pair == (ALLOW if wide in (0, 1) else errno.EAFNOSUPPORT)  # the kernel itself knows no family 0


def test_ordinary_calls_are_allowed() -> None:
    ordinary = (
        "read write openat mmap mprotect execve fork vfork clone futex exit_group renameat2 getrandom statx pipe2 "
        "epoll_wait prctl seccomp close_range"
    )
    for call in ordinary.split():
        assert verdict(number(call)) == ALLOW, call


def test_every_row_has_a_reason_and_a_call_this_machine_knows() -> None:
    assert all(rule.reason and rule.calls for rule in seccomp.RULES)
    assert all(any(seccomp.number_of(call) is not None for call in rule.calls) for rule in seccomp.RULES)
