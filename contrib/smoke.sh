#!/bin/sh
# Builds the image of the Dockerfile and looks whether labplane works in it: the sample session with its ping, then a
# server as its user, which must not be root. RUNTIME=podman chooses the program; otherwise docker, else podman.
set -eu
cd -- "$(dirname -- "$0")/.."

fail() {
    printf 'smoke: %s\n' "$*" >&2
    exit 1
}

runtime=${RUNTIME-}
for candidate in docker podman; do
    if [ -z "$runtime" ] && "$candidate" info >/dev/null 2>&1; then runtime=$candidate; fi
done
[ -n "$runtime" ] || fail "There is no docker or podman here that works. Install one and start its service."

image=labplane-smoke:$$
container=
clean_up() {
    [ -z "$container" ] || "$runtime" rm --force "$container" >/dev/null
    "$runtime" rmi --force "$image" >/dev/null 2>&1 || :
}
trap clean_up EXIT

"$runtime" build --tag "$image" .
"$runtime" run --rm --network none "$image" demo --exit || fail "The sample session does not work in the image."
container=$("$runtime" run --detach --network none "$image")
for _ in $(seq 100); do
    answer=$("$runtime" exec "$container" python3 -c \
        'import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:8000/v1/version").read().decode())' 2>&1) &&
        break
    sleep 0.1
done
case $answer in
    *'"version"'*) ;;
    *) fail "The server in the container does not answer: $answer" ;;
esac
[ "$("$runtime" exec "$container" id -u)" -ne 0 ] || fail "The server runs as root."
"$runtime" stop "$container" >/dev/null
code=$("$runtime" inspect --format '{{.State.ExitCode}}' "$container")
[ "$code" -eq 143 ] || fail "The server ended with $code instead of 143, SIGTERM's: $("$runtime" logs "$container")"
printf 'smoke: the image works\n'
