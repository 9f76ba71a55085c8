"""What a page can be asked for, refused in one line before anything is computed."""

from __future__ import annotations

from mscf.errors import SettingsError


def check_at_least(least: int, **given: float) -> None:
    """Refuses numbers that are too small, by their parameters' names.

    Raises:
        SettingsError: the first of them.
    """
    for name, value in given.items():
        if value < least:
            raise SettingsError(
                name, f"must be at least {least}", value, name.replace("_", "-")
            )


def check_only_with(name: str, folder: str | None, **others: object) -> None:
    """Refuses what is asked of a run where the parameter ``name`` gives no ``folder``.

    Else it would be passed over in silence, and the page would show what is kept.

    Raises:
        SettingsError: the first of ``others`` that is not None.
    """
    given = [(other, value) for other, value in others.items() if value is not None]
    if folder is None and given:
        other, value = given[0]
        raise SettingsError(
            other, f"must be None without {name}", value, "without-run",
            f"give the folder of the finished {name} as {name}",
        )  # fmt: skip
