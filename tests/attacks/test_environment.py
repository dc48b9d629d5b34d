"""Threats E: the environment and secrets of the host."""

from __future__ import annotations

import pytest
from hosted import Hosted

LOADING = (
    "LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "GCONV_PATH", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PERL5OPT",
    "NODE_OPTIONS", "RUBYOPT", "BASH_ENV", "ENV", "PS4", "IFS", "PATH", "HOME", "GIT_DIR", "GIT_EXEC_PATH",
    "GIT_CONFIG_COUNT", "GIT_SSH_COMMAND", "PAGER", "GIT_PAGER", "EDITOR", "VISUAL", "LOCPATH", "TERMINFO",
    "GLIBC_TUNABLES", "SHELLOPTS", "PROMPT_COMMAND", "LESSOPEN", "MAKEFLAGS", "TAR_OPTIONS", "RIPGREP_CONFIG_PATH",
    "JAVA_TOOL_OPTIONS", "OPENSSL_CONF", "SSH_ASKPASS", "CDPATH", "npm_config_script_shell", "LUA_INIT", "PERL5LIB",
    "NLSPATH", "MALLOC_CONF",
)  # fmt: skip


@pytest.mark.parametrize("how", ["set", "pass"])
def test_a_variable_that_loads_code_refuses_the_policy(shared_host: Hosted, how: str) -> None:
    for name in LOADING:
        env = f'set = {{ {name} = "/workspace/x" }}' if how == "set" else f'pass = ["{name}"]'
        shared_host.write("other", f'[commands]\nallow = ["true"]\n[env]\n{env}\n')
        problems = shared_host.ask(do="reload")["problems"]
        assert any(": env_loads_code: " in one for one in problems), (name, problems)
    (shared_host.policies / "other.toml").unlink()
    assert shared_host.ask(do="reload")["problems"] == []


@pytest.mark.parametrize("name", ["BASH_FUNC_x%%", "A=B", "", "A B", "1A", "A\\nB"])
def test_a_name_that_is_none_refuses_the_policy(shared_host: Hosted, name: str) -> None:
    shared_host.write("other", f'[commands]\nallow = ["true"]\n[env]\nset = {{ "{name}" = "x" }}\n')
    assert shared_host.ask(do="reload")["problems"]
    (shared_host.policies / "other.toml").unlink()
    assert shared_host.ask(do="reload")["problems"] == []


def test_a_call_sees_the_short_environment_and_nothing_of_the_host_s(host: Hosted) -> None:
    code = "import os; print(sorted(os.environ)); print(open('/proc/self/environ').read().count(chr(0)))"
    said = host.run("python3", "-c", code)
    names = said["stdout"].splitlines()[0]
    assert "SECRET" not in names
    assert "TOOLHOST" not in names
    look = """
import glob
for name in glob.glob("/proc/*/environ") + glob.glob("/proc/*/cmdline"):
    try: print(open(name).read())
    except OSError: pass
"""
    found = host.run("python3", "-c", look)["stdout"]
    assert "CANARY" not in found
    assert "--bind" not in found
    assert str(host.data) not in found


def test_no_file_of_the_host_is_there(host: Hosted) -> None:
    places = "/etc/passwd /etc/shadow /etc/hosts /root /home /run /sys /var /srv /opt /boot /mnt ~/.ssh ~/.aws ~/.netrc"
    said = host.run("sh", "-c", f"for p in {places}; do [ -e $p ] && echo $p; done; ls /", timeout=30)
    assert set(said["stdout"].split()) <= {
        "bin",
        "dev",
        "etc",
        "lib",
        "lib64",
        "proc",
        "sbin",
        "tmp",
        "usr",
        "workspace",
    }


def test_what_the_host_shows_of_its_mounts_names_no_other_root(host: Hosted) -> None:
    said = host.run("cat", "/proc/self/mountinfo")
    assert said["status"] == "denied"  # not a root
    found = host.run("sh", "-c", "cat /proc/self/mountinfo /proc/self/mounts")["stdout"]
    assert str(host.policies) not in found
    assert "/home" not in found
