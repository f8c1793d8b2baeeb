"""Steps that the partition tests send to workers, which import this module by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pandas as pd

from tumor_ratio.errors import SlideError
from tumor_ratio.steps import step


@step(name="square", version=1)
def square(number: int) -> pd.DataFrame:
    return pd.DataFrame({"number": [number], "square": [number**2]})


@step(name="square_with_mark", version=1)
def square_with_mark(number: int, marks: str) -> pd.DataFrame:
    """Leaves a trace of having run."""
    with (Path(marks) / "ran.txt").open("a") as stream:
        stream.write(f"{number}\n")
    return square(number)


@step(name="record", version=1)
def record(slide_id: str) -> dict[str, object]:
    return {"slide_id": slide_id, "pid": os.getpid()}


@step(name="here", version=1)
def here(path: str) -> dict[str, object]:
    return {"here": os.getcwd(), "there": Path(path).read_text()}


@step(name="environment", version=1)
def environment(number: int) -> dict[str, object]:
    import sys

    main = sys.modules["__main__"]
    return {
        "threads": os.environ["OMP_NUM_THREADS"],
        "main": getattr(main, "__file__", None),
        "pid": os.getpid(),
    }


@step(name="fail_when_odd", version=1)
def fail_when_odd(number: int) -> pd.DataFrame:
    if number % 2:
        raise SlideError(f"s{number}", "no pixel size in the file", "set he_mpp in the manifest")
    return square(number)


@step(name="fail_unless", version=1)
def fail_unless(path: str) -> pd.DataFrame:
    if not Path(path).exists():
        raise ValueError("two\nlines")
    return square(1)


@step(name="die_when_two", version=1)
def die_when_two(number: int) -> pd.DataFrame:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return square(number)


@step(name="die_once", version=1)
def die_once(path: str) -> pd.DataFrame:
    if not Path(path).exists():
        Path(path).touch()
        os._exit(3)
    return square(1)


@step(name="wait_forever", version=1)
def wait_forever(pid_file: str) -> pd.DataFrame:
    Path(pid_file).write_text(str(os.getpid()))
    time.sleep(600)
    return square(1)


@step(name="produce", version=1)
def produce(folder: str) -> dict[str, object]:
    target = Path(folder) / "made.bin"
    target.write_bytes(b"12345")
    return {"products": [str(target)]}


@step(name="total_of", version=1)
def total_of(ref: object) -> dict[str, object]:
    return {"total": int(ref.load()["square"].sum())}  # type: ignore[attr-defined]


@step(name="linger_once", version=1)
def linger_once(pid_file: str) -> pd.DataFrame:
    """Waits to be killed; the second attempt goes through."""
    if not Path(pid_file).exists():
        wait_forever(pid_file)
    return square(1)


@step(name="read_slowly", version=1)
def read_slowly(name: str, wait_s: float) -> dict[str, object]:
    """Relative to the project before and after other tasks have come and gone."""
    before = Path(name).read_text()
    time.sleep(wait_s)
    return {"same": Path(name).read_text() == before, "here": os.getcwd()}


@step(name="begin_anew", version=1)
def begin_anew(folder: object) -> dict[str, object]:
    """Meanwhile another run begins."""
    folder.prepare()  # type: ignore[attr-defined]
    return {}
