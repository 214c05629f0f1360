"""The script that unpacks an archive nobody needs to trust."""

from __future__ import annotations

UNPACK = r"""set -e; umask 022
refuse() { echo "$1" >&2; exit 1; }
[ -f "$from" ] || refuse "$from is missing"
mkdir -p "$to"
rm -rf "$to"/.macfleet.??????  # what is left of an unpacking that was killed
t=$(mktemp -d "$to/.macfleet.XXXXXX")
trap 'rm -rf "$t"' EXIT
# a copy of our own: what is proven is what is unpacked
cp "$from" "$t/archive"
got=$(shasum -a 256 <"$t/archive" | cut -d ' ' -f 1)
[ "$got" = "$want" ] || refuse "SHA-256 of $from is $got, expected $want"
tar -tf "$t/archive" >"$t/names"
bad=$(awk '/^\// || /^\.\.$/ || /^\.\.\// || /\/\.\.\// || /\/\.\.$/ { print; exit }' "$t/names")
[ -z "$bad" ] || refuse "$bad of the archive would land outside the folder"
unpack() { tar -xf "$t/archive" -C "$1" --no-same-owner --no-same-permissions --strip-components="$strip"; }
mkdir "$t/new"
unpack "$t/new"
cd "$t/new"
[ -z "$(find . -name '*
*' | head -n 1)" ] || refuse 'a name in the archive holds a line break'
bad=$(find . ! -type f ! -type d ! -type l | head -n 1)
[ -z "$bad" ] || refuse "$bad of the archive is a device or a pipe"
# A link may climb only at its start and only to the folder; then every way along links stays inside.
bad=$(find . -type l -exec sh -c 'for l; do printf "%s\n" "$l"; readlink "$l"; done' sh {} + | awk '
  NR % 2 { link = $0; depth = split($0, parts, "/") - 2; next }
  {
    down = 0; outside = $0 ~ /^\//; count = split($0, parts, "/")
    for (i = 1; i <= count; i++) {
      if (parts[i] == "..") { depth--; if (down || depth < 0) outside = 1 }
      else if (parts[i] != "" && parts[i] != ".") down = 1
    }
    if (outside) { print link; exit }
  }')
[ -z "$bad" ] || refuse "$bad of the archive is a link that leads outside the folder"
# as many names here as the file has anywhere, or one of them lies outside
bad=$(find . -type f -links +1 -exec stat -f '%i %l' {} + | awk '
  { seen[$1]++; links[$1] = $2 }
  END { for (each in seen) if (seen[each] != links[each]) { print each; exit } }')
[ -z "$bad" ] || refuse 'the archive links to a file outside the folder'
# and none of its folders may be a link on the node, perhaps one to a folder that only root writes to
bad=$(find . -mindepth 1 -type d -exec sh -c 'to=$1; shift; for d; do
  if [ -L "$to/$d" ]; then printf "%s\n" "$d"; exit; fi; done' sh "$to" {} + | head -n 1)
[ -z "$bad" ] || refuse "$to/${bad#./} is a link where the archive has a folder; move it away"
# what is there from now on is neither the old archive nor yet the new one
rm -f "$to/.macfleet-archive"
unpack "$to"
[ -z "$owner" ] || find . -mindepth 1 -print0 | (cd "$to" && xargs -0 chown -h "$owner")
[ -z "$creates" ] || [ -e "$creates" ] || refuse "the archive does not bring $creates"
printf '%s\n' "$stamp" >"$t/stamp"
mv -f "$t/stamp" "$to/.macfleet-archive"
[ -z "$staged" ] || rm -f "$staged"
"""
"""Reads to, from, want, strip, creates, owner, stamp and staged, all but the first four perhaps empty."""
