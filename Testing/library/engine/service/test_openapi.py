"""The service's description of itself, and a machine that tries all that it promises and all that it forbids."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

TRY_ALL = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
# Whether voxels are what their hash says, or a click lies in the volume, no schema can tell: such a refusal is right.
UNTELLABLE = "positive_data_acceptance"


@pytest.mark.skipif(TRY_ALL is None, reason="needs schemathesis")
def test_nothing_that_the_description_allows_or_forbids_breaks_the_service(engine, token, ct, tmp_path):
    session = engine.session()
    session.set_volume(ct)
    state = session.mirror._open_state
    known = f'"path.session" = "{state.session}"\n"path.digest" = "{state._parcel.digest}"\n'
    (tmp_path / "schemathesis.toml").write_text(f"[parameters]\n{known}", encoding="utf-8")
    command = [
        TRY_ALL, "run", f"{engine.url}/openapi.json", "--header", f"Authorization: Bearer {token}", "--no-color",
        "--max-examples", "10", "--seed", "1", "--exclude-checks", UNTELLABLE,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert session.mirror.is_open
    assert engine.hosting.arrays.nbytes <= engine.hosting.settings.memory_bytes


def test_the_description_names_every_route(engine, token):
    answer = requests.get(f"{engine.url}/openapi.json", headers={"Authorization": f"Bearer {token}"}, timeout=5)
    assert set(answer.json()["paths"]) == {
        "/health", "/info", "/arrays/{digest}", "/arrays/{digest}/voxels", "/arrays/{digest}/shared", "/sessions",
        "/sessions/{session}", "/sessions/{session}/steps", "/sessions/{session}/jobs",
        "/sessions/{session}/jobs/{step}", "/sessions/{session}/result", "/sessions/{session}/transforms/{number}",
    }  # fmt: skip
