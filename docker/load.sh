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

write_by_the_rules() {
  sql a "
    INSERT INTO shop.orders (what) VALUES ('round $round, by a');
    INSERT INTO crm.a_leads (name) VALUES ('round $round');
    UPDATE shop.account SET balance = balance + 1 WHERE id = 1"
  sql b "
    INSERT INTO shop.orders (what) VALUES ('round $round, by b');
    INSERT INTO crm.b_leads (name) VALUES ('round $round');
    UPDATE shop.account SET balance = balance + 1 WHERE id = 2"
}

break_a_rule() { # NUMBER
  case $1 in
    0)
      say "both update account 3, before either has seen the other: a conflict, and a row that differs"
      sql a 'STOP SLAVE SQL_THREAD'
      sql b 'STOP SLAVE SQL_THREAD'
      sql a "UPDATE shop.account SET balance = $((1000 + round)) WHERE id = 3"
      sql b "UPDATE shop.account SET balance = $((2000 + round)) WHERE id = 3"
      sql a 'START SLAVE'
      sql b 'START SLAVE'
      ;;
    1)
      say "b writes a table of a"
      sql b "INSERT INTO crm.a_leads (name) VALUES ('round $round, by b')"
      ;;
    2)
      say "a writes an even order, which is a row of b"
      sql a "INSERT INTO shop.orders (id, what) VALUES ($((2000000 + 2 * round)), 'round $round, by a')"
      ;;
    3)
      say "account 3 is written again: the masters are equal"
      sql a 'UPDATE shop.account SET balance = 100 WHERE id = 3'
      ;;
  esac
}

round=0
while [ "$rounds" = 0 ] || [ "$round" -lt "$rounds" ]; do
  round=$((round + 1))
  write_by_the_rules
  [ $((round % break_every)) != 0 ] || break_a_rule $(((round / break_every - 1) % 4))
  sleep "$pause"
done
