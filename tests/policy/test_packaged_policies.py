"""The policies that come with the host: valid, tried, and as strict as the documents ask."""

import re
from pathlib import Path

import pytest
import tomli
from policy_bench import Bench

POLICIES = Path(__file__).parents[2] / "policies"
FORBIDDEN = """
mkfs fdisk dd shred wget curl nc netcat ncat useradd userdel usermod passwd chpasswd crontab at batch iptables ip6tables
nft ufw mount umount losetup shutdown reboot poweroff init telinit ssh-keygen ssh-add docker podman kubectl systemctl
machinectl runc
""".split()  # noqa: SIM905 - one line a name would hide the page


@pytest.fixture
def packaged(bench: Bench) -> Bench:
    """A host with the packaged policies."""
    for file in POLICIES.glob("*.toml"):
        bench.write(file.stem, file.read_text())
    bench.load()
    return bench


def test_they_load_without_a_problem(packaged: Bench) -> None:
    assert set(packaged.store.current.policies) == {file.stem for file in POLICIES.glob("*.toml")} - {"host"}


@pytest.mark.parametrize("file", sorted(POLICIES.glob("*.toml")), ids=lambda file: file.stem)
def test_they_are_short_and_have_examples_of_what_is_denied(file: Path) -> None:
    data = tomli.loads(file.read_text())
    assert len(file.read_text().splitlines()) <= 60
    if file.stem != "host":
        assert data["about"]
        outcomes = {example["expect"] for example in data["tests"]}
        rules = {**data.get("tools", {}), **data.get("commands", {})}
        assert outcomes >= {"deny", *(outcome for outcome in ("allow", "ask") if rules.get(outcome))}


def test_every_entry_of_the_documents_is_among_them() -> None:
    entries = """mkfs fdisk dd shred wget curl nc netcat ncat useradd userdel usermod passwd chpasswd crontab at batch
    iptables ip6tables nft ufw mount umount losetup shutdown reboot poweroff init telinit ssh-keygen ssh-add"""
    assert set(entries.split()) | {"docker"} <= set(FORBIDDEN)
    assert len(entries.split()) + len(("docker run", "docker exec")) == 33


@pytest.mark.parametrize("program", FORBIDDEN)
def test_what_the_documents_forbid_no_policy_can_name(packaged: Bench, program: str) -> None:
    (problem,) = packaged.problems(probe=f'[commands]\nallow = ["{program} ..."]\n')
    assert re.match(r"probe\.toml:3:\d+: host_deny: .*host\.toml:\d+", problem)


@pytest.mark.parametrize("line", ["docker --context=x run", "mkfs.ext4 /dev/sda", "nc.openbsd -l 1", "iptables-save"])
def test_no_spelling_of_them_helps(packaged: Bench, line: str) -> None:
    packaged.load(probe='[commands]\nallow = ["uname ..."]\n[paths]\nwrite = ["{workspace}"]\n')
    decision = packaged.decide(line)
    assert decision.code == "host_deny"
    assert decision.source.startswith("host.toml:")


