"""Taking each setting from where it is set: flag, then environment, then file, then default."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from toolhost.errors import UsageError
from toolhost.settings.file import SettingsFile
from toolhost.settings.table import SECTIONS, SETTINGS, Setting, Settings

__all__ = ["SERVICE_DATA", "data_directory", "load_settings"]

SERVICE_DATA = Path("/var/lib/toolhost")

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_LARGEST_SECRET = 64 << 10  # bytes of a file that holds one
_SEE = "docs/reference/settings.md lists the settings."


def data_directory(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Path:
    """The data directory, with nothing else looked at: what the process must know before it gives up root.

    Raises:
        UsageError: `unknown_setting`, `setting_invalid`.
    """
    _check_names(environ)
    given = _given(_BY_NAME["data"], flags, environ)
    return default_data(environ) if given is None else _parsed(_BY_NAME["data"], *given)


def load_settings(flags: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Args:
        flags: By name of the setting; None or an empty text for one that was not given.
        environ: The environment.

    Raises:
        UsageError: `unknown_setting`, `setting_invalid`, `setting_given_twice`, `setting_file_unusable`,
            `setting_exposed`, `secret_file_unreadable`, `secret_empty`.
    """
    data = data_directory(flags, environ)
    values: dict[str, Any] = {"data": data}
    origins: dict[str, str] = {}
    file = _file(data, flags, environ)
    _check_keys(file)
    for setting in SETTINGS:
        given = _given(setting, flags, environ)
        if given is not None:
            values[setting.name], origins[setting.name] = _parsed(setting, *given), given[1]
        elif file.value(setting.name) is not None:
            values[setting.name], origins[setting.name] = _in_file(setting, file), file.line(setting.name)
        else:
            default = data / setting.below if setting.below else setting.default
            values.setdefault(setting.name, default)
            origins[setting.name] = "default"
    return Settings(**values, origins=origins, file=file)


def default_data(environ: Mapping[str, str]) -> Path:
    """The data directory when none is set: the service's own, or the person's."""
    home = Path(environ.get("HOME") or "/")
    if os.geteuid() == 0 or home == SERVICE_DATA:
        return SERVICE_DATA
    share = environ.get("XDG_DATA_HOME")
    return (Path(share) if share else home / ".local" / "share") / "toolhost"


def _file(data: Path, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> SettingsFile:
    setting = _BY_NAME["config"]
    given = _given(setting, flags, environ)
    if given is None:
        return SettingsFile.read(data / setting.below, required=False)
    return SettingsFile.read(_parsed(setting, *given), required=True)


def _given(setting: Setting, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The text that a flag or the environment gives, and its origin."""
    if flags.get(setting.name):
        return str(flags[setting.name]), f"flag:{setting.flag}"
    found = [(environ[name], f"env:{name}") for name in setting.variables if environ.get(name)]
    if setting.secret:
        for name in setting.variables:
            if environ.get(name) == "":
                # Somebody meant to give one: to make one instead would be found out at the next start.
                raise UsageError(
                    "secret_empty", f"{name} is set to nothing.", "Give it a value, or remove the variable altogether."
                )
            if environ.get(f"{name}_FILE"):
                found.append((_secret(setting, Path(environ[f"{name}_FILE"])), f"env:{name}_FILE"))
        credentials = environ.get("CREDENTIALS_DIRECTORY")
        if not found and credentials and (kept := Path(credentials, setting.name)).exists():
            found.append((_secret(setting, kept), f"credential:{setting.name}"))
    for text, origin in found[1:]:
        if text != found[0][0]:
            raise UsageError(
                "setting_given_twice",
                f"{origin.removeprefix('env:')} and {found[0][1].removeprefix('env:')} set the same, {setting.name}, "
                "to different values.",
                "Unset one of them.",
            )
    return found[0] if found else None


def _secret(setting: Setting, path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_SECRET + 1)
        if len(data) > _LARGEST_SECRET:
            raise UsageError(
                "secret_file_unreadable",
                f"The file {path}, which is to hold {setting.name}, has more than {_LARGEST_SECRET >> 10} KiB.",
            )
        return data.decode().rstrip("\r\n")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise UsageError(
            "secret_file_unreadable",
            f"The file {path}, which is to hold {setting.name}, cannot be read: {why}.",
            "Give it to the user who runs toolhost, or name another file.",
        ) from None


def _parsed(setting: Setting, text: str, origin: str) -> Any:
    try:
        return setting.kind.parse(text)
    except ValueError:
        shown = "something else" if setting.secret else repr(text[:200])
        raise UsageError(
            "setting_invalid",
            f"The setting {setting.name} is {shown} ({origin}); it takes {setting.kind.wanted}.",
        ) from None


def _in_file(setting: Setting, file: SettingsFile) -> Any:
    if setting.secret and not file.private:
        raise UsageError(
            "setting_exposed",
            f"{file.place(setting.name)}: {setting.name} is a secret, and others can read {file.path}.",
            f"Run `chmod 600 {file.path}` and set another secret: this one may have been read.",
        )
    try:
        return setting.kind.toml(file.value(setting.name))
    except ValueError:
        raise UsageError(
            "setting_invalid", f"{file.place(setting.name)}: The setting {setting.name} takes {setting.kind.wanted}."
        ) from None


def _check_names(environ: Mapping[str, str]) -> None:
    known = {name for setting in SETTINGS for name in setting.variables}
    known |= {f"{name}_FILE" for setting in SETTINGS if setting.secret for name in setting.variables}
    for name in environ:
        if name.startswith("TOOLHOST_") and name not in known:
            raise UsageError(
                "unknown_setting", f"The environment variable {name} is not a setting.", _near(name, known)
            )


def _check_keys(file: SettingsFile) -> None:
    known = {setting.name for setting in SETTINGS if setting.in_file} | {section.name for section in SECTIONS}
    for key in file.keys:
        if key in _BY_NAME and key not in known:
            raise UsageError(
                "setting_invalid",
                f"{file.place(key)}: {key} cannot be set in the file, which is found by it.",
                f"Set {_BY_NAME[key].variables[0]} instead.",
            )
        if key not in known:
            raise UsageError(
                "unknown_setting", f"{file.place(key)}: There is no setting {key[:60]!r}.", _near(key, known)
            )


def _near(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, sorted(known), n=1)
    return f"Did you mean {found[0]}?" if found else _SEE
