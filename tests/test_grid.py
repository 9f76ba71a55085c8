"""The grid: profiles that name what there is, a plan, and a run that can be killed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
import yaml

from mscf.models import METHODS, find_method
from mscf.training.settings import TrainSettings

ROOT = Path(__file__).parents[1]
PROFILES = sorted((ROOT / "grid").glob("*.yaml"))
BY_THE_GRID = {"data", "out", "method", "split", "fold", "seed", "resume"}


def command(profile: Path, folder: Path, *options: str) -> list[str]:
    snakemake = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile")]
    # The options before --configfile: it takes all files that follow.
    return [
        *snakemake, "--directory", str(folder), "--workflow-profile",
        str(ROOT / "profiles/default"), *options, "--configfile", str(profile),
    ]  # fmt: skip


def grid(profile: Path, folder: Path, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(profile, folder, *options), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_a_profile_names_methods_and_settings_that_there_are(profile) -> None:
    config = yaml.safe_load(profile.read_text())
    known = {f.name.replace("_", "-") for f in fields(TrainSettings)} - BY_THE_GRID
    assert set(config["settings"]) <= known
    for block in config["runs"]:
        for method in block["methods"]:
            find_method(method)
        assert set(block["splits"]) <= {"patient", "slice"}
    if "phantoms" not in config:
        assert not config.get("examples"), "voxels of people are not kept"
    if config["size"] == 448:  # for GPUs: with each machine's own number of them
        assert config["settings"]["gpus"] == 1  # it would be another recipe


@pytest.mark.parametrize("name", ["smoke", "phantoms", "lits"])
def test_the_ten_are_trained_in_the_order_of_table_1(name) -> None:
    config = yaml.safe_load((ROOT / f"grid/{name}.yaml").read_text())
    assert config["runs"][0]["methods"] == list(METHODS)


def test_the_plan_has_a_job_for_every_run(tmp_path) -> None:
    plan = grid(ROOT / "grid/smoke.yaml", tmp_path, "-n")
    assert plan.returncode == 0, plan.stderr
    assert re.search(r"^train +10$", plan.stdout, re.MULTILINE)
    assert not list(tmp_path.rglob("run.json"))


def test_slices_are_kept_of_methods_and_of_no_variant(tmp_path) -> None:
    plan = grid(ROOT / "grid/phantoms.yaml", tmp_path, "-n", "-p")
    kept = dict(re.findall(r"--method (\S+) .*--examples (\d+)", plan.stdout))
    assert kept.keys() > {*METHODS, "mscf+once"}
    assert all(n == ("0" if "+" in method else "8") for method, n in kept.items())


def test_the_gpus_of_a_machine_are_shared_out_evenly(tiny_profile, tmp_path) -> None:
    words = "--config", "gpus=2", "settings={workers: 1}"
    plan = grid(tiny_profile, tmp_path, "-n", "-p", *words)
    commands = re.findall(r"env (.*?) ?/\S+ -m mscf train (.*)", plan.stdout)
    assert sorted(gpu for gpu, _ in commands) == [
        "CUDA_VISIBLE_DEVICES=0", "CUDA_VISIBLE_DEVICES=1",
    ]  # fmt: skip
    assert all("--workers 1" in of and "--epochs 2" in of for _, of in commands)
    plan = grid(tiny_profile, tmp_path, "-n", "-p")
    assert "CUDA_VISIBLE_DEVICES" not in plan.stdout


def test_the_excerpts_trainings_run_on_lits_under_a_name_of_their_own(tmp_path) -> None:
    """By the command of the page "How to reproduce", which has the same words."""
    page = (ROOT / "notebooks/reproduce.ipynb").read_text(encoding="utf-8")
    words = ["results=runs/results", "name=lits-short", "cases=data/Task03_Liver",
             "threads=1", "settings={workers: 1}"]  # fmt: skip
    assert all(word in page for word in words)
    cases = words.index("cases=data/Task03_Liver")
    words[cases] = f"cases={tmp_path}"
    plan = grid(
        ROOT / "grid/excerpt-448.yaml", tmp_path, "-n", "-p", "--config", *words
    )
    assert plan.returncode == 0, plan.stderr
    commands = re.findall(r"-m mscf train (.*?) &&", plan.stdout)
    assert len(commands) == 31
    settings = "--epochs 25 --no-pretrained --log-odds-bias --gpus 1 --workers 1"
    assert all(settings in of for of in commands)
    assert all("--data data/lits-short-448 " in of for of in commands)


@pytest.fixture
def stand_in_for_slurm(tmp_path, monkeypatch) -> Path:
    """The plugin's name without a cluster; its jobs are lines of the file it gives.

    A job makes its output at once, and nothing else.
    """
    plugin, jobs = tmp_path / "snakemake_executor_plugin_slurm", tmp_path / "jobs"
    plugin.mkdir()
    (plugin / "__init__.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("STAND_IN_JOBS", str(jobs))
    return jobs


STAND_IN = """
import json, os
from pathlib import Path
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(
    non_local_exec=True, implies_no_shared_fs=False, job_deploy_sources=False
)

