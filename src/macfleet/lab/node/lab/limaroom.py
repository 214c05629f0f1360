"""What colima and limactl share: where things lie, and what runs."""
import json, os, socket, subprocess, sys, time

MACHINE = os.uname().machine
GIB = 2**30
PYTHON = "/opt/lab/python/bin/python3"


class Room:
    """The files of one profile."""

    def __init__(self, profile="default"):
        self.profile = profile
        self.id = "colima" if profile in ("default", "colima") else f"colima-{profile}"
        self.home = os.path.expanduser("~/.colima")
        self.folder = f"{self.home}/{'default' if self.id == 'colima' else profile}"
        self.lima = f"{os.environ.get('LIMA_HOME') or self.home + '/_lima'}/{self.id}"
        self.config = f"{self.folder}/colima.yaml"
        self.state = f"{self.lima}/colima.yaml"
        self.socket = f"{self.folder}/docker.sock"
        self.forwarder_pid = f"{self.lima}/ha.pid"
        self.broken = f"{self.lima}/broken"


def alive(path):
    try:
        pid = int(open(path).read())
        state = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]
        return pid if state not in "ZX" else 0
    except (OSError, ValueError, IndexError):
        return 0


def status(room):
    """Running, Stopped, Broken, or empty where there is no instance."""
    if not os.path.exists(room.state):
        return ""
    if os.path.exists(room.broken):
        return "Broken"
    owner = ""
    try:
        owner = open("/run/vm/owner").read().strip()
    except OSError:
        pass
    return "Running" if alive("/run/vm/pid") and owner in ("", room.id) else "Stopped"


def applied(room):
    import yaml

    try:
        with open(room.state) as file:
            return yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    except OSError:
        return {}


def vmroot(*argv, **options):
    return subprocess.run(["/usr/bin/sudo", "-n", "/opt/lab/vmroot", *argv], **options)


def connects(path):
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            probe.connect(path)
            return True
    except OSError:
        return False


def shell(user, workdir, command):
    """Replace this process by `command` inside the VM."""
    os.execv("/usr/bin/sudo", ["sudo", "-n", "/opt/lab/vmroot", "exec", user, workdir, *command])
