# shellcheck shell=bash
# shellcheck disable=SC2154 # these files share the variables of scripts/lab; check them through it
# Other people's binlogs: those that MariaDB's and MySQL's own test suites hold, many of old versions, some damaged on
# purpose. They come from Debian's packages: of the release that is installed and of the unstable suite, where the lab's
# MySQL comes from. Nothing is installed; only what is a binlog is kept. Sourced by scripts/lab.

readonly packages_dir=$cache/packages

install_packages() {
  [ -e "$packages_dir/.whole" ] || with_cache_lock packages fetch_packages
}

fetch_packages() {
  [ ! -e "$packages_dir/.whole" ] || return 0 # another process was faster
  local work=$packages_dir.new log=$cache/packages.log program
  for program in apt-get dpkg-deb gpgv python3; do
    command -v "$program" >/dev/null ||
      die "no $program here, and the binlogs are in Debian's packages" "install it, or run this on Debian"
  done
  [ -e "$keyring" ] || apt_install debian-archive-keyring
  rm -rf "$work"
  mkdir -p "$work/debs" "$work/kept"
  note "getting the servers' test suites (400 MB, for the 7 MB of binlogs in them) into $packages_dir"
  {
    # A release without these packages has those of the unstable suite alone.
    (cd "$work/debs" && apt-get -q -o Acquire::Retries=5 -o APT::Sandbox::User=root download \
      mariadb-test mariadb-test-data) || true
    private_apt_setup "$work/apt"
    private_apt "$work/apt" update &&
      (cd "$work/debs" && private_apt "$work/apt" download mariadb-test mariadb-test-data mysql-testsuite)
  } >"$log" 2>&1 || die_with_log "could not get the test suites' packages" "see above; then try again" "$log"
  python3 "$here/lab.d/binlogs_of.py" "$work/kept" "$work"/debs/*.deb ||
    die "could not take the binlogs out of the packages" "is the disk of $cache full?"
  touch "$work/kept/.whole"
  rm -rf "$packages_dir"
  mv "$work/kept" "$packages_dir"
  rm -rf "$work"
}
