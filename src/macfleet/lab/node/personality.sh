#!/bin/sh
# Runs once in the image build, after the shims have been copied to /opt/lab/src.
set -eu
PATH=/opt/linux-real/bin:/opt/linux-real/sbin
cd /opt/lab/src
for shim in bsd/*; do install -m 755 "$shim" "/usr/bin/${shim##*/}"; done
rm -f /usr/bin/strict; install -m 755 bsd/strict /opt/lab/strict
for name in cp mv rm rmdir mkdir ln touch ls chmod head tail tee find install grep egrep fgrep cat wc sort; do
  rm -f "/usr/bin/$name"; ln -s /opt/lab/strict "/usr/bin/$name"
done
ln -sf pgrep /usr/bin/pkill
for shim in mac/*; do
  name=${shim##*/}
  case $name in
    sysctl|netstat|pfctl|diskutil|system_profiler|iostat|ioreg|chown|newsyslog) to=/usr/sbin ;;
    mount|launchctl|md5|ping) to=/usr/bin ;;
    *) to=/usr/bin ;;
  esac
  install -m 755 "$shim" "$to/$name"
done
for file in lab/*; do install -m 755 "$file" "/opt/lab/${file##*/}"; done
mv /opt/lab/limaroom /opt/lab/limaroom.py
# Homebrew: brew alone at first; the rest waits on the shelf.
mkdir -p /opt/homebrew/bin /opt/homebrew/Cellar /opt/homebrew/lib /opt/homebrew/opt /opt/homebrew/var/log /opt/homebrew/etc
install -m 755 brew/brew /opt/homebrew/bin/brew
mkdir -p /opt/lab/cellar/colima/0.10.3/bin /opt/lab/cellar/lima/2.1.4/bin "/opt/lab/cellar/llama.cpp/$LLAMA_VERSION/bin"
install -m 755 brew/colima /opt/lab/cellar/colima/0.10.3/bin/colima
install -m 755 brew/limactl /opt/lab/cellar/lima/2.1.4/bin/limactl
if [ -f "/opt/lab/cellar/llama.cpp/$LLAMA_VERSION/libexec/llama-server" ]; then
  ln -s ../libexec/llama-server "/opt/lab/cellar/llama.cpp/$LLAMA_VERSION/bin/llama-server"
fi
chown -R 501:80 /opt/homebrew
# Home, roots, login.
mkdir -p /Users/ops/models /Users/ops/Library/Logs /Users/Shared /Library/LaunchDaemons /Library/LaunchAgents /Volumes \
  /private /var/db/launchd /usr/local/bin /System/Volumes/Data /Applications /etc/newsyslog.d /etc/pf.anchors /var/at/tabs
ln -sfn /tmp /private/tmp; ln -sfn /var /private/var; ln -sfn /etc /private/etc
[ -f weights.gguf ] && install -m 644 weights.gguf /Users/ops/models/small-chat.gguf
chown -R 501:20 /Users/ops
chmod 1777 /Users/Shared
chmod 1777 /var/at/tabs # a Mac's crontab runs as root
: > /etc/zsh/zshenv; : > /etc/zsh/zprofile; : > /etc/zsh/zshrc
cat > /etc/sudoers <<'S'
Defaults env_reset, !requiretty
root ALL=(ALL) ALL
%admin ALL=(ALL) NOPASSWD: ALL
ops ALL=(root) NOPASSWD: /opt/lab/vmroot
S
chmod 440 /etc/sudoers
cat > /etc/ssh/sshd_config <<'S'
HostKey /etc/ssh/ssh_host_ed25519_key
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
MaxStartups 64:30:128
MaxSessions 64
AllowTcpForwarding yes
Subsystem sftp internal-sftp
Match User ops
  SetEnv PATH=/usr/bin:/bin:/usr/sbin:/sbin
S
rm -f /etc/ssh/ssh_host_*
echo 'zsh' > /dev/null
printf '%s\n' /bin/bash /bin/dash /bin/sh /bin/zsh > /etc/shells
mkdir -p /etc/docker /home /var/lib/registry
: > /etc/docker/daemon.json
for group in docker; do grep -q "^$group:" /etc/group || echo "$group:x:990:" >> /etc/group; done
# Helpers these two look up by absolute path: PAM's password check, and the supervisor's own parts.
cp -a /opt/linux-real/sbin/unix_chkpwd /usr/sbin/unix_chkpwd
cp -a /opt/linux-real/bin/s6-sv* /opt/linux-real/bin/s6-ftrig* /usr/bin/
rm -rf /opt/lab/src
