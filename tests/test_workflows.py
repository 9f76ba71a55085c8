"""GitHub's workflows: pinned, with few rights, and calling what is there."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
# What a job may write, and why: pages, Colab's branch, telling of a failure, a release.
MAY_WRITE = {
    ("publish", "deploy"): {"pages", "id-token"},
    ("publish", "colab"): {"contents"},
    ("weekly", "tell"): {"issues"},
    ("release", "release"): {"contents"},
}


def jobs(path: Path):
    """Name and job of every job of a workflow."""
    return yaml.safe_load(path.read_text())["jobs"].items()


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request) -> Path:
    return request.param


def test_every_action_is_pinned_by_commit_and_says_its_version(workflow) -> None:
    used = re.findall(r"uses: (.*)", workflow.read_text())
    assert used
    for one in used:
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one


def test_a_job_may_write_only_what_it_is_for(workflow) -> None:
    assert yaml.safe_load(workflow.read_text())["permissions"] == {"contents": "read"}
    for name, job in jobs(workflow):
        rights = job.get("permissions", {})
        writes = {of for of, right in rights.items() if right == "write"}
        assert writes == MAY_WRITE.get((workflow.stem, name), set())
        assert set(rights.values()) <= {"read", "write"}


def test_every_job_ends_by_itself_and_leaves_no_credentials(workflow) -> None:
    for _, job in jobs(workflow):
        assert job["timeout-minutes"] <= 100
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


def test_what_a_step_runs_is_there(workflow) -> None:
    targets = re.findall(r"^([\w-]+):.*## ", (ROOT / "Makefile").read_text(), re.M)
    for _, job in jobs(workflow):
        for step in job["steps"]:
            words = step.get("run", "")
            assert set(re.findall(r"\bmake ([\w-]+)", words)) <= set(targets)
            for script in re.findall(r"^\.\S+", words):
                assert (ROOT / script).stat().st_mode & 0o100, f"{script} must run"
            for script in re.findall(r"\bpython3? (\S+)", words):
                assert (ROOT / script).is_file(), f"{script} must be there"


def test_no_text_of_a_stranger_reaches_a_shell(workflow) -> None:
    """A pull request's title or branch inside ``run`` would be run."""
    for _, job in jobs(workflow):
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")


def test_the_branch_that_is_pushed_is_the_one_that_colab_opens() -> None:
    workflow = (ROOT / ".github/workflows/publish.yml").read_text()
    (pushed,) = re.findall(r"git push[^#]*?GITHUB_REPOSITORY\" (\w+)$", workflow, re.M)
    opened = (ROOT / "book/_ext/mscf_book.py").read_text()
    assert f'"/blob/{pushed}/"' in opened
