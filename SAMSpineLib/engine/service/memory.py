"""How much memory this process and its GPU hold, where that can be told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def process_bytes() -> int | None:
    """Return the memory (bytes) that this process holds, None where the system does not say."""
    status = Path("/proc/self/status")
    if status.is_file():
        for row in status.read_text(encoding="utf-8").splitlines():
            if row.startswith("VmRSS:"):
                return int(row.split()[1]) * 1024
    return None


def gpu_memory() -> dict[str, Any] | None:
    """Return name, free and total memory (bytes) of the GPU in use, None without one; does not wake a sleeping one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    free, total = torch.cuda.mem_get_info()
    return {"name": torch.cuda.get_device_name(), "free_bytes": free, "total_bytes": total}
