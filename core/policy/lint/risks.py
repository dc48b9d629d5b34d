"""What well-known programs can be told to do beside their work: one row for each way, with its reason.

A row is a command as it begins (the program, and the subcommand that the rest belongs to), the words that make it a
risk, and what they do. The words stand anywhere after the beginning; where a program has subcommands and the row names
none, directly after the program, because there they are another flag than behind a subcommand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["RISKS", "WITH_SUBCOMMANDS", "Effect", "Risk"]

Effect = Literal["runs_programs", "writes_files", "reads_files"]


@dataclass(frozen=True, slots=True)
class Risk:
    """One way to make a program do more than its work.

    Attributes:
        command: The program and its subcommand, if any.
        words: An example of the words.
        effect: What kind of thing they do.
        about: What they do.
    """

    command: tuple[str, ...]
    words: tuple[str, ...]
    effect: Effect
    about: str


WITH_SUBCOMMANDS = frozenset(("git", "npm", "pip", "docker", "go", "cargo", "hg"))

_Rows = tuple[tuple[str, tuple[str, ...], str], ...]
_RUNS: _Rows = (
    ("git", ("-c", "core.pager=x"), "sets any configuration, also what names programs (core.pager, alias.*)"),
    ("git", ("--config-env=core.pager=X",), "sets any configuration from a variable"),
    ("git", ("--exec-path=x",), "takes git's own programs from another folder"),
    ("git", ("--git-dir=x",), "takes configuration and hooks from another repository"),
    ("git", ("-C", "x"), "takes configuration and hooks from another repository"),
    ("git", ("--paginate",), "starts the configured pager"),
    ("git fetch", ("--upload-pack=x",), "names the program at the other end, which may be this machine"),
    ("git pull", ("--upload-pack=x",), "names the program at the other end, which may be this machine"),
    ("git clone", ("--upload-pack=x",), "names the program at the other end, which may be this machine"),
    ("git clone", ("-c", "core.fsmonitor=x"), "sets any configuration in the clone"),
    ("git clone", ("--template=x",), "copies hooks into the clone"),
    ("git init", ("--template=x",), "copies hooks into the repository"),
    ("git ls-remote", ("--upload-pack=x",), "names the program at the other end, which may be this machine"),
    ("git push", ("--receive-pack=x",), "names the program at the other end, which may be this machine"),
    ("git archive", ("--exec=x",), "names the program at the other end"),
    ("git fetch", ("ext::x",), "starts any command as a transport"),
    ("git clone", ("ext::x",), "starts any command as a transport"),
    ("git diff", ("--ext-diff",), "starts the diff program of the configuration"),
    ("git log", ("--ext-diff",), "starts the diff program of the configuration"),
    ("git show", ("--ext-diff",), "starts the diff program of the configuration"),
    ("git diff", ("--textconv",), "starts the filter of the configuration"),
    ("git grep", ("-O", "x"), "opens what it found in a program"),
    ("git rebase", ("--exec", "x"), "runs a shell line after each commit"),
    ("git bisect run", (), "runs a program for each commit"),
    ("git submodule foreach", (), "runs a shell line in each submodule"),
    ("git filter-branch", (), "runs shell lines on each commit"),
    ("git difftool", (), "starts the tool of the configuration"),
    ("git mergetool", (), "starts the tool of the configuration"),
    ("git hook run", (), "runs a hook"),
    ("git config", (), "writes configuration that names programs"),
    ("find", ("-exec", "x", ";"), "runs a program for each file"),
    ("find", ("-execdir", "x", ";"), "runs a program in each folder"),
    ("find", ("-ok", "x", ";"), "runs a program for each file"),
    ("find", ("-okdir", "x", ";"), "runs a program in each folder"),
    ("fd", ("-x", "x"), "runs a program for each file"),
    ("fd", ("-X", "x"), "runs a program on all files"),
    ("tar", ("--to-command=x",), "pipes each file into a program"),
    ("tar", ("--checkpoint-action=exec=x",), "runs a program at each checkpoint"),
    ("tar", ("-I", "x"), "runs a program to compress"),
    ("tar", ("--use-compress-program=x",), "runs a program to compress"),
    ("tar", ("--rsh-command=x",), "runs a program to reach a remote archive"),
    ("tar", ("-F", "x"), "runs a script at the end of each volume"),
    ("awk", ('BEGIN{system("x")}',), "is a language: system(), pipes and redirections"),
    ("awk", ("-f", "x"), "takes its program from a file"),
    ("awk", ("-l", "x"), "loads an extension"),
    ("sed", ("1e x",), "is a language: `e` and `s///e` run a shell line"),
    ("sed", ("-f", "x"), "takes its script from a file"),
    ("sort", ("--compress-program=x",), "runs a program to compress"),
    ("split", ("--filter=x",), "pipes each part into a shell line"),
    ("rsync", ("-e", "x"), "names the program that connects"),
    ("rsync", ("--rsh=x",), "names the program that connects"),
    ("rsync", ("--rsync-path=x",), "names the program at the other end"),
    ("ssh", ("-o", "ProxyCommand=x"), "runs a shell line to connect"),
    ("ssh", ("-F", "x"), "takes a configuration that can run programs"),
    ("scp", ("-S", "x"), "names the program that connects"),
    ("scp", ("-o", "ProxyCommand=x"), "runs a shell line to connect"),
    ("sftp", ("-S", "x"), "names the program that connects"),
    ("rg", ("--pre", "x"), "runs a program on each file"),
    ("rg", ("--hostname-bin", "x"), "runs a program"),
    ("python", ("-c", "x"), "is a program on the command line"),
    ("python", ("-m", "x"), "runs any module"),
    ("perl", ("-e", "x"), "is a program on the command line"),
    ("ruby", ("-e", "x"), "is a program on the command line"),
    ("node", ("-e", "x"), "is a program on the command line"),
    ("php", ("-r", "x"), "is a program on the command line"),
    ("bash", ("-c", "x"), "is a program on the command line"),
    ("sh", ("-c", "x"), "is a program on the command line"),
    ("vim", ("-c", "!x"), "runs shell lines by its own commands"),
    ("vi", ("-c", "!x"), "runs shell lines by its own commands"),
    ("less", ("+!x",), "runs shell lines by its own commands"),
    ("man", ("-P", "x"), "starts a pager of one's choice"),
    ("man", ("--pager=x",), "starts a pager of one's choice"),
    ("xargs", ("x",), "runs what it is given"),
    ("env", ("x",), "runs what it is given"),
    ("timeout", ("1", "x"), "runs what it is given"),
    ("nice", ("x",), "runs what it is given"),
    ("busybox", ("sh",), "is many programs, a shell among them"),
    ("watch", ("x",), "runs what it is given"),
    ("time", ("x",), "runs what it is given"),
    ("flock", ("x", "x"), "runs what it is given"),
    ("strace", ("x",), "runs what it is given"),
    ("zip", ("-T", "-TT", "x"), "runs a shell line to test the archive"),
    ("cpio", ("--rsh-command=x",), "runs a program to reach a remote archive"),
    ("gdb", ("-ex", "!x"), "runs shell lines by its own commands"),
    ("make", ("SHELL=x",), "runs shell lines of a makefile or the command line"),
    ("npm", ("run",), "runs the scripts of package.json"),
    ("npm", ("install",), "runs the install scripts of packages"),
    ("npm", ("exec",), "runs programs of packages"),
    ("pip", ("install",), "runs the build scripts of packages"),
    ("go", ("run",), "compiles and runs"),
    ("go", ("generate",), "runs the commands in the sources"),
    ("cargo", ("run",), "compiles and runs"),
    ("cargo", ("build",), "runs build scripts"),
    ("docker", ("run",), "gives power over the machine"),
    ("docker", ("exec",), "gives power over the containers"),
    ("openssl", ("-engine", "x"), "loads a library"),
    ("sqlite3", (".shell x",), "runs shell lines by its own commands"),
    ("psql", ("-c", "\\! x"), "runs shell lines by its own commands"),
)
_WRITES: _Rows = (
    ("git log", ("--output=x",), "writes to a file"),
    ("git diff", ("--output=x",), "writes to a file"),
    ("git show", ("--output=x",), "writes to a file"),
    ("git archive", ("-o", "x"), "writes to a file"),
    ("git format-patch", ("-o", "x"), "writes to a folder"),
    ("git bundle create", (), "writes to a file"),
    ("git worktree add", (), "writes a tree to a folder"),
    ("find", ("-delete",), "deletes each file"),
    ("find", ("-fprint", "x"), "writes to a file"),
    ("find", ("-fprint0", "x"), "writes to a file"),
    ("find", ("-fprintf", "x", "x"), "writes to a file"),
    ("find", ("-fls", "x"), "writes to a file"),
    ("sed", ("1w x",), "writes to a file by `w`"),
    ("sed", ("-i",), "changes the files themselves"),
    ("sed", ("--in-place",), "changes the files themselves"),
    ("sort", ("-o", "x"), "writes to a file"),
    ("sort", ("--output=x",), "writes to a file"),
    ("uniq", ("x", "x"), "writes to its second file"),
    ("tar", ("-C", "x"), "unpacks into another folder"),
    ("tar", ("--absolute-names",), "unpacks to absolute paths"),
    ("tee", ("x",), "writes to its files"),
    ("tree", ("-o", "x"), "writes to a file"),
    ("curl", ("-o", "x"), "writes to a file"),
    ("curl", ("-O",), "writes to a file"),
    ("curl", ("-c", "x"), "writes cookies to a file"),
    ("wget", ("-O", "x"), "writes to a file"),
    ("rsync", ("--delete",), "deletes at the other end"),
    ("rsync", ("--log-file=x",), "writes to a file"),
    ("xxd", ("-r", "x", "x"), "writes to its second file"),
    ("less", ("-o", "x"), "writes to a file"),
    ("dmesg", ("-C",), "empties the kernel's log"),
    ("date", ("-s", "x"), "sets the clock"),
    ("hostname", ("x",), "sets the machine's name"),
)
_READS: _Rows = (
    ("curl", ("-K", "x"), "takes its options from a file"),
    ("curl", ("file:///x",), "reads files as if they were addresses"),
    ("curl", ("-d", "@x"), "sends files"),
    ("curl", ("-T", "x"), "sends files"),
    ("wget", ("-i", "x"), "takes addresses from a file"),
    ("git diff", ("--no-index",), "compares any two files"),
    ("grep", ("-f", "x"), "shows a file by its patterns"),
    ("rg", ("-f", "x"), "shows a file by its patterns"),
    ("date", ("-f", "x"), "shows a file by its errors"),
    ("file", ("-f", "x"), "shows a file by its errors"),
    ("sort", ("--files0-from=x",), "takes the names of files from a file"),
    ("wc", ("--files0-from=x",), "takes the names of files from a file"),
    ("du", ("--files0-from=x",), "takes the names of files from a file"),
    ("tar", ("-T", "x"), "takes the names of files from a file"),
    ("rsync", ("--files-from=x",), "takes the names of files from a file"),
)

_ROWS: tuple[tuple[Effect, _Rows], ...] = (
    ("runs_programs", _RUNS),
    ("writes_files", _WRITES),
    ("reads_files", _READS),
)

RISKS: tuple[Risk, ...] = tuple(
    Risk(tuple(command.split()), words, effect, about) for effect, rows in _ROWS for command, words, about in rows
)
"""Every row. A program's other spellings (`mawk`, `python3.11`) are known by the name here."""
