"""What the page "How to reproduce" says of commands, hours and numbers, from files.

A profile of ``grid/`` says which runs there should be; the kept runs say what they took
and gave; ``results/commands.csv`` and ``results/benchmarks`` say how fast machines are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import pandas as pd
import yaml

from mscf.errors import InputError
from mscf.evaluation.kept_run import read_record, read_run
from mscf.evaluation.spread import expected_means
from mscf.pages.command_times import read_times
from mscf.pages.speed import read_benchmark

RUN = ["split", "method", "fold", "seed"]
FACTS = ["seconds", "end", "device", "cores", "slices"]
# What is seen by it, and the numbers to expect.
COMMANDS = {
    "make book": ("this book, its notebooks run", "pages as published, times aside"),
    "make test": ("style and the quick tests", "all pass"),
    "python -m pytest tests/evaluation/test_committed_tables.py -m check": (
        "our tables, made again from our runs",
        "all pass",
    ),
    "make grid PROFILE=smoke": (
        "that the pieces fit, all ten methods",
        "ten rows in a summary.csv; their values mean nothing",
    ),
}
PROFILES = {
    "phantoms": "ten methods and variants on phantoms",
    "shown": "the network of the pictures",
    "excerpt-448": "ten methods and a variant on real CT",
    "lits": "the paper's table, the real thing",
    "claims": "all that the page of the claims asks for or shows",
}
# SENet has CE-Net's operations, and was measured with two others beside it where CE-Net
# had nine: on a GPU that waited, so its seconds tell of the GPU and not of the network.
ALIKE = {"senet": "cenet"}
SPACE = "\N{NO-BREAK SPACE}"  # between a number and its unit
GRID = "make grid PROFILE={} RESULTS=runs/results"


@dataclass(frozen=True)
class Profile:
    """A file of ``grid/``, and those of its runs that are kept.

    ``wanted`` are split, method, fold and seed of the runs that there should be,
    ``runs`` those that are there, as of `run_facts`, ``rows`` all their slices as in
    ``per_slice.csv``.
    """

    name: str
    epochs: int
    wanted: tuple[tuple[str, str, int, int], ...]
    runs: pd.DataFrame
    rows: pd.DataFrame


def read_profile(root: Path, name: str) -> Profile:
    """``grid/<name>.yaml`` and what is kept of it.

    Raises:
        InputError: the profile is missing or something else, or a run is damaged.
    """
    path = root / f"grid/{name}.yaml"
    try:
        words = yaml.safe_load(path.read_text(encoding="utf-8"))
        blocks = [
            product(b["splits"], b["methods"], b.get("folds", [0]), b["seeds"])
            for b in words["runs"]
        ]
        place = root / words["results"] / f"{words['name']}-{words['size']}"
        wanted = tuple(dict.fromkeys(run for block in blocks for run in block))
        epochs = words["settings"]["epochs"]
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError) as error:
        raise InputError(
            path, "must be a profile of the grid", repr(error), "profile"
        ) from error
    runs = run_facts(place)
    there = runs.loc[[run for run in wanted if run in runs.index]]
    rows = [
        read_run(
            place / f"{split}/{method}/fold-{fold}/seed-{seed}", method, fold, seed
        )
        for split, method, fold, seed in there.index
    ]
    slices = pd.concat([table for table, _ in rows]) if rows else pd.DataFrame()
    return Profile(name, epochs, wanted, there, slices)


def run_facts(place: Path) -> pd.DataFrame:
    """A row for each run under ``results/<data>-<size>``, by split, method, fold, seed.

    Columns: seconds, end (a time), device, cores, and slices: those that it trained on,
    of all its epochs together.

    Raises:
        InputError: a ``run.json`` is damaged, or of a run that did not finish.
    """
    facts = {}
    for path in sorted(place.glob("*/*/fold-*/seed-*/run.json")):
        record = read_record(path)
        split, method = path.relative_to(place).parts[:2]
        settings, machine = record["settings"], record["machine"]
        try:
            facts[split, method, settings["fold"], settings["seed"]] = (
                record["seconds"], pd.Timestamp(record["updated"]), machine["device"],
                machine["cores"], record["slices"]["training"] * record["epochs_done"],
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                path, "must say when, where and on what it ran", repr(error),
                "run-record",
            ) from error  # fmt: skip
    index = pd.MultiIndex.from_tuples(facts, names=RUN) if facts else None
    return pd.DataFrame(facts.values(), index, FACTS)


def shares(runs: pd.DataFrame) -> pd.Series:
    """Seconds of the machine that each run had, if those side by side shared it evenly.

    Their sum is the time by the clock in which any of them was going on.
    """
    start = runs["end"] - pd.to_timedelta(runs["seconds"], unit="s")
    had = pd.Series(0.0, runs.index)
    for low, high in pairwise(sorted({*start, *runs["end"]})):
        going = (start <= low) & (runs["end"] >= high)
        had[going] += (high - low).total_seconds() / max(going.sum(), 1)
    return had


# The tables of the page


def overview(root: Path, profiles: Iterable[Profile]) -> pd.DataFrame:
    """A row for everything that can be done again: command, machine, time, numbers.

    The commands of ``results/commands.csv``, then the profiles, of "phantoms" first
    one training alone.
    """
    rows = [*of_commands(root / "results/commands.csv")]
    for profile in profiles:
        if profile.name == "phantoms":
            rows.append(one_training(profile))
        rows.append(of_profile(profile))
        if profile.name == "lits" and profile.runs.empty:
            rows[-1] = (*rows[-1][:-1], papers_dice(root / "results/paper/table1.csv"))
    columns = ["to see", "command", "seen here", "numbers to expect"]
    return pd.DataFrame(rows, columns=columns)


def of_commands(table: Path) -> Iterable[tuple[str, ...]]:
    """The commands that were timed, and those that were not yet."""
    times = read_times(table).set_index("command")
    for command, (what, numbers) in COMMANDS.items():
        took = "not timed"
        if command in times.index:
            row = times.loc[command]
            took = (
                f"{duration(row['seconds'])}, {duration(row['cpu_seconds'])} of CPU, "
                + machine_words(row["device"], row["cores"])
            )
        yield what, command, took, numbers


def one_training(profile: Profile) -> tuple[str, ...]:
    """Ours as a profile trains it, by patient: the first seed, the range of all."""
    runs = profile.runs.xs(("patient", "mscf"), level=("split", "method"))
    rows = profile.rows
    ours = rows[(rows["method"] == "mscf") & (rows["split"] == "patient")]
    dice = expected_means(ours).loc["mscf"]
    first = ours[ours["seed"] == ours["seed"].min()]
    numbers = f"Dice {100 * first['dice'].mean():.1f}{SPACE}%"
    if len(runs) > 1:
        numbers += (
            f"; of {len(runs)} seeds, each with its own split, "
            f"{100 * dice['lowest']:.1f} to {100 * dice['highest']:.1f}"
        )
    return (
        "one training of Ours on phantoms", "mscf train, as below",
        f"{duration(runs['seconds'].min())} to {duration(runs['seconds'].max())}, "
        + machine_words(*runs[["device", "cores"]].iloc[0]), numbers,
    )  # fmt: skip


def of_profile(profile: Profile) -> tuple[str, ...]:
    """How many of a profile's runs are kept, what they took and what they gave."""
    what, command = PROFILES[profile.name], GRID.format(profile.name)
    runs, wanted = profile.runs, len(profile.wanted)
    if runs.empty:
        return what, command, f"not run: {wanted} trainings", "not known"
    machines = {machine_words(*pair) for pair in runs[["device", "cores"]].to_numpy()}
    took = f"{len(runs)} of {wanted} trainings: {duration(runs['seconds'].sum())}"
    clock = shares(runs).sum()
    if clock < 0.9 * runs["seconds"].sum():
        took += f", side by side {duration(clock)}"
    took += f", {' and '.join(sorted(machines))}"
    means = 100 * profile.rows.groupby(["split", "method"])["dice"].mean()
    parts = []
    for split, of in means.groupby("split"):
        ends = " to ".join(dict.fromkeys(f"{m:.1f}" for m in (of.min(), of.max())))
        parts.append(f"by {split} {ends}{SPACE}%")
    return what, command, took, f"Dice {', '.join(parts)}"


