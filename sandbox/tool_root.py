"""Tool roots: the whole file system of a sandbox but its roots, prepared once and bound read-only in one mount.

    STATE/tool-roots/
        launcher             a copy of dash, mode 0111: read by nobody, so pid 1 cannot be inspected
        blobs/               every file once, by digest and modification time; the trees hold hard links to it
        trees/NAME/          a root: usr/..., mount points, host-made files; NAME is a digest of all that is in it
        index/KEY.json       which tree serves a set of programs, and the facts of all it was made from
        lock                 held while trees are made, or cleared out (`tool_root_sweep.py`)

A tree is made beside its place and renamed into it, so a half-made one is never used. Before a tree is used for the
first time in a process, and then at most every five seconds, every source is compared with the index (device, inode,
size, modification time): after a system update it is made anew. The programs themselves are compared before every call.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterable

from toolhost.sandbox import closure, support
from toolhost.sandbox.errors import PlanRefused, SandboxUnavailable
from toolhost.sandbox.plan import HostFile, Program, SandboxPlan
from toolhost.sandbox.programs import changed, digest_of
from toolhost.sandbox.tool_root_sweep import hold, sweep, undisturbed

__all__ = ["ToolRoots"]

_VERSION = 3
_RECHECK = 5.0  # seconds
_FORGET = 3600.0  # seconds
_LARGEST_SUPPORT = 512 << 20
_TOP_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SHELL = "/bin/dash"

_Facts = tuple[int, int, int, int]


class ToolRoots:
    """The prepared trees of one state folder."""

    def __init__(self, state: str) -> None:
        self.folder = f"{state}/tool-roots"
        self.quarantine = f"{state}/quarantine"
        self._known: dict[tuple[object, ...], _Tree] = {}
        self._alone = threading.Lock()
        self._locks: dict[str, int] = {}  # by tree: keeps it from being cleared out by another process
        self._users: Counter[str] = Counter()

    def prepare_folder(self) -> int:
        """Create the folders and the launcher.

        Returns:
            O_PATH descriptor of the launcher.

        Raises:
            SandboxUnavailable: The folder cannot be written, or there is no dash to copy.
        """
        try:
            for name in ("blobs", "trees", "index"):
                os.makedirs(f"{self.folder}/{name}", mode=0o700, exist_ok=True)
            with contextlib.suppress(OSError):  # tried again at the next start
                sweep(self.folder)
            return _launcher(f"{self.folder}/launcher")
        except OSError as error:
            raise SandboxUnavailable(
                "state_not_writable",
                f"The sandbox's files cannot be prepared in {self.folder}: {error.strerror}.",
                "Make the data directory writable for the service user; install dash if it is missing.",
            ) from error

    def known(self, plan: SandboxPlan, points: tuple[tuple[str, bool], ...]) -> str | None:
        """The tree for a plan if it was used in this process before and its sources are unchanged; costs microseconds.

        Args:
            plan: The plan.
            points: Where roots are mounted, and whether each is a folder.

        Raises:
            PlanRefused: `program_changed`.
        """
        tree = self._known.get(_key(plan, points))
        if tree is None:
            return None
        now = tree.used = time.monotonic()
        # A tree holds copies: nobody changes them by changing a program, which is only to be noticed. What the call
        # itself starts is looked at each time, all that it could start now and then.
        _check_programs(one for one in plan.programs if one.path == plan.argv[0])
        if now - tree.checked > _RECHECK:
            _check_programs(plan.programs)
            if not _unchanged(tree.sources) or not os.path.isdir(f"{self.folder}/{tree.name}"):
                return None
            tree.checked = now
        return tree.name

    def make(self, plan: SandboxPlan, points: tuple[tuple[str, bool], ...]) -> str:
        """The tree for a plan, made if needed. Blocks: call it in a thread.

        Returns:
            The tree's name below the tool roots' folder.

        Raises:
            PlanRefused: A program changed, or something it needs is not there.
            SandboxUnavailable: The disk is full or the folder cannot be written.
        """
        _check_programs(plan.programs)
        key = _key(plan, points)
        index = f"{self.folder}/index/{hashlib.sha256(repr(key).encode()).hexdigest()}.json"
        try:
            # The thread of a call that was cancelled is still here, and must not be in the way of the next one's.
            with self._alone, undisturbed(self.folder):
                tree = self._from_index(index) or self._build(plan, points, index)
                if tree.name not in self._locks:
                    self._locks[tree.name] = hold(f"{self.folder}/{tree.name}")
                self._known[key] = tree
                self._forget()
        except OSError as error:
            raise SandboxUnavailable(
                "tool_root_failed",
                f"The tool root of {plan.tool} cannot be made: {error.strerror}.",
                "Make room on the data directory's disk, and let the service user write there.",
            ) from error
        with self._alone, contextlib.suppress(OSError):
            sweep(self.folder)
        return tree.name

    def enter(self, name: str) -> None:
        """Say that a sandbox uses a tree."""
        self._users[name] += 1

    def leave(self, name: str) -> None:
        """Say that it is gone."""
        self._users[name] -= 1

    def close(self) -> None:
        """Let go of every tree."""
        for fd in self._locks.values():
            os.close(fd)
        self._locks.clear()
        self._known.clear()

    def _forget(self) -> None:
        """Let go of the trees that nothing has used for long."""
        oldest = time.monotonic() - _FORGET
        for key, tree in list(self._known.items()):
            if tree.used < oldest and not self._users[tree.name]:
                del self._known[key]
        known = {tree.name for tree in self._known.values()}
        for name in set(self._locks) - known:
            if not self._users[name]:
                os.close(self._locks.pop(name))

    def _from_index(self, index: str) -> _Tree | None:
        try:
            with open(index, encoding="utf-8", errors="surrogateescape") as file:
                held = json.load(file)
            tree = _Tree(held["tree"], {path: tuple(facts) for path, facts in held["sources"].items()})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not os.path.isdir(f"{self.folder}/{tree.name}") or not _unchanged(tree.sources):
            return None
        with contextlib.suppress(OSError):
            os.utime(index)  # when it was last begun to be used
        return tree

    def _build(self, plan: SandboxPlan, points: tuple[tuple[str, bool], ...], index: str) -> _Tree:
        builder = _Builder(self.folder)
        try:
            for program in plan.programs:
                builder.program(program)
            builder.loads(_SHELL)  # the launcher is loaded by its descriptor, its libraries by path
            network = bool(plan.network)
            for path in (*support.support_of(plan.programs, network=network), *plan.support):
                builder.support(path)
            for file in plan.files:
                builder.text(file)
            builder.points(points)
            builder.index()
            tree = builder.publish()
        finally:
            builder.discard()
        making = f"{index}.{os.getpid()}"
        with open(making, "w", encoding="utf-8", errors="surrogateescape") as made:
            json.dump({"tree": tree.name, "sources": tree.sources}, made)
        os.rename(making, index)
        return tree


def _launcher(path: str) -> int:
    """The copy of dash, made anew where dash has changed; opened."""
    source = os.stat(_SHELL)
    try:
        have = os.stat(path)
    except FileNotFoundError:
        have = None
    if have is None or (have.st_size, have.st_mtime_ns) != (source.st_size, source.st_mtime_ns):
        copy = f"{path}.{os.getpid()}"
        shutil.copyfile(_SHELL, copy)
        os.utime(copy, ns=(source.st_atime_ns, source.st_mtime_ns))
        os.chmod(copy, 0o111)  # noqa: S103
        os.rename(copy, path)
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


class _Tree:
    __slots__ = ("checked", "name", "sources", "used")

    def __init__(self, name: str, sources: dict[str, _Facts]) -> None:
        self.name = name
        self.sources = sources
        self.checked = self.used = time.monotonic()


class _Builder:
    """One tree in the making."""

    def __init__(self, folder: str) -> None:
        self._blobs = f"{folder}/blobs"
        self._trees = f"{folder}/trees"
        self._making = f"{self._trees}/.making-{os.getpid()}-{time.monotonic_ns()}"
        self._sources: dict[str, _Facts] = {}
        self._content = hashlib.sha256(f"version {_VERSION}\n".encode())
        self._copied = 0
        self._loader: str | None = None
        os.mkdir(self._making, 0o755)

    def program(self, program: Program) -> None:
        """A program, under the name the policy means, and what it loads."""
        self._file(_place(program.target), program.target, 0o555, expected=program.digest)
        if program.path != program.target:
            self._link(_place(program.path), _place(program.target))
        self.loads(program.target)

    def loads(self, path: str) -> None:
        """The libraries of an ELF file."""
        loader = closure.interpreter(os.path.realpath(path))
        if loader is None:
            return
        self._loader = loader
        self._libraries(os.path.realpath(path), loader)

    def support(self, path: str) -> None:
        """A file or folder a program needs."""
        if not path.startswith("/") or os.path.normpath(path) != path or path == "/":
            raise PlanRefused("support_invalid", f"{path!r} is not an absolute path.", "Write the real absolute path.")
        if not os.path.lexists(path):
            raise PlanRefused("support_missing", f"{path} does not exist.", "Take it out of the policy's `support`.")
        if os.path.islink(path):
            self._link_outside(path)
            return
        if os.path.isfile(path):
            self._support_file(path)
            return
        self._support_folder(path)
        for folder, names, files in os.walk(path):
            names[:] = sorted(
                name for name in names if name not in support.LEFT_OUT and not name.startswith("config-3")
            )
            for name in (*names, *sorted(files)):
                one = f"{folder}/{name}"
                mode = os.lstat(one).st_mode
                if stat.S_ISLNK(mode):
                    self._link_outside(one)
                elif stat.S_ISREG(mode):
                    self._support_file(one)
                elif stat.S_ISDIR(mode):
                    self._support_folder(one)

    def text(self, file: HostFile) -> None:
        """A file the host writes."""
        if not file.target.startswith("/") or os.path.normpath(file.target) != file.target:
            raise PlanRefused("host_file_invalid", f"{file.target!r} is not an absolute path.")
        path = self._new(file.target)
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as made:
            made.write(file.text)
        os.chmod(path, 0o444)
        self._say("text", file.target, hashlib.sha256(file.text.encode("utf-8", "surrogateescape")).hexdigest())

    def points(self, points: tuple[tuple[str, bool], ...]) -> None:
        """Empty places for the mounts, and the links of a merged /usr."""
        for name in ("/proc", "/dev", "/tmp"):  # noqa: S108
            self._folder(name)
        for target, folder in points:
            if folder:
                self._folder(target)
            elif not os.path.lexists(self._inside(target)):
                os.close(os.open(self._new(target), os.O_CREAT | os.O_WRONLY, 0o444))
                self._say("point", target)
        for name in _TOP_LINKS:
            if os.path.islink(f"/{name}") and os.path.isdir(self._inside(f"/usr/{name}")):
                os.symlink(f"usr/{name}", self._inside(f"/{name}"))
                self._say("link", name)

    def index(self) -> None:
        """The loader's index of the libraries."""
        made = closure.index_libraries(self._making)
        if made is not None:
            os.chmod(self._inside(made), 0o444)
            self._say("index", made)

    def publish(self) -> _Tree:
        """Rename the tree into its place."""
        name = f"trees/{self._content.hexdigest()}"
        place = f"{os.path.dirname(self._trees)}/{name}"
        if not os.path.isdir(place):
            try:
                os.rename(self._making, place)
            except OSError:
                if not os.path.isdir(place):  # another process made the same tree meanwhile: the same content
                    raise
        return _Tree(name, self._sources)

    def discard(self) -> None:
        """Remove what was not published."""
        shutil.rmtree(self._making, ignore_errors=True)

    def _libraries(self, path: str, loader: str) -> None:
        found = closure.libraries(path, loader)
        for library in found:
            place = _place(library)
            self._file(place, os.path.realpath(library), 0o555)
        standard = {os.path.dirname(_place(one)) for one in found if os.path.basename(one).startswith("libc.so")}
        for library in found[1:]:
            # Inside there is no ld.so.conf, so a library from a folder of ld.so.conf must be where loaders look.
            folder = next(iter(standard), None)
            place = _place(library)
            if folder and os.path.dirname(place) not in (folder, "/usr/lib", os.path.dirname(_place(loader))):
                self._link(f"{folder}/{os.path.basename(library)}", place)

    def _support_folder(self, path: str) -> None:
        self._sources[path] = _facts(os.stat(path))  # before it is read: what comes later makes it another
        self._folder(_place(path))

    def _support_file(self, path: str) -> None:
        executable = os.stat(path).st_mode & 0o111
        self._file(_place(path), path, 0o555 if executable else 0o444)
        self._copied += os.stat(path).st_size
        if self._copied > _LARGEST_SUPPORT:
            raise PlanRefused(
                "support_too_large",
                f"The support folders hold more than {_LARGEST_SUPPORT >> 20} MiB.",
                "Name smaller folders, or grant the large one as a readable path.",
            )
        if self._loader and (path.endswith(".so") or ".so." in path or executable) and closure.is_elf(path):
            self._libraries(path, self._loader)

    def _file(self, place: str, source: str, mode: int, expected: str | None = None) -> None:
        inside = self._inside(place)
        if os.path.lexists(inside):
            return
        facts = os.stat(source)
        self._sources[source] = _facts(facts)
        digest = digest_of(source, *self._sources[source])
        if expected is not None and digest != expected:
            raise _program_changed(source)
        blob = self._blob(source, digest, mode, facts)
        os.link(blob, self._new(place))
        self._say("file", place, digest, mode, facts.st_mtime_ns)

    def _blob(self, source: str, digest: str, mode: int, facts: os.stat_result) -> str:
        # The time is part of the name: Python's compiled files are valid only beside a source of their time.
        blob = f"{self._blobs}/{digest.removeprefix('sha256:')}-{mode:o}-{facts.st_mtime_ns}"
        if os.path.exists(blob):
            return blob
        making = f"{blob}.{os.getpid()}"
        shutil.copyfile(source, making)
        with open(making, "rb") as file:
            if "sha256:" + hashlib.file_digest(file, "sha256").hexdigest() != digest:
                os.unlink(making)
                raise _program_changed(source)
        os.utime(making, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
        os.chmod(making, mode)
        os.rename(making, blob)
        return blob

    def _link(self, place: str, to: str) -> None:
        if place == to or os.path.lexists(self._inside(place)):
            return
        os.symlink(os.path.relpath(to, os.path.dirname(place)), self._new(place))
        self._say("link", place, to)

    def _link_outside(self, path: str) -> None:
        target = os.readlink(path)
        place = _place(path)
        if os.path.lexists(self._inside(place)):
            return
        os.symlink(target, self._new(place))
        self._say("link", place, target)

    def _folder(self, place: str) -> None:
        os.makedirs(self._inside(place), mode=0o755, exist_ok=True)
        self._say("folder", place)

    def _new(self, place: str) -> str:
        path = self._inside(place)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        return path

    def _inside(self, place: str) -> str:
        return self._making + place

    def _say(self, *what: object) -> None:
        self._content.update(repr(what).encode("utf-8", "surrogateescape"))


def _place(path: str) -> str:
    """Where a host path stands in the tree: its folder without links (/lib/x is /usr/lib/x), its own name kept."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _key(plan: SandboxPlan, points: tuple[tuple[str, bool], ...]) -> tuple[object, ...]:
    return (plan.derived("tool root", _content_key), points)


def _content_key(plan: SandboxPlan) -> str:
    """A digest of what is put into the tree: a hundred programs are hashed once, not at every look-up."""
    content = repr((_VERSION, plan.programs, plan.support, plan.files, bool(plan.network)))
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()


def _unchanged(sources: dict[str, _Facts]) -> bool:
    for path, facts in sources.items():
        try:
            now = os.stat(path)
        except OSError:
            return False
        if _facts(now) != tuple(facts):
            return False
    return True


def _facts(found: os.stat_result) -> _Facts:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _check_programs(programs: Iterable[Program]) -> None:
    for program in programs:
        if changed(program):
            raise _program_changed(program.target)


def _program_changed(path: str) -> PlanRefused:
    return PlanRefused(
        "program_changed", f"{path} is not the file it was when the policies were loaded.", "Reload the policies."
    )
