"""The settings: where each is taken from, what is refused, and that no secret is shown."""

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from owners import SERVICE_USER, give
from verifying import verify

SECRET = "planted-Secret-0123456789-abcdefghij"

EXAMPLE = dict(
    line.split("=", 1)
    for line in (Path(__file__).parents[2] / ".env.example").read_text().splitlines()
    if line and not line.startswith("#")
)
"""What `.env.example` says as it is."""

Write = Callable[..., Path]


@pytest.fixture
def write(data: Path) -> Write:
    """Writes the settings file."""

    def write(text: str, mode: int = 0o600) -> Path:
        path = data / "toolhost.toml"
        path.write_text(text)
        path.chmod(mode)
        give(path, SERVICE_USER)
        return path

    return write


def shown(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["settings"]


def test_flag_then_variable_then_file_then_default(toolhost, write: Write) -> None:
    write('port = 8100\nhost = "127.0.0.2"\n')
    settings = shown(toolhost("config", "show", "--output", "json", env={"TOOLHOST_PORT": "8200"}))
    assert settings["port"] == {"value": "8200", "origin": "env:TOOLHOST_PORT"}
    assert settings["host"] == {"value": "127.0.0.2", "origin": "toolhost.toml:2"}
    assert settings["debug"] == {"value": "false", "origin": "default"}
    # The flag wins: what is refused is what it says.
    refused = toolhost("serve", "--host", "192.0.2.1", env={"TOOLHOST_HOST": "127.0.0.3"})
    assert refused.returncode == 2
    assert "192.0.2.1" in refused.stderr


def test_every_type_is_read_from_text_and_from_toml(toolhost, write: Write) -> None:
    write(
        'debug = true\nallowed_hosts = ["a.example", "2001:db8::1"]\ntrusted_proxies = ["10.0.0.0/8", "::1"]\n'
        'certfile = "/etc/tls/cert.pem"\n'
    )
    from_file = shown(toolhost("config", "show", "--output", "json"))
    variables = {
        "TOOLHOST_DEBUG": "yes",
        "TOOLHOST_ALLOWED_HOSTS": "A.example, 2001:DB8::1",
        "TOOLHOST_TRUSTED_PROXIES": "10.0.0.0/8,::1",
        "TOOLHOST_CERTFILE": "/etc/tls/cert.pem",
    }
    from_text = shown(toolhost("config", "show", "--output", "json", env=variables))
    for name in ("debug", "allowed_hosts", "trusted_proxies", "certfile"):
        assert from_file[name]["value"] == from_text[name]["value"]
        assert from_file[name]["origin"].startswith("toolhost.toml:")
        assert from_text[name]["origin"] == f"env:TOOLHOST_{name.upper()}"
    assert from_file["trusted_proxies"]["value"] == "10.0.0.0/8,::1/128"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1\n", "toolhost.toml:1:1: There is no setting 'prot'. [unknown_setting]\nhint: Did you mean port?"),
        ("\n  port = '1'\n", "toolhost.toml:2:3: The setting port takes a number from 1 to 65535."),
        ("debug = 'yes'\n", "toolhost.toml:1:1: The setting debug takes true or false."),
        ("trusted_proxies = ['10.0.0.300']\n", "toolhost.toml:1:1: The setting trusted_proxies takes addresses"),
        ("allowed_hosts = ['*']\n", "toolhost.toml:1:1: The setting allowed_hosts takes names or addresses"),
        ("allowed_hosts = ['a.example:8001']\n", "The setting allowed_hosts takes names or addresses"),
        ("allowed_hosts = ['https://a.example']\n", "The setting allowed_hosts takes names or addresses"),
        ("policies = 'here'\n", "toolhost.toml:1:1: The setting policies takes an absolute path."),
        ("data = '/tmp'\n", "toolhost.toml:1:1: data cannot be set in the file"),
        ("port = \n", "toolhost.toml:1:8: "),
    ],
)
def test_a_mistake_in_the_file_is_named_by_line_and_column(toolhost, write: Write, text: str, message: str) -> None:
    write(text)
    done = toolhost("config", "show")
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"TOOLHOST_PROT": "1"}, "hint: Did you mean TOOLHOST_PORT?"),
        ({"TOOLHOST_PORT": "99999"}, "The setting port is '99999' (env:TOOLHOST_PORT); it takes a number from 1 to"),
        ({"DEBUG": "perhaps"}, "The setting debug is 'perhaps' (env:DEBUG)"),
        ({"DEBUG": "1", "TOOLHOST_DEBUG": "0"}, "[setting_given_twice]"),
        ({"TOOLHOST_CONFIG": "/nowhere/toolhost.toml"}, "[setting_file_unusable]"),
        ({"JWT_SECRET_KEY_FILE": "/nowhere/key"}, "[secret_file_unreadable]"),
    ],
)
def test_a_mistake_in_the_environment_is_named(toolhost, variables: dict[str, str], message: str) -> None:
    done = toolhost("config", "show", env=variables)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize("way", ["variable", "file of a variable", "credential", "settings file"])
