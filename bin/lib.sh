# shellcheck shell=bash
# What the scripts of bin/ share: where the cache is, and how a step is announced and timed.

espalier_cache() {
    echo "${XDG_CACHE_HOME:-$HOME/.cache}/espalier"
}

step() {
    step_started=$(date +%s.%N)
    printf '==> %s ...\n' "$1"
}

done_step() {
    awk -v started="$step_started" -v now="$(date +%s.%N)" 'BEGIN { printf "    done in %.1f s\n", now - started }'
}

# die WHAT FIX
die() {
    printf 'error: %s\n       %s\n' "$1" "$2" >&2
    exit 1
}
