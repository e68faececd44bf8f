#!/bin/sh
# Resolves requirements/*.txt and tools/uv.txt anew: every platform's hashes, no index address, no path of this machine.
# Usage: tools/lock.sh CACHE_FOLDER   (from the top of the tree; arguments of uv in UPGRADE, for example UPGRADE=-U)
set -eu

pin=$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' tools/uv.txt)
uv=$1/uv-$pin/bin/uv
[ -x "$uv" ] || uv=$(command -v uv)
export UV_NO_CONFIG=1

compile() {
    # shellcheck disable=SC2086 # UPGRADE may hold several arguments
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --custom-compile-command 'make lock' ${UPGRADE:-} "$@"
}

compile pyproject.toml --group operator --group dev --output-file requirements/dev.txt
compile pyproject.toml --constraints requirements/dev.txt --output-file requirements/runtime.txt
compile --group pyproject.toml:rules --output-file requirements/rules.txt
echo "uv==$pin" | compile - --no-annotate --output-file tools/uv.txt
