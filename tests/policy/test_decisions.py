"""Decisions: deny beats ask beats allow, order never matters, empty means none."""

from pathlib import Path

import pytest
from policy_bench import Bench, actor

WORKSPACE = '[paths]\nwrite = ["{workspace}"]\n'


def policy(*, allow: str = "", ask: str = "", deny: str = "", more: str = WORKSPACE) -> str:
    """A policy's text with these rules, written as TOML list items."""
    return f"[commands]\nallow = [{allow}]\nask = [{ask}]\ndeny = [{deny}]\n{more}"


def test_a_rule_that_allows_is_named_with_its_line(bench: Bench) -> None:
    bench.load(probe=policy(allow='"uname [-a]"'))
    decision = bench.decide("uname -a")
    assert (decision.outcome, decision.code, decision.source) == ("allow", "rule_allow", "probe.toml:3")


def test_ask_beats_allow_and_deny_beats_both(bench: Bench) -> None:
    bench.load(probe=policy(allow='"ls ..."', ask='"ls -a"', deny='"ls -a x"'))
    assert [bench.decide(line).code for line in ("ls", "ls -a", "ls -a x")] == ["rule_allow", "rule_ask", "rule_deny"]


@pytest.mark.parametrize(
    "line",
    [
        "git push",
        "git -C x push origin",
        "git --no-pager push",
        "/usr/bin/git push",
        "git commit -qam x",
        "git reset --har",
    ],
)
def test_an_ask_beside_an_allow_of_any_arguments_is_not_avoided_by_another_spelling(bench: Bench, line: str) -> None:
    ask = '"git push ...", "git commit -a -m {text}", "git reset --hard", "git"'
    bench.load(probe=policy(allow='"git ...", "/usr/bin/git ..."', ask=ask))
    considered = bench.command(line)
    assert (considered.decision.outcome, considered.decision.source) == ("ask", "probe.toml:4")
    assert "git" in (considered.decision.rule or "")
    assert considered.plan is not None
    assert considered.plan.argv[1:] == tuple(line.split()[1:]), "it runs as it was written"
    assert "ask" in {rule.outcome for rule in considered.asked_by}, "a grant lives by the rule that asks"


@pytest.mark.parametrize("line", ["git push", "/usr/bin/git push", "/bin/git -C x push"])
def test_an_ask_means_its_program_by_every_path_that_leads_to_it(bench: Bench, line: str) -> None:
    assert Path("/bin").is_symlink(), "there, git has two paths"
    bench.load(probe=policy(allow='"git ...", "/usr/bin/git ...", "/bin/git ..."', ask='"/bin/git push ..."'))
    assert bench.decide(line).outcome == "ask"


@pytest.mark.parametrize("line", ["git log push", "git log", "git commit -m x", "git --version"])
def test_an_allow_of_any_arguments_allows_what_no_ask_means(bench: Bench, line: str) -> None:
    bench.load(probe=policy(allow='"git ..."', ask='"git push ...", "git commit -a -m {text}", "git"'))
    assert bench.decide(line).outcome == "allow"


def test_an_allow_of_one_form_beside_an_ask_stays_an_allow(bench: Bench) -> None:
    bench.load(probe=policy(allow='"ls -l {read...}"', ask='"ls [-a] {read...}"'))
    assert [bench.decide(line).outcome for line in ("ls -l .", "ls .")] == ["allow", "ask"]


def test_what_no_rule_matches_is_denied_without_a_source(bench: Bench) -> None:
    bench.load(probe=policy(allow='"uname -a"'))
    decision = bench.decide("uname -r")
    assert (decision.outcome, decision.code, decision.source) == ("deny", "no_rule", None)
    assert "uname -a" in decision.hint


@pytest.mark.parametrize("text", ["", "[commands]\n", "[commands]\nallow = []\n", "[tools]\nallow = []\n"])
def test_an_empty_policy_grants_nothing(bench: Bench, text: str) -> None:
    bench.load(probe=text + WORKSPACE)
    assert bench.decide("uname").code == "no_rule"
    assert bench.worker("probe.read", {}, {}).decision.code == "no_rule"


def test_a_plugin_without_a_policy_is_granted_nothing(bench: Bench) -> None:
    bench.load()
    assert bench.decide("uname").code == "no_policy"


def test_a_policy_that_cannot_be_used_grants_nothing_and_says_where(bench: Bench) -> None:
    bench.problems(probe="[comands]\n")
    decision = bench.decide("uname")
    assert (decision.outcome, decision.code, decision.source) == ("deny", "policy_invalid", "probe.toml:2")


def test_the_hosts_deny_wins_over_an_allow(bench: Bench) -> None:
    bench.load(host='[commands]\ndeny = ["git push ..."]\n', probe=policy(allow='"git push {ref}"'))
    decision = bench.decide("git push main")
    assert (decision.outcome, decision.code, decision.source) == ("deny", "host_deny", "host.toml:2")


