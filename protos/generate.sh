#!/bin/sh
# Generate Python code from the protos into src/. Run by `make protos`; CI compares the result.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-../.venv/bin/python}
PATH="$(cd "$(dirname "$python")" && pwd):$PATH"
mkdir -p src/safehand src/buf
find src \( -name '*_pb2*.py' -o -name '*_pb2*.pyi' \) -delete
"$python" -m grpc_tools.protoc -I. -Ivendor \
  --python_out=src --grpc_python_out=src --mypy_out=quiet:src --mypy_grpc_out=quiet:src \
  $(find safehand -name '*.proto' | sort) buf/validate/validate.proto
find src -name 'validate_pb2_grpc.py*' -delete
touch src/safehand/py.typed src/buf/py.typed
