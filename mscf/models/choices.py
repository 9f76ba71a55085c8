"""Words that choose between readings of the paper."""

from __future__ import annotations


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuses a word that is not among the choices: a misspelt one would be ignored.

    Raises:
        ValueError: names those that there are.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)} (found: {value})")
