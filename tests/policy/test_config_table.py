"""`[config]`: a plugin's own settings, checked by what it declares, in the plan of its worker's calls."""

import json

from policy_bench import Bench

DECLARED = {
    "probe": {
        "retries": {"type": "integer", "minimum": 0, "default": 3},
        "site": {"type": "string", "description": "Where to look."},
    }
}
WORKER = '[tools]\nallow = ["look"]\n[config]\n'


def test_what_a_policy_does_not_set_has_its_default_and_a_setting_without_one_is_needed(bench: Bench) -> None:
    bench.store.declared = DECLARED
    assert bench.problems(probe=WORKER) == [
        "probe.toml:1:1: missing_key: The plugin probe needs the setting `site`: write it in [config]. Where to look."
    ]
    policy = bench.load(probe=WORKER + 'site = "example.org"\n').policy("probe")
    assert policy is not None
    assert policy.config == {"retries": 3, "site": "example.org"}
    assert not policy.warnings


def test_a_worker_s_plan_holds_its_settings_and_a_command_s_does_not(bench: Bench) -> None:
    bench.store.declared = DECLARED
    bench.load(probe='[commands]\nallow = ["ls"]\n' + WORKER + 'site = "a"\n')
    plan = bench.worker("probe.look", {}, {}).plan
    assert plan is not None
    assert json.loads(plan.config or "") == {"retries": 3, "site": "a"}
    command = bench.command("ls").plan
    assert command is not None
    assert command.config is None
    bench.load(probe=WORKER + 'site = "b"\n')
    changed = bench.worker("probe.look", {}, {}).plan
    assert changed is not None
    assert changed.config != plan.config
    assert changed.digest != plan.digest


def test_settings_are_checked_again_when_the_plugin_declares_others(bench: Bench) -> None:
    text = WORKER + 'site = "a"\n'
    policies = bench.load(probe=text)
    assert policies.warnings == (
        "probe.toml: config_unchecked: there is no plugin `probe` to say which settings it has.",
    )
    bench.store.declared = DECLARED
    assert not bench.load(probe=text).warnings
    bench.store.declared = {"probe": {}}
    assert bench.problems(probe=text) == [
        "probe.toml:5:1: unknown_key: The plugin probe has no setting `site`. It declares none."
    ]
    # The last good version was good under what the plugin declared before: it is not kept.
    assert bench.store.current.policy("probe") is None
