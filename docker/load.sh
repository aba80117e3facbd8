#!/usr/bin/env bash
# Writes to both masters by the rules of docker/twinlog.toml, and breaks one now and then. docker/sql.sh says which
# environment it takes, and
#
#   ROUNDS        ends after so many rounds (0: never)
#   PAUSE         seconds from round to round (1)
#   BREAK_EVERY   rounds from one broken rule to the next (60)
set -euo pipefail

# shellcheck source=docker/sql.sh
. "$(dirname "${BASH_SOURCE[0]}")/sql.sh"

readonly rounds=${ROUNDS:-0} pause=${PAUSE:-1} break_every=${BREAK_EVERY:-60}

say() { printf 'load: round %d: %s\n' "$round" "$1"; }

# A statement that fails is told, and the load goes on: a server that is started anew comes back.
try() { # NODE SQL
  sql "$1" "$2" || say "a statement failed on $1"
}

# Each round, not only after it was stopped: that statement may have failed, or this script have been ended before it.
start_replication() {
  try a 'START SLAVE'
  try b 'START SLAVE'
}

write_by_the_rules() {
  try a "
    INSERT INTO shop.orders (what) VALUES ('round $round, by a');
    INSERT INTO crm.a_leads (name) VALUES ('round $round');
    UPDATE shop.account SET balance = balance + 1 WHERE id = 1"
  try b "
    INSERT INTO shop.orders (what) VALUES ('round $round, by b');
    INSERT INTO crm.b_leads (name) VALUES ('round $round');
    UPDATE shop.account SET balance = balance + 1 WHERE id = 2"
}

break_a_rule() { # NUMBER
  case $1 in
    0)
      say "both update account 3, before either has seen the other: a conflict, and a row that differs"
      try a 'STOP SLAVE SQL_THREAD'
      try b 'STOP SLAVE SQL_THREAD'
      try a "UPDATE shop.account SET balance = $((1000 + round)) WHERE id = 3"
      try b "UPDATE shop.account SET balance = $((2000 + round)) WHERE id = 3"
      start_replication
      ;;
    1)
      say "b writes a table of a"
      try b "INSERT INTO crm.a_leads (name) VALUES ('round $round, by b')"
      ;;
    2)
      say "a writes an even order, which is a row of b"
      # Below zero: what auto_increment deals out never comes there, and is not moved on by it.
      try a "
        INSERT INTO shop.orders (id, what)
          SELECT LEAST(COALESCE(MIN(id), 0), 0) - 2, 'round $round, by a' FROM shop.orders"
      ;;
    3)
      say "account 3 is written again: the masters are equal"
      try a 'UPDATE shop.account SET balance = 100 WHERE id = 3'
      ;;
  esac
}

round=0
while [ "$rounds" = 0 ] || [ "$round" -lt "$rounds" ]; do
  round=$((round + 1))
  start_replication
  write_by_the_rules
  [ $((round % break_every)) != 0 ] || break_a_rule $(((round / break_every - 1) % 4))
  sleep "$pause"
done
