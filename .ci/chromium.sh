#!/usr/bin/env bash
# Installs Debian's Chromium, for the tests of her pages. Ends 1 where that cannot be had.
set -euo pipefail
INSTALL_S=300
[ -n "${SAFEHAND_CHROMIUM:-}" ] && [ -x "$SAFEHAND_CHROMIUM" ] && exit 0
command -v chromium >/dev/null && exit 0
[ "$(id -u)" = 0 ] || exit 1
command -v apt-get >/dev/null || exit 1
export DEBIAN_FRONTEND=noninteractive
timeout "$INSTALL_S" apt-get update -q >/dev/null
timeout "$INSTALL_S" apt-get install -q -y --no-install-recommends chromium >/dev/null
command -v chromium >/dev/null
