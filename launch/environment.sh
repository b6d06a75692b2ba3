# Makes .venv at the root of the checkout, once, with distbp and the extras named in $1. Sourced by the other scripts.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
python=${PYTHON:-python3}
if [ ! -x .venv/bin/python ]; then
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "distbp needs Python 3.11 or newer; set PYTHON=path" >&2; exit 2; }
    "$python" -m venv .venv
fi
extras=$1
stamp=.venv/.distbp-$extras
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ constraints.txt -nt "$stamp" ]; then
    pins=()
    if [ "$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = 3.11 ]; then
        pins=(-c constraints.txt)
    fi
    echo "distbp: installing into .venv (${pins[*]:-the ranges of pyproject.toml})"
    .venv/bin/python -m pip install -q "${pins[@]}" -e ".[$extras]"
    touch "$stamp"
fi
export PATH="$root/.venv/bin:$PATH"
