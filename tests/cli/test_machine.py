"""What is wrong with the machine, the settings or the data directory is one sentence, and nothing runs."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from toolhost import service_user
from toolhost.errors import MachineError
from toolhost.service_user import become_service_user

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.splitlines()
    assert lines, done
    assert lines[0].startswith("error: ")
    assert "Traceback" not in done.stderr
    return lines[0].rpartition("[")[2].rstrip("]")


def test_a_data_directory_that_cannot_be_written_is_named(toolhost) -> None:
    done = toolhost("call", "files.list", env={"TOOLHOST_DATA": "/proc/nowhere"})
    assert done.returncode == 1
    assert error_of(done) == "data_not_writable"
    assert "/proc/nowhere" in done.stderr


def test_a_data_directory_may_have_any_name_and_everything_is_in_it(toolhost, space: Path) -> None:
    folder = space / "odd"
    odd = folder / "a b%41?mode=memory#\n'é"
    there = {"TOOLHOST_DATA": str(odd)}
    assert toolhost("call", "system.uname", env=there).returncode == 0
    assert (odd / "state" / "toolhost.db").stat().st_size
    assert list(folder.iterdir()) == [odd]
    doctor = toolhost("doctor", "--json", env=there)
    assert "The database is sound." in doctor.stdout


def test_somebody_else_s_data_directory_is_left_as_it_is(toolhost, space: Path) -> None:
    other = space / "other"
    other.mkdir(mode=0o755)
    (other / "letter").write_text("private")
    if os.geteuid() != 0:
        other.chmod(0o555)
    done = toolhost("tools", env={"TOOLHOST_DATA": str(other)})
    assert done.returncode == 1
    assert error_of(done) == "data_not_writable"
    assert sorted(path.name for path in other.iterdir()) == ["letter"]
    assert other.stat().st_uid == os.geteuid()


def test_a_data_directory_with_a_very_long_path_is_used_or_refused_in_words(toolhost, space: Path) -> None:
    room = 480 - len(os.fsencode(space))
    longest = space / ("/".join(["d" * 99] * (room // 100)) + "/" + "e" * (room - 1 - 100 * (room // 100)))
    assert len(os.fsencode(longest)) == 480
    assert toolhost("call", "system.uptime", env={"TOOLHOST_DATA": str(longest)}).returncode == 0
    done = toolhost("call", "system.uptime", env={"TOOLHOST_DATA": f"{longest}f"})
    assert (done.returncode, error_of(done)) == (1, "data_not_writable")
    assert "more than 480 bytes" in done.stderr


@pytest.mark.parametrize("inner", ["", "state"])
def test_a_data_directory_in_which_others_could_replace_a_folder_is_not_used(
    toolhost, data: Path, policies: Path, inner: str
) -> None:
    assert toolhost("tools").returncode == 0
    mode = stat.S_IMODE((data / inner).stat().st_mode)
    (data / inner).chmod(mode | 0o002)
    done = toolhost("tools")
    assert (done.returncode, error_of(done)) == (1, "data_not_trusted")
    assert f"chmod go-w {data / inner}" in done.stderr
    (data / inner).chmod(mode)
    assert toolhost("tools").returncode == 0


@as_root
def test_a_policy_of_somebody_who_is_neither_root_nor_the_host_grants_nothing(toolhost, policies: Path) -> None:
    allowed = ("policy", "explain", "system.uptime")
    assert toolhost(*allowed).stdout.startswith("decision: allow")
    os.chown(policies / "system.toml", 65534, 65534)
    denied = toolhost(*allowed).stdout
    assert denied.startswith("decision: deny")
    assert "belongs to neither root nor the user who runs toolhost, but to uid 65534" in denied
    assert "system.toml:1:1: file_owned_by_others" in toolhost("policy", "check").stdout
    doctor = toolhost("doctor")
    assert doctor.returncode == 1
    assert f"{policies / 'system.toml'} can be written by others than root and the host's user" in doctor.stdout
    os.chown(policies / "system.toml", 0, 0)
    os.chown(policies / "host.toml", 65534, 65534)
    assert toolhost(*allowed).stdout.startswith("decision: deny"), "without the host's denies nothing is granted"


@as_root
def test_a_policies_folder_of_somebody_who_is_neither_root_nor_the_host_is_not_used(toolhost, policies: Path) -> None:
    assert toolhost("tools").returncode == 0
    os.chown(policies, 65534, 65534)
    done = toolhost("tools")
    assert (done.returncode, error_of(done)) == (1, "data_not_trusted")


@as_root
def test_a_draft_of_anybody_can_be_checked(toolhost, policies: Path, space: Path) -> None:
    draft = space / "system.toml"
    draft.write_bytes((policies / "system.toml").read_bytes())
    os.chown(draft, 65534, 65534)
    assert toolhost("policy", "check", str(draft)).stdout == ""


def test_a_data_directory_given_as_a_link_is_not_followed_by_root(toolhost, space: Path) -> None:
    target = space / "target"
    target.mkdir()
    (space / "link").symlink_to(target)
    toolhost("tools", env={"TOOLHOST_DATA": str(space / "link")})
    if os.geteuid() == 0:
        assert target.stat().st_uid == 0


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"TOOLHOST_DATE": "/tmp/x"}, "unknown_setting"),
        ({"TOOLHOST_DATA": "relative"}, "setting_invalid"),
        ({"TOOLHOST_PORT": "80000"}, "setting_invalid"),
        ({"TOOLHOST_PORT": "http"}, "setting_invalid"),
    ],
)
def test_a_wrong_setting_is_refused(toolhost, variables, code) -> None:
    done = toolhost("tools", env=variables)
    assert done.returncode == 2
    assert error_of(done) == code


def test_a_misspelt_variable_gets_the_nearest_one(toolhost) -> None:
    assert "TOOLHOST_DATA" in toolhost("tools", env={"TOOLHOST_DATE": "/tmp/x"}).stderr


@as_root
def test_root_is_given_up_and_the_data_directory_belongs_to_the_service_user(toolhost, space: Path) -> None:
    data = space / "new"
    assert toolhost("tools", env={"TOOLHOST_DATA": str(data)}).returncode == 0
    status = Path("/etc/passwd").read_text()
    uid = next(int(line.split(":")[2]) for line in status.splitlines() if line.startswith("toolhost:"))
    assert data.stat().st_uid == uid
    assert all(path.lstat().st_uid == uid for path in data.rglob("*"))
    assert stat.S_IMODE((data / "state").stat().st_mode) == 0o700
    for name in ("audit.log", "toolhost.db"):
        assert stat.S_IMODE((data / "state" / name).stat().st_mode) == 0o600


@as_root
def test_without_bubblewrap_tools_do_not_run(executable, environment, workspace: Path, data: Path) -> None:
    hide = 'mount --bind /dev/null /usr/bin/bwrap && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hide, "sh", executable, "call", "system.uname"],
        cwd=workspace,
        env={**environment, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert done.stdout == ""
    assert "bubblewrap" in done.stderr
    assert "hint: " in done.stderr


@as_root
def test_what_cannot_be_recorded_does_not_run(toolhost, workspace: Path, data: Path) -> None:
    assert toolhost("call", "system.uname").returncode == 0
    log = data / "state" / "audit.log"
    os.chown(log, 0, 0)
    done = toolhost("call", "shell.run", "script=echo ran > proof.txt", "--approve")
    assert done.returncode == 7
    assert error_of(done) == "audit_unavailable"
    assert not (workspace / "proof.txt").exists()


def test_a_missing_service_user_gets_the_command_that_creates_it(monkeypatch: pytest.MonkeyPatch, space: Path) -> None:
    monkeypatch.setattr(service_user, "SERVICE_USER", "no-such-user-here")
    monkeypatch.setattr(os, "getresuid", lambda: (0, 0, 0))
    with pytest.raises(MachineError) as caught:
        become_service_user(space / "data", {})
    assert caught.value.code == "service_user_missing"
    assert "useradd --system" in caught.value.hint
    assert not (space / "data").exists()


def test_an_ordinary_user_stays_who_they_are(monkeypatch: pytest.MonkeyPatch, space: Path) -> None:
    monkeypatch.setattr(os, "getresuid", lambda: (1234, 1234, 1234))
    variables = {"HOME": "/home/ada"}
    become_service_user(space / "data", variables)
    assert variables == {"HOME": "/home/ada"}
    assert not (space / "data").exists()
