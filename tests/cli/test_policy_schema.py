"""`toolhost policy schema`: what a new policies folder has beside its files."""

import json
from pathlib import Path


def test_a_new_policies_folder_has_the_schemas_that_the_command_prints(toolhost, data: Path) -> None:
    policies = data / "policies"
    for options, name in (((), "policy.schema.json"), (("--host",), "host.schema.json")):
        done = toolhost("policy", "schema", *options)
        assert done.returncode == 0
        assert json.loads(done.stdout)["$schema"] == "http://json-schema.org/draft-07/schema#"
        assert (policies / name).read_text() == done.stdout
    for file in set(policies.glob("*.toml")) - {policies / "lock.toml"}:  # which nobody edits
        named = file.read_text().splitlines()[0].removeprefix("#:schema ./")
        assert (policies / named).exists()
