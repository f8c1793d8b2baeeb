import subprocess

import pytest

from tumor_ratio import __version__
from tumor_ratio.datasets import code_version
from tumor_ratio.datasets.code_version import code_tags


@pytest.fixture
def checkout(tmp_path):
    """A git checkout with one commit, and its hash."""

    def git(*arguments):
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("a = 1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    return tmp_path, git("rev-parse", "HEAD")


def test_a_checkout_has_its_commit_and_says_whether_code_was_changed(checkout):
    project, commit = checkout
    clean = {"code.version": __version__, "code.commit": commit, "code.dirty": "false"}
    assert code_tags(project) == clean
    (project / "notes.txt").write_text("no code\n")
    assert code_tags(project) == clean
    (project / "src" / "b.py").write_text("new\n")
    assert code_tags(project) == {**clean, "code.dirty": "true"}
    (project / "src" / "b.py").unlink()
    (project / "src" / "a.py").write_text("a = 2\n")
    assert code_tags(project) == {**clean, "code.dirty": "true"}


def test_a_folder_inside_another_repository_is_no_checkout(checkout):
    assert code_tags(checkout[0] / "src") == {"code.version": __version__}


def test_neither_git_nor_a_repository_is_needed(tmp_path, checkout, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert code_tags(checkout[0]) == {"code.version": __version__}
    monkeypatch.undo()
    assert code_tags(tmp_path / "absent") == {"code.version": __version__}


def test_a_git_that_hangs_is_not_waited_for(checkout, monkeypatch):
    def hangs(*_, timeout, **__):
        raise subprocess.TimeoutExpired("git", timeout)

    monkeypatch.setattr(code_version.subprocess, "run", hangs)
    assert code_tags(checkout[0]) == {"code.version": __version__}
