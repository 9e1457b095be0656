"""Slides and a study on a real Ray cluster of three nodes, started for the test; minutes long."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from histoscope import data, synth
from histoscope.files import write_image
from histoscope.ledger import Task
from histoscope.types import Record
from slide_results import contents

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="tells by /proc where a worker is"),
    pytest.mark.filterwarnings("ignore"),
]
STUDY = """
study: stain
data: {{name: folder, root: '{images}', val: 0.25}}
models: {{unet: {{width: 4, depth: 2, mpp: 0.5}}}}
train: {{steps: 4, batch_size: 1, patch_px: 32, accelerator: cpu, tensorboard: false}}
augment: basic
levels: [none, macenko, reinhard]
seeds: [0]
conditions: [test]
out: '{out}'
"""


@pytest.fixture
def cluster(monkeypatch):
    """Give a cluster of three nodes of one core, and its port for clients."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    head = {"num_cpus": 1, "ray_client_server_port": port, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            made.add_node(num_cpus=1)
        monkeypatch.setenv("RAY_ADDRESS", made.address)
        yield made, port
    finally:
        made.shutdown()


@pytest.fixture
def slides(tmp_path):
    """Give a folder of six slides of three parts, and a broken one."""
    for k in range(6):
        image = np.full((700, 12_000, 3), 244, np.uint8)
        for at in (500, 5_000, 9_500):
            image[100:612, at : at + 512] = synth.generate((512, 512), mpp=0.5, rng=k + at).image
        write_image(tmp_path / "slides" / f"{k:02d}.tif", image, mpp=0.5)
    (tmp_path / "slides" / "broken.svs").write_bytes(b"no slide")
    return tmp_path / "slides"


def words(*more):
    return [sys.executable, "-m", "histoscope", *map(str, more)]


def run(*more, code=0):
    done = subprocess.run(words(*more), capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def node_of(cluster, claim):
    """The node of the worker that has a claim, as a child of its raylet; None if the claim is given back."""
    try:
        pid = json.loads(claim.read_text())["pid"]
    except FileNotFoundError:
        return None
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    by_raylet = {node.all_processes["raylet"][0].process.pid: node for node in cluster.list_all_nodes()}
    return by_raylet[parent]


def test_a_node_that_is_killed_changes_no_byte(cluster, slides, tmp_path):
    cluster, port = cluster
    call = ["predict", "nuclei-free", slides]
    run(*call, tmp_path / "alone", "--as", "slide", code=1)
    expected = contents(tmp_path / "alone")
    assert {"cohort.parquet", "summary.csv", "00/cells.parquet"} <= expected.keys()

    killed, out = [], tmp_path / "killed"
    said = words(*call, out, "--as", "slide", "--workers", "ray", "--json")
    with subprocess.Popen(said, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "parts" and event["done"] == 1 and not killed:
                node = node_of(cluster, out / ".ledger" / "claims" / Task(event["slide"]).key)
                if node not in {None, cluster.head_node}:
                    killed.append(event["slide"])
                    cluster.remove_node(node, allow_graceful=False)
            print(line, end="")
    assert process.returncode == 1  # of the broken one
    assert killed
    assert event["predicted"] == 6
    assert contents(out) == expected

    one = ["predict", "nuclei-free", slides / "00.tif", tmp_path / "client"]
    run(*one, "--as", "slide", "--workers", f"ray://127.0.0.1:{port}")
    of_one = {name: what for name, what in expected.items() if name.startswith("00/")}
    assert contents(tmp_path / "client").items() >= of_one.items()


def test_a_study_has_the_numbers_of_one_process(cluster, tmp_path):
    samples = synth.cohort(6, 1, shape_px=(64, 64), mpp=0.5, seed=3)
    parts = ["train"] * 4 + ["test"] * 2
    records = [Record(s.name, s.patient, s.source, part) for s, part in zip(samples, parts, strict=True)]
    sheet = data.Datasheet("tiny", mpp=0.5, classes=dict(enumerate(synth.CLASSES, 1)))
    images = data.write_folder(tmp_path / "images", samples, sheet, records=records)
    tables = []
    for how in (["--jobs", "1"], ["--workers", "ray"]):
        out = tmp_path / how[-1]
        (tmp_path / "study.yaml").write_text(STUDY.format(images=images, out=out))
        run("study", "run", tmp_path / "study.yaml", *how)
        assert not (out / ".ledger").exists()
        tables.append({path.parent.name: path.read_text() for path in out.glob("*/per_image.csv")})
    assert len(tables[0]) == 3
    assert tables[0] == tables[1]


def test_a_head_that_is_not_there_is_told_before_anything_is_done(slides, tmp_path):
    call = words("predict", "nuclei-free", slides, tmp_path / "out", "--as", "slide")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = subprocess.run(
        [*call, "--workers", f"ray://127.0.0.1:{port}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: no Ray head answers at 127.0.0.1:{port} ")
    assert not (tmp_path / "out").exists()
