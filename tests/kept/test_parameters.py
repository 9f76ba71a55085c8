import pytest

from mscf.errors import SettingsError
from mscf.kept.parameters import check_at_least, check_only_with


def test_a_number_that_is_too_small_is_named_with_the_least() -> None:
    check_at_least(1, n=1, most=20)
    with pytest.raises(
        SettingsError, match=r"^most: must be at least 1 \(found: -2\) \[most\]$"
    ):
        check_at_least(1, n=1, most=-2)


def test_what_is_asked_of_a_run_is_refused_without_one() -> None:
    check_only_with("run", "runs/mine", data="stores/mine", pixel_row=0)
    check_only_with("run", None, data=None, pixel_row=None)
    line = (
        r"^pixel_row: must be None without runs \(found: 0\); .*as runs \[without-run"
    )
    with pytest.raises(SettingsError, match=line):
        check_only_with("runs", None, data=None, pixel_row=0)
