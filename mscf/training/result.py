"""What a trained network is worth: its test slices evaluated, the tables written."""

from __future__ import annotations

import pandas as pd

from mscf.data.dataset import SliceDataset, cut_evenly
from mscf.errors import NumericalError
from mscf.evaluation.evaluate import evaluate
from mscf.evaluation.tables import identify, write_rows, write_summary
from mscf.training.finite import leave_failure
from mscf.training.state import RunState


def write_result(test: SliceDataset, state: RunState) -> None:
    """``per_slice.csv`` and ``summary.json``; the processes share the slices.

    Every slice is evaluated by one of them, so none counts twice and none is lost.
    """
    settings, ranks = state.settings, state.ranks
    at_once = settings.slices_a_pass  # what training had room for
    own = cut_evenly(test.index["row"].tolist(), ranks.world)[ranks.rank]
    slices = SliceDataset(state.store, own, settings.window)
    part = None
    if own or ranks.first:  # the first one says so where there is no slice at all
        try:
            part = evaluate(state.model, slices, at_once, settings.device)
        except NumericalError as error:
            leave_failure(settings.out, {"evaluation": str(error), "rank": ranks.rank})
            raise
    parts = [rows for rows in ranks.gather(part) if rows is not None]
    if ranks.first:
        rows = identify(pd.concat(parts, ignore_index=True), **state.identity)
        write_rows(rows, settings.out / "per_slice.csv")
        commit = state.record.content.get("commit", "")
        write_summary(rows, settings.out / "summary.json", commit)
        state.finish()
    ranks.wait()
