# shellcheck shell=sh
# What the first processes of the cluster's containers share.

# Keeps a program running: one that ends is started again.
keep() {
    while :; do
        status=0
        "$@" || status=$?
        echo "lab: $1 ended with $status, started again" >&2
        sleep 1
    done &
}

# Waits until it is told to stop; everything else in the container goes with it.
await_end() {
    trap 'exit 0' TERM INT
    while :; do
        sleep 3600 &
        wait $! || true
    done
}
