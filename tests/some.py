"""Of many alike a few stand for all in `make test`; `make check` tries the rest."""

from collections.abc import Iterable

import pytest

CHECK = pytest.mark.check, pytest.mark.timeout(300)


def some(cases: Iterable, *quick) -> list:
    """The cases as parameters, of which only the quick ones are in the default run."""
    cases = list(cases)
    assert set(quick) <= set(cases)
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=() if case in quick else CHECK,
        )
        for case in cases
    ]
