"""The job script of an array: what it asks for, and what it does when a task was asked to leave."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from histoscope.errors import ConfigError
from histoscope.jobs.slurm import Array

CALL = ["/opt/my env/python", "-m", "histoscope", "predict", "nuclei-free", "a b", "*.svs", "out", "--claim"]


def test_what_is_asked_for():
    lines = Array(4, 2, 3, "1-12", "gpu").script(CALL, Path("/data/of us")).splitlines()
    asked = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert asked == [
        *("--job-name=histoscope", "--array=1-4", "--ntasks=1", "--cpus-per-task=2", "--gres=gpu:3"),
        *("--time=1-12", "--partition=gpu", "'--chdir=/data/of us'", "--requeue", "--open-mode=append"),
        "--signal=USR1@120",
    ]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash")
@pytest.mark.parametrize(("code", "queued"), [(0, ""), (1, ""), (75, "requeue 7_3\n"), (143, "")])
def test_only_a_task_that_was_asked_to_leave_is_queued_again(tmp_path, code, queued):
    for name, body in {"srun": f'printf "%s\\n" "$@" > words; exit {code}', "scontrol": 'echo "$@"'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    of_slurm = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_ID": "7"}
    done = subprocess.run(
        ["bash", "-c", Array().script(CALL, tmp_path)],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_CPUS_PER_TASK": "8", **of_slurm},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, queued, "")
    assert (tmp_path / "words").read_text().splitlines() == ["--cpus-per-task=8", *CALL]


@pytest.mark.parametrize(
    ("time", "why"),
    [("5", "10 minutes or more"), ("0:09:59", "10 minutes or more"), ("soon", "expected minutes")],
)
def test_limits_that_are_none_or_too_short_are_refused(time, why):
    with pytest.raises(ConfigError, match=why):
        Array(time=time)
