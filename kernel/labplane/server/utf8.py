"""File names in UTF-8, whatever locale the server is started with."""

import os
import sys


def ensure_utf8() -> None:
    """Run this program anew, in this process, with Python's UTF-8 mode, unless file names are UTF-8 already.

    Names come from clients and archives in UTF-8. A Python whose locale says ISO-8859-1 or ASCII would write them as
    other bytes, or not at all, and cannot be told otherwise once it runs. Only for commands: a program that embeds
    labplane has to be started with ``-X utf8`` or PYTHONUTF8=1.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode and not getattr(sys, "frozen", False):
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - no shell wanted