@pytest.mark.parametrize(
    ("plugin", "line", "outcome"),
    [
        ("git", "git status --short --branch", "allow"),
        ("git", "git log --no-ext-diff --no-textconv --max-count 20 HEAD~2 --", "allow"),
        ("git", "git diff --no-color --no-ext-diff --no-textconv --staged main..topic -- src", "allow"),
        ("git", "git show --no-ext-diff --no-textconv v1.0 --", "allow"),
        ("git", "git add --verbose -- a b", "allow"),
        ("git", "git commit --no-verify --no-gpg-sign --message x", "ask"),
        ("git", "git blame --date=short --no-textconv -L 1,+5 HEAD -- src/app.py", "allow"),
        ("git", "git blame --date=short -L 1,+5 -- src/app.py", "deny"),
        ("git", "git blame --no-textconv --contents=/etc/passwd -- src/app.py", "deny"),
        ("git", "git cat-file blob HEAD~2:src/app.py", "allow"),
        ("git", "git cat-file --textconv HEAD:src/app.py", "deny"),
        ("git", "git cat-file blob --batch", "deny"),
        ("git", "git branch --list --verbose --no-color", "allow"),
        ("git", "git branch -D main", "deny"),
        ("git", "git tag --list -n1 --sort=-creatordate", "allow"),
        ("git", "git tag v1", "deny"),
        ("git", "git switch --no-guess topic", "ask"),
        ("git", "git switch --discard-changes topic", "deny"),
        ("git", "git switch --no-track --create topic HEAD~1", "ask"),
        ("git", "git restore --staged -- a", "ask"),
        ("git", "git restore -- ../a", "deny"),
        ("git", "git stash push --include-untracked --message x", "ask"),
        ("git", "git stash pop 0", "ask"),
        ("git", "git stash clear", "deny"),
        ("git", "git reset --hard", "deny"),
        ("git", "git push --no-verify origin main", "deny"),
        ("git", "git push --force", "deny"),
        ("git", "git -c core.pager=id log", "deny"),
        ("git", "git -c alias.x=!id x", "deny"),
        ("git", "git --exec-path=/workspace log", "deny"),
        ("git", "git --git-dir=/workspace/evil log", "deny"),
        ("git", "git -C /srv log", "deny"),
        ("git", "git log", "deny"),
        ("git", "git log -p", "deny"),
        ("git", "git log --no-ext-diff --no-textconv --output=x", "deny"),
        ("git", "git diff --no-ext-diff --no-textconv --no-index /etc/passwd /dev/null", "deny"),
        ("git", "git diff --ext-diff --no-textconv", "deny"),
        ("git", "git diff --no-ext-diff --no-textconv -- ../x", "deny"),
        ("git", "git show --no-ext-diff --no-textconv --output=x HEAD", "deny"),
        ("git", "git fetch ext::sh", "deny"),
        ("git", "git clone --upload-pack=id x", "deny"),
        ("git", "git grep -O x", "deny"),
        ("git", "git archive --exec=id HEAD", "deny"),
        ("shell", "bash -c 'ls | wc -l'", "ask"),
        ("shell", "bash -i", "deny"),
        ("shell", "sh -c ls", "deny"),
        ("system", "uname --all", "allow"),
        ("system", "df --human-readable --print-type -- /var/log", "allow"),
        ("system", "df --human-readable -- /", "deny"),
        ("system", "free --human --wide", "allow"),
        ("system", "uptime", "allow"),
        ("system", "ls -l -t --human-readable -- /var/log", "allow"),
        ("system", "tail --lines 100 -- /var/log/dpkg.log", "allow"),
        ("system", "du --human-readable --one-file-system --max-depth 1 --threshold 10M -- /var/log", "ask"),
        ("system", "tail --lines 100 -- /etc/shadow", "deny"),
        ("system", "tail --lines 100 -- /var/log/../../etc/shadow", "deny"),
        ("system", "tail -f /var/log/dpkg.log", "deny"),
        ("system", "tail --lines 100000 -- /var/log/dpkg.log", "deny"),
    ],
)
def test_what_they_decide(packaged: Bench, plugin: str, line: str, outcome: str) -> None:
    assert packaged.decide(line, plugin=plugin).outcome == outcome


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("list", "allow"),
        ("read", "allow"),
        ("search", "allow"),
        ("stat", "allow"),
        ("write", "ask"),
        ("delete", "ask"),
        ("chmod", "deny"),
    ],
)
def test_files_are_read_freely_and_written_after_a_question(packaged: Bench, name: str, outcome: str) -> None:
    assert packaged.worker(f"files.{name}", {}, {}).decision.outcome == outcome


def test_the_shell_has_no_interpreter_but_the_one_it_declares(packaged: Bench) -> None:
    policy = packaged.store.current.policy("shell")
    assert [name for name in policy.programs if name in ("bash", "sh", "python3", "perl", "env", "xargs")] == ["bash"]