class Executor(RealExecutor):
    cores = get_exec_mode = get_python_executable = None
    cancel = shutdown = lambda self: None

    def run_job(self, job):
        with open(os.environ["STAND_IN_JOBS"], "a") as file:
            print(json.dumps([job.name, job.threads, dict(job.resources)]), file=file)
        for path in map(Path, job.output):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        info = SubmittedJobInfo(job)
        self.report_job_submission(info)
        self.report_job_success(info)
"""


def test_on_slurm_a_training_asks_for_a_gpu_and_the_store_for_none(
    stand_in_for_slurm, tmp_path
) -> None:
    run = "results/lits-448/patient/unet/fold-0/seed-0/run.json"
    slurm = "--workflow-profile", str(ROOT / "profiles/slurm")
    weights = tmp_path / "runs/grid/lits-448/weights.ready"  # fetched before, with them
    weights.parent.mkdir(parents=True)
    weights.touch()
    done = grid(ROOT / "grid/lits.yaml", tmp_path, run, *slurm)
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, stand_in_for_slurm.read_text().splitlines())
    jobs = {name: (threads, resources) for name, threads, resources in lines}
    assert list(jobs) == ["store", "train"]
    assert [resources.get("gpu") for _, resources in jobs.values()] == [None, 1]
    for threads, resources in jobs.values():
        assert threads == resources["cpus_per_task"] == 8
        assert "slurm_extra" not in resources  # the plugin refuses most of it


@pytest.fixture
def tiny_profile(tiny_cases, tmp_path):
    """Two light methods on six small cases; two epochs each."""
    config = {
        "name": "tiny", "size": 192, "cases": str(tiny_cases), "results": "results",
        "settings": {"epochs": 2, "pretrained": False, "batch-size": 4},
        "runs": [{"methods": ["cenet", "senet"], "splits": ["patient"], "seeds": [0]}],
    }  # fmt: skip
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def planned(profile: Path, folder: Path) -> dict[str, int]:
    """How many jobs of each rule would be run."""
    plan = grid(profile, folder, "-n")
    assert plan.returncode == 0, plan.stderr
    return {
        name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", plan.stdout, re.M)
    }


def finished(folder: Path, method: str) -> Path:
    """A run that stands among the results, of which no work folder is left."""
    path = folder / f"results/tiny-192/patient/{method}/fold-0/seed-0/run.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    return path


def test_a_store_that_is_made_anew_repeats_no_run_that_stands(
    tiny_profile, tmp_path
) -> None:
    finished(tmp_path, "cenet")
    plan = planned(tiny_profile, tmp_path)
    assert (plan["store"], plan["train"]) == (1, 1)  # the other method's
    finished(tmp_path, "senet")
    assert not {"store", "train"} & {*planned(tiny_profile, tmp_path)}


def test_a_setting_that_is_edited_repeats_no_run_that_stands(
    tiny_profile, tmp_path
) -> None:
    finished(tmp_path, "cenet")
    before = planned(tiny_profile, tmp_path)
    config = yaml.safe_load(tiny_profile.read_text())
    config["settings"] |= {"workers": 0, "epochs": 3}
    tiny_profile.write_text(yaml.safe_dump(config))
    assert planned(tiny_profile, tmp_path) == before


def test_a_mark_of_a_store_is_believed_while_the_store_is_of_these_persons(
    tiny_profile, tiny_cases, tmp_path
) -> None:
    cases = shutil.copytree(tiny_cases, tmp_path / "cases")
    config = yaml.safe_load(tiny_profile.read_text()) | {"cases": str(cases)}
    tiny_profile.write_text(yaml.safe_dump(config))
    mark = tmp_path / "runs/grid/tiny-192/store.ready"
    made = tmp_path / "data/tiny-192/store.json"
    for path in (made, mark):
        path.parent.mkdir(parents=True)
        path.touch()
    assert "store" not in planned(tiny_profile, tmp_path)
    (cases / "patients.csv").write_text("case,patient,spacing_known\n")
    os.utime(cases / "patients.csv", (made.stat().st_mtime + 9,) * 2)
    assert planned(tiny_profile, tmp_path)["store"] == 1  # prepare.py will say it
    assert mark.exists()  # a plan changes nothing
    os.utime(mark, (made.stat().st_mtime + 10,) * 2)  # it has agreed
    assert "store" not in planned(tiny_profile, tmp_path)
    (cases / "patients.csv").unlink()
    made.unlink()
    assert planned(tiny_profile, tmp_path)["store"] == 1


def test_weights_that_are_required_are_fetched_before_anything(
    tiny_profile, tmp_path
) -> None:
    assert "weights" not in planned(tiny_profile, tmp_path)
    config = yaml.safe_load(tiny_profile.read_text())
    config["settings"] = {"require-pretrained": True}
    tiny_profile.write_text(yaml.safe_dump(config))
    assert planned(tiny_profile, tmp_path)["weights"] == 1


@pytest.mark.check
@pytest.mark.timeout(1200)
def test_a_killed_grid_goes_on_and_repeats_nothing(tiny_profile, tmp_path) -> None:
    folder = tmp_path / "grid"
    folder.mkdir()
    one = "--cores", "1"  # one training after the other, each on one thread
    running = subprocess.Popen(
        command(tiny_profile, folder, *one),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    kept = folder / "results/tiny-192/patient"
    while not list(kept.rglob("run.json")):
        assert running.poll() is None
        time.sleep(0.1)
    (first,) = kept.rglob("run.json")
    before = first.read_bytes()  # a repeated run would say "resumed"
    other = "senet" if "cenet" in first.parts else "cenet"
    state = folder / f"runs/grid/tiny-192/patient/{other}/fold-0/seed-0/last.ckpt"
    while not state.exists():
        assert running.poll() is None
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (kept / other / "fold-0/seed-0/run.json").exists()

    again = grid(tiny_profile, folder, *one)
    assert again.returncode == 0, again.stderr
    assert first.read_bytes() == before
    assert '"resumed"' in (kept / other / "fold-0/seed-0/run.json").read_text()
    assert (kept / "summary.csv").read_text().count("\n") > 2


@pytest.mark.check
@pytest.mark.timeout(1800)
def test_smoke_takes_all_ten_from_data_to_table_and_pictures(tmp_path) -> None:
    done = grid(ROOT / "grid/smoke.yaml", tmp_path)
    assert done.returncode == 0, done.stderr
    kept = tmp_path / "runs/grid-results/smoke-192"
    summary = pd.read_csv(kept / "patient/summary.csv")
    assert set(summary["method"]) == set(METHODS)
    assert len(pd.read_csv(kept / "patient/comparison.csv")) == 9 * 9
    assert set(pd.read_csv(kept / "patient/ranks.csv")["method"]) == set(METHODS)
    page = tmp_path / "table1.ipynb"
    notebook = [str(ROOT / "notebooks/table1.ipynb"), str(page), "--cwd", str(ROOT)]
    done = subprocess.run(
        [sys.executable, "-m", "papermill", *notebook, "-p", "results", str(kept)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert page.read_text().count("image/png") >= 3
