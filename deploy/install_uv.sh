#!/bin/sh
# Installs uv, by pip, into an environment of its own: install_uv.sh VERSION FOLDER
set -eu
version=$1 folder=$2

say() { echo "leadstream: $*" >&2; }

python=
for candidate in python3.11 python3 python3.12 python3.13; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    say "no Python 3.11 or newer was found; install it and try again"
    exit 1
fi

# Debian keeps what makes environments in a package of its own.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing python3-venv, which this Python lacks"
        apt-get update -qq && apt-get install -qq -y python3-venv >/dev/null
    else
        say "this Python has no venv: install python3-venv (on Debian: apt-get install python3-venv) and try again"
        exit 1
    fi
fi

mkdir -p "$(dirname "$folder")"
draft=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$draft"' EXIT
say "installing uv $version"
# Made where it will stay is not needed: uv is one program, which does not look at its environment.
"$python" -m venv "$draft"
if ! "$draft/bin/pip" install --quiet --disable-pip-version-check "uv==$version"; then
    say "pip could not install uv $version: is there a network, and does pip reach its index?"
    exit 1
fi
rm -rf "$folder"
mv "$draft" "$folder"
