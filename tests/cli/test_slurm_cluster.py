"""The printed script as an array on a real SLURM of one node, which is started for the test; minutes long."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from histoscope import synth
from histoscope.files import write_image
from slide_results import contents

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
FOUND = {name: shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in NEEDED}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(None in FOUND.values(), reason="SLURM and munge"),
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="slurmd runs as root"),
]
CONF = """
ClusterName=one
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={top}/munge.socket
StateSaveLocation={top}/state
SlurmdSpoolDir={top}/spool
SlurmctldPidFile={top}/slurmctld.pid
SlurmdPidFile={top}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
NodeName={host} CPUs={cores} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Start the daemons; give what runs a command against them."""
    top = tmp_path_factory.mktemp("slurm")
    top.chmod(0o755)
    for name in ("state", "spool"):
        (top / name).mkdir()
    (top / "key").write_bytes(os.urandom(128))
    (top / "key").chmod(0o600)
    text = CONF.format(top=top, host=socket.gethostname(), cores=os.cpu_count())
    (top / "slurm.conf").write_text(text)
    paths = {"key-file": "key", "socket": "munge.socket", "pid-file": "munge.pid", "log-file": "munge.log"}
    munge = [f"--{option}={top / name}" for option, name in paths.items()]
    daemons = [
        [FOUND["munged"], "-F", "--force", *munge, f"--seed-file={top / 'seed'}"],
        [FOUND["slurmctld"], "-D", "-i"],
        [FOUND["slurmd"], "-D"],
    ]
    about = {**os.environ, "SLURM_CONF": str(top / "slurm.conf"), "PYTHONPATH": os.pathsep.join(sys.path)}
    running = []
    try:
        for words in daemons:
            with (top / f"{Path(words[0]).name}.out").open("w") as log:
                running.append(subprocess.Popen(words, env=about, stdout=log, stderr=log))
            time.sleep(2)

        def run(*words, cwd=top, **more):
            given = {"env": about, "cwd": cwd, "text": True, "capture_output": True, "timeout": 300, **more}
            return subprocess.run([str(word) for word in words], check=True, **given).stdout

        yield run
        run("scancel", "--user=root")
    finally:
        for daemon in reversed(running):
            daemon.terminate()
            daemon.wait(60)


def test_an_array_that_is_asked_to_leave_goes_on_and_leaves_the_same_bytes(slurm, tmp_path):
    for k in range(12):
        tile = synth.generate((256, 256), mpp=0.5, rng=k).image
        image = np.full((2048, 2048, 3), 244, np.uint8)
        image[200:1736, 200:1736] = np.tile(tile, (6, 6, 1))
        write_image(tmp_path / "the slides" / f"{k:02d}.tif", image, mpp=0.5)
    call = ["predict", "nuclei-free", "the slides"]
    histoscope = [sys.executable, "-m", "histoscope"]
    options = ["--tasks", 3, "--gpus", 0, "--cpus", 1, "--time", 60]
    script = slurm(*histoscope, "slurm", *options, *call, "out", "--as", "slide", cwd=tmp_path)
    job = slurm("sbatch", "--parsable", input=script).strip()
    claims = tmp_path / "out" / ".ledger" / "claims"
    wait(lambda: claims.is_dir() and any(claims.iterdir()), "a claim")
    slurm("scancel", "--signal=USR1", job)  # what SLURM does by itself before time is up
    wait(lambda: "BeginTime" in slurm("squeue", "--noheader", "--format=%r"), "a task that is queued again")
    wait(lambda: not slurm("squeue", "--noheader"), "the end")
    logs = "".join(path.read_text() for path in tmp_path.glob("slurm-*.out"))
    assert "exit code 75" in logs
    slurm(*histoscope, *call, "alone", "--as", "slide", cwd=tmp_path)
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def wait(is_so, what):
    until = time.monotonic() + 900
    while not is_so():
        assert time.monotonic() < until, f"waited for {what}"
        time.sleep(1)
