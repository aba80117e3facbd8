# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # these files share the variables of scripts/lab; check them through it
# The processes: a directory per node, start, stop, and the facts about them. Sourced by scripts/lab.
#
#   DIR/lab.conf           what the lab was started with     DIR/a/data     the data directory
#   DIR/lab.env, lab.json  where everything is               DIR/a/binlog   the binary logs, nothing else
#   DIR/a/pid, port, sock, error.log                         DIR/a/relay    the relay logs

# The socket's path has to fit into a sockaddr_un.
readonly socket_path_bytes_max=107
readonly port_attempts_max=10
readonly start_seconds_max=60
readonly stop_seconds_max=30

# Reads what DIR was started with. Sets dir, server, node_count, nodes, replicate, clocks, options.
open_lab() { # DIR [create]
  server='' node_count='' replicate=1 clocks=0 options=()
  [ "${2:-}" = create ] || [ -f "$1/lab.conf" ] || die "$1 holds no lab" "scripts/lab start $1 --server mariadb"
  dir=$(realpath -m "$1")
  [ ${#dir} -le $((socket_path_bytes_max - ${#dir_tail})) ] ||
    die "the path $dir is too long for a socket in it" "choose one of at most $((socket_path_bytes_max - ${#dir_tail})) bytes"
  if [ -f "$dir/lab.conf" ]; then
    # shellcheck source=/dev/null
    . "$dir/lab.conf"
    name_nodes
  elif [ -n "$(ls -A --ignore=.lock "$dir" 2>/dev/null)" ]; then
    die "$dir is not empty and holds no lab" "choose another directory"
  fi
}
readonly dir_tail=/a/sock

name_nodes() {
  local all=(a b c d e f)
  nodes=${all[*]:0:node_count}
}

known_node() { [[ " $nodes " == *" $1 "* ]] || die "the lab in $dir has no node '$1'" "its nodes: $nodes"; }

# One start at a time. The servers are started with the lock's descriptor closed.
lock_lab() {
  mkdir -p "$dir" || die "cannot create $dir" "choose a directory that can be written"
  exec 8>"$dir/.lock"
  flock -n 8 || die "another process is starting the lab in $dir" "wait for it"
}

query() { # NODE CLIENT_ARGUMENT...
  local node=$1
  shift
  [ -n "${client:-}" ] || load_client
  "$client" --no-defaults "${client_flags[@]}" --user=root --socket="$dir/$node/sock" --batch --skip-column-names "$@"
}

load_client() {
  client=$(sed -n 's/^LAB_CLIENT=//p' "$dir/lab.env" 2>/dev/null) || true
  [ -n "$client" ] || locate "$server" || die "no client for $server" "scripts/lab install $server"
  eval "client=$client"
  mapfile -t client_flags < <(client_options)
}

# Runs a function for all nodes at once; fails where one of them fails.
each_node() { # FUNCTION ARGUMENT...
  local node pid pids=() failed=0
  for node in $nodes; do
    "$1" "$node" "${@:2}" &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  return $failed
}

# A recorded pid counts only while it is that very server: pids are used again.
# A process has no command line for a moment while it executes a program, and for good when it has ended.
is_running() { # NODE
  local pid argument arguments=()
  read -r pid 2>/dev/null <"$dir/$1/pid" || return 1
  while start_time "$pid" >/dev/null; do
    mapfile -d '' -t arguments 2>/dev/null <"/proc/$pid/cmdline" || return 1
    [ ${#arguments[@]} = 0 ] || break
  done
  for argument in ${arguments[@]+"${arguments[@]}"}; do
    [ "$argument" != "--datadir=$dir/$1/data" ] || return 0
  done
  return 1
}

any_running() {
  local node
  for node in ${nodes:-}; do is_running "$node" && return; done
  return 1
}

start_all() {
  local node
  mapfile -t common < <(common_options)
  mapfile -t client_flags < <(client_options)
  prepare_template
  declare -p server node_count replicate clocks options | sed 's/^declare/declare -g/' >"$dir/lab.conf"
  pick_ports
  each_node start_node || { kill_all; exit 1; }
  [ "$replicate" = 0 ] || [ "$node_count" = 1 ] || wire_ring || { kill_all; exit 1; }
}

# A data directory to copy is made once for each server, version and set of accounts.
prepare_template() {
  local key
  key=$({ printf '%s\n' "$mysqld" "${common[@]}" && accounts_sql; } | sha256sum | cut -c1-12)
  template=$cache/template-$server-$version-$key
  [ -d "$template" ] || with_cache_lock "template-$server" make_template
}

make_template() {
  [ ! -d "$template" ] || return 0
  note "preparing a data directory for $server $version, once"
  rm -rf "$template.new"
  prepare_data "$template.new" "$template.log" ||
    die_with_log "could not prepare a data directory for $server $version" "see above" "$template.log"
  mv "$template.new" "$template"
}

# Chooses a port for every node that has none.
pick_ports() {
  local node free=() i=0
  mapfile -t free < <(free_ports "$node_count")
  for node in $nodes; do
    mkdir -p "$dir/$node"/{binlog,relay,tmp}
    [ -s "$dir/$node/port" ] || echo "${free[i]}" >"$dir/$node/port"
    i=$((i + 1))
  done
}

# All are bound before the first is let go, so they differ.
free_ports() { # COUNT
  python3 -c '
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held), sep="\n")' "$1" || die "python3 is missing" "install python3"
}

start_node() { # NODE
  local node=$1 attempt
  if [ ! -d "$dir/$node/data" ]; then
    cp -a --reflink=auto --sparse=always "$template" "$dir/$node/data.new"
    [ "$server" != mysql ] || printf '[auto]\nserver-uuid=%s\n' "$(server_uuid "$node")" >"$dir/$node/data.new/auto.cnf"
    mv "$dir/$node/data.new" "$dir/$node/data"
  fi
  for ((attempt = 1; attempt <= port_attempts_max; attempt++)); do
    launch "$node"
    wait_ready "$node" && return
    # Somebody else took the port meanwhile, or has it since the last start: take another.
    grep -q 'Address already in use' "$dir/$node/error.log" ||
      die_with_log "node $node did not start" "the whole log is in $dir/$node/error.log" "$dir/$node/error.log"
    free_ports 1 >"$dir/$node/port"
  done
  die "no free port for node $node after $port_attempts_max attempts" "what takes ports on loopback here?"
}

launch() { # NODE
  local node=$1 index=0 name i pid mine=() replication=()
  for name in $nodes; do
    index=$((index + 1))
    [ "$name" != "$node" ] || break
  done
  for ((i = 0; i < ${#options[@]}; i += 2)); do
    [[ ${options[i]} != '' && ${options[i]} != "-$node" ]] || mine+=("${options[i + 1]}")
  done
  mapfile -t replication < <(replication_options "$node" "$index")
  # After a kill: MySQL takes the dead server's lock file for a live one if the pid is used again.
  rm -f "$dir/$node/sock" "$dir/$node/sock.lock"
  [ ! -s "$dir/$node/error.log" ] || mv -f "$dir/$node/error.log" "$dir/$node/error.log.old"
  own_clock "$node"
  "${clock[@]}" setsid "$mysqld" "${common[@]}" "${base_options[@]}" "${replication[@]}" \
    --datadir="$dir/$node/data" --tmpdir="$dir/$node/tmp" --socket="$dir/$node/sock" --pid-file="$dir/$node/server.pid" \
    --port="$(cat "$dir/$node/port")" --report-port="$(cat "$dir/$node/port")" "${mine[@]}" \
    >"$dir/$node/error.log" 2>&1 </dev/null 8>&- &
  pid=$!
  disown
  echo "$pid" >"$dir/$node/pid"
  # Until then it is a copy of this shell, which nobody would know for the server.
  while start_time "$pid" >/dev/null && ! is_running "$node"; do sleep 0.005; done
}

# A server with a clock of its own: it follows an offset, such as +3h, in the file NODE/clock. Waits are not changed.
own_clock() { # NODE
  clock=()
  [ "$clocks" = 1 ] || return 0
  local library
  library=$(echo /usr/lib/*/faketime/libfaketime.so.1)
  [ -e "$library" ] || die "there is no libfaketime for --clocks" "install faketime"
  [ -s "$dir/$1/clock" ] || echo +0 >"$dir/$1/clock"
  clock=(env LD_PRELOAD="$library" FAKETIME_TIMESTAMP_FILE="$dir/$1/clock" FAKETIME_NO_CACHE=1
    DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_FAKE_MONOTONIC=1)
}

wait_ready() { # NODE
  local pid end=$((SECONDS + start_seconds_max))
  pid=$(cat "$dir/$1/pid")
  while [ $SECONDS -lt $end ]; do
    start_time "$pid" >/dev/null || return 1
    [ -S "$dir/$1/sock" ] && query "$1" -e 'DO 1' 2>/dev/null && return
    sleep 0.03
  done
  return 1
}

write_facts() {
  {
    printf 'LAB_DIR=%q\nLAB_SERVER=%q\nLAB_VERSION=%q\nLAB_NODES=%q\nLAB_CLIENT=%q\nLAB_BINLOG_TOOL=%q\n' \
      "$dir" "$server" "$version" "$nodes" "$client" "$binlog_tool"
    each_fact env_facts
  } >"$dir/lab.env.new"
  {
    printf '{"server": %s, "version": %s, "client": %s, "binlog_tool": %s, "nodes": [\n' "$(json_string "$server")" \
      "$(json_string "$version")" "$(json_string "$client")" "$(json_string "$binlog_tool")"
    each_fact json_facts
    echo ']}'
  } >"$dir/lab.json.new"
  mv "$dir/lab.env.new" "$dir/lab.env"
  mv "$dir/lab.json.new" "$dir/lab.json"
}

each_fact() { # FUNCTION
  local node index=0
  for node in $nodes; do
    index=$((index + 1))
    "$1" "$node" "$index" "$(cat "$dir/$node/port")" "$(cat "$dir/$node/pid")" "$dir/$node"
  done
}

env_facts() { # NODE INDEX PORT PID HOME
  local prefix=${1^^}
  printf "$prefix"'_%s=%q\n' PORT "$3" SOCKET "$5/sock" PID "$4" SERVER_ID "$2" BINLOG_DIR "$5/binlog" \
    DATADIR "$5/data" ERROR_LOG "$5/error.log"
}

json_facts() { # NODE INDEX PORT PID HOME
  local comma=,
  [ "$2" != "$node_count" ] || comma=
  printf '  {"name": "%s", "port": %s, "socket": %s, "pid": %s, "server_id": %s, "binlog_dir": %s, "datadir": %s, "error_log": %s}%s\n' \
    "$1" "$3" "$(json_string "$5/sock")" "$4" "$2" "$(json_string "$5/binlog")" "$(json_string "$5/data")" \
    "$(json_string "$5/error.log")" "$comma"
}

json_string() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# Ends the servers once the owner is gone. Ends itself with the servers. A pid that is used again has another start time.
watch_owner() {
  local born
  born=$(start_time "$owner") || die "no process $owner to own the lab" ""
  (
    exec 8>&- >/dev/null 2>&1 </dev/null
    while any_running; do
      [ "$(start_time "$owner")" = "$born" ] || { kill_all; exit; }
      sleep 0.5
    done
  ) &
  disown
}

start_time() { # PID
  local stat
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086 # split into fields on purpose; the name, which may hold blanks, is cut off
  set -- $stat
  [ "$1" != Z ] && echo "${20}"
}

stop_all() {
  local node end=$((SECONDS + stop_seconds_max))
  any_running || return 0
  each_node disconnect >/dev/null 2>&1 || true
  for node in $nodes; do signal "$node" TERM; done
  while any_running; do
    [ $SECONDS -lt $end ] || { note "not stopped after $stop_seconds_max s: killing"; kill_all; return; }
    sleep 0.03
  done
}

kill_all() {
  local node pid pids=()
  for node in ${nodes:-}; do
    is_running "$node" || continue
    pid=$(cat "$dir/$node/pid")
    kill -KILL "$pid" 2>/dev/null || true
    pids+=("$pid")
  done
  # Its command line goes first, its files and their locks later: only a process that has ended holds none.
  for pid in ${pids[@]+"${pids[@]}"}; do
    while start_time "$pid" >/dev/null; do sleep 0.01; done
  done
}

signal() { # NODE SIGNAL
  ! is_running "$1" || kill -s "$2" "$(cat "$dir/$1/pid")" 2>/dev/null || true
}
