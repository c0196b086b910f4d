#!/usr/bin/env bash
# Brings .venv in step with a lock: `tools/install.sh runtime|dev`. Does nothing when it already is.
# The development lock holds everything of the runtime one, so `runtime` is content with either.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=${1:?runtime or dev}
python=.venv/bin/python
lock_stamp=.venv/tally-lock
project_stamp=.venv/tally-project
log=.venv/install.log

digest() { sha256sum "$@" | sha256sum | cut -c1-64; }

if [[ ! -x $python ]] || ! "$python" -c '' 2>/dev/null; then
  base=$(command -v python3.11 || command -v python3 || true)
  if [[ -z $base ]] || ! "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Tally needs Python 3.11 or later (python3.11 or python3 on the PATH)" >&2
    exit 1
  fi
  rm -rf .venv
  "$base" -m venv .venv
fi

runtime="runtime $(digest requirements.lock)"
dev="dev $(digest requirements.lock requirements-dev.lock)"
present=$(cat "$lock_stamp" 2>/dev/null || true)
project=$(digest pyproject.toml)
if [[ $wanted == runtime && $present != "$dev" ]]; then
  lock=requirements.lock stamp=$runtime
else
  lock=requirements-dev.lock stamp=$dev
fi

run() {
  if ! "$@" >>"$log" 2>&1; then
    tail -n 40 "$log" >&2
    echo "setup failed at: $*" >&2
    exit 1
  fi
}

# uv itself, of the version and with the hashes that the development lock names.
install_uv() {
  [[ -x .venv/bin/uv ]] && return
  awk '/^uv==/ {take = 1; print; next} take && /^ / {print; next} {take = 0}' \
    requirements-dev.lock >.venv/uv.lock
  run "$python" -m pip install --quiet --require-hashes -r .venv/uv.lock
}

export UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180}

if [[ $present != "$stamp" ]]; then
  echo "installing $(grep -c '^[a-z0-9]' "$lock") packages of $lock into .venv"
  rm -f "$lock_stamp" "$project_stamp" "$log"
  install_uv
  # Compiled now: where PYTHONDONTWRITEBYTECODE is set, every process would compile all it imports.
  run .venv/bin/uv pip sync --quiet --require-hashes --compile-bytecode --python "$python" "$lock"
  echo "$stamp" >"$lock_stamp"
fi
if [[ $(cat "$project_stamp" 2>/dev/null || true) != "$project" ]]; then
  install_uv
  run .venv/bin/uv pip install --quiet --no-deps --no-build-isolation --python "$python" -e .
  echo "$project" >"$project_stamp"
fi
