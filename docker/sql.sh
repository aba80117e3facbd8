# shellcheck shell=bash
# How ring.sh and load.sh speak to the masters: by the environment, so that they run against any two. Sourced by both.
#
#   A_HOST, A_PORT, B_HOST, B_PORT   the masters (a, 3306, b, 3306)
#   SECRETS                          directory of the files with the passwords (/run/secrets)

A_HOST=${A_HOST:-a} A_PORT=${A_PORT:-3306} B_HOST=${B_HOST:-b} B_PORT=${B_PORT:-3306}
SECRETS=${SECRETS:-/run/secrets}

secret() { # NAME
  cat "$SECRETS/$1"
}

die() { # WHAT HINT
  printf '%s: error: %s\nhint: %s\n' "${0##*/}" "$1" "$2" >&2
  exit 1
}

# Runs SQL as root: rows as tab separated lines without names.
sql() { # NODE SQL
  local host=A_HOST port=A_PORT
  [ "$1" = a ] || { host=B_HOST && port=B_PORT; }
  MYSQL_PWD=$(secret root_password) mariadb --no-defaults --protocol=TCP --host="${!host}" --port="${!port}" --user=root \
    --batch --skip-column-names --connect-timeout=5 --execute="$2"
}
