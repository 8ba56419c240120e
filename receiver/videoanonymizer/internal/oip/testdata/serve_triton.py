# Copyright The otelcol-anonymizer Authors
# SPDX-License-Identifier: Apache-2.0
"""Serves ONNX models by Triton: serve_triton.py HTTP_PORT GRPC_PORT OTLP_URL MODEL.onnx...

pytriton bundles Triton with its Python backend alone, so ONNX Runtime for Python computes.
"""

import pathlib
import sys

import numpy
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

TYPES = {"tensor(uint8)": numpy.uint8, "tensor(int64)": numpy.int64, "tensor(float)": numpy.float32}


def tensors(described):
    def side(n):
        return n if isinstance(n, int) else -1

    return [Tensor(name=t.name, dtype=TYPES[t.type], shape=tuple(side(n) for n in t.shape[1:])) for t in described]


def main(http_port, grpc_port, otlp, *paths):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    config = TritonConfig(
        http_address="127.0.0.1", http_port=int(http_port), grpc_address="127.0.0.1", grpc_port=int(grpc_port),
        allow_metrics=False,
        trace_config=["mode=opentelemetry", "rate=0", "count=-1", "level=TIMESTAMPS", f"opentelemetry,url={otlp}",
                      "opentelemetry,bsp_schedule_delay=100"],
    )
    with Triton(config=config) as triton:
        for path in paths:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            outputs = tensors(session.get_outputs())

            @batch
            def infer(session=session, outputs=outputs, **inputs):
                return dict(zip([o.name for o in outputs], session.run(None, inputs)))

            triton.bind(
                model_name=pathlib.Path(path).stem, infer_func=infer, strict=True,
                inputs=tensors(session.get_inputs()), outputs=outputs,
                config=ModelConfig(max_batch_size=8, batcher=DynamicBatcher(max_queue_delay_microseconds=1000)),
            )
        triton.serve()


main(*sys.argv[1:])
