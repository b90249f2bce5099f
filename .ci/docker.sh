#!/usr/bin/env bash
# Proves what runs in containers: the images are built, the tests of bus and storage run on them, and
# the guided story runs inside the services' image.
#
# Uses the engine that answers, or starts Debian's own for this run, in a folder that goes away.
# Ends 0 and says "docker: not run: …" where no engine can be had here (no root, no package, no
# privileges); anything else that fails is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck disable=SC2206  # words are wanted
TESTS=(${DOCKER_TESTS:-tests/containers tests/bus tests/store})
INSTALL_S=120
START_S=20
TESTS_S=900

folder=
engine=

clean() {
    status=$?
    trap - EXIT
    if [ -n "$engine" ]; then
        kill "$engine" 2>/dev/null || true
        wait "$engine" 2>/dev/null || true
    fi
    if [ -n "$folder" ]; then
        # What an engine that was killed leaves mounted.
        awk -v under="$folder/" 'index($2, under) == 1 { print $2 }' /proc/self/mounts | sort -r |
            while read -r mounted; do umount "$mounted" || true; done
        rm -rf "$folder"
    fi
    exit "$status"
}
trap clean EXIT
trap 'exit 130' INT TERM

not_run() {
    echo "docker: not run: $1"
    exit 0
}

answers() {
    timeout 5 .venv/bin/python -W ignore -c \
        'import docker; docker.from_env(timeout=2).ping()' >/dev/null 2>&1
}

install_engine() {
    command -v apt-get >/dev/null || not_run "there is no engine here, and no apt-get"
    echo "docker: installing Debian's docker.io"
    # RUNLEVEL keeps the package from starting a service.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    log=$(mktemp)
    if ! { timeout "$INSTALL_S" apt-get update -q &&
        timeout "$INSTALL_S" apt-get install -q -y --no-install-recommends docker.io; } \
        >"$log" 2>&1; then
        tail -n 5 "$log"
        rm -f "$log"
        not_run "docker.io cannot be installed"
    fi
    rm -f "$log"
}

# No network of its own: containers share this machine's or have none, so that neither iptables nor
# bridges are needed. overlay where the file system can, else plain copies.
start_engine() {
    folder=$(mktemp -d /tmp/safehand-docker-XXXXXX)
    export DOCKER_HOST="unix://$folder/docker.sock"
    for driver in overlay2 vfs; do
        dockerd --storage-driver="$driver" --iptables=false --ip6tables=false --bridge=none \
            --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/pid" \
            --host "$DOCKER_HOST" >"$folder/log" 2>&1 &
        engine=$!
        deadline=$((SECONDS + START_S))
        while [ "$SECONDS" -lt "$deadline" ] && kill -0 "$engine" 2>/dev/null; do
            if answers; then
                echo "docker: started $(dockerd --version | cut -d, -f1) on $driver"
                return
            fi
            sleep 0.2
        done
        kill "$engine" 2>/dev/null || true
        wait "$engine" 2>/dev/null || true
        engine=
    done
    tail -n 3 "$folder/log"
    not_run "the engine does not start here; its last lines are above"
}

if answers; then
    echo "docker: using the engine that answers"
else
    [ "$(id -u)" = 0 ] || not_run "no engine answers, and only root can start one"
    command -v dockerd >/dev/null || install_engine
    start_engine
fi

.venv/bin/python deploy/images/build.py

# Can it begin a process at all? Privileges for that may be missing where the engine itself starts.
.venv/bin/python -W ignore - "$(.venv/bin/python deploy/images/build.py nats)" <<'PYTHON' ||
import sys, docker

tag = sys.argv[1].rpartition(": ")[0]
try:
    said = docker.from_env().containers.run(tag, ["--version"], remove=True, network_mode="none")
except docker.errors.ContainerError as error:
    sys.exit(f"docker: the image does not run: {error}")
except docker.errors.APIError as error:
    print(f"docker: {error.explanation}")
    sys.exit(125)
print(f"docker: a container says {said.decode().strip()}")
PYTHON
    status=$?
[ "${status:-0}" != 125 ] || not_run "the engine cannot start a container here"
[ "${status:-0}" = 0 ] || exit "$status"

present=()
for path in "${TESTS[@]}"; do
    if [ -e "$path" ]; then present+=("$path"); fi
done
report=$(mktemp)
status=0
SAFEHAND_TEST_SERVERS=docker SAFEHAND_TEST_DATABASE=pg18 timeout "$TESTS_S" .venv/bin/python -m pytest -q -n "${JOBS:-2}" \
    --dist loadfile --junitxml="$report" "${present[@]}" || status=$?
if [ "$status" = 124 ]; then
    echo "docker: the tests took longer than $TESTS_S s"
else
    .venv/bin/python .ci/check_report.py "$report" || status=1
fi
rm -f "$report"
[ "$status" = 0 ] || exit "$status"
echo "docker: all of it ran in containers"
