#!/bin/bash
# Downloads packages of another Debian release or architecture into FOLDER/root, without touching the system.
# Usage: fetch.sh FOLDER SUITE ARCHITECTURE PACKAGE...
set -eu
folder=$1 suite=$2 architecture=$3
shift 3
mkdir -p "$folder"/{lists,cache/archives}/partial "$folder/root"
touch "$folder/status"
mirror=${AUDITOR_TEST_MIRROR:-$(apt-get indextargets --format "\$(REPO_URI)" | head -n 1)}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [arch=$architecture signed-by=$keyring] $mirror $suite main" > "$folder/sources.list"
options=(-qq -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=/nonexistent
    -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o Dir::State::status="$folder/status"
    -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o Acquire::Languages=none
    -o APT::Sandbox::User=root)
apt-get "${options[@]}" update
cd "$folder"
apt-get "${options[@]}" download "$@"
for package in ./*.deb; do dpkg -x "$package" root; done
