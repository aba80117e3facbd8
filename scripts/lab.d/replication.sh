# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # these files share the variables of scripts/lab; check them through it
# The ring: wiring, waiting until all have applied all, and saying who stopped. Sourced by scripts/lab.

readonly connect_seconds_max=15

# Every node reads from the one before it, the first from the last.
wire_ring() {
  local node source before=${nodes##* } port
  ! without_gtids || [ "$node_count" = 2 ] || die "without GTIDs there are two nodes" "--nodes 2"
  for node in $nodes; do
    source=$before
    port=$(cat "$dir/$source/port")
    before=$node
    # Changing the source drops relay logs, so only where there is a change.
    [ "$(cat "$dir/$node/source" 2>/dev/null)" = "$port" ] || connect_to "$node" "$source" "$port" || return 1
    echo "$port" >"$dir/$node/source"
  done
  each_node start_replication && each_node wait_connected
}

wait_connected() { # NODE
  local end=$((SECONDS + connect_seconds_max)) state
  while [ $SECONDS -lt $end ]; do
    state=$(replica_state "$1")
    [[ $state != Yes\ * ]] || return 0
    sleep 0.03
  done
  note "node $1 does not replicate: $(applier_summary "$1")"
  return 1
}

applier_summary() { # NODE
  local io sql errno io_errno text
  read -r io sql errno io_errno text < <(replica_state "$1") || { echo "no replication set up" && return; }
  if [ "$errno" != 0 ]; then
    echo "applier stopped with error $errno: $text"
  elif [ "$io_errno" != 0 ] && [ "$io" != Yes ]; then
    echo "receiver has error $io_errno: $text"
  elif [ "$io $sql" = "Yes Yes" ]; then
    echo "replicating"
  else
    echo "receiver running: $io, applier running: $sql"
  fi
}

# Waits until every node has applied what the others have at this moment.
settle() { # SECONDS
  local end=$((SECONDS + $1)) node wait_for waiting=$nodes left pause=0.02
  for node in $nodes; do
    is_running "$node" || die "node $node is not running" "scripts/lab start $dir"
  done
  [ "$node_count" -gt 1 ] || return 0
  read_positions
  while :; do
    left=
    for node in $waiting; do
      wait_for=$(missing_on "$node")
      [ -z "$wait_for" ] || applied_within "$node" "$wait_for" "$pause" || left+=" $node"
    done
    waiting=${left# }
    [ -n "$waiting" ] || return 0
    give_up_if_stopped
    [ $SECONDS -lt $end ] || give_up "not settled after $1 s"
    # Short waits at first: an applier that stops does so at once. (0 would be for ever in MySQL.)
    case $pause in 0.02) pause=0.05 ;; 0.05) pause=0.1 ;; *) pause=0.5 ;; esac
  done
}

give_up_if_stopped() {
  local node state
  for node in $nodes; do
    state=$(replica_state "$node")
    [[ $state == "Yes Yes "* || $state == "Connecting Yes "* || $state == "Preparing Yes "* ]] || give_up "cannot settle"
  done
}

give_up() { # WHY
  local node
  printf 'lab: error: %s, waiting for: %s\n' "$1" "$waiting" >&2
  for node in $nodes; do printf '  %s: %s\n' "$node" "$(applier_summary "$node")" >&2; done
  printf 'hint: scripts/lab replication %s start, or look into %s/NODE/error.log\n' "$dir" "$dir" >&2
  exit 1
}

# Sets position[NODE]: MySQL, all GTIDs that node has, or the end of its log; MariaDB, "binlog state|applied position".
read_positions() {
  local node
  declare -gA position=()
  for node in $nodes; do
    if without_gtids; then
      position[$node]=$(end_of_log "$node")
      continue
    fi
    case $server in
      mysql) position[$node]=$(query "$node" -e 'SELECT @@GLOBAL.gtid_executed') ;;
      mariadb) position[$node]=$(query "$node" -e "SELECT CONCAT(@@GLOBAL.gtid_binlog_state, '|', @@GLOBAL.gtid_slave_pos)") ;;
    esac
    position[$node]=${position[$node]//\\n/}
  done
}

# Prints file and offset, separated by a tab, up to which the others have something to apply.
end_of_log() { # NODE
  local file offset
  read -r file offset _ < <(query "$1" -e 'SHOW BINARY LOG STATUS')
  # An applier does not come to the end of a file's head by itself.
  [ -n "$(query "$1" -e "SHOW BINLOG EVENTS IN '$file' LIMIT 2, 1")" ] || offset=4
  printf '%s\t%s\n' "$file" "$offset"
}

# Prints what to wait for on a node, nothing where it has all.
missing_on() { # NODE
  local other
  if without_gtids; then
    for other in $nodes; do [ "$other" = "$1" ] || echo "${position[$other]}"; done
    return
  fi
  case $server in
    mysql) (IFS=, && echo "${position[*]}" | sed 's/^,*//; s/,,*/,/g; s/,$//') ;;
    mariadb) missing_gtids "$1" ;;
  esac
}

# MariaDB's positions hold one GTID a domain, its binlog state one a domain and server. A node waits for the last GTID
# of each domain that others have and that is not its own, unless its own log or applied position reaches it.
# (What it applied without any change of a row is in no log of its own, but in its applied position.)
missing_gtids() { # NODE
  local node
  for node in $nodes; do
    [ "$node" != "$1" ] || continue
    echo "other|${position[$node]%%|*}"
  done | cat - <(echo "mine|${position[$1]%%|*}" && echo "applied|${position[$1]#*|}") |
    awk -F'|' -v own="$(node_index "$1")" '
      { n = split($2, gtids, ",")
        for (i = 1; i <= n; i++) { split(gtids[i], g, "-"); note($1, g[1], g[2], g[3] + 0) } }
      function note(kind, domain, server, seq) {
        if (kind == "other" && server != own && seq > want[domain "-" server]) want[domain "-" server] = seq
        if (kind == "mine") have[domain "-" server] = seq
        if (kind == "applied") applied[domain] = seq
      }
      END {
        for (key in want) {
          split(key, part, "-"); domain = part[1]
          if (have[key] >= want[key] || applied[domain] >= want[key]) continue
          if (want[key] > last[domain]) { last[domain] = want[key]; text[domain] = key "-" want[key] }
        }
        for (domain in text) { out = out sep text[domain]; sep = "," }
        print out
      }'
}

node_index() { # NODE
  local before=${nodes%%"$1"*}
  echo $(((${#before} / 2) + 1))
}

applied_within() { # NODE GTIDS-OR-COORDINATES SECONDS
  local result
  if without_gtids; then
    result=$(query "$1" -e "SELECT SOURCE_POS_WAIT('${2%$'\t'*}', ${2#*$'\t'}, $3)")
    [[ $result =~ ^[0-9]+$ ]]
    return
  fi
  case $server in
    mysql) result=$(query "$1" -e "SELECT WAIT_FOR_EXECUTED_GTID_SET('$2', $3)") ;;
    mariadb) result=$(query "$1" -e "SELECT MASTER_GTID_WAIT('$2', $3)") ;;
  esac
  [ "$result" = 0 ]
}
