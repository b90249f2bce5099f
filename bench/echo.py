"""The floor: a method that does nothing, behind the same chain, TLS and server as all others.

It takes a stop's own request, validated by the same rules, and answers it. Run as
``python -m bench.echo TLS_DIR`` it serves in a process of its own, as consent does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import ServiceDescriptor
from safehand.consent.v1 import consent_pb2
from safehand_core import logs
from safehand_core.clock import SystemClock
from safehand_rpc.server import build_server, serve_until_signal
from safehand_rpc.tls import TlsFiles

SERVICE: Final = "safehand.bench.v1.EchoService"
PATH: Final = f"/{SERVICE}/Echo"


def serve(tls: TlsFiles) -> None:
    """Serve until SIGTERM; one line on stdout says where."""
    logs.configure("consent")
    server = build_server(
        services=[(_register, object(), _descriptor())],
        policy={PATH: frozenset({"service:portal"})},
        tls=tls,
        clock=SystemClock(),
    )
    print(json.dumps({"port": server.port}), flush=True)
    serve_until_signal(server)


class EchoProcess:
    """The echo server, started; ``address`` is where. ``log`` takes its log lines."""

    def __init__(self, tls: Path, log: Path) -> None:
        with log.open("ab") as lines:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.echo", str(tls)],
                stdout=subprocess.PIPE,
                stderr=lines,
            )
        assert self._process.stdout is not None
        port = json.loads(self._process.stdout.readline())["port"]
        self.address = f"127.0.0.1:{port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def _descriptor() -> ServiceDescriptor:
    """A service that exists only here, so that no proto of the product has to name it."""
    message = "." + consent_pb2.StopGrantRequest.DESCRIPTOR.full_name
    package, _, name = SERVICE.rpartition(".")
    file = descriptor_pb2.FileDescriptorProto(
        name="safehand/bench/v1/echo.proto",
        package=package,
        syntax="proto3",
        dependency=[consent_pb2.DESCRIPTOR.name],
    )
    file.service.add(name=name).method.add(name="Echo", input_type=message, output_type=message)
    pool = descriptor_pool.Default()
    pool.Add(file)
    return pool.FindServiceByName(SERVICE)


def _register(_servicer: object, server: Any) -> None:
    """What generated code would do."""
    handler = grpc.unary_unary_rpc_method_handler(
        lambda request, _context: request,
        request_deserializer=consent_pb2.StopGrantRequest.FromString,
        response_serializer=consent_pb2.StopGrantRequest.SerializeToString,
    )
    server.add_registered_method_handlers(SERVICE, {"Echo": handler})


if __name__ == "__main__":
    serve(TlsFiles.in_dir(Path(sys.argv[1])))