def test_a_secret_is_taken_from_four_places_and_shown_in_none(toolhost, space: Path, write: Write, way: str) -> None:
    kept = space / "jwt_secret_key"
    kept.write_text(SECRET + "\n")
    kept.chmod(0o644)
    variables, origin = {
        "variable": ({"JWT_SECRET_KEY": SECRET}, "env:JWT_SECRET_KEY"),
        "file of a variable": ({"TOOLHOST_JWT_SECRET_KEY_FILE": str(kept)}, "env:TOOLHOST_JWT_SECRET_KEY_FILE"),
        "credential": ({"CREDENTIALS_DIRECTORY": str(space)}, "credential:jwt_secret_key"),
        "settings file": ({}, "toolhost.toml:1"),
    }[way]
    if way == "settings file":
        write(f'jwt_secret_key = "{SECRET}"\n')
    done = toolhost("config", "show", "--output", "json", env=variables)
    assert shown(done)["jwt_secret_key"] == {"value": "****", "origin": origin}
    plain = toolhost("config", "show", env=variables)
    assert SECRET not in done.stdout + done.stderr + plain.stdout + plain.stderr


def test_a_secret_in_a_file_that_others_can_read_is_refused(toolhost, write: Write) -> None:
    write(f'jwt_secret_key = "{SECRET}"\n', 0o644)
    done = toolhost("config", "show")
    assert done.returncode == 2
    assert "[setting_exposed]" in done.stderr
    assert SECRET not in done.stderr


@pytest.mark.parametrize("bad", ["others write it", "link"])
def test_a_settings_file_that_somebody_else_could_write_is_not_read(toolhost, write: Write, bad: str) -> None:
    path = write("port = 8100\n", 0o666)
    if bad == "link":
        path.chmod(0o644)
        path.rename(path.with_name("elsewhere.toml"))
        path.symlink_to("elsewhere.toml")
    done = toolhost("config", "show")
    assert done.returncode == 2
    assert "[setting_file_unusable]" in done.stderr


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"TOOLHOST_HOST": "0.0.0.0"}, "bind_not_loopback"),
        ({"TOOLHOST_HOST": "0.0.0.0", "TOOLHOST_TRUSTED_PROXIES": "10.0.0.7", "DEBUG": "true"}, "debug_exposed"),
        ({"TOOLHOST_HOST": "0.0.0.0", "TOOLHOST_TRUSTED_PROXIES": "0.0.0.0/0"}, "setting_invalid"),
        ({"AUTH_ENABLED": "false"}, "auth_not_optional"),
        (EXAMPLE, "secret_empty"),
        ({"ALLOWED_ORIGINS": "*"}, "setting_invalid"),
        ({"ALLOWED_ORIGINS": "https://*.example.org"}, "setting_invalid"),
        ({"ALLOWED_ORIGINS": "https://chat.example.org/"}, "setting_invalid"),
        ({"ALLOWED_ORIGINS": "http://chat.example.org"}, "setting_invalid"),
        ({"ALLOWED_ORIGINS": "null"}, "setting_invalid"),
        ({"ALLOW_ANONYMOUS": "true"}, "auth_not_optional"),
        ({"TOOLHOST_CERTFILE": "/etc/hostname"}, "tls_incomplete"),
        ({"TOOLHOST_CERTFILE": "/etc/hostname", "TOOLHOST_KEYFILE": "/etc/hostname"}, "tls_unusable"),
    ],
)
def test_a_server_that_would_be_exposed_does_not_start(toolhost, variables: dict[str, str], code: str) -> None:
    done = toolhost("serve", env=variables)
    assert done.returncode == 2
    assert f"[{code}]" in done.stderr


def test_with_a_certificate_other_machines_are_served_by_tls(serve, toolhost, space: Path) -> None:
    cert, key = space / "cert.pem", space / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    give(key, SERVICE_USER)
    variables = {"TOOLHOST_CERTFILE": str(cert), "TOOLHOST_KEYFILE": str(key), "TOOLHOST_HOST": "0.0.0.0"}
    server = serve(env=variables)
    done = subprocess.run(
        ["curl", "--silent", "--cacert", str(cert), f"https://localhost:{server.port}/health"],
        check=True, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert json.loads(done.stdout) == {"status": "ok"}
    doctor = json.loads(toolhost("doctor", "--json", env={**variables, "TOOLHOST_PORT": str(server.port)}).stdout)
    assert {layer["status"] for layer in doctor["layers"] if layer["name"] in ("network", "transport")} == {"pass"}

    # Looked at as strangers do, by the name of the certificate, and from where that name is to be found.
    address, trusted = f"https://localhost:{server.port}", {"CURL_CA_BUNDLE": str(cert)}
    code, found = verify(address, "127.0.0.1", TOOLHOST_PORT=str(server.port), **trusted)
    assert (code, found["tls"], set(found.values())) == (0, "pass", {"pass"})
    assert verify(address, "0.0.0.0", TOOLHOST_PORT="1", **trusted) == (0, found)
    assert verify(address, TOOLHOST_PORT="1", **trusted) == (2, {**found, "port": "unknown"})
    with socket.create_server(("127.0.0.1", 0)) as plain:  # as a host that can be reached past its proxy
        behind = str(plain.getsockname()[1])
        assert verify(address, "0.0.0.0", TOOLHOST_PORT=behind, **trusted) == (1, {**found, "port": "fail"})
    refused = (1, {"tls": "fail", "rest": "unknown"})
    assert verify(address) == refused
    assert verify(f"https://tools.example.org:{server.port}", "127.0.0.1", **trusted) == refused
