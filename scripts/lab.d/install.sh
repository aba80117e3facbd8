# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # these files share the variables of scripts/lab; check them through it
# Finding the servers, and getting those that are missing. Sourced by scripts/lab.
#
# MariaDB comes from the distribution's packages, the *-core ones: they hold the programs and no service, so nothing
# can be started by the installation, now or at the next boot.
# MySQL comes from PATH where it is really there. Debian's releases do not ship it, its unstable suite does: those
# packages are unpacked beside the system, with the C library they want, and run by that library's own loader.

cache=${TWINLOG_LAB_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/twinlog-lab}
readonly mysql_tree=$cache/mysql
readonly mysql_version_min=8.4.0

# Runs a command while holding a lock in the cache, so that parallel runs build a thing once.
# The lock ends with the command: nothing started under it may outlive it.
with_cache_lock() { # NAME COMMAND...
  local name=$1
  shift
  mkdir -p "$cache" || die "cannot create the cache $cache" "set TWINLOG_LAB_CACHE to a directory that can be written"
  (
    flock -w 600 9 || die "another process has held $cache/.$name.lock for 10 minutes" "end it, or try again"
    "$@"
  ) 9>>"$cache/.$name.lock"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "root is needed for: $*" "run it as root, or install sudo"
  fi
}

apt_install() { # PACKAGE...
  command -v apt-get >/dev/null || die "no apt-get here, and these packages are missing: $*" "install them by hand"
  local log=$cache/apt.log options=(-y -q --no-install-recommends -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300)
  mkdir -p "$cache"
  note "installing $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install "$@" >"$log" 2>&1 && return
  # The package lists may be missing or old: fetch them, once.
  { as_root apt-get -q -o Acquire::Retries=5 update &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install "$@"; } >"$log" 2>&1 ||
    die_with_log "apt-get could not install $*" "see above; then try again" "$log"
}

# The first number of the form 1.2.3 in a program's --version, where the program is of that make.
version_of() { # mariadb|mysql PROGRAM
  local text
  text=$("$2" --no-defaults --version 2>/dev/null) || return 1
  case $1 in
    mariadb) [[ $text == *MariaDB* ]] || return 1 ;;
    mysql) [[ $text != *MariaDB* ]] || return 1 ;;
  esac
  [[ $text =~ ([0-9]+\.[0-9]+\.[0-9]+) ]] && echo "${BASH_REMATCH[1]}"
}

# Sets mysqld, client, binlog_tool, version and base_options. Fails (1) where the server is not to be found.
locate() { # mariadb|mysql
  local path=$PATH:/usr/sbin:/usr/local/sbin
  base_options=()
  case $1 in
    mariadb)
      mysqld=$(PATH=$path type -P mariadbd) && client=$(type -P mariadb) &&
        binlog_tool=$(type -P mariadb-binlog) && type -P mariadb-install-db >/dev/null &&
        version=$(version_of mariadb "$mysqld") || return 1
      # Debian has the plugins that are not built in in the package that brings the service.
      mariadb_plugins=$cache/mariadb-plugins-$version
      [ ! -e "$mariadb_plugins/auth_ed25519.so" ] || base_options=(--plugin-dir="$mariadb_plugins")
      ;;
    mysql) locate_mysql_in_path "$path" || locate_mysql_in_cache ;;
  esac
}

locate_mysql_in_path() { # PATH
  mysqld=$(PATH=$1 type -P mysqld) && client=$(type -P mysql) && binlog_tool=$(type -P mysqlbinlog) &&
    version=$(version_of mysql "$mysqld") && version_of mysql "$client" >/dev/null &&
    version_of mysql "$binlog_tool" >/dev/null && not_older "$version" "$mysql_version_min"
}

locate_mysql_in_cache() {
  local share=$mysql_tree/root/usr
  mysqld=$mysql_tree/bin/mysqld client=$mysql_tree/bin/mysql binlog_tool=$mysql_tree/bin/mysqlbinlog
  [ -x "$mysqld" ] && version=$(version_of mysql "$mysqld") || return 1
  base_options=(--basedir="$share" --plugin-dir="$share/lib/mysql/plugin"
    --lc-messages-dir="$share/share/mysql" --character-sets-dir="$share/share/mysql/charsets")
}

not_older() { # VERSION LEAST
  [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]
}

install_server() { # mariadb|mysql
  locate "$1" && has_plugins "$1" || with_cache_lock install install_missing "$1"
  locate "$1" || die "$1 is installed but cannot be run" "try: $mysqld --no-defaults --version"
}

install_missing() { # mariadb|mysql
  locate "$1" && has_plugins "$1" && return # another process was faster
  case $1 in
    mariadb)
      locate mariadb || { apt_install mariadb-server-core mariadb-client && locate mariadb; }
      has_plugins mariadb || unpack_mariadb_plugins
      ;;
    mysql) unpack_mysql ;;
  esac
}

# What is not there, and cannot be got from Debian's packages, is not asked for again.
has_plugins() { # mariadb|mysql
  [ "$1" = mysql ] || [ -e /usr/lib/mysql/plugin/auth_ed25519.so ] || [ -d "$mariadb_plugins" ]
}

