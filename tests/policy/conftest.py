"""The bench of the policy tests."""

from pathlib import Path

import pytest
from policy_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty host whose host.toml denies nothing."""
    return Bench(tmp_path.resolve())
