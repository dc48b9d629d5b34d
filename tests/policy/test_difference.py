"""`policy diff` compares what policies grant."""

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolhost.policy.difference import differences
from toolhost.policy.host_file import load_host
from toolhost.policy.load import load_policy
from toolhost.policy.places import Places
from toolhost.policy.values import Policy

RULES = ["ls", "cat {read}", "git log [--oneline]", "git push origin {ref}"]


def some(values: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), unique=True)


POLICIES = st.builds(
    lambda allow, ask, deny, tools, read, write, network, wall, runs, roles: (
        f'plugin = "any"\nexec = {str(runs).lower()}\n[tools]\nask = {json.dumps(tools)}\n'
        f"[commands]\nallow = {json.dumps(allow)}\nask = {json.dumps(ask)}\ndeny = {json.dumps(deny)}\n"
        f"[paths]\nread = {json.dumps(read)}\nwrite = {json.dumps(write)}\n[network]\nallow = {json.dumps(network)}\n"
        f'[limits]\nwall = "{wall}s"\n[who]\nroles = {json.dumps(roles)}\n'
    ),
    some(RULES),
    some(RULES),
    some(["git push ...", "ls"]),
    some(["one", "two"]),
    some(["ROOTS/a", "ROOTS/b"]),
    some(["ROOTS/b", "{workspace}"]),
    some(["example.org:443", "api.example.org:443", "*.example.org:443"]),
    st.integers(1, 60),
    st.booleans(),
    some(["admin", "user"]),
)


def policy(folder: Path, text: str) -> Policy:
    places = Places.of(data=folder / "data", policies=folder / "policies", plugins=folder / "plugins")
    for root in ("a", "b"):
        (folder / "roots" / root).mkdir(parents=True, exist_ok=True)
    host = load_host(b"", "host.toml", places).host
    assert host is not None
    content = text.replace("ROOTS", str(folder / "roots")).encode()
    loaded = load_policy(content, "any.toml", "any", host=host, places=places)
    assert loaded.policy is not None, loaded.problems
    return loaded.policy


@given(POLICIES, POLICIES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=12)
def test_nothing_differs_from_itself_and_wider_one_way_is_narrower_the_other(space, one, other) -> None:
    first, second = policy(space, one), policy(space, other)
    assert not list(differences(first, first))
    back = {"wider": "narrower", "narrower": "wider", "changed": "changed"}
    there = {(found.effect, found.old, found.new) for found in differences(first, second)}
    assert there == {(back[found.effect], found.new, found.old) for found in differences(second, first)}
    gained = list(differences(None, first))
    assert all(found.effect != "narrower" for found in gained)


def test_a_host_that_a_wildcard_covers_is_no_difference(space: Path) -> None:
    one = policy(space, 'plugin = "any"\n[network]\nallow = ["api.example.org:443"]\n')
    wild = policy(space, 'plugin = "any"\n[network]\nallow = ["*.example.org:443"]\n')
    assert [(found.effect, found.key) for found in differences(one, wild)] == [("wider", ("host", "*.example.org:443"))]
    both = policy(space, 'plugin = "any"\n[network]\nallow = ["*.example.org:443", "api.example.org:443"]\n')
    assert not list(differences(wild, both))


def test_the_command_says_what_is_wider_and_what_is_narrower(toolhost, space: Path) -> None:
    old, new, root = space / "files" / "old.toml", space / "files" / "new.toml", space / "project"
    root.mkdir()
    old.parent.mkdir()
    old.write_text(
        f'plugin = "git"\n[commands]\nask = ["git log"]\n[paths]\nwrite = ["{root}"]\n[limits]\nwall = "5s"\n'
    )
    new.write_text(
        'plugin = "git"\n[limits]\nwall = "9s"\n[commands]\nallow = ["git log", "git show"]\n'
        f'[paths]\nread = ["{root}"]\n'
    )
    done = toolhost("policy", "diff", str(old), str(new))
    assert done.returncode == 1, done.stderr
    said = done.stdout.splitlines()
    assert f"+ wider: git: It runs `git show` without asking. ({new}:5)" in said
    assert f"+ wider: git: It runs `git log` without asking. ({new}:5)" in said
    assert f"    before: It runs `git log` when a person agrees. ({old}:3)" in said
    assert f"- narrower: git: It can read {root}. ({new}:7)" in said
    assert f"+ wider: git: Its limit `wall` is 9s. ({new})" in said
    found = json.loads(toolhost("policy", "diff", str(new), str(old), "--output", "json").stdout)
    assert sorted(each["effect"] for each in found) == ["narrower", "narrower", "narrower", "wider"]
    same = toolhost("policy", "diff", str(old), str(old))
    assert (same.returncode, same.stdout) == (0, "")
    new.write_text("plugin = 1\n")
    done = toolhost("policy", "diff", str(old), str(new))
    assert done.returncode == 2
    assert "[policy_invalid]" in done.stderr


def test_a_secret_more_is_wider_and_another_source_of_it_a_change(space) -> None:
    def giving(secret: str) -> Policy:
        return policy(space, f'plugin = "any"\n[commands]\nallow = ["ls"]\n{secret}')

    none, one = giving(""), giving('[secrets]\ntoken = { env = "TOKEN" }\n')
    (found,) = differences(none, one)
    assert (found.effect, "TOKEN" in str(found.new)) == ("wider", True)
    (found,) = differences(one, giving('[secrets]\ntoken = { env = "OTHER" }\n'))
    assert found.effect == "changed"
