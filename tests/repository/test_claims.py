"""SECURITY.md claims what tests prove, no more and no less."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
PROOFS: dict[str, list[str]] = tomllib.loads((TESTS / "claims.toml").read_text())


def claims() -> list[str]:
    return re.findall(r"^\| (S-[A-Z]+-\d+) \|", (TESTS.parent / "SECURITY.md").read_text(), re.MULTILINE)


def functions(file: Path) -> Iterator[str]:
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name


def test_every_claim_has_a_proof_and_every_proof_a_claim() -> None:
    assert len(claims()) == len(set(claims()))
    assert set(claims()) == set(PROOFS)
    assert all(PROOFS.values())


def test_every_proof_is_a_test_that_exists() -> None:
    for claim, proofs in PROOFS.items():
        for proof in proofs:
            file, _, name = proof.partition("::")
            assert (TESTS / file).is_file(), f"{claim}: {proof}"
            assert name in functions(TESTS / file), f"{claim}: {proof}"


def test_every_attack_belongs_to_a_claim() -> None:
    proofs = {proof for each in PROOFS.values() for proof in each}
    for file in sorted((TESTS / "attacks").glob("test_*.py")):
        for name in functions(file):
            assert f"attacks/{file.name}::{name}" in proofs