@pytest.mark.parametrize("requested", ["/usr/bin/uname", "uname"])
def test_a_program_may_be_asked_for_by_the_path_it_is_pinned_to(bench: Bench, requested: str) -> None:
    bench.load(probe=policy(allow='"uname"'))
    assert bench.argv((requested,))[0] == "/usr/bin/uname"


@pytest.mark.parametrize(
    "requested", ["./uname", "/workspace/uname", "/tmp/uname", "uname ", "Uname", "", "/bin/../usr/bin/uname"]
)
def test_a_lookalike_is_not_the_program(bench: Bench, requested: str) -> None:
    bench.load(probe=policy(allow='"uname"'))
    assert bench.decide((requested,)).code == "no_rule"


def test_a_deny_means_the_file_a_name_stands_for(bench: Bench) -> None:
    target = bench.load(probe=policy(allow='"awk {text}"')).policy("probe").programs["awk"].target.rpartition("/")[2]
    assert target != "awk"
    bench.load(host=f'[commands]\ndeny = ["{target} {{text}}"]\n')
    assert bench.decide("awk 1").code == "host_deny"


def test_a_deny_means_a_program_by_its_file_whatever_it_is_called(bench: Bench) -> None:
    bench.load(host='[commands]\ndeny = ["uname -a"]\n', probe=policy(allow='"/bin/uname -a"'))
    assert bench.decide("/bin/uname -a").code == "host_deny"


def test_a_worker_tool_needs_a_rule_of_its_own(bench: Bench) -> None:
    bench.load(probe='[tools]\nallow = ["read"]\nask = ["write"]\ndeny = ["wipe"]\n' + WORKSPACE)
    codes = [bench.worker(f"probe.{name}", {}, {}).decision.code for name in ("read", "write", "wipe", "other")]
    assert codes == ["rule_allow", "rule_ask", "tool_deny", "no_rule"]


@pytest.mark.parametrize(
    ("tools", "code"),
    [
        ('ask = ["run"]', "rule_ask"),
        ('deny = ["run"]', "tool_deny"),
        ('allow = ["run"]', "rule_allow"),
        ("", "rule_allow"),
    ],
)
def test_of_tools_and_commands_the_strictest_wins(bench: Bench, tools: str, code: str) -> None:
    bench.load(probe=f"[tools]\n{tools}\n" + policy(allow='"uname"'))
    assert bench.decide("uname").code == code


def test_a_tool_rule_alone_does_not_grant_a_command(bench: Bench) -> None:
    bench.load(probe='[tools]\nallow = ["run"]\n' + WORKSPACE)
    assert bench.decide("uname").code == "no_rule"


@pytest.mark.parametrize(
    ("who", "role", "username", "served"),
    [
        ("", "user", "ada", True),
        ("", "admin", "ada", True),
        ("", "viewer", "ada", False),
        ('roles = ["admin"]', "user", "ada", False),
        ('roles = ["admin"]', "admin", "ada", True),
        ("roles = []", "admin", "ada", False),
        ('users = ["ada"]', "user", "ada", True),
        ('users = ["ada"]', "admin", "eve", False),
        ("users = []", "admin", "ada", False),
        ('roles = ["admin"]\nusers = ["ada"]', "user", "ada", True),
    ],
)
def test_who_is_served(bench: Bench, who: str, role: str, username: str, served: bool) -> None:
    bench.load(probe=policy(allow='"uname"') + f"[who]\n{who}\n")
    decision = bench.decide("uname", actor=actor(role, username))
    assert decision.code == ("rule_allow" if served else "actor_not_served")


@pytest.mark.parametrize(
    ("who", "scopes", "missing"),
    [
        ("", None, ""),
        ('scopes = ["chat"]', None, ""),
        ("", ["tools:run:probe"], ""),
        ("", ["tools:run:prob", "admin"], "tools:run:probe"),
        ("", [], "tools:run:probe"),
        ('scopes = ["chat"]', ["tools:run:probe", "chat", "tools:read"], ""),
        ('scopes = ["chat", "audit:read"]', ["tools:run:probe"], "chat, audit:read"),
        ('scopes = ["chat"]', ["chat"], "tools:run:probe"),
    ],
)
def test_an_api_key_is_served_with_every_scope_and_a_person_without_any(
    bench: Bench, who: str, scopes: list[str] | None, missing: str
) -> None:
    store = bench.load(probe=policy(allow='"uname"') + f"[who]\n{who}\n")
    asking = actor(scopes=scopes)
    decision = bench.decide("uname", actor=asking)
    granted = store.policy("probe")
    assert granted is not None
    assert granted.serves(asking) is (not missing)
    assert asking.attended is (scopes is None)
    if missing:
        assert (decision.outcome, decision.code, decision.source) == ("deny", "scope_missing", "probe.toml:8")
        assert decision.reason.endswith(f": {missing}.")
    else:
        assert decision.code == "rule_allow"


