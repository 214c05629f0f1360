"""A slow disk that only the VM sees, as virtiofs is: a FUSE mount over a folder, each read takes longer.

Run as root inside the VM: ``python3 slow_disk.py FOLDER DELAY FORGET``. Each read of the kernel's takes DELAY
seconds more; every FORGET seconds the kernel is told to forget what it keeps of the files, as it would by
itself where the weights are larger than the container's memory. It ends with the VM, or when unmounted.
"""

import ctypes
import errno
import os
import stat
import struct
import sys
import threading
import time
from pathlib import Path

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE = 1, 2, 3, 14, 15, 17, 18
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, BATCH_FORGET = 25, 26, 27, 28, 29, 42
INVALIDATE = 2
KEEP_CACHE = 2
READ_ONLY = 1 | 2 | 4  # MS_RDONLY | MS_NOSUID | MS_NODEV
VALID = 3600
ROOT = 1


class SlowDisk:
    """Serves the files of one folder; names are numbered from 2 as they are looked up."""

    def __init__(self, folder, delay):
        self.folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.delay = delay
        self.names = {}
        self.device = os.open("/dev/fuse", os.O_RDWR)

    def mount(self, target):
        options = f"fd={self.device},rootmode=40755,user_id=0,group_id=0,allow_other"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"slow", target.encode(), b"fuse", READ_ONLY, options.encode()):
            raise OSError(ctypes.get_errno(), "mount", target)

    def serve(self):
        while True:
            try:
                request = os.read(self.device, 1 << 20)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                    continue
                return  # unmounted
            _, opcode, unique, number, *_ = struct.unpack_from("<IIQQIIII", request)
            if opcode in (FORGET, BATCH_FORGET):
                continue
            try:
                answer, error = self.answer(opcode, number, request[40:]), 0
            except OSError as problem:
                answer, error = b"", -(problem.errno or errno.EIO)
            os.write(self.device, struct.pack("<IiQ", 16 + len(answer), error, unique) + answer)

    def forget(self, every):
        while True:
            time.sleep(every)
            for number in list(self.names):
                notice = struct.pack("<IiQQqq", 40, INVALIDATE, 0, number, 0, 0)
                try:
                    os.write(self.device, notice)
                except OSError as error:
                    if error.errno != errno.ENOENT:
                        return

    def answer(self, opcode, number, body):  # noqa: PLR0911 (one a request of the kernel's)
        if opcode == INIT:
            readahead = 131072
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, readahead, 1, 16, 12, 4096, 1, 32, 0, 0)
        if opcode == LOOKUP:
            return self.entry(body.rstrip(b"\0").decode())
        if opcode == GETATTR:
            return struct.pack("<QII", VALID, 0, 0) + self.attributes(number)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<QII", self.opened(number), KEEP_CACHE, 0)
        if opcode == READ:
            handle, offset, size = struct.unpack_from("<QQI", body)
            time.sleep(self.delay)
            return os.pread(handle, size, offset)
        if opcode == READDIR:
            _, offset, _ = struct.unpack_from("<QQI", body)
            return b"" if offset else self.listing()
        if opcode == RELEASE:
            os.close(struct.unpack_from("<Q", body)[0])
            return b""
        if opcode in (RELEASEDIR, FLUSH):
            return b""
        if opcode == STATFS:
            return struct.pack("<5Q4I24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0)
        raise OSError(errno.ENOSYS, "not served")

    def entry(self, name):
        os.stat(name, dir_fd=self.folder)
        number = next((n for n, known in self.names.items() if known == name), len(self.names) + 2)
        self.names[number] = name
        return struct.pack("<QQQQII", number, 0, VALID, VALID, 0, 0) + self.attributes(number)

    def attributes(self, number):
        found = os.fstat(self.folder) if number == ROOT else os.stat(self.names[number], dir_fd=self.folder)
        times = int(found.st_atime), int(found.st_mtime), int(found.st_ctime)
        blocks = (found.st_size + 511) // 512
        return struct.pack(
            "<6Q10I",
            number,
            found.st_size,
            blocks,
            *times,
            0,
            0,
            0,
            found.st_mode,
            found.st_nlink,
            found.st_uid,
            found.st_gid,
            0,
            4096,
            0,
        )

    def opened(self, number):
        return 0 if number == ROOT else os.open(self.names[number], os.O_RDONLY, dir_fd=self.folder)

    def listing(self):
        found = b""
        for place, name in enumerate(os.listdir(self.folder), start=1):  # noqa: PTH208 (a descriptor: the path is covered)
            text = name.encode()
            mode = os.stat(name, dir_fd=self.folder).st_mode
            head = struct.pack("<QQII", place + 1, place, len(text), stat.S_IFMT(mode) >> 12)
            found += head + text + b"\0" * (-len(text) % 8)
        return found


if __name__ == "__main__":
    where, delay, every = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    if not Path("/dev/fuse").exists():
        os.mknod("/dev/fuse", 0o600 | stat.S_IFCHR, os.makedev(10, 229))
    disk = SlowDisk(where, delay)
    disk.mount(where)
    threading.Thread(target=disk.forget, args=(every,), daemon=True).start()
    disk.serve()
