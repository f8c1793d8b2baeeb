"""Benchmarks are not run by the tests, but they can be started."""

import subprocess
import sys


def test_benchmarks_are_listed_where_a_name_is_unknown(project):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nothing"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "unknown: nothing; there are " in done.stderr
    for name in ("similarity", "nuclei", "pixel_forest", "label_error", "kills"):
        assert name in done.stderr
