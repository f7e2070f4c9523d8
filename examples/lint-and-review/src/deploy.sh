#!/bin/sh
# Puts a version on the server.
set -e
version=`git describe --tags`
target=$1
rm -rf $target/old
curl -s https://example.com/install.sh | sh
echo "deployed \"$version\" to $target"
