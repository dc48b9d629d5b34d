"""`scripts/verify`, as somebody runs it who looks at a server from outside."""

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "verify"


def verify(*words: str, **variables: str) -> tuple[int, dict[str, str]]:
    """Run it; returns its exit code and the verdict of each check."""
    done = subprocess.run(
        [str(SCRIPT), *words],
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == "", done.stderr
    found = {}
    for line in done.stdout.splitlines():
        verdict, check, message = line.split(maxsplit=2)
        assert message
        assert check not in found
        found[check] = verdict
    return done.returncode, found
