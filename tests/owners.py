"""Who owns what a test makes: pytest may be root, and everything it tests is not."""

import contextlib
import os
import pwd
from pathlib import Path

SERVICE_USER = "toolhost"


def give(path: Path, owner: str) -> None:
    """Give a folder and everything in it to a user; as an ordinary user everything is ours anyway."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(owner)
        for each in (path, *path.rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # a host that ends meanwhile closes its database
                os.chown(each, user.pw_uid, user.pw_gid, follow_symlinks=False)
