"""A signal may find the main thread anywhere, also inside the log's own lock."""

from __future__ import annotations

import subprocess
import sys
import textwrap

PROGRAM = textwrap.dedent(
    """
    import os, signal, sys
    from safehand_core import logs
    from safehand_rpc.server import serve_until_signal

    class Stream:
        told = False
        def write(self, text):
            if "server.started" in text and not self.told:
                self.told = True
                os.kill(os.getpid(), signal.SIGTERM)
            return sys.stdout.write(text)
        def flush(self):
            sys.stdout.flush()

    class Server:
        port = 1
        def start(self): pass
        def drain(self, grace_s): print("drained", flush=True)

    logs.configure("consent", stream=Stream())
    serve_until_signal(Server(), on_drain=lambda: print("closed", flush=True))
    """
)


def test_a_signal_in_the_middle_of_a_log_line_still_drains() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=True
    )
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith("{")] == ["drained", "closed"]
    assert any('"SIGTERM"' in line for line in lines)