def test_a_key_runs_nothing_its_owner_may_not(bench: Bench) -> None:
    bench.load(probe=policy(allow='"uname"') + '[who]\nroles = ["admin"]\n')
    assert bench.decide("uname", actor=actor(scopes=["tools:run:probe"])).code == "actor_not_served"


def test_a_program_this_machine_lacks_is_denied_and_the_policy_still_loads(bench: Bench) -> None:
    store = bench.load(probe=policy(allow='"no-such-program", "uname"'))
    decision = bench.decide("no-such-program")
    assert (decision.code, decision.source) == ("program_missing", "probe.toml:3")
    assert bench.decide("uname").outcome == "allow"
    assert "no-such-program" in store.warnings[0]


def test_of_two_rules_that_match_the_one_that_says_more_is_taken(bench: Bench) -> None:
    narrow = '{ run = "ls -a", limits = { wall = "5s" } }'
    for allow in (f'"ls ...", {narrow}', f'{narrow}, "ls ..."'):
        bench.load(probe=policy(allow=allow))
        plan = bench.command("ls -a").plan
        assert plan is not None
        assert plan.limits.wall == 5


def test_limits_are_the_rules_then_the_policys_then_the_hosts(bench: Bench) -> None:
    bench.load(
        host='[limits]\nmemory = "256M"\ncpu = "10s"\n',
        probe=policy(allow='{ run = "uname", limits = { wall = "2m" } }')
        + '[limits]\nwall = "10s"\nprocesses = 5\ncpu = "7s"\n',
    )
    plan = bench.command("uname").plan
    assert plan is not None
    limits = plan.limits
    assert (limits.wall, limits.processes, limits.cpu, limits.memory) == (120, 5, 7, 256 << 20)


def test_the_plan_has_exactly_what_the_policy_names(bench: Bench) -> None:
    bench.load(
        probe=policy(allow='"ls"').replace("[commands]", '[commands]\ninside = ["cat", "ls"]')
        + '[env]\nset = { TZ = "UTC" }\n'
    )
    plan = bench.command("ls").plan
    assert plan is not None
    assert [program.name for program in plan.programs] == ["ls", "cat"]
    assert plan.env == (("HOME", "/tmp"), ("LANG", "C.UTF-8"), ("PATH", "/usr/bin:/bin"), ("TZ", "UTC"))
    assert [(root.source, root.target, root.writable) for root in plan.roots] == [
        (str(bench.workspace), "/workspace", True)
    ]
    assert (plan.cwd, plan.network, plan.kind) == ("/workspace", (), "command")
    assert plan.policy_digest == bench.store.current.digest("probe")


def test_git_commits_as_the_actor_and_obeys_no_repository(bench: Bench) -> None:
    bench.load(probe=policy(allow='"git status"'))
    plan = bench.command("git status", actor=actor(username="Ada <x>\n")).plan
    assert plan is not None
    env = dict(plan.env)
    assert (env["GIT_AUTHOR_NAME"], env["GIT_COMMITTER_EMAIL"]) == ("Ada x", "Ada x@toolhost.local")
    (file,) = plan.files
    assert file.target == "/etc/gitconfig"
    assert env["GIT_CONFIG_PARAMETERS"] == "'include.path=/etc/gitconfig'"
    assert "directory = *" in file.text


def test_a_read_only_workspace_is_not_written_whatever_the_policy_says(bench: Bench) -> None:
    bench.load(probe=policy(allow='"touch {write}", "ls"'))
    plan = bench.command("ls", workspace_writable=False).plan
    assert plan is not None
    assert [root.writable for root in plan.roots] == [False]
    assert bench.decide("touch x", workspace_writable=False).code == "path_read_only"


@pytest.mark.parametrize(
    ("cwd", "code"),
    [
        ("{workspace}", "rule_allow"),
        ("/tmp", "rule_allow"),
        ("/workspace", "rule_allow"),
        ("/srv", "cwd_outside_roots"),
        ("/workspace/..", "cwd_outside_roots"),
        ("/workspace/none", "cwd_missing"),
        ("relative", "cwd_outside_roots"),
    ],
)
def test_the_working_folder_lies_in_a_root(bench: Bench, cwd: str, code: str) -> None:
    bench.load(probe=policy(allow='"uname"'))
    assert bench.decide("uname", cwd=cwd).code == code


def test_without_the_workspace_granted_a_command_starts_in_an_empty_folder(bench: Bench) -> None:
    bench.load(probe=policy(allow='"uname", "cat {read}"', more=""))
    plan = bench.command("uname").plan
    assert plan is not None
    assert (plan.cwd, plan.roots) == ("/tmp", ())
    assert bench.decide("cat x").code == "path_outside_roots"
    assert bench.decide("uname", cwd="/workspace").code == "cwd_outside_roots"


def test_a_workspace_that_is_gone_is_a_denial(bench: Bench) -> None:
    bench.load(probe=policy(allow='"uname"'))
    assert bench.decide("uname", workspace=str(bench.folder / "gone")).code == "root_missing"
