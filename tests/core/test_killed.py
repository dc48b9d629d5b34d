"""What was committed is there after whoever wrote it was killed."""

import json
import subprocess
import sys
from pathlib import Path


def test_kill_9_while_writing_loses_no_committed_record(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "killing.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "20"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rounds"] == 20
    assert found["committed"] > 20
