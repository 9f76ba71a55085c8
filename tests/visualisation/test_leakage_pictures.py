"""Which slices the page on leakage shows."""

import pandas as pd

from mscf.visualisation.leakage import most_tumour


def test_of_each_case_the_slice_with_most_tumour_is_shown() -> None:
    index = pd.DataFrame({"case": [*"aabb"], "stored_tumour_px": [1, 5, 2, 9]})
    assert most_tumour(index, [0, 1, 2, 3], 2).tolist() == [1, 3]
    assert most_tumour(index, [0, 2, 1], 2).tolist() == [1, 2]
    assert most_tumour(index, [0, 1, 2, 3], 1).tolist() == [1]
