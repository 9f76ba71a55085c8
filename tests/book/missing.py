"""What tests of the book need and a machine may lack."""

import os
import shutil

import pytest


def skip_or_fail(reason: str, where: str = "CI") -> None:
    """At home a missing piece is no fault of the book; in CI nothing may be skipped."""
    if os.environ.get(where) == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def chromium() -> str:
    """The path of a browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        # .ci/run sets CI, too, and only warns where no browser can be installed.
        reason = "NOT TESTED: no chromium; apt-get install chromium"
        skip_or_fail(reason, where="GITHUB_ACTIONS")
    return path
