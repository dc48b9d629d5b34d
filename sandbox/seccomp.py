"""The system calls a sandboxed process may not make: one row, one reason.

The filter is the last layer but one: namespaces, mounts and dropped capabilities already stop most of these. It is
there for kernel surface that no namespace covers (vsock, io_uring, keyrings), for the ways around a mount's noexec
(memfd), for set-id bits that would outlive the sandbox on the host's disk, and to keep the process from making
namespaces of its own, in which it would hold every capability.

What is not named is allowed: an allow-list breaks ordinary programs on every libc update, and the boundary here is
the namespaces. A foreign architecture (32-bit `int 0x80`, x32) kills the process: its numbers mean other calls.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
import struct
from dataclasses import dataclass
from typing import Any

from toolhost.sandbox.errors import SandboxUnavailable

__all__ = ["RULES", "Compare", "Rule", "filter_bytes", "number_of"]

_LOW = 0xFFFFFFFF  # the kernel uses only the low half of an int argument: comparing all 64 bits is a way around
_SET_ID = stat.S_ISUID | stat.S_ISGID
_NAMESPACES = 0x7E020080  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET,TIME}
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_SOCK_STREAM, _IPPROTO_TCP = 1, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """A condition on one argument of a call.

    Attributes:
        argument: Position, from 0.
        mask: Bits that count.
        value: With `any_bit`, ignored; otherwise what the masked argument must equal.
        any_bit: True where one set bit of `mask` is enough.
        above: True where the (whole) argument must be greater than `value`.
    """

    argument: int
    mask: int = _LOW
    value: int = 0
    any_bit: bool = False
    above: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """System calls that fail with `errno`, and why.

    Attributes:
        calls: Names; one the machine's libseccomp does not know does not exist there either.
        errno: What the call returns.
        reason: One line.
        when: All conditions that must hold; empty is always.
    """

    calls: tuple[str, ...]
    errno: int
    reason: str
    when: tuple[Compare, ...] = ()


def _set_id(call: str, mode: int, *when: Compare) -> Rule:
    return Rule(
        calls=(call,),
        errno=errno.EPERM,
        reason="a set-id file would stay on the host's disk (nix#10424: every call that takes a mode)",
        when=(Compare(argument=mode, mask=_SET_ID, any_bit=True), *when),
    )


def _creates(flags: int) -> Compare:
    # Without these flags the mode is not read, and a program may leave anything in its register.
    return Compare(argument=flags, mask=os.O_CREAT | 0o20000000, any_bit=True)  # O_CREAT, __O_TMPFILE


RULES: tuple[Rule, ...] = (
    # Namespaces: inside a new user namespace a process has every capability.
    Rule(calls=("clone3",), errno=errno.ENOSYS, reason="its flags lie in memory; glibc falls back to clone"),
    Rule(
        calls=("clone", "unshare"),
        errno=errno.EPERM,
        reason="no namespaces of its own (CVE-2016-3135 and most kernel escapes start here)",
        when=(Compare(argument=0, mask=_NAMESPACES, any_bit=True),),
    ),
    Rule(calls=("setns", "chroot", "pivot_root"), errno=errno.EPERM, reason="no change of namespace or root"),
    # Mounts: the old calls and the new ones (CVE-2021-41133: flatpak forgot the new ones).
    Rule(
        calls=("mount", "umount", "umount2", "open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig",
               "fsmount", "fspick", "mount_setattr", "statmount", "listmount"),
        errno=errno.EPERM,
        reason="mounts are the sandbox's walls",
    ),
    # Other processes.
    Rule(
        calls=("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd"),
        errno=errno.EPERM,
        reason="no reading or steering of other processes",
    ),
    Rule(calls=("personality",), errno=errno.EPERM, reason="turns off address randomisation"),
    # Kernel surface that is not namespaced, or that exploits are made of.
    Rule(
        calls=("io_uring_setup", "io_uring_enter", "io_uring_register"),
        errno=errno.ENOSYS,
        reason="does what the filter forbids without a system call; programs fall back",
    ),
    Rule(calls=("userfaultfd",), errno=errno.EPERM, reason="widens kernel races"),
    Rule(calls=("bpf", "perf_event_open"), errno=errno.EPERM, reason="loads code into the kernel, or watches it"),
    Rule(calls=("keyctl", "add_key", "request_key"), errno=errno.EPERM, reason="keyrings are not namespaced"),
    Rule(
        calls=("open_by_handle_at", "name_to_handle_at"),
        errno=errno.EPERM,
        reason="opens files past every mount (the 'shocker' escape)",
    ),
    Rule(
        calls=("memfd_create", "memfd_secret"),
        errno=errno.EPERM,
        reason="executes a program that lies on no mount, so past noexec; and memory outside the scratch limit",
    ),
    Rule(
        calls=("shmget", "msgget", "semget"),
        errno=errno.ENOSYS,
        reason="memory that belongs to no process, so that no limit counts it; /dev/shm is counted",
    ),
    Rule(
        calls=("socketpair",),
        errno=errno.EAFNOSUPPORT,
        reason="pairs of unix sockets only: other families are kernel code without a use here",
        when=(Compare(argument=0, value=_AF_UNIX, above=True),),
    ),
    Rule(
        calls=("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "create_module",
               "iopl", "ioperm", "modify_ldt", "vm86", "vm86old", "lookup_dcookie", "nfsservctl", "_sysctl", "uselib"),
        errno=errno.EPERM,
        reason="hardware and kernel code",
    ),
    Rule(
        calls=("acct", "quotactl", "quotactl_fd", "swapon", "swapoff", "reboot", "syslog", "vhangup", "fanotify_init",
               "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime", "sethostname", "setdomainname"),
        errno=errno.EPERM,
        reason="administration of the machine",
    ),
    Rule(
        calls=("mbind", "set_mempolicy", "migrate_pages", "move_pages", "set_mempolicy_home_node"),
        errno=errno.EPERM,
        reason="memory placement: kernel surface without a use here",
    ),
    Rule(calls=("fcntl",), errno=errno.EPERM,
         reason="F_SETLEASE: whoever opens the file next, the host as well, waits until its holder lets go",
         when=(Compare(argument=1, value=1024),)),
    # Terminals: the low 32 bits count (CVE-2019-10063 set the high ones).
    Rule(calls=("ioctl",), errno=errno.EPERM, reason="TIOCSTI types into a terminal (CVE-2017-5226)",
         when=(Compare(argument=1, value=0x5412),)),
    Rule(calls=("ioctl",), errno=errno.EPERM, reason="TIOCLINUX pastes into a console (CVE-2023-28100)",
         when=(Compare(argument=1, value=0x541C),)),
    # Set-id bits, in every call that takes a mode.
    _set_id("chmod", 1),
    _set_id("fchmod", 1),
    _set_id("fchmodat", 2),
    _set_id("fchmodat2", 2),
    _set_id("open", 2, _creates(1)),
    _set_id("openat", 3, _creates(2)),
    _set_id("creat", 1),
    _set_id("mkdir", 1),
    _set_id("mkdirat", 2),
    _set_id("mknod", 1),
    _set_id("mknodat", 2),
    Rule(calls=("openat2",), errno=errno.ENOSYS, reason="its mode lies in memory; programs fall back to openat"),
    Rule(
        calls=("setxattr", "lsetxattr", "fsetxattr", "setxattrat"),
        errno=errno.ENOTSUP,
        reason="attributes (file capabilities, ACLs) would stay on the host's disk",
    ),
)  # fmt: skip

_NO_NETWORK = Rule(
    calls=("socket",),
    errno=errno.EAFNOSUPPORT,
    reason="no network: sandboxes without one share an empty network namespace, where sockets would let them meet",
)
_INTERNET_ONLY = (
    Rule(
        calls=("socket",),
        errno=errno.EAFNOSUPPORT,
        reason="unix sockets by path reach the host's services; netlink, packet, alg, vsock, bluetooth the kernel",
        when=(Compare(argument=0, value=_AF_INET6, above=True),),
    ),
    *(
        Rule(
            calls=("socket",),
            errno=errno.EAFNOSUPPORT,
            reason="only AF_INET and AF_INET6",
            when=(Compare(argument=0, value=family),),
        )
        for family in range(_AF_INET6)
        if family != _AF_INET
    ),
    # The broker speaks TCP and nobody answers names, so nothing else is of use; programs take these as "not here".
    *(
        Rule(
            calls=("socket",),
            errno=errno.EPROTONOSUPPORT,
            reason="only streams: no raw sockets, no UDP",
            when=(Compare(argument=1, mask=0xF, value=kind),),
        )
        for kind in range(16)
        if kind != _SOCK_STREAM
    ),
    *(
        Rule(
            calls=("socket",),
            errno=errno.EPROTONOSUPPORT,
            reason="only TCP: no MPTCP, no SCTP",
            when=(Compare(argument=2, value=protocol, above=protocol == _IPPROTO_TCP),),
        )
        for protocol in range(1, _IPPROTO_TCP + 1)
    ),
    Rule(
        calls=("setsockopt",),
        errno=errno.ENOPROTOOPT,
        reason="TCP_ULP: kernel TLS and its like, loaded on demand (CVE-2023-0461); programs do their own",
        when=(Compare(argument=1, value=_IPPROTO_TCP), Compare(argument=2, value=31)),
    ),
)


def number_of(call: str) -> int | None:
    """The number of a system call on this machine, or None where it is not known here."""
    import pyseccomp

    number = pyseccomp.resolve_syscall(pyseccomp.system_arch(), call)
    if number < 0:
        number = _LATE.get(call, number)
    return int(number) if number >= 0 else None


@functools.cache
def filter_bytes(*, network: bool) -> bytes:
    """The compiled filter (classic BPF), as bubblewrap's `--seccomp` reads it.

    Args:
        network: Whether the sandbox has a network namespace of its own, and so may open internet sockets.

    Raises:
        SandboxUnavailable: libseccomp is missing, or made no believable filter.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError) as error:
        raise SandboxUnavailable(
            "seccomp_missing", "libseccomp cannot be loaded.", "apt-get install libseccomp2"
        ) from error
    made = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    made.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    for rule in (*RULES, *(_INTERNET_ONLY if network else (_NO_NETWORK,))):
        for call in rule.calls:
            _add(pyseccomp, made, rule, call)
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    with open(fd, "w+b") as file:
        made.export_bpf(file)
        file.seek(0)
        program = file.read()
    if len(program) < 8 * len(RULES) or len(program) % struct.calcsize("HBBI"):
        raise SandboxUnavailable("seccomp_broken", f"libseccomp made a filter of {len(program)} bytes.", "")
    return program


