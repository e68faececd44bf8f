#!/bin/sh
# Makes .venv/rules, the environment of the independent rule set, from its locked requirements.
# Usage: tools/rules.sh CACHE_FOLDER   (from the top of the tree, after tools/bootstrap.sh)
set -eu

pin=$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' tools/uv.txt)
uv=$1/uv-$pin/bin/uv
[ -x "$uv" ] || uv=$(command -v uv)

echo "Installing the locked rule set into .venv/rules" >&2
"$uv" venv --quiet --clear --python .venv/bin/python .venv/rules
"$uv" pip sync --quiet --require-hashes --python .venv/rules/bin/python requirements/rules.txt
