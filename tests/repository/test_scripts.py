"""The shell scripts, as far as they can be tried without changing the machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ["run", "test", "check", "verify", "bench", "bench-peers", "soak", "lock"]


@pytest.mark.parametrize("script", [*(f"scripts/{name}" for name in SCRIPTS), "scripts/environment.sh", ".ci/run"])
def test_scripts_are_posix_shell(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK) or script.endswith(".sh")
    subprocess.run(["sh", "-n", str(path)], check=True, timeout=10)
    assert "bash" not in path.read_text()


@pytest.fixture
def bare_path(space: Path) -> Path:
    """A PATH with the ordinary tools but neither bubblewrap nor sudo, as on a bare machine."""
    folder = space / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "id", "cut", "sha256sum", "grep", "cat", "mkdir", "git", "apt-get"):
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    (folder / "ldconfig").symlink_to("/sbin/ldconfig")
    return folder


def test_without_root_and_bubblewrap_run_says_what_to_install(bare_path: Path, space: Path) -> None:
    checkout = space / "checkout"
    shutil.copytree(ROOT / "scripts", checkout / "scripts")
    # The script adds the system's folders of programs to PATH; this copy stays in the bare one.
    library = checkout / "scripts" / "environment.sh"
    library.write_text(library.read_text().replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin", ""))
    user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(
        [str(bare_path / "sh"), str(checkout / "scripts" / "run")],
        env={"PATH": str(bare_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        **user,
    )
    assert done.returncode != 0
    assert "sudo apt-get install bubblewrap" in done.stderr
    assert done.stdout == ""
