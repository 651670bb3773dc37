"""Foreign files: what is read of them, and what is never run."""

from __future__ import annotations

import argparse
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from SAMSpineLib.errors import ModelError
from SAMSpineLib.models.store.conversion import declared, read_checkpoint, write_safetensors

WEIGHTS = {"encoder.weight": torch.arange(6.0).reshape(2, 3), "decoder.bias": torch.ones(2, dtype=torch.bfloat16)}


class Bomb:
    """A pickle that makes a file when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.mark}'",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [lambda bomb: bomb, lambda bomb: {"model": WEIGHTS, "epoch": bomb}])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, wrap: Any, *, zipped: bool) -> None:
    mark, path = tmp_path / "it ran", tmp_path / "sam_vit_b.pth"
    torch.save(wrap(Bomb(mark)), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"was refused, and nothing in it was run: .*wants '(posix|nt)\.system'"):
        read_checkpoint(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "the test is worth nothing if this pickle is harmless"


def test_a_bare_malicious_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    mark, path = tmp_path / "it ran", tmp_path / "sam_vit_b.pth"
    path.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ModelError, match="was refused, and nothing in it was run"):
        read_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("extra", "wants"),
    [(argparse.Namespace(lr=1), r"argparse\.Namespace"), (np.float64(1), "numpy"), (torch.nn.Linear(1, 1), "Linear")],
)
def test_a_checkpoint_with_more_than_weights_says_what_to_ask_for(tmp_path: Path, extra: Any, wants: str) -> None:
    torch.save({"model": WEIGHTS, "args": extra}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=rf"wants '[\w.]*{wants}.*torch\.save\(network\.state_dict"):
        read_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        OrderedDict(WEIGHTS),
        {"model": WEIGHTS},
        {"state_dict": WEIGHTS, "epoch": 3, "optimizer": {"state": {0: torch.ones(1)}, "lr": [0.1]}},
        {"model_state_dict": {f"module.{name}": value for name, value in WEIGHTS.items()}},
        {f"_orig_mod.module.{name}": value for name, value in WEIGHTS.items()},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_found_in_whatever_a_training_loop_has_put_around_them(
    tmp_path: Path, content: Any, *, zipped: bool
) -> None:
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(tmp_path / "a.pt")
    assert set(found) == set(WEIGHTS)
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in WEIGHTS.items())


def test_safetensors_are_read_as_they_are_whatever_they_are_called(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "a.pth", {"model": "ct-sam3d-small"})
    assert set(read_checkpoint(tmp_path / "a.pth")) == set(WEIGHTS)
    assert declared(tmp_path / "a.pth") == {"model": "ct-sam3d-small"}


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>404</html>", b"\x80\x02", b"PK\x03\x04" + bytes(50), (5).to_bytes(8, "little") + b"{]}}}" + bytes(9)],
    ids=["empty", "page", "pickle", "zip", "safetensors"],
)
def test_a_damaged_file_is_a_models_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ModelError, match=r"a\.pt' (is|was).* (copy or )?download it again"):
        read_checkpoint(tmp_path / "a.pt")


def test_a_file_cut_anywhere_is_a_models_error(tmp_path: Path) -> None:
    torch.save({"model": WEIGHTS}, tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    for end in range(1, len(content) - 1, 97):
        (tmp_path / "a.pt").write_bytes(content[:end])
        with pytest.raises(ModelError):
            read_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("content", [torch.zeros(2), [1, 2], {}, {"epoch": 1, "lr": 0.1}, {"model": {"epoch": 1}}])
def test_a_file_without_weights_says_what_it_holds(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ModelError, match="holds no dict of tensors"):
        read_checkpoint(tmp_path / "a.pt")


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_program_of_torchscript_is_refused_without_advice_to_trust_it(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "a.pt")
    with pytest.raises(ModelError, match="TorchScript") as caught:
        read_checkpoint(tmp_path / "a.pt")
    assert "False" not in str(caught.value)


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.pt' does not exist"):
        read_checkpoint(tmp_path / "none.pt")


def test_tied_and_transposed_weights_are_written_each_for_itself(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    write_safetensors(tmp_path / "a.safetensors", {"a": base, "b": base, "c": base.T, "d": base[1]}, {"x": "y"})
    found = load_file(tmp_path / "a.safetensors")
    assert torch.equal(found["a"], base)
    assert torch.equal(found["b"], base)
    assert torch.equal(found["c"], base.T)
    assert torch.equal(found["d"], base[1])
    with safe_open(tmp_path / "a.safetensors", "pt") as handle:
        assert handle.metadata() == {"x": "y"}
