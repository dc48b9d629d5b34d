"""Reading `[commands]`: every rule compiled, every problem at its character."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolhost.model import DecisionOutcome
from toolhost.policy.compile import TemplateError, compile_template
from toolhost.policy.courtesy import breathe
from toolhost.policy.keys import ASK, DENY
from toolhost.policy.limit_table import LIMITS, read_limits
from toolhost.policy.network_table import NetworkTerms, hosts_for, read_hosts
from toolhost.policy.problems import Place
from toolhost.policy.programs import file_id, runs_code
from toolhost.policy.table import Located, Table
from toolhost.policy.template import Template
from toolhost.policy.values import DenyRule, Rule

__all__ = ["read_denies", "read_rules", "read_standing"]

_RULE_KEYS = tuple(ASK)


def read_rules(
    table: Table,
    key: str,
    outcome: DecisionOutcome,
    maxima: Mapping[str, tuple[Any, Place]],
    terms: NetworkTerms,
) -> list[Rule]:
    """The allows or asks of a policy."""
    rules: list[Rule] = []
    seen: set[Template] = set()
    for item in table.items(key, tables=True):
        breathe()
        limits: Mapping[str, Any] = {}
        network: tuple[str, ...] | None = None
        because, standing = "", False
        if isinstance(item, Located):
            run: Located | None = item
        else:
            entry = table.item_table(key, item, _RULE_KEYS)
            run = entry.text("run", required='"..."')
            standing = read_standing(entry, outcome)
            reason = entry.text("because")
            because = reason.text if reason else ""
            found = read_limits(entry.table("limits", LIMITS), maxima)
            limits = {name: value for name, (value, _) in found.items()}
            if "network" in entry:
                network = hosts_for(read_hosts(entry, "network", terms), terms.denies)
        template = _compile(table, run, deny=False)
        if run is None or template is None:
            continue
        known = len(seen)
        seen.add(template)
        if len(seen) == known:
            message = f"`{run.text}` stands twice in this list, and only one of them could decide: keep one."
            table.problem(run.place, "duplicate_rule", message)
        rules.append(
            Rule(
                outcome=outcome,
                text=run.text,
                template=template,
                place=run.place,
                limits=limits,
                network=network,
                standing=standing,
                because=because,
            )
        )
        if standing and (kind := runs_code(template.program)) is not None:
            table.problem(
                run.place,
                "standing_runs_code",
                f"`{kind}` runs any code it is given, so a yes to it counts once: take `standing` away.",
            )
    return rules


def read_standing(entry: Table, outcome: DecisionOutcome) -> bool:
    """`standing` of a rule's table: only a rule that asks can have it."""
    standing = entry.flag("standing")
    if standing and outcome != "ask":
        entry.problem(
            entry.place("standing"), "bad_value", "`standing` belongs to a rule under `ask`; this one asks nobody."
        )
        return False
    return standing


def read_denies(table: Table) -> list[DenyRule]:
    """The denies of a policy or of host.toml."""
    rules: list[DenyRule] = []
    for item in table.items("deny", tables=True):
        breathe()
        because = ""
        if isinstance(item, Located):
            run: Located | None = item
        else:
            entry = table.item_table("deny", item, DENY)
            run = entry.text("run", required='"..."')
            reason = entry.text("because")
            because = reason.text if reason else ""
        template = _compile(table, run, deny=True)
        if run is not None and template is not None:
            rules.append(
                DenyRule(
                    text=run.text,
                    template=template,
                    place=run.place,
                    file_id=file_id(template.program),
                    because=because,
                )
            )
    return rules


def _compile(table: Table, run: Located | None, *, deny: bool) -> Template | None:
    if run is None:
        return None
    try:
        return compile_template(run.text, deny=deny)
    except TemplateError as error:
        # Right for a string on one line without escapes; otherwise a few characters off.
        place = Place(file=run.place.file, line=run.place.line, column=run.place.column + 1 + error.offset)
        table.problem(place, error.code, str(error))
        return None
