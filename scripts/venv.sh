# Sourced by scripts that use Python packages: an environment for each list of pinned packages, made once and kept in
# the cache of the lab.

use_venv() { # REQUIREMENTS, sets venv
  local cache wanted
  cache=${TWINLOG_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/twinlog-lab}
  wanted=$(sha256sum "$1" | cut -c 1-16)
  venv=$cache/venv-$wanted
  mkdir -p "$cache"
  # Two that make it at once would each see half of the other's.
  exec {venv_lock}>"$venv.lock"
  flock "$venv_lock"
  if [ ! -e "$venv/complete" ]; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" --quiet --disable-pip-version-check install --requirement "$1"
    touch "$venv/complete"
  fi
  exec {venv_lock}>&-
}
