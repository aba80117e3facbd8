# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # shares the variables of scripts/monitoring; check it through that
# Finding Prometheus and Alertmanager, and getting them where they are missing. Sourced by scripts/monitoring.
#
# The distribution's packages are unpacked beside the system: installing them would start services. They are Go
# programs that want the C library alone; the pages of Prometheus want some JavaScript packages beside them.

readonly monitoring_tree=$cache/monitoring

# Sets prometheus, promtool, alertmanager, amtool and prometheus_options. Fails (1) where one is not to be found.
locate_programs() {
  prometheus_options=()
  prometheus=$(type -P prometheus) && promtool=$(type -P promtool) && amtool=$(type -P amtool) &&
    { alertmanager=$(type -P alertmanager) || alertmanager=$(type -P prometheus-alertmanager); } && return
  local usr=$monitoring_tree/usr
  prometheus=$usr/bin/prometheus promtool=$usr/bin/promtool
  alertmanager=$monitoring_tree/bin/alertmanager amtool=$usr/bin/amtool
  [ -x "$alertmanager" ] || alertmanager=$usr/bin/prometheus-alertmanager
  # Debian's Prometheus reads its pages from below /usr, or from where this says.
  prometheus_options=(--web.local-assets="$usr/share/prometheus/web/")
  [ -x "$prometheus" ] && [ -x "$promtool" ] && [ -x "$alertmanager" ] && [ -x "$amtool" ]
}

install_programs() {
  locate_programs || with_cache_lock monitoring unpack_programs
  locate_programs || die "Prometheus is unpacked but not whole" "remove $monitoring_tree and try again"
}

# Debian's Alertmanager reads its templates from below /usr, and no option says otherwise. The path in the unpacked
# program is made one from its working directory, of the same length: where all is unpacked.
move_templates() { # WORK
  local path=/usr/share/prometheus/alertmanager
  [ -e "$1$path/default.tmpl" ] || return 0
  LC_ALL=C sed -i "s#$path#${path#/}/#g" "$1/usr/bin/prometheus-alertmanager"
  mkdir -p "$1/bin"
  printf '#!/bin/sh\ncd "%s" && exec usr/bin/prometheus-alertmanager "$@"\n' "$monitoring_tree" >"$1/bin/alertmanager"
  chmod 755 "$1/bin/alertmanager"
}

unpack_programs() {
  ! locate_programs || return 0 # another process was faster
  local work=$monitoring_tree.new log=$cache/monitoring-install.log deb program attempt
  for program in apt-get dpkg-deb; do
    command -v "$program" >/dev/null ||
      die "no Prometheus in PATH, and no $program to get a distribution's packages with" \
        "put prometheus, promtool, alertmanager and amtool into PATH"
  done
  rm -rf "$work"
  mkdir -p "$work"
  note "getting Prometheus and Alertmanager into $monitoring_tree"
  private_apt_state "$work/apt"
  for attempt in 1 2 3; do
    # The suite may change between the two commands: then both have to be done again.
    { private_apt "$work/apt" update &&
      private_apt "$work/apt" install --download-only prometheus prometheus-alertmanager; } >"$log" 2>&1 && break
    [ "$attempt" = 3 ] && die_with_log "could not get the packages of Prometheus" "see above; then try again" "$log"
    sleep "$attempt"
  done
  for deb in "$work"/apt/cache/archives/{prometheus,promtool,libjs-,fonts-,node-}*.deb; do
    [ -e "$deb" ] || continue
    dpkg-deb --fsys-tarfile "$deb" |
      tar -x -C "$work" --exclude=./usr/share/doc --exclude=./usr/share/man --exclude='*/moment-timezone/data' -f - ||
      die "could not unpack ${deb##*/}" "is the disk of $cache full?"
  done
  move_templates "$work"
  rm -rf "$work/apt" "$monitoring_tree"
  mv "$work" "$monitoring_tree"
}
