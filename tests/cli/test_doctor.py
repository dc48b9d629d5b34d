"""`toolhost doctor`: five verdicts, each of which can be made to fail."""

import http.server
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest

LAYERS = ["network", "transport", "application", "execution", "audit"]


def verdicts(done) -> dict[str, str]:
    report = json.loads(done.stdout)
    assert [layer["name"] for layer in report["layers"]] == LAYERS
    assert all(check["message"] for layer in report["layers"] for check in layer["checks"])
    assert (report["status"] == "fail") == (done.returncode == 1)
    return {layer["name"]: layer["status"] for layer in report["layers"]}


def test_a_machine_in_order_has_no_failing_layer(toolhost, serve) -> None:
    server = serve()
    done = toolhost("doctor", "--json", env={"TOOLHOST_PORT": str(server.port)})
    assert done.returncode == 0, done.stdout
    found = verdicts(done)
    assert found["transport"] == "pass"
    assert "fail" not in found.values()


def test_text_says_the_same(toolhost) -> None:
    done = toolhost("doctor")
    assert done.returncode == 0
    assert [line.split()[1] for line in done.stdout.splitlines() if not line.startswith(" ")] == [*LAYERS, "checklist"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_only_where_the_data_directory_stands_must_programs_be_allowed_to_run(toolhost, data: Path) -> None:
    subprocess.run(["mount", "--bind", data, data], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,noexec", data], check=True)
        done = toolhost("doctor", "--json")
        assert verdicts(done)["execution"] == "fail"
        assert "noexec" in done.stdout
    finally:
        subprocess.run(["umount", "-l", data], check=True)
    assert verdicts(toolhost("doctor", "--json"))["execution"] != "fail"
    assert not list((data / "state").glob(".staged-*"))


def test_an_address_others_reach_fails_the_network(toolhost) -> None:
    done = toolhost("doctor", "--json", env={"TOOLHOST_HOST": "0.0.0.0"})
    assert verdicts(done)["network"] == "fail"


def test_a_server_without_security_headers_fails_the_transport(toolhost) -> None:
    class Bare(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "ok"}')

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Bare)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        done = toolhost("doctor", "--json", env={"TOOLHOST_PORT": str(server.server_port)})
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
    assert verdicts(done)["transport"] == "fail"


def test_a_broken_policy_fails_the_application(toolhost, policies: Path) -> None:
    (policies / "git.toml").write_text("plugin = 1\n")
    assert verdicts(toolhost("doctor", "--json"))["application"] == "fail"


def test_a_policies_folder_others_can_write_fails_the_application(toolhost, policies: Path) -> None:
    policies.chmod(0o777)
    assert verdicts(toolhost("doctor", "--json"))["application"] == "fail"


def test_a_changed_record_fails_the_audit_and_its_line_is_named(toolhost, data: Path) -> None:
    for _ in range(2):
        assert toolhost("call", "system.uname").returncode == 0
    log = data / "state" / "audit.log"
    lines = log.read_text().splitlines(keepends=True)
    changed = next(number for number, line in enumerate(lines) if "system.uname" in line)
    lines[changed] = lines[changed].replace("system.uname", "system.uptime")
    log.write_text("".join(lines))
    done = toolhost("doctor", "--json")
    assert verdicts(done)["audit"] == "fail"
    assert f"audit.log:{changed + 1}: record_changed" in done.stdout


def test_a_removed_record_fails_the_audit(toolhost, data: Path) -> None:
    assert toolhost("call", "system.uname").returncode == 0
    log = data / "state" / "audit.log"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:-2] + lines[-1:]))
    assert verdicts(toolhost("doctor", "--json"))["audit"] == "fail"
