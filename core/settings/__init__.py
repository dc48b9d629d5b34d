"""The host's settings: one table from which flags, variables, the settings file, `config show` and the docs all come.

Precedence: flag of `toolhost serve`, then environment, then `toolhost.toml` (in the data directory, or the file that
`TOOLHOST_CONFIG` names), then default. A name that is none is an error everywhere, with the nearest one that is.

To add a setting, add a field to `Settings` in `table.py` and its row to `docs/reference/settings.md` (a test prints the
row it misses):

    chat_rate: Rate = row(RATE, "Messages that one person may send to the chat.", default=Rate(30, 60))

That is all: `--chat-rate`, `TOOLHOST_CHAT_RATE`, `chat_rate = "30/1m"` in the file and `settings.chat_rate` exist. The
types are in `kinds.py`. A secret (`secret=True`) has no flag; it can be given by `TOOLHOST_NAME_FILE` and by a systemd
credential of its name. `aliases` are other variables that set it.

For what has parts of its own (`[[models]]`, `[profiles.coder]`), add `Section(name="models", help="...")` to `SECTIONS`
and a row to the docs, and read it where it is used; unknown keys and wrong types are errors with line and column:

    with settings.file.reading() as top:
        for table in top.tables("models", ("name", "url", "context")):
            url = table.text("url", required='"http://127.0.0.1:11434/v1"')
            if url and not url.text.startswith("http"):
                table.problem(url.place, "bad_value", "`url` must begin with http:// or https://.")

Secrets of a section belong into files that it names, not into it.
"""

from toolhost.settings.exposure import check_exposure, is_loopback
from toolhost.settings.kinds import Network, Rate
from toolhost.settings.load import data_directory, load_settings
from toolhost.settings.table import SECTIONS, SETTINGS, Section, Setting, Settings

__all__ = [
    "SECTIONS",
    "SETTINGS",
    "Network",
    "Rate",
    "Section",
    "Setting",
    "Settings",
    "check_exposure",
    "data_directory",
    "is_loopback",
    "load_settings",
]
