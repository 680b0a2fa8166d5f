#!/usr/bin/env bash
# The system packages of a virtual screen: install what is missing where that is allowed, else say what to install.
set -euo pipefail

packages="xvfb xauth libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 libfontconfig1 libdbus-1-3 libxkbcommon-x11-0 libxcb-cursor0
  libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0"

[ "$(uname -s)" = Linux ] || exit 0 # a Mac has a screen

if ! command -v dpkg-query >/dev/null; then
  command -v xvfb-run >/dev/null && exit 0
  echo "The tests need a virtual screen. Install Xvfb (xvfb-run), software OpenGL (Mesa) and the XCB libraries of Qt 6;" >&2
  echo "on Debian these are: $(echo $packages)" >&2
  exit 1
fi

# Since 2024 Debian's names of some libraries end in t64.
installed() {
  local states # dpkg-query fails when it knows only one of the two names
  states=$(dpkg-query -W -f '${db:Status-Status}\n' "$1" "$1t64" 2>/dev/null) || true
  grep -qx installed <<<"$states"
}

missing=""
for package in $packages; do
  installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
  as_root=(env)
elif sudo -n true 2>/dev/null; then
  as_root=(sudo -n env)
else
  echo "The tests need these system packages, and this account may not install them. Install them with" >&2
  echo "  sudo apt-get install$missing" >&2
  echo "and repeat the command." >&2
  exit 1
fi
echo "Installing the system packages of a virtual screen:$missing"
"${as_root[@]}" apt-get -qq update || true # an outdated list may still do
if ! "${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null; then
  echo "apt-get could not install the packages above. Install them with 'apt-get install$missing' and repeat the command." >&2
  exit 1
fi
