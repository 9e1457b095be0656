"""ONNX Runtime; in float32 everywhere."""

import numpy as np
from numpy.typing import NDArray

from histoscope.models.backends.session import Arrays, Idle, Session

EXTRA, PACKAGES, HAS_BFLOAT16 = "onnx", ("onnxruntime", "onnx"), False
_ERRORS = 3


def opened(path: str, *, at_once: int, threads: int, bfloat16: bool) -> Session:
    """Open a network; see `histoscope.models.backends.session.Backend`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS
    # Threads that spin while they wait take cores from what else runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")

    def session() -> "onnxruntime.InferenceSession":
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    # With one thread a call runs in the thread that makes it, so all may share a session; else each call
    # needs threads of its own.
    one = session()
    idle = Idle([one] * at_once if threads == 1 else [one, *(session() for _ in range(at_once - 1))])
    names = [each.name for each in one.get_outputs()]
    takes = one.get_inputs()[0].name

    def run(images: NDArray[np.float32]) -> Arrays:
        with idle.taken() as each:
            return dict(zip(names, each.run(names, {takes: images}), strict=True))

    return run