def papers_dice(table: Path) -> str:
    """The range of the ten methods as the paper prints them, of its split by slice."""
    dice = pd.read_csv(table)["dice"]
    return (
        "not known; the paper's, by slice: "
        f"Dice {dice.min():.1f} to {dice.max():.1f}{SPACE}%"
    )


def expected(profile: Profile) -> pd.DataFrame:
    """Dice in percent as text, a row a split and method, and how far a run may be."""
    of_split = profile.rows.groupby("split", sort=False)
    tables = {split: expected_means(rows) for split, rows in of_split}
    table = pd.concat(tables, names=["split"])
    shown = (100 * table.drop(columns="runs")).map("{:.1f}".format)
    shown["noise"] = "± " + shown["noise"]
    shown.loc[table["runs"] == 1, ["lowest", "highest"]] = ""
    shown.loc[table["noise"].isna(), "noise"] = "not known"
    shown.insert(0, "runs", table["runs"])
    return shown.rename(columns={"mean": "Dice", "noise": "another run"})


def projections(root: Path, profiles: Sequence[Profile], slices: int) -> pd.DataFrame:
    """LiTS with all epochs used, from speeds that were measured: a row a machine.

    ``slices`` train in an epoch. One training has the epochs of the first of
    ``profiles``, all trainings of each have its own. Columns: what is trained, machine,
    slices a second, hours, and what is assumed. A run of a variant counts as one of its
    method, one of ``ALIKE`` as one of another.
    """
    total = slices * profiles[0].epochs
    record = read_benchmark(root / "results/benchmarks/step.json")
    step, machine = record["figures"][0], record["machine"]
    cpu = 1 / step["seconds"]["ours mscf"]["median"]  # one slice a step
    epochs = read_epochs(root / "results/benchmarks/gpu_train_alone.csv")
    gpu = epochs["slices_per_second"].iloc[1:].median()  # the first searches kernels
    place = root / "results/excerpt-448"
    (device,) = run_facts(place)["device"].unique()
    one_slice = shared_seconds(place)
    one = f"Ours, one training of {profiles[0].epochs} epochs"
    rows = [
        (one, machine_words(machine["cpu"], machine["cores"]), cpu, total,
         "as a step alone, in float32"),
        (one, f"one {device}", gpu, total,
         "as in three epochs of one training alone, which was not kept"),
        (one, f"four {device}, at worst", gpu, total,
         "if processor or loading is the limit"),
        (one, f"four {device}, at best", 4 * gpu, total, "four times as fast"),
    ]  # fmt: skip
    for profile in profiles:
        methods = [method.partition("+")[0] for _, method, _, _ in profile.wanted]
        counted = [ALIKE.get(method, method) for method in methods]
        every = len(methods) / one_slice[counted].sum()
        several = f"all {len(methods)} trainings of {profile.name}"
        several += f", {profile.epochs} epochs"
        whole = slices * profile.epochs * len(methods)
        rows += [
            (several, f"one {device}, three to ten at a time", every, whole,
             "each method as on the excerpt, SENet as CE-Net"),
            (several, f"four {device}, as many on each", 4 * every, whole,
             "four times as fast: no training waits for another"),
        ]  # fmt: skip
    columns = ["trained", "machine", "slices a second", "hours", "assumed"]
    table = pd.DataFrame(rows, columns=columns)
    table["hours"] /= table["slices a second"] * 3600
    for name in ("slices a second", "hours"):
        table[name] = table[name].map(about)
    return table.rename(columns={name: f"{name}, about" for name in columns[2:4]})


