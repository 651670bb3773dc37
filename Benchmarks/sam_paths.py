"""Ways to run a SAM 2 on a CPU: what each costs, and how far from float32 it is.

`python -m Benchmarks.sam_paths NAME ...` prints, for each network named (`sam-spine-tiny`, `sam2.1-tiny`, ...; weights
at random) and each way, the processor time of encoding a slice and of answering a click, and the largest error as a
share of the largest value. Processor time hardly depends on what else the machine does; set OMP_NUM_THREADS=1, or
threads that wait are counted too. `onnxruntime` and `openvino`, with `onnx`, are timed where they are installed. The
results are in CONTRIBUTING.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn

from Benchmarks.timing import median
from SAMSpineLib.models.sam.config import OWN_CONFIGS, SAM2_CONFIGS
from SAMSpineLib.models.sam.networks import build_sam2
from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone

TIMES = 5
Run = Callable[[], Any]


class _Encoder(nn.Module):
    """The image encoder as the package runs it."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.forward_image(image)["backbone_fpn"])


class _Decoder(nn.Module):
    """The mask decoder as the package runs it."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.decoder = network.sam_mask_decoder
        self.register_buffer("positions", network.sam_prompt_encoder.get_dense_pe().detach())

    def forward(self, fine: Tensor, middle: Tensor, top: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            self.decoder.predict_masks(
                image_embeddings=top, image_pe=self.positions, sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense, repeat_image=False, high_res_features=[fine, middle],
            )[:2]
        )  # fmt: skip


def ways(network: Any, image: Tensor, asked: tuple[Tensor, ...]) -> Iterator[tuple[str, Run, Run]]:
    """Yield the name of each way, and what encodes and what decodes."""
    encoder, decoder = _Encoder(network).eval(), _Decoder(network).eval()
    yield "float32", lambda: encoder(image), lambda: decoder(*asked)
    ours = Sam2Backbone(deepcopy(network))
    own_decoder = _Decoder(ours.network).eval()
    yield "oneDNN (ours)", lambda: ours._maps(ours.network.image_encoder.trunk(image)), lambda: own_decoder(*asked)
    last = [deepcopy(one).to(memory_format=torch.channels_last) for one in (encoder, decoder)]
    yield "channels last", lambda: last[0](image.to(memory_format=torch.channels_last)), lambda: last[1](*asked)
    cast = torch.autocast("cpu", torch.bfloat16)
    yield "bfloat16", cast(lambda: encoder(image)), cast(lambda: decoder(*asked))
    small = [torch.ao.quantization.quantize_dynamic(deepcopy(one), {nn.Linear}) for one in (encoder, decoder)]
    yield "int8, dynamic", lambda: small[0](image), lambda: small[1](*asked)
    if all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "openvino")):
        yield from _exported(encoder, decoder, image, asked)


def _exported(encoder: nn.Module, decoder: nn.Module, *given: Any) -> Iterator[tuple[str, Run, Run]]:
    import onnxruntime
    import openvino

    image, asked = given
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("encoder.onnx", "decoder.onnx")]
        names = ["fine", "middle", "top", "sparse", "dense"]
        torch.onnx.export(encoder, (image,), paths[0], dynamo=False, input_names=["image"])
        torch.onnx.export(decoder, asked, paths[1], dynamo=False, input_names=names)
        inputs = {"image": image.numpy()}, {name: one.numpy() for name, one in zip(names, asked, strict=True)}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        sessions = [onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"]) for path in paths]
        yield "ONNX Runtime", lambda: sessions[0].run(None, inputs[0]), lambda: sessions[1].run(None, inputs[1])
        for name, hint in (("OpenVINO", "f32"), ("OpenVINO, bfloat16", "bf16")):
            hints = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
            models = [openvino.Core().compile_model(path, "CPU", hints) for path in paths]
            yield name, lambda m=models: [*m[0](inputs[0]).values()], lambda m=models: [*m[1](inputs[1]).values()]  # type: ignore[misc]


def compare(name: str) -> None:
    """Print a line for each way to run a network."""
    torch.manual_seed(7)
    network = build_sam2((OWN_CONFIGS | SAM2_CONFIGS)[name]).requires_grad_(requires_grad=False)
    image = torch.randn(1, 3, network.image_size, network.image_size)
    points = torch.tensor([[[100.0, 100.0]]]), torch.ones(1, 1, dtype=torch.int32)
    sparse, dense = network.sam_prompt_encoder(points=points, boxes=None, masks=None)
    asked = (*_Encoder(network)(image), sparse, dense.contiguous())
    expected: list[Any] = []
    for way, encode, decode in ways(network, image, asked):
        found = [encode(), decode()]
        expected = expected or found
        errors = [_error(one, other) for one, other in zip(found, expected, strict=True)]
        took = [median(1000 * _seconds(run) for _ in range(count)) for run, count in ((encode, TIMES), (decode, 20))]
        print(f"{name:15} {way:20} encode {took[0]:7.1f} ms {errors[0]:.0e}   click {took[1]:6.1f} ms {errors[1]:.0e}")


def _seconds(run: Run) -> float:
    start = process_time()
    run()
    return process_time() - start


def _error(found: Any, expected: Any) -> float:
    pairs = [(torch.as_tensor(a).float(), torch.as_tensor(b).float()) for a, b in zip(found, expected, strict=True)]
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


if __name__ == "__main__":
    with torch.no_grad():
        for each in sys.argv[1:] or ["sam-spine-tiny"]:
            compare(each)
