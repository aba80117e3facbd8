# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # these files share the variables of scripts/lab; check them through it
# Where MySQL and MariaDB differ: options, statements, system tables. Sourced by scripts/lab.
# MySQL 8.4 and later know only source and replica, MariaDB 10.11 has all of this as master and slave.

client_options() {
  [ "$server" = mysql ] || echo --skip-ssl
}

# Accounts are part of the prepared data, so no node ever logs their making.
accounts_sql() {
  local reader
  case $server in
    mysql) reader='REPLICATION SLAVE, REPLICATION CLIENT' ;;
    mariadb) reader='REPLICATION SLAVE, BINLOG MONITOR, SLAVE MONITOR' ;;
  esac
  # One statement a line: that is how a bootstrapping server reads them.
  cat <<END
FLUSH PRIVILEGES;
CREATE USER IF NOT EXISTS root@'127.0.0.1';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
CREATE USER repl@'127.0.0.1';
GRANT REPLICATION SLAVE ON *.* TO repl@'127.0.0.1';
CREATE USER twinlog@'127.0.0.1' IDENTIFIED BY 'twinlog';
GRANT $reader ON *.* TO twinlog@'127.0.0.1';
END
}

# What every server of the lab runs with, preparation included: small and quick, never safe against a power cut.
common_options() {
  printf '%s\n' --no-defaults --skip-name-resolve --bind-address=127.0.0.1 \
    --innodb-buffer-pool-size=32M --innodb-log-buffer-size=2M --innodb-flush-log-at-trx-commit=2 --innodb-doublewrite=OFF \
    --innodb-use-native-aio=0 --innodb-fast-shutdown=1 --max-connections=60 --table-open-cache=200
  [ "$(id -u)" != 0 ] || echo --user=root
  case $server in
    mysql) printf '%s\n' --innodb-redo-log-capacity=16M --mysqlx=OFF --log-error-verbosity=2 ;;
    mariadb) printf '%s\n' --innodb-log-file-size=16M --skip-ssl ;;
  esac
}

replication_options() { # NODE INDEX
  printf '%s\n' --server-id="$2" --log-bin="$dir/$1/binlog/$1-bin" --relay-log="$dir/$1/relay/$1-relay" \
    --relay-log-recovery=ON --sync-binlog=0 --binlog-format=ROW --binlog-row-image=FULL --binlog-row-metadata=FULL \
    --auto-increment-increment="$node_count" --auto-increment-offset="$2" --report-host=127.0.0.1 \
    --max-allowed-packet=64M --secure-file-priv= --local-infile=1
  case $server in
    mysql) printf '%s\n' --gtid-mode=ON --enforce-gtid-consistency=ON --log-replica-updates=ON --skip-replica-start ;;
    mariadb) printf '%s\n' --gtid-domain-id="$2" --gtid-strict-mode=ON --log-slave-updates=ON --skip-slave-start ;;
  esac
}

# Makes a data directory with the system tables and the accounts.
prepare_data() { # DATA LOG
  local sql=$1.sql
  accounts_sql >"$sql"
  mkdir -p "$1"
  local run=("$mysqld" "${common[@]}" "${base_options[@]}" --datadir="$1")
  case $server in
    mysql) "${run[@]}" --skip-log-bin --initialize-insecure --init-file="$sql" >"$2" 2>&1 ;;
    mariadb)
      {
        mariadb-install-db "${common[@]}" --datadir="$1" --auth-root-authentication-method=normal --skip-test-db &&
          "${run[@]}" --bootstrap <"$sql"
      } >"$2" 2>&1
      ;;
  esac && rm -f "$sql" "$1/auto.cnf"
}

# A MySQL server's uuid is its name, written out: readable in GTIDs, and the same in every lab.
server_uuid() { # NODE
  [ "$server" = mysql ] || return 0
  printf '%s-%s-%s-%s-%s\n' "$1$1$1$1$1$1$1$1" "$1$1$1$1" "$1$1$1$1" "$1$1$1$1" "$1$1$1$1$1$1$1$1$1$1$1$1"
}

connect_to() { # NODE SOURCE PORT: have NODE replicate from the node SOURCE at that port
  local from=SOURCE_AUTO_POSITION=1
  ! without_gtids || from=$(coordinates_in "$1" "$2")
  case $server in
    mysql) query "$1" -e "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=$3, SOURCE_USER='repl',
      $from, GET_SOURCE_PUBLIC_KEY=1, SOURCE_CONNECT_RETRY=1, SOURCE_HEARTBEAT_PERIOD=2" ;;
    # Since 11.4 replicas insist on TLS unless they are told not to.
    mariadb) query "$1" -e "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=$3, MASTER_USER='repl', MASTER_SSL=0,
      MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=2" ;;
  esac
}

# Whether the nodes replicate by coordinates.
without_gtids() { [[ $server == mysql && " ${options[*]-} " == *" --gtid-mode=OFF "* ]]; }

# Where NODE goes on in the log of SOURCE: where its applier has come to, or at the beginning.
coordinates_in() { # NODE SOURCE
  query "$1" --column-names -E -e "SHOW REPLICA STATUS" | awk -v first="$2-bin.000001" '
    $1 == "Relay_Source_Log_File:" && $2 != "" { file = $2 }
    $1 == "Exec_Source_Log_Pos:" { position = $2 }
    END {
      if (file == "") { file = first; position = 4 }
      printf "SOURCE_AUTO_POSITION=0, SOURCE_LOG_FILE=\047%s\047, SOURCE_LOG_POS=%s\n", file, position
    }'
}

start_replication() { query "$1" -e "START $(replica_word)"; }
stop_replication() { query "$1" -e "STOP $(replica_word)"; }

# Stops replicating, and ends the threads that serve replicas: a MySQL server that stops waits seconds for them.
disconnect() { # NODE
  local id
  stop_replication "$1" || true
  for id in $(query "$1" -e "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"); do
    query "$1" -e "KILL $id" || true
  done
}

replica_word() { if [ "$server" = mysql ]; then echo REPLICA; else echo SLAVE; fi; }

set_mode() { # NODE IDEMPOTENT|STRICT
  local variable=slave_exec_mode
  [ "$server" = mariadb ] || variable=replica_exec_mode
  query "$1" -e "SET GLOBAL $variable = '$2'"
}

# Prints the replica's state as "IO SQL ERRNO IO_ERRNO TEXT", or nothing where none is set up.
replica_state() { # NODE
  query "$1" --column-names -E -e "SHOW $(replica_word) STATUS" | awk '
    { name = $1; sub(/^[^:]*: ?/, "") }
    name ~ /^(Slave|Replica)_IO_Running:$/ { io = $0 }
    name ~ /^(Slave|Replica)_SQL_Running:$/ { sql = $0 }
    name == "Last_SQL_Errno:" { errno = $0 }
    name == "Last_IO_Errno:" { io_errno = $0 }
    name == "Last_SQL_Error:" { text = $0 }
    name == "Last_IO_Error:" && $0 != "" { io_text = $0 }
    END { if (io != "") print io, sql, errno, io_errno, (errno ? text : io_text) }'
}
