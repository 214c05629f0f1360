#!/bin/sh
# Runs as a hook of mmdebstrap: moves the Linux programs away and leaves on /usr/bin and /usr/sbin
# what a Mac has too. The VM binds /opt/linux-real back over both, so inside it this is plain Debian.
set -eu
root=$1
rm -rf "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/var/lib/apt/lists/* \
  "$root"/var/cache/apt/*.bin "$root"/usr/share/zsh/help
ln -sf /usr/sbin/iptables-legacy "$root/etc/alternatives/iptables"
ln -sf /usr/sbin/ip6tables-legacy "$root/etc/alternatives/ip6tables"
mkdir -p "$root/opt/linux-real" "$root/opt/lab/cellar" "$root/opt/lab/python/bin"
mv "$root/usr/bin" "$root/opt/linux-real/bin"
mv "$root/usr/sbin" "$root/opt/linux-real/sbin"
mkdir "$root/usr/bin" "$root/usr/sbin"
real=$root/opt/linux-real
keep() { # DIRECTORY NAME...: the same program stands on a Mac
  dir=$1; shift
  for name in "$@"; do
    for from in bin sbin; do
      [ -e "$real/$from/$name" ] && { cp -aL "$real/$from/$name" "$root/usr/$dir/$name"; break; }
    done
  done
}
keep bin '[' bash basename bunzip2 bzip2 cat chgrp cksum clear cmp column comm csplit curl cut dash diff dirname \
  echo env expand expr false fold getconf gunzip gzip hexdump hostname iconv id infocmp join kill less locale logger \
  logname lsof mkfifo nice nl nohup od openssl paste perl pr printenv printf pwd rev scp script seq sftp sleep sort \
  split ssh ssh-add ssh-agent ssh-keygen ssh-keyscan strings stty sudo sum test time top tput tr true tsort tty \
  uniq unlink uptime users uuidgen w wc which who whoami xxd yes zcat zsh realpath sync s6-supervise s6-ftrigrd \
  groups lastlog more renice sdiff shasum
keep sbin arp ifconfig route chown chroot visudo nologin
cp -aL "$real/bin/bsdtar" "$root/usr/bin/tar"
cp -aL "$real/bin/original-awk" "$root/usr/bin/awk"
cp -aL "$real/bin/dash" "$root/usr/bin/sh"
mv "$root/usr/bin/lsof" "$root/usr/sbin/lsof"
rm -f "$root/usr/bin/top" "$root/usr/bin/which" "$root/usr/bin/w"
mv "$real/bin/python3.13" "$root/opt/lab/python/bin/python3.13"
ln -s python3.13 "$root/opt/lab/python/bin/python3"
ln -s /usr/lib "$root/opt/lab/python/lib"
rm -f "$real/bin/python3"
ln -s /opt/lab/python/bin/python3 "$real/bin/python3"
# Homebrew's shelf: what `brew install` can bring.
shelf() { mkdir -p "$root/opt/lab/cellar/$1/$2/bin"; }
shelf docker 26.1.5; cp -aL "$real/bin/docker" "$root/opt/lab/cellar/docker/26.1.5/bin/docker"
compose=$root/opt/lab/cellar/docker-compose/2.26.1
mkdir -p "$compose/lib/docker/cli-plugins" "$compose/bin"
cp -aL "$root/usr/libexec/docker/cli-plugins/docker-compose" "$compose/lib/docker/cli-plugins/docker-compose"
ln -s ../lib/docker/cli-plugins/docker-compose "$compose/bin/docker-compose"
rm -rf "$root/usr/libexec/docker/cli-plugins" "$real/bin/docker-compose"
shelf python@3.13 3.13.5; cp -a "$root/opt/lab/python/bin/python3.13" "$root/opt/lab/cellar/python@3.13/3.13.5/bin/"
ln -s python3.13 "$root/opt/lab/cellar/python@3.13/3.13.5/bin/python3"
mkdir -p "$root/opt/lab/cellar/python@3.13/3.13.5/lib"
ln -s /usr/lib/python3.13 "$root/opt/lab/cellar/python@3.13/3.13.5/lib/python3.13"
# Accounts as a Mac numbers them.
sed -i -e 's/^root:x:0:/wheel:x:0:root,/' -e 's/^staff:x:50:/staff50:x:50:/' -e 's/^dialout:x:20:/staff:x:20:/' \
  "$root/etc/group"
echo 'admin:x:80:root,ops' >> "$root/etc/group"
echo '_www:x:70:' >> "$root/etc/group"
echo 'ops:x:501:20:ops:/Users/ops:/bin/zsh' >> "$root/etc/passwd"
echo 'ops:*:19000:0:99999:7:::' >> "$root/etc/shadow"
sed -i 's/,$//' "$root/etc/group"
