"""OpenVINO: compiles the whole network for the processor, in bfloat16 where that multiplies it."""

import numpy as np
from numpy.typing import NDArray

from histoscope.models.backends.session import Arrays, Idle, Session

EXTRA, PACKAGES, HAS_BFLOAT16 = "openvino", ("openvino", "onnx"), True


def opened(path: str, *, at_once: int, threads: int, bfloat16: bool) -> Session:
    """Open a network; see `histoscope.models.backends.session.Backend`."""
    import openvino

    settings = {
        "NUM_STREAMS": at_once,
        "INFERENCE_NUM_THREADS": at_once * threads,
        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        # Threads that are bound to cores wait for them where another process runs there.
        "ENABLE_CPU_PINNING": False,
        # Else a machine whose cores are halves of others gets half of its threads.
        "ENABLE_HYPER_THREADING": True,
    }
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    names = [each.get_any_name() for each in compiled.outputs]
    idle = Idle([compiled.create_infer_request() for _ in range(at_once)])

    def run(images: NDArray[np.float32]) -> Arrays:
        with idle.taken() as request:
            # What comes out is copied, for the request will write there again.
            found = request.infer({0: images}, share_inputs=True, share_outputs=False)
        return {name: found[k] for k, name in enumerate(names)}

    return run
