"""What `make` starts finds its programs without an active environment."""

import shutil
import subprocess

import pytest


def test_mlflow_is_found_by_its_name(project):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        ["make", "--dry-run", "mlflow"], cwd=project, capture_output=True, text=True, check=True
    )
    started = next(line for line in done.stdout.splitlines() if "mlflow ui" in line)
    assert started.startswith(f'PATH="{project}/.venv/bin:$PATH"')
