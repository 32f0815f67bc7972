# SPDX-License-Identifier: Apache-2.0
#
# Sourced by bench/run, bench/peers/fetch and tests/references/fetch: wheels of pinned versions from PyPI.
#
#   wheels_begin FOLDER LOG      wheels go into FOLDER/wheels, FOLDER/venv has the pip that fetches them; what it says
#                                goes into LOG
#   wheels_environment           makes that venv if need be; fails without Python's venv
#   wheel_of PACKAGE==VERSION     prints the file; fails if it is not there
#   wheels_megabytes PACKAGE==VERSION MB ...   prints how many megabytes of these are not there yet
#   wheel_fetch PACKAGE==VERSION [SECONDS [COMMAND]]   fetches it if need be; COMMAND is download, or wheel: build it

wheels_begin() {
  wheels_folder=$1/wheels wheels_venv=$1/venv wheels_log=$2
  mkdir -p "$wheels_folder"
}
wheels_environment() {
  [ -x "$wheels_venv/bin/pip" ] || python3 -m venv "$wheels_venv" >>"$wheels_log" 2>&1
}
wheel_of() {
  local package=${1%%==*} version=${1##*==} at
  for at in "$wheels_folder"/"${package//-/_}-$version"-*.whl; do
    if [ -f "$at" ]; then
      printf '%s\n' "$at"
      return 0
    fi
  done
  return 1
}
wheels_megabytes() {
  local total=0 counted=" "
  while [ $# -gt 0 ]; do
    case $counted in
      *" $1 "*) ;;
      *) wheel_of "$1" >/dev/null || total=$((total + $2)) ;;
    esac
    counted+="$1 "
    shift 2
  done
  echo "$total"
}
wheels_pip() { # wheels_pip SECONDS ARGUMENT...
  timeout "$1" "$wheels_venv/bin/pip" --disable-pip-version-check --no-input --retries 1 --timeout 20 "${@:2}" \
    >>"$wheels_log" 2>&1
}
wheel_fetch() {
  local into=-d
  wheel_of "$1" >/dev/null && return 0
  [ "${3:-download}" = download ] || into=-w
  wheels_pip "${2:-1500}" "${3:-download}" --no-deps "$into" "$wheels_folder" "$1" && wheel_of "$1" >/dev/null
}
