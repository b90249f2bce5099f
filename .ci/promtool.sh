#!/usr/bin/env bash
# Installs Debian's Prometheus, for the test of the alert rules. Ends 1 where that cannot be had.
set -euo pipefail
INSTALL_S=180
command -v promtool >/dev/null && exit 0
[ "$(id -u)" = 0 ] || exit 1
command -v apt-get >/dev/null || exit 1
# RUNLEVEL keeps the package from starting a server.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
timeout "$INSTALL_S" apt-get update -q >/dev/null
timeout "$INSTALL_S" apt-get install -q -y --no-install-recommends prometheus >/dev/null
command -v promtool >/dev/null
