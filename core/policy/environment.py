"""The environment of a sandboxed process: a short fixed one, what a policy adds, and what git needs to be harmless."""

from __future__ import annotations

import re

from toolhost.model import Actor
from toolhost.sandbox.destinations import PROXY
from toolhost.sandbox.plan import HostFile

__all__ = ["BASE", "NETWORK", "git_environment", "git_file", "loads_code"]

BASE = {"HOME": "/tmp", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}  # noqa: S108 - the sandbox's own /tmp
"""What every sandboxed process has."""

_PROXY = "http://{}:{}".format(*PROXY)

NETWORK = {
    **dict.fromkeys(("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "http_proxy", "https_proxy"), _PROXY),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
    "NODE_USE_ENV_PROXY": "1",  # Node.js 22.21 and 24 look at the others only with it
}
"""What a sandboxed process with a network has: the one place where the outside answers. A policy cannot change it."""

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

_GIT_FILE = "/etc/gitconfig"
_GIT_CONFIGURATION = """\
[safe]
	directory = *
[core]
	fsmonitor = false
	hooksPath = /dev/null
	attributesFile = /dev/null
	pager = cat
	editor = false
	quotePath = false
	sshCommand = false
[diff]
	ignoreSubmodules = dirty
	submodule = short
[status]
	submoduleSummary = false
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
"""


def loads_code(name: str) -> bool:
    """Whether a variable makes programs load code, run others or read other files; policies may not set one."""
    return _LOADS_CODE.fullmatch(name) is not None


def git_file() -> HostFile:
    """git's configuration inside a sandbox, so that it starts no other program.

    `safe.directory`: repositories belong to whoever made them, and inside there is one user. `ignoreSubmodules`,
    `submodule` and `submoduleSummary`: git would start another git in each submodule.
    """
    return HostFile(target=_GIT_FILE, text=_GIT_CONFIGURATION)


def git_environment(actor: Actor, *, network: bool) -> dict[str, str]:
    """What git is given: who commits, what it may speak, and its configuration once more, above the repository's own.

    A repository's `.git/config` overrides /etc/gitconfig; what GIT_CONFIG_PARAMETERS brings, an include among it,
    overrides both (it is what `git -c` sets). Unlike GIT_CONFIG_COUNT it also reaches the git that git starts in a
    submodule, which `ignore = none` in .gitmodules brings about. GIT_ALLOW_PROTOCOL stands above the configuration of
    single protocols: without it a repository that lacks an object could have any git command fetch it (`ext::`).

    Args:
        actor: Who calls.
        network: Whether it may speak HTTP; else it speaks nothing.
    """
    who = _printable(actor.username)
    return {
        "GIT_ALLOW_PROTOCOL": "http:https" if network else "",
        "GIT_AUTHOR_NAME": who,
        "GIT_AUTHOR_EMAIL": f"{who}@toolhost.local",
        "GIT_COMMITTER_NAME": who,
        "GIT_COMMITTER_EMAIL": f"{who}@toolhost.local",
        "GIT_CONFIG_PARAMETERS": f"'include.path={_GIT_FILE}'",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
    }


def _printable(name: str) -> str:
    """A name that can stand in a commit's header: git itself would drop these characters, or end the header."""
    return "".join(char for char in name if char.isprintable() and char not in "<>").strip() or "unknown"
