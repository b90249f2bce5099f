#!/usr/bin/env bash
# Installs Debian's PostgreSQL 15, for the suite on it. Ends 1 where that cannot be had.
set -euo pipefail
INSTALL_S=180
[ -x /usr/lib/postgresql/15/bin/initdb ] && exit 0
[ "$(id -u)" = 0 ] || exit 1
command -v apt-get >/dev/null || exit 1
# RUNLEVEL keeps the package from starting a server.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
timeout "$INSTALL_S" apt-get update -q >/dev/null
timeout "$INSTALL_S" apt-get install -q -y --no-install-recommends postgresql-15 >/dev/null
[ -x /usr/lib/postgresql/15/bin/initdb ]
