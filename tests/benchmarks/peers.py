"""The same command in what people would use instead of this host. Started by scripts/bench-peers, which fetches them.

Each is given its best case: libraries run in a process that stays, and what a policy of ours would grant is granted.
What they isolate differs (docs/performance.md says how); ours is the strictest of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from report import Variant, conditions, interleave, show
from variants import PROGRAM, call, direct, hand_started, install, tree_of

from toolhost.data import DataDirectory
from toolhost.host import Host
from toolhost.sandbox import Sandbox
from toolhost.sandbox.pool import Armament
from toolhost.service_user import become_service_user
from toolhost.settings import Settings, load_settings

_SANDLOCK = """
import sys
from sandlock import Sandbox
box = Sandbox(fs_readable=["/usr", "/lib", "/lib64", "/bin", "/etc", sys.argv[1]], clean_env=True)
for _ in sys.stdin:
    done = box.run(sys.argv[2:])
    print(done.exit_code, len(done.stdout), flush=True)
"""
_SRT = """
import { SandboxManager } from "@anthropic-ai/sandbox-runtime"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
const network = { allowedDomains: [], deniedDomains: [] }
const filesystem = { denyRead: [], allowWrite: [], denyWrite: [] }
await SandboxManager.initialize({ network, filesystem })
for await (const _ of createInterface({ input: process.stdin })) {
    const line = await SandboxManager.wrapWithSandbox(process.argv.slice(2).join(" "))
    const child = spawn(line, { shell: true, stdio: ["ignore", "pipe", "inherit"] })
    let size = 0
    child.stdout.on("data", (data) => (size += data.length))
    child.on("close", (code) => console.log(code, size))
}
"""


def program(*argv: str, env: dict[str, str] | None = None) -> Variant:
    """A command that has to print something."""

    async def once() -> None:
        process = await asyncio.create_subprocess_exec(
            *argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err
        assert out

    return once


async def library(*argv: str, cwd: Path, env: dict[str, str]) -> Variant:
    """A process that stays, runs the command once for each line, and answers `exit-code bytes`."""
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    to, back = process.stdin, process.stdout

    async def once() -> None:
        to.write(b"\n")
        code, size = (await back.readline()).split()
        assert code == b"0"
        assert int(size) > 0

    return once


async def variants(peers: Path, pool: Host, cold: Host, workspace: Path) -> dict[str, Variant]:
    """Everything there is, ours last."""
    npm = peers / "npm/node_modules"
    home = workspace.parent / "home"
    home.mkdir()
    libraries = next((peers / "debian/usr/lib").glob("*-linux-gnu"))
    env = {"PATH": f"/usr/bin:/bin:{peers}/debian/usr/bin", "HOME": str(home), "LD_LIBRARY_PATH": str(libraries)}
    nothing = {"network": {"allowedDomains": [], "deniedDomains": []},
               "filesystem": {"denyRead": [], "allowWrite": [], "denyWrite": []}}  # fmt: skip
    (home / "srt.json").write_text(json.dumps(nothing))
    (home / "srt.mjs").write_text(_SRT)
    (home / "node_modules").symlink_to(npm)
    srt, sandlock, jailer = _versions(peers)
    firejail = str(peers / "debian/usr/bin/firejail")
    jail = ("--quiet", "--noprofile", "--net=none", "--seccomp", "--caps.drop=all", "--nonewprivs", f"--private={home}")
    for host in (pool, cold):
        await call(host, "bench_plain.uname", workspace)()
    return {
        "no sandbox": direct(),
        "bwrap by hand, our mounts and flags": hand_started(
            tree_of(pool.data, pool, "bench_plain.uname", workspace), workspace
        ),
        f"firejail {jailer}": program(firejail, *jail, *PROGRAM, env=env),
        f"sandlock {sandlock}, library": await library(
            str(peers / "python/bin/python"), "-c", _SANDLOCK, str(workspace), *PROGRAM, cwd=home, env=env
        ),
        f"sandbox-runtime {srt}, library": await library("node", str(home / "srt.mjs"), *PROGRAM, cwd=home, env=env),
        f"sandbox-runtime {srt}, command": program(
            "node", str(npm / ".bin/srt"), "--settings", str(home / "srt.json"), *PROGRAM, env=env
        ),
        "toolhost, cold": call(cold, "bench_plain.uname", workspace, armed=False),
        "toolhost, from the pool": call(pool, "bench_plain.uname", workspace, armed=True),
    }


def _versions(peers: Path) -> tuple[str, str, str]:
    """Of sandbox-runtime, sandlock and firejail."""
    package = peers / "npm/node_modules/@anthropic-ai/sandbox-runtime/package.json"
    sandlock = next((peers / "python/lib").glob("python3*/site-packages/sandlock-*.dist-info"))
    said = subprocess.run([peers / "debian/usr/bin/firejail", "--version"], capture_output=True, text=True, check=True)
    return (
        json.loads(package.read_text())["version"],
        sandlock.name.removesuffix(".dist-info").split("-")[1],
        said.stdout.split()[2],
    )


def _made(folder: Path) -> Settings:
    """Settings of a host in a folder of its own, with what the benchmarks call."""
    settings = load_settings({}, {"TOOLHOST_DATA": str(folder)})
    data = DataDirectory(settings)
    data.prepare()
    install(data)
    return settings


async def measure(peers: Path, folder: Path, hosts: list[tuple[Settings, Sandbox]], rounds: int) -> None:
    """One table."""
    (workspace := folder / "workspace").mkdir()
    async with Host.open(*hosts[0]) as pool, Host.open(*hosts[1]) as cold:
        found = await variants(peers, pool, cold, workspace)
        show("uname --all", await interleave(found, rounds, hosts[0][1].settled), "no sandbox")


def main() -> None:
    """Measure in data directories of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", type=Path)
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="toolhost-bench-"))
    try:
        folder.chmod(0o755)
        become_service_user(folder / "data")
        settings = [_made(folder / "data" / name) for name in ("pool", "cold")]
        print(f"{conditions()}; {options.rounds} rounds")
        sandboxes = [
            Sandbox.start(settings[0].data / "state"),
            Sandbox.start(settings[1].data / "state", armament=Armament(most=0)),
        ]
        hosts = list(zip(settings, sandboxes, strict=True))
        asyncio.run(measure(options.peers, folder / "data", hosts, options.rounds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
