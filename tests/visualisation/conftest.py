"""A bare pair of axes, closed afterwards."""

import matplotlib as mpl
import pytest

mpl.use("Agg")


@pytest.fixture
def ax():
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)
