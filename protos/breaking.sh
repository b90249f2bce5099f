#!/bin/sh
# Compare the protos with the last released ones (baseline.binpb). After a release, refresh it with
#   buf build --exclude-source-info -o baseline.binpb
set -eu
cd "$(dirname "$0")"
buf=${BUF:-../.venv/bin/buf}
now=$(mktemp --suffix=.binpb)
trap 'rm -f "$now"' EXIT
"$buf" build --exclude-source-info -o "$now"
"$buf" breaking "$now" --against baseline.binpb --config buf.yaml