def _add(pyseccomp: Any, made: Any, rule: Rule, call: str) -> None:
    """Add one row; a mask of which one bit is enough becomes one row per bit (BPF compares for equality)."""
    number = number_of(call)
    if number is None:
        return  # not a call of this architecture
    conditions: list[list[Any]] = [[]]
    for compare in rule.when:
        if compare.any_bit:
            bits = [1 << bit for bit in range(32) if compare.mask >> bit & 1]
            tests = [pyseccomp.Arg(compare.argument, pyseccomp.MASKED_EQ, bit, bit) for bit in bits]
        elif compare.above:
            tests = [pyseccomp.Arg(compare.argument, pyseccomp.GT, compare.value)]
        else:
            tests = [pyseccomp.Arg(compare.argument, pyseccomp.MASKED_EQ, compare.mask, compare.value)]
        conditions = [[*done, test] for done in conditions for test in tests]
    for arguments in conditions:
        made.add_rule(pyseccomp.ERRNO(rule.errno), number, *arguments)


# Newer than Debian 12's libseccomp 2.5.4, which cannot name them; the same numbers on every architecture.
_LATE = {
    "quotactl_fd": 443, "memfd_secret": 447, "set_mempolicy_home_node": 450, "fchmodat2": 452, "statmount": 457,
    "listmount": 458, "setxattrat": 463, "open_tree_attr": 467,
}  # fmt: skip
