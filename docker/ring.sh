#!/usr/bin/env bash
# Makes a ring of the two masters, once: accounts, a -> b -> a by GTID, and the tables of the demonstration. What is
# there already is left as it is. docker/sql.sh says which environment it takes.
set -euo pipefail

# shellcheck source=docker/sql.sh
. "$(dirname "${BASH_SOURCE[0]}")/sql.sh"

readonly wait_seconds_max=60

wait_for() { # WHAT COMMAND...
  local end=$((SECONDS + wait_seconds_max)) what=$1
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || die "$what not within $wait_seconds_max s" "look at the masters' logs"
    sleep 0.2
  done
}

is_wired() { # NODE
  [ -n "$(sql "$1" 'SHOW SLAVE STATUS')" ]
}

# On each node by itself, and in no binary log.
make_accounts() { # NODE
  sql "$1" "
    SET SESSION sql_log_bin = 0;
    CREATE USER IF NOT EXISTS repl@'%' IDENTIFIED BY '$(secret repl_password)';
    GRANT REPLICATION SLAVE ON *.* TO repl@'%';
    CREATE USER IF NOT EXISTS twinlog@'%' IDENTIFIED BY '$(secret twinlog_password)';
    GRANT REPLICATION SLAVE, BINLOG MONITOR, SLAVE MONITOR, SELECT ON *.* TO twinlog@'%'"
}

wire() { # NODE HOST PORT
  # What the image logged while it made the data directory is its own affair.
  sql "$1" "
    RESET MASTER;
    CHANGE MASTER TO MASTER_HOST = '$2', MASTER_PORT = $3, MASTER_USER = 'repl',
      MASTER_PASSWORD = '$(secret repl_password)', MASTER_USE_GTID = slave_pos, MASTER_SSL = 0,
      MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = 2"
}

replicates() { # NODE
  [ "$(sql "$1" "SHOW GLOBAL STATUS LIKE 'Slave_running'")" = $'Slave_running\tON' ]
}

has_tables() { # NODE
  sql "$1" 'SELECT 1 FROM shop.orders, shop.account, crm.a_leads, crm.b_leads LIMIT 0'
}

make_tables() {
  sql a "
    CREATE DATABASE shop;
    CREATE DATABASE crm;
    CREATE TABLE shop.account (id INT PRIMARY KEY, balance INT NOT NULL);
    CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(80) NOT NULL);
    CREATE TABLE crm.a_leads (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(80) NOT NULL);
    CREATE TABLE crm.b_leads (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(80) NOT NULL);
    INSERT INTO shop.account VALUES (1, 100), (2, 100), (3, 100)"
}

for node in a b; do
  wait_for "$node answers" sql "$node" 'SELECT 1'
  make_accounts "$node"
done
is_wired a || wire a "$B_HOST" "$B_PORT"
is_wired b || wire b "$A_HOST" "$A_PORT"
for node in a b; do
  sql "$node" 'START SLAVE'
  wait_for "$node replicates" replicates "$node"
done
has_tables a 2>/dev/null || make_tables
wait_for "the tables are on b" has_tables b
echo "ring: a and b replicate to each other"
