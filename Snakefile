# The grid: methods x splits x folds x seeds, each trained, evaluated and kept.
#
#   make grid PROFILE=smoke           (or: snakemake --configfile grid/smoke.yaml)
#   snakemake --configfile grid/phantoms.yaml -n       the plan
#
# A run works in runs/grid/ and goes on from its last epoch; when it is whole, its tables
# stand under results/<name>-<size>/<split>/<method>/fold-<k>/seed-<n>/. Killed and
# started again, the grid repeats nothing that stands there. profiles/ holds the options
# for this machine and for a Slurm cluster.

import sys
from itertools import product
from pathlib import Path

config.setdefault("results", "results")
NAME = f"{config['name']}-{config['size']}"
STORE = f"data/{NAME}"
RUNS = f"runs/grid/{NAME}"
RESULTS = f"{config['results']}/{NAME}"
REQUIRED = config["settings"].get("require-pretrained", False)
RUN = "{split}/{method}/fold-{fold}/seed-{seed}"
SPLITS = sorted({split for block in config["runs"] for split in block["splits"]})
PYTHON = sys.executable
SCRIPTS = f"{workflow.basedir}/data_scripts"
# Not workflow.cores: a cluster is given jobs, no cores, and it would end the parsing.
CORES = workflow.resource_settings.cores or 8

if not Path(STORE, "store.json").exists():
    Path(RUNS, "store.ready").unlink(missing_ok=True)  # the mark of one that is gone
PERSONS = Path(config["cases"], "patients.csv")


def kept_runs(split):
    """The records of all runs of a split, in the profile's order, each once."""
    found = {}
    for block in config["runs"]:
        if split in block["splits"]:
            for method, fold, seed in product(
                block["methods"], block.get("folds", [0]), block["seeds"]
            ):
                run = RUN.format(split=split, method=method, fold=fold, seed=seed)
                found[f"{RESULTS}/{run}/run.json"] = None
    return list(found)


def gpu_of(wildcards):
    """The GPU of a run where several of this machine are shared out: each its own."""
    if "gpus" not in config:
        return []  # as it is: one, or what a cluster gives
    run = f"{RESULTS}/{RUN}/run.json".format(**wildcards)
    gpu = kept_runs(wildcards.split).index(run) % config["gpus"]
    return [f"CUDA_VISIBLE_DEVICES={gpu}"]


def options(settings):
    """Settings of a profile as options of a command."""
    words = []
    for name, value in settings.items():
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            several = value if isinstance(value, list) else [value]
            words += [f"--{name}", *map(str, several)]
    return words


def store_of_new(wildcards):
    """The store of a run that does not stand there yet.

    A new store would be a reason to repeat one that does, which deletes it first.
    """
    kept = Path(f"{RESULTS}/{RUN}/run.json".format(**wildcards))
    return [] if kept.exists() else rules.store.output


wildcard_constraints:
    split="patient|slice",
    fold=r"\d+",
    seed=r"\d+",


localrules:
    all,
    tables,
    weights,


rule all:
    input:
        expand(f"{RESULTS}/{{split}}/summary.csv", split=SPLITS),


# Here, where there is a network: jobs of a cluster may have none, and would fail one by
# one after the store was made.
rule weights:
    output:
        touch(f"{RUNS}/weights.ready"),
    shell:
        "{PYTHON:q} {SCRIPTS:q}/imagenet.py"


# Both commands leave alone what is there and unchanged. Persons that were put right since
# are looked at once more.
rule store:
    input:
        ancient(rules.weights.output) if REQUIRED else [],
        str(PERSONS) if PERSONS.exists() else [],
    output:
        touch(f"{RUNS}/store.ready"),
    params:
        make=(
            [
                PYTHON,
                f"{SCRIPTS}/make_phantoms.py",
                config["cases"],
                *options(config["phantoms"]),
            ]
            if "phantoms" in config
            else ["true"]
        ),
    threads: CORES
    shell:
        "{params.make:q} && {PYTHON:q} {SCRIPTS:q}/prepare.py {config[cases]:q} "
        "{STORE:q} --size {config[size]:q}"


rule train:
    input:
        store_of_new,
    output:
        f"{RESULTS}/{RUN}/run.json",
    params:
        options=options(config["settings"]),
        # No page shows a variant's slices.
        examples=lambda w: 0 if "+" in w.method else config.get("examples", 0),
        run=f"{RUNS}/{RUN}",
        gpu=gpu_of,
    threads: config.get("threads", CORES)
    shell:
        "env {params.gpu:q} {PYTHON:q} -m mscf train --data {STORE:q} --out {params.run:q} "
        "--method {wildcards.method:q} --split {wildcards.split:q} "
        "--fold {wildcards.fold:q} --seed {wildcards.seed:q} "
        "{params.options:q} --resume && "
        "{PYTHON:q} {SCRIPTS:q}/keep_run.py {params.run:q} "
        "{config[results]:q} --no-beside --examples {params.examples:q}"


rule tables:
    input:
        lambda wildcards: kept_runs(wildcards.split),
    output:
        f"{RESULTS}/{{split}}/summary.csv",
    shell:
        "{PYTHON:q} {SCRIPTS:q}/make_tables.py {RESULTS:q}/{wildcards.split:q}"
