#!/bin/sh
# Makes .venv from the locked requirements on a machine that has Python 3.11 or newer and nothing else of ours.
# Usage: tools/bootstrap.sh CACHE_FOLDER   (from the top of the tree; `make` calls it when an input changed)
set -eu

cache=$1
requirements=requirements/dev.txt
pin=$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' tools/uv.txt)

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

suitable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if command -v "$name" >/dev/null && suitable "$name"; then
            command -v "$name"
            return
        fi
    done
    die "Python 3.11 or newer is needed: install it, or name one with PYTHON=/path/to/python3."
}

# The pinned uv: the one on PATH if it is that version, else installed from its hash-checked wheel into the cache.
find_uv() {
    if command -v uv >/dev/null && [ "$(uv --version 2>/dev/null | cut -d' ' -f2)" = "$pin" ]; then
        command -v uv
        return
    fi
    home=$cache/uv-$pin
    if [ "$("$home/bin/uv" --version 2>/dev/null | cut -d' ' -f2)" != "$pin" ]; then
        echo "Installing uv $pin into the cache" >&2
        rm -rf "$home" "$home.partial"
        "$1" -m venv "$home.partial" >&2 ||
            die "$1 cannot make virtual environments: install its venv module (Debian and Ubuntu: python3-venv)."
        "$home.partial/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps \
            --only-binary :all: --require-hashes --requirement tools/uv.txt >&2 || die "uv $pin could not be installed."
        mv "$home.partial" "$home"
    fi
    echo "$home/bin/uv"
}

mkdir -p "$cache"
chmod 700 "$cache"
python=$(find_python)
uv=$(find_uv "$python")
if ! suitable .venv/bin/python; then
    "$uv" venv --quiet --clear --python "$python" .venv
fi
echo "Installing the locked requirements into .venv" >&2
"$uv" pip sync --quiet --require-hashes --python .venv/bin/python "$requirements"
"$uv" pip install --quiet --no-deps --no-build-isolation --python .venv/bin/python --editable .

# Bytecode of the tree and of the packages goes below .venv, whatever environment a process of ours is given.
.venv/bin/python - <<'PYTHON'
import sysconfig
from pathlib import Path

path = Path(sysconfig.get_path("purelib"), "bytecode_below_the_environment.pth")
prefix = Path(sysconfig.get_path("data"), "cache", "bytecode")
path.write_text(f"import sys; sys.pycache_prefix = sys.pycache_prefix or {str(prefix)!r}\n", encoding="utf-8")
PYTHON