# The plugins of the very version that is installed, without their package: it would start a service.
unpack_mariadb_plugins() {
  local work=$mariadb_plugins.new log=$cache/mariadb-plugins.log of
  rm -rf "$work"
  mkdir -p "$work/root"
  note "getting MariaDB's plugins for logging in into $mariadb_plugins"
  if of=$(dpkg-query --show --showformat='${Version}' mariadb-server-core 2>/dev/null) &&
    (cd "$work" && apt-get -q -o Acquire::Retries=5 -o APT::Sandbox::User=root download "mariadb-server=$of") >"$log" 2>&1; then
    dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work/root" ./usr/lib/mysql/plugin
    mv "$work/root/usr/lib/mysql/plugin" "$mariadb_plugins"
  else
    note "there are none for this MariaDB: what needs them is not tried"
    mkdir -p "$mariadb_plugins"
  fi
  rm -rf "$work"
}

# Unpacks MySQL from the unstable suite of the mirror that apt is set up with. apt itself does the work, on a state
# directory of its own: it verifies the suite's signature and all checksums, and finds the packages that are needed.
unpack_mysql() {
  local work=$mysql_tree.new log=$cache/mysql-install.log attempt
  for attempt in apt-get dpkg-deb gpgv; do
    command -v "$attempt" >/dev/null ||
      die "no MySQL in PATH, and no $attempt to get Debian's packages with" "install MySQL $mysql_version_min or later"
  done
  [ -e "$keyring" ] || apt_install debian-archive-keyring
  rm -rf "$work"
  mkdir -p "$work/root" "$work/bin"
  note "getting MySQL from Debian's unstable suite into $mysql_tree"
  private_apt_setup "$work/apt"
  for attempt in 1 2 3; do
    # The suite may change between the two commands: then both have to be done again.
    { private_apt "$work/apt" update && private_apt "$work/apt" install --download-only mysql-server-core mysql-client-core; } \
      >"$log" 2>&1 && break
    grep -qE 'is not signed|NO_PUBKEY|BADSIG|EXPKEYSIG|could not be verified|invalid signature' "$log" &&
      die_with_log "the signature of Debian's unstable suite could not be verified: nothing was installed" \
        "update debian-archive-keyring, or put a real MySQL into PATH" "$log"
    [ "$attempt" = 3 ] && die_with_log "could not get MySQL's packages" "see above; then try again" "$log"
    sleep "$attempt"
  done
  unpack_all "$work"
  rm -rf "$work/apt" "$mysql_tree"
  mv "$work" "$mysql_tree"
}

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

private_apt_setup() { # STATE
  local mirror
  # shellcheck disable=SC2016 # the dollars are apt's
  mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' | sed -n 's/^Debian|Debian|//p' | head -n 1)
  [ -n "$mirror" ] ||
    die "apt knows no Debian mirror" "run apt-get update, or put a MySQL of $mysql_version_min or later into PATH"
  private_apt_state "$1"
  mkdir "$1/parts"
  echo "deb [signed-by=$keyring] $mirror unstable main" >"$1/sources.list"
  private_sources=(-o Dir::Etc::SourceList="$1/sources.list" -o Dir::Etc::SourceParts="$1/parts"
    -o Dir::Etc::Preferences="$1/none" -o Dir::Etc::PreferencesParts="$1/parts")
}

# A state directory for apt that holds nothing. With it, apt asks the system's own sources.
private_apt_state() { # STATE
  mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
  : >"$1/status"
  private_sources=()
}

# Recommends are left out, and an empty status file makes apt name every library down to the C library.
# A mirror may be weeks behind: a list that is signed and old will do for servers that live on loopback.
private_apt() { # STATE ARGUMENT...
  local state=$1
  shift
  apt-get -q -y -o Dir::State="$state" -o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status" \
    -o Dir::Cache="$state/cache" "${private_sources[@]}" -o APT::Sandbox::User= -o APT::Update::Post-Invoke::= \
    -o APT::Get::AllowUnauthenticated=false -o Acquire::AllowInsecureRepositories=false \
    -o Acquire::Check-Valid-Until=false \
    -o Acquire::Languages=none -o Acquire::Retries=5 -o APT::Install-Recommends=false -o APT::Update::Error-Mode=any "$@"
}

unpack_all() { # WORK
  local deb program loader
  for deb in "$1"/apt/cache/archives/*.deb; do
    case ${deb##*/} in perl* | libperl* | *-data_*) continue ;; esac # only for maintainers' scripts
    dpkg-deb --fsys-tarfile "$deb" |
      tar -x -C "$1/root" --keep-directory-symlink --exclude=./usr/share/doc --exclude=./usr/share/man -f - ||
      die "could not unpack ${deb##*/}" "is the disk of $cache full?"
  done
  loader=$(cd "$1/root" && echo usr/lib/*-linux-*/ld-linux-*.so.*)
  [ -f "$1/root/$loader" ] || die "no loader among the packages of MySQL" "put a MySQL into PATH and report this"
  for program in mysqld mysql mysqlbinlog mysqladmin mysqldump; do
    { echo '#!/bin/sh'
      printf 'exec "%s" --library-path "%s" "%s" "$@"\n' "$mysql_tree/root/$loader" "$mysql_tree/root/${loader%/*}" \
        "$mysql_tree/root/$(cd "$1/root" && echo usr/*bin/$program)"; } >"$1/bin/$program"
    chmod 755 "$1/bin/$program"
  done
}