def shared_seconds(place: Path) -> pd.Series:
    """Seconds of a shared machine that a slice took, by method, over all its runs."""
    runs = run_facts(place)
    had = pd.concat([shares(runs).rename("seconds"), runs["slices"]], axis=1)
    had = (had * steady(place, runs)).groupby("method").sum()
    return had["seconds"] / had["slices"]


def about(number: float) -> str:
    """To what a projection is good for, two digits: ``1,500``, ``62``, ``6.1``."""
    return f"{float(f'{number:.2g}'):,g}"


def steady(place: Path, runs: pd.DataFrame) -> pd.DataFrame:
    """What part of a run's ``seconds`` and ``slices`` is in its epochs after the first.

    A long training has hardly anything else: the first epoch searches for kernels, and
    start and evaluation are in no epoch.
    """
    parts = []
    for (split, method, fold, seed), seconds in runs["seconds"].items():
        folder = place / f"{split}/{method}/fold-{fold}/seed-{seed}"
        epochs = read_epochs(folder / "timing.csv")["seconds"]
        parts.append((epochs.iloc[1:].sum() / seconds, 1 - 1 / len(epochs)))
    return pd.DataFrame(parts, runs.index, ["seconds", "slices"])


def in_words(table: pd.DataFrame) -> str:
    """A table of words as HTML, no cell cut off."""
    with pd.option_context("display.max_colwidth", None):
        return table.to_html(index=False, classes="words", border=0)


def read_epochs(path: Path) -> pd.DataFrame:
    """A ``timing.csv``: epoch, seconds, slices_per_second.

    Raises:
        InputError: it is something else.
    """
    try:
        return pd.read_csv(path)[["epoch", "seconds", "slices_per_second"]]
    except (OSError, ValueError, LookupError) as error:
        raise InputError(path, "must be epochs of a run", error, "timing") from error


def machine_words(device: str, cores: int) -> str:
    """``2 cores``, with a GPU its name before it."""
    words = f"{cores}{SPACE}cores"
    return words if device == "cpu" else f"{device}, {words}"


def duration(seconds: float) -> str:
    """Rounded to what a reader plans with: ``40 s``, ``25 min``, ``5.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f}{SPACE}s"
    minutes = seconds / 60
    if minutes < 100:
        return f"{minutes:.0f}{SPACE}min"
    return f"{minutes / 60:.1f}{SPACE}h"
