#!/bin/sh
# Make the cluster at the first start, then become the server. Shell builtins only: the image has
# no other tools.
#
#   POSTGRES_USER      the superuser (default postgres)
#   POSTGRES_PASSWORD  its password; or POSTGRES_PASSWORD_FILE, a file that holds it. Required.
#   POSTGRES_DB        a first database (default: as the user)
#
# `postgres` and what follows are the server's own arguments; anything else is run as it is.
set -eu
umask 077

if [ "${1:-postgres}" != postgres ] && [ "${1#-}" = "$1" ]; then
    exec "$@"
fi
if [ "${1:-}" = postgres ]; then shift; fi

refuse() {
    echo "postgres image: $1" >&2
    exit 78
}

made="$PGDATA/made-by-entrypoint"
if [ ! -e "$made" ]; then
    [ ! -e "$PGDATA/PG_VERSION" ] || refuse "a first start was interrupted: empty the volume"
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
        read -r POSTGRES_PASSWORD <"$POSTGRES_PASSWORD_FILE" || [ -n "$POSTGRES_PASSWORD" ]
    fi
    [ -n "${POSTGRES_PASSWORD:-}" ] || refuse "POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE is not set"
    user="${POSTGRES_USER:-postgres}"
    database="${POSTGRES_DB:-$user}"
    case "$user$database" in
        *[!A-Za-z0-9_]*) refuse "POSTGRES_USER and POSTGRES_DB take letters, digits and _ only" ;;
    esac
    # The password goes through a pipe: never in an argument, never in a file.
    printf '%s\n' "$POSTGRES_PASSWORD" | initdb --pgdata="$PGDATA" --username="$user" \
        --pwfile=/dev/stdin --auth=scram-sha-256 --encoding=UTF8 --locale-provider=builtin \
        --builtin-locale=C.UTF-8 --locale=C --data-checksums >/dev/null
    # Everyone needs the password, from wherever the network lets them in.
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    if [ "$database" != postgres ]; then
        echo "CREATE DATABASE \"$database\";" | postgres --single -D "$PGDATA" postgres >/dev/null
    fi
    : >"$made"
fi
unset POSTGRES_PASSWORD
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql "$@"
