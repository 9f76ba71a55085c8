"""GitHub's workflows: pinned, with few rights, and calling what is there."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from jupyter_book.config import get_final_config
from pybtex.database import parse_file
from server import Served, serve, status
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

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


def test_an_action_has_the_rights_that_it_needs(workflow) -> None:
    """In a private repository reading the settings of Pages must be allowed, too."""
    needs = {"configure-pages": "pages", "deploy-pages": "pages"}
    for name, job in jobs(workflow):
        used = re.findall(r"actions/([\w-]+)@", str(job["steps"]))
        wanted = {needs[action] for action in used if action in needs}
        assert wanted <= set(job.get("permissions", {})), name


def installs(**given: str) -> list[str]:
    """What make would install in a new .venv: the lines with pip."""
    names = [".venv/.book", ".venv/.grid", ".venv/.dev"]
    environment = {k: v for k, v in os.environ.items() if k != "CONSTRAINTS"} | given
    done = subprocess.run(
        ["make", "--always-make", "--dry-run", *names],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if "pip install" in line]


def test_every_week_the_newest_packages_are_tried_and_else_the_tested_ones() -> None:
    weekly = dict(jobs(ROOT / ".github/workflows/weekly.yml"))
    assert weekly["live"]["env"] == weekly["again"]["env"]
    newest, tested = installs(**weekly["again"]["env"]), installs()
    assert len(newest) == len(tested) == 3
    assert all(" -c /dev/null " in line for line in newest)
    assert all(" -c constraints.txt " in line for line in tested)


def test_every_week_no_failed_step_hides_another_and_the_issue_names_it() -> None:
    weekly = dict(jobs(ROOT / ".github/workflows/weekly.yml"))
    tells = weekly.pop("tell")
    words = {"again": ["make test", "make book", "make links"], "live": ["make live"]}
    for name, job in weekly.items():
        tried = [step for step in job["steps"] if "run" in step]
        assert [step["run"] for step in tried] == words[name]
        assert all(step["if"] == "${{ !cancelled() }}" for step in tried[1:])
        outcomes = [
            f"{step['run']}: ${{{{ steps.{step['id']}.outcome }}}}" for step in tried
        ]
        assert job["outputs"] == {"outcomes": ", ".join(outcomes)}
    assert tells["needs"] == [*weekly] == [*words]
    (tell,) = tells["steps"]
    told = ", ".join(f"${{{{ needs.{name}.outputs.outcomes }}}}" for name in weekly)
    assert tell["env"]["OUTCOMES"] == told
    assert '--body "$OUTCOMES: ' in tell["run"]


def test_every_week_what_takes_too_long_for_a_push_is_tried() -> None:
    """The slow tests that prove no claim, which `make reliability` leaves out."""
    done = subprocess.run(
        ["make", "--dry-run", "-o", ".venv/.dev", "live"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (line,) = (line for line in done.stdout.splitlines() if "pytest" in line)
    assert ' -m "slow and not claim" ' in line
    assert "tests/" not in line  # all of them


def test_the_link_check_leaves_out_dois_and_nothing_else() -> None:
    given = yaml.safe_load((ROOT / "_config.yml").read_text())
    settings, _ = get_final_config(
        user_yaml=given, cli_config={"latex_individualpages": False}
    )
    (left_out,) = settings["linkcheck_ignore"]  # as Sphinx gets it
    assert re.match(left_out, "https://doi.org/10.1109/CVPR.2016.90")
    for link in ("https://arxiv.org/abs/1803.08494", "https://doi-org/10.1"):
        assert not re.match(left_out, link)


def test_a_doi_is_well_formed() -> None:
    """Nothing else looks at it: the link check does not ask for DOIs."""
    entries = parse_file(ROOT / "book/references.bib").entries
    dois = [entry.fields["doi"] for entry in entries.values() if "doi" in entry.fields]
    assert len(dois) > 20
    for doi in dois:
        assert re.fullmatch(r"10\.\d{4,9}/[-.;()/:\w]*\w", doi, re.ASCII), doi
    assert len(set(dois)) == len(dois)


def test_what_an_error_names_and_the_book_are_kept_of_every_run() -> None:
    """The machine is gone then; its files are those that it uploaded."""
    error = (ROOT / "book/execute.py").read_text()
    (folder,) = re.findall(r'f"see (\S+)/\{name\}"', error)
    steps = dict(jobs(ROOT / ".github/workflows/test.yml"))["test"]["steps"]
    (upload,) = [step for step in steps if "upload" in step.get("uses", "")]
    assert upload["if"] == "${{ !cancelled() }}"
    kept = set(upload["with"]["path"].splitlines())
    assert {f"{folder}/notebooks", f"{folder}/report.json", "book/_build/html"} <= kept


def test_another_set_of_packages_is_installed_and_the_same_is_not(tmp_path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/.python").touch()
    python = tmp_path / ".venv/bin/python"
    python.write_text('#!/bin/sh\necho "$*" >> installed\n')
    python.chmod(0o755)

    def made(*words: str) -> int:
        """How many installations a call of make begins."""
        (tmp_path / "installed").write_text("")
        environment = {k: v for k, v in os.environ.items() if k != "CONSTRAINTS"}
        subprocess.run(
            ["make", *(words or [".venv/.dev"])],
            cwd=tmp_path, env=environment, check=True, capture_output=True,
        )  # fmt: skip
        return len((tmp_path / "installed").read_text().splitlines())

    newest = ".venv/.dev", "CONSTRAINTS=/dev/null"
    assert [made(), made(), made(*newest), made(*newest), made()] == [1, 0, 1, 0, 1]
    assert made(".venv/.book") == made(".venv/.grid") == 0  # .dev has them in it
    for name in ("pyproject.toml", "constraints.txt"):
        os.utime(tmp_path / name, ns=(9 * 10**18, 9 * 10**18))  # changed later
        assert made() == 1
        os.utime(tmp_path / name, ns=(0, 0))
    assert made() == 0


def test_the_branch_that_is_pushed_is_the_one_that_colab_opens() -> None:
    workflow = (ROOT / ".github/workflows/publish.yml").read_text()
    (pushed,) = re.findall(r"git push[^#]*?GITHUB_REPOSITORY\" (\w+)$", workflow, re.M)
    opened = (ROOT / "book/_ext/mscf_book.py").read_text()
    assert f'"/blob/{pushed}/"' in opened


PUBLISH = dict(jobs(ROOT / ".github/workflows/publish.yml"))


def step(job: str, name: str) -> dict:
    """A step of publishing."""
    (found,) = [one for one in PUBLISH[job]["steps"] if one.get("id") == name]
    return found


def bash(job: str, name: str, **options) -> subprocess.CompletedProcess:
    """What a step runs, as GitHub runs it."""
    words = ["bash", "-e", "-c", step(job, name)["run"]]
    return subprocess.run(words, capture_output=True, text=True, **options)


def test_pages_are_counted_after_they_are_deployed_against_those_built() -> None:
    assert PUBLISH["build"]["outputs"] == {"pages": "${{ steps.built.outputs.pages }}"}
    assert PUBLISH["deploy"]["needs"] == "build"
    names = [one.get("id") for one in PUBLISH["deploy"]["steps"]]
    assert names == ["deployment", "count"]
    assert step("deploy", "count")["env"] == {
        "BUILT": "${{ needs.build.outputs.pages }}",
        "PAGE_URL": "${{ steps.deployment.outputs.page_url }}",
    }


def test_as_many_pages_are_counted_in_the_folder_as_its_sitemap_lists(tmp_path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "book/welcome.rst").write_text("Welcome\n=======\n")
    html = tmp_path / "book/_build/html"
    given = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]
    settings = {
        "extensions": ["sphinx_sitemap"],
        "sitemap_url_scheme": given["sitemap_url_scheme"],
        "html_baseurl": "https://fork.github.io/mscf/",
        "root_doc": "book/welcome",
    }
    folders = [str(folder) for folder in (html, tmp_path / "trees")]
    with docutils_namespace():
        Sphinx(str(tmp_path), None, *folders, "html", settings, status=None).build()
    # Jupyter Book and the theme add these.
    (html / "index.html").touch()
    (html / "_static/webpack-macros.html").touch()

    out = tmp_path / "output"
    environment = {**os.environ, "GITHUB_OUTPUT": str(out)}
    assert bash("build", "built", cwd=tmp_path, env=environment).returncode == 0
    counted = int(out.read_text().removeprefix("pages="))
    assert counted == (html / "sitemap.xml").read_text().count("<loc>") > 1


@pytest.fixture
def published(tmp_path) -> Iterator[Served]:
    """A site whose sitemap lists three pages."""
    (tmp_path / "sitemap.xml").write_text("<url><loc>page</loc></url>" * 3)
    server, served = serve(tmp_path / "sitemap.xml")
    yield served
    server.shutdown()
    server.server_close()


@pytest.fixture
def count(published, tmp_path) -> Callable[[int], subprocess.CompletedProcess]:
    """Counts the pages of that site as after its deployment, and waits for nothing."""
    if shutil.which("curl") is None:
        pytest.skip("NOT TESTED: no curl")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sleep").write_text("#!/bin/sh\n")
    (tmp_path / "bin/sleep").chmod(0o755)
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PAGE_URL": published.address.rpartition("/")[0] + "/",
    }

    def run(built: int) -> subprocess.CompletedProcess:
        return bash("deploy", "count", env={**environment, "BUILT": str(built)})

    return run


def test_a_site_with_every_page_that_was_built_is_published(count, published) -> None:
    assert count(3).returncode == 0
    (asked,) = published.log
    assert asked["path"].startswith("/sitemap.xml?")


def test_a_site_that_is_there_after_some_seconds_is_published(count, published) -> None:
    published.faults.extend([status(404), status(503)])
    assert count(3).returncode == 0
    asked = [entry["path"] for entry in published.log]
    assert len(set(asked)) == 3  # no cache can answer with what it said before


@pytest.mark.parametrize(("built", "found", "code"), [(4, 3, 200), (3, 0, 404)])
def test_a_site_without_a_page_that_was_built_fails_in_one_line(
    built, found, code, count, published
) -> None:
    if code != 200:
        published.faults.extend([status(code)] * 99)
    done = count(built)
    assert done.returncode == 1
    site = published.address.rpartition("/")[0]
    assert done.stdout == (
        f"::error::{site}/sitemap.xml lists {found} pages, {built} were built\n"
    )
    assert done.stderr == ""
    assert len(published.log) > 5
