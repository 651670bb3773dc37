"""Run an engine with fake networks as a process of its own: `python fake_engine.py FOLDER`.

Where FOLDER holds a file `stall-NAME` (an upload, a click, a spine), the engine renames it to `stalled-NAME` at that
point and sleeps: whoever waits for that file can kill the engine there, and the next engine finds nothing to stall at.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import h11

from SAMSpineLib.engine.networks import Networks
from SAMSpineLib.engine.service import listening
from SAMSpineLib.engine.service.hosting import Hosting
from SAMSpineLib.engine.service.listening import Address, bound, build_server, end_with_stdin, handshake

HERE = Path(__file__).resolve().parent


def loaded(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def stall(folder: Path, name: str) -> None:
    if (folder / f"stall-{name}").exists():
        (folder / f"stall-{name}").rename(folder / f"stalled-{name}")
        time.sleep(60)


def main(folder: Path) -> None:
    fakes, served = loaded(HERE.parent / "conftest.py", "fakes"), loaded(HERE / "conftest.py", "served")

    class Model(fakes.FakePromptable):
        def decode(self, *words, **named):
            stall(folder, "click")
            return super().decode(*words, **named)

    class Localiser(served.Oracle):
        def localise(self, volume, *, progress=None):
            progress(0.5)
            stall(folder, "spine")
            return super().localise(volume, progress=progress)

    class StallingProtocol(listening.PatientProtocol):
        def data_received(self, data):
            super().data_received(data)
            if self.conn.their_state is h11.SEND_BODY and self.scope["method"] == "PUT":
                stall(folder, "upload")  # a part of the body is here, the rest is not

    listening.PatientProtocol = StallingProtocol
    address = Address()
    hosting = Hosting(Networks(lambda _: Model(), lambda _: Localiser()))
    server, socket = build_server(hosting, address, "token of a fake engine"), bound(address)
    end_with_stdin(server.stop)
    sys.stdout.write(handshake(socket, address, "token of a fake engine") + "\n")
    sys.stdout.flush()
    server.run(sockets=[socket])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
