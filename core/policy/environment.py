"""The environment of a sandboxed process: a short fixed one, what a policy adds, and what git needs to be harmless."""

from __future__ import annotations

import re

from toolhost.model import Actor
from toolhost.sandbox.plan import HostFile

__all__ = ["BASE", "GIT_FILE", "git_environment", "loads_code"]

BASE = {"HOME": "/tmp", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}  # noqa: S108 - the sandbox's own /tmp
"""What every sandboxed process has."""

_LOADS_CODE = re.compile(
    r"""(?x)
    PATH | HOME | IFS | ENV | PS4 | SHELL | SHELLOPTS | CDPATH | GLOBIGNORE | PROMPT_COMMAND | BASH_.* | BASHOPTS
    | LD_.* | DYLD_.* | GCONV_PATH | GLIBC_TUNABLES | MALLOC_.* | LOCPATH | NLSPATH | TERMINFO.* | TERMCAP
    | PYTHON.* | PERL.* | RUBY.* | GEM_.* | BUNDLE_.* | NODE_.* | NPM_.* | npm_.* | DENO_.* | BUN_.*
    | LUA_.* | PHP.* | TCL.*
    | JAVA_TOOL_OPTIONS | _JAVA_OPTIONS | JDK_JAVA_OPTIONS | CLASSPATH
    | GIT_.* | SSH_.* | RSYNC_.* | TAR_OPTIONS | GREP_OPTIONS | RIPGREP_CONFIG_PATH | LESS.* | MAKE.* | GNUMAKEFLAGS
    | .*PAGER | .*EDITOR | VISUAL | BROWSER | OPENSSL_CONF | OPENSSL_ENGINES | OPENSSL_MODULES | CURL_HOME | WGETRC
    """
)

GIT_FILE = HostFile(
    target="/etc/gitconfig",
    text="""\
[safe]
	directory = *
[core]
	fsmonitor = false
	hooksPath = /dev/null
	attributesFile = /dev/null
	pager = cat
	editor = false
	sshCommand = false
[diff]
	ignoreSubmodules = dirty
[submodule]
	recurse = false
[commit]
	gpgSign = false
[tag]
	gpgSign = false
[log]
	showSignature = false
[gc]
	auto = 0
[maintenance]
	auto = false
[credential]
	helper =
[protocol]
	allow = never
""",
)
"""git's configuration inside a sandbox, so that it starts no other program.

`safe.directory`: repositories belong to whoever made them, and inside there is one user. `ignoreSubmodules`: git would
start another git in each submodule, under that repository's configuration.
"""


def loads_code(name: str) -> bool:
    """Whether a variable makes programs load code, run others or read other files; policies may not set one."""
    return _LOADS_CODE.fullmatch(name) is not None


def git_environment(actor: Actor) -> dict[str, str]:
    """What git is given: who commits, and its configuration once more, above the repository's own.

    A repository's `.git/config` overrides /etc/gitconfig; what GIT_CONFIG_COUNT brings, an include among it, overrides
    both (git-config(1), ENVIRONMENT and SCOPES).
    """
    who = _printable(actor.username)
    return {
        "GIT_AUTHOR_NAME": who,
        "GIT_AUTHOR_EMAIL": f"{who}@toolhost.local",
        "GIT_COMMITTER_NAME": who,
        "GIT_COMMITTER_EMAIL": f"{who}@toolhost.local",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "include.path",
        "GIT_CONFIG_VALUE_0": GIT_FILE.target,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
    }


def _printable(name: str) -> str:
    """A name that can stand in a commit's header: git itself would drop these characters, or end the header."""
    return "".join(char for char in name if char.isprintable() and char not in "<>").strip() or "unknown"
