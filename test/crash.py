#!/usr/bin/env python3
"""Crashes at random moments: crash.py kill|cut TYPE ROUNDS SEED [DONE].

An instance whose qubes do nothing (vmm/none) and whose volumes are real is worked on by two workers, each with its own qubes:
start, write and flush, shut down, kill, clone, revert, import, make, remove, set a feature. At a random moment of each round

  kill  qubesd, one of its jobs, or all there is, is killed with -9;
  cut   the power goes: the disk's image is cloned (FICLONE) while all that goes on, everything is killed, and the clone
        becomes the disk.

Then qubesd is started again, `bulkhead check` finds nothing, and each volume is as DESIGN.md's rule on crashes says: what was
flushed is there, the last committed revision is intact beside it, what was answered is kept, what was not is whole or not at all.

TYPE is the file system that the instance lives on, on a loop device: ext4 (volumes qcow2), btrfs or xfs (qcow2 and reflink);
"none" (kill only): where TMPDIR is. The disk's image stands on a Btrfs of its own and is written past the host's page cache, so
the clone has what the file system had given to its disk when it was made, and nothing else: a crash of the machine.
DONE is a file with the count of rounds that have passed, which is kept up to date. CRASH_KEEP=1 leaves a failure as it is.
Environment: QUBESD, and PATH with bulkhead. Exit status: 0; 1 something was lost; 77 no such file system here.
"""
import array
import fcntl
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PLACES = (0, 64 << 10, 1 << 20, (48 << 20) + 4096)
LENGTH = 16 << 10
IMAGE = 49 << 20
VOLUMES = {"TemplateVM": ("root", "private"), "StandaloneVM": ("root", "private"), "AppVM": ("private",)}
EMPTY = (0,) * len(PLACES)
FICLONE = 0x40049409


class Refused(Exception):
    """What qubesd answered, or that it did not."""


class Wrong(Exception):
    """Something is not as the rule has it."""


class Stop(Exception):
    """The round is over."""


def run(*argv, **more):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more).stdout


class Disk:
    """A file system on a loop device, whose image can be cloned at any moment."""

    def __init__(self, kind):
        self.kind, self.loop = kind, None
        self.dir = tempfile.mkdtemp(prefix="bulkhead-cut.", dir=os.environ.get("TMPDIR", "/tmp"))
        self.outer, self.at = self.dir + "/o", self.dir + "/i"
        self.image = self.outer + "/disk"
        os.mkdir(self.outer)
        os.mkdir(self.at)
        if kind == "none":
            return
        with open(self.dir + "/outer", "wb") as f:
            f.truncate(16 << 30)
        try:
            run("mkfs.btrfs", "-q", self.dir + "/outer")
            run("mount", "-o", "loop", self.dir + "/outer", self.outer)
            with open(self.image, "wb") as f:
                f.truncate(3 << 30)
            run(*{"ext4": ("mkfs.ext4", "-q"), "btrfs": ("mkfs.btrfs", "-q"), "xfs": ("mkfs.xfs", "-q")}[kind], self.image)
            self.mount()
        except (OSError, subprocess.CalledProcessError) as e:
            print("no %s on a loop device here: %s %s" % (kind, e, getattr(e, "stderr", "")))
            self.done()
            sys.exit(77)

    def mount(self):
        self.loop = run("losetup", "--find", "--show", "--direct-io=on", self.image).strip()
        run("mount", self.loop, self.at)

    def unmount(self):
        for _ in range(100):
            if subprocess.run(["umount", self.at], stderr=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.05)
        else:
            raise Wrong("somebody keeps %s busy" % self.at)
        run("losetup", "-d", self.loop)
        # a process that is about to end may be in a namespace that has a copy of the mount; the clone has the same UUID
        backing = "/sys/block/%s/loop/backing_file" % os.path.basename(self.loop)
        for _ in range(600):
            if not os.path.exists(backing):
                break
            time.sleep(0.05)
        else:
            raise Wrong("somebody keeps %s busy" % self.loop)
        self.loop = None

    def clone(self):
        with open(self.image, "rb") as was, open(self.image + ".cut", "wb") as cut:
            fcntl.ioctl(cut, FICLONE, was.fileno())

    def become_clone(self):
        self.unmount()
        os.rename(self.image + ".cut", self.image)
        self.mount()

    def done(self):
        if self.loop:
            self.unmount()
        if os.path.ismount(self.outer):
            run("umount", self.outer)
        shutil.rmtree(self.dir)


class Volume:
    """What it may hold: pairs (what the guest sees, the newest committed revision); each a value for every place."""

    def __init__(self, may=((EMPTY, EMPTY),)):
        self.may = set(may)

    @property
    def is_now(self):
        (pair,) = self.may
        return pair


class Qube:
    def __init__(self, name, klass, pool):
        self.name, self.klass, self.pool = name, klass, pool
        self.volumes = {v: Volume() for v in VOLUMES[klass]}
        self.dirs = {}
        self.features = {}
        self.may_be, self.may_be_absent = True, False


class Instance:
    def __init__(self, disk):
        self.disk = disk
        self.home = disk.at + "/home"
        self.daemon = None
        os.mkdir(self.home)
        os.environ["BULKHEAD_HOME"] = self.home
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/dev/null/bus"

    def start(self):
        with open(self.disk.dir + "/log", "ab") as log:
            self.daemon = subprocess.Popen([os.environ["QUBESD"]], stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while True:
            try:
                return self.call("admin.vm.List", "dom0")
            except (Refused, OSError):
                if self.daemon.poll() is not None or time.monotonic() > end:
                    raise Wrong("qubesd does not start")
                time.sleep(0.01)

    def kill(self):
        self.daemon.kill()
        self.daemon.wait()

    def children(self):
        """its jobs"""
        found = []
        for p in run_or_nothing("pgrep", "-P", str(self.daemon.pid), "-f", "--", "--job ").split():
            found.append(int(p))
        return found

    def forget_machines(self):
        """what runs beside qubesd is gone, too: run/ is in memory"""
        where = os.path.realpath(self.home + "/run")
        if where != self.home + "/run":
            shutil.rmtree(where, ignore_errors=True)

    def call(self, method, dest, payload=b"", fd=None):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        request = ("%s dom0 name %s\0" % (method, dest)).encode() + payload
        with s:
            s.connect(self.home + "/run/qubesd.sock")
            s.sendmsg([request], [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
            s.shutdown(socket.SHUT_WR)
            got = b""
            while b := s.recv(65536):
                got += b
        # of an import, how far it is comes first
        if got.startswith(b"0\0"):
            return got[2:].decode()
        if got.endswith(b"\0000\0"):
            return ""
        raise Refused("%s %s: %r" % (method, dest, got[-200:]))

    def states(self):
        return dict(re.findall(r"^(\S+) .*?state=(\S+)", self.call("admin.vm.List", "dom0"), re.M))

    def settle(self):
        """nothing is under way"""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            status = dict(l.split("=", 1) for l in self.call("bulkhead.Status", "dom0").splitlines() if "=" in l)
            states = self.states()
            if status["n_jobs"] == status["n_jobs_waiting"] == "0" and set(states.values()) <= {"Running", "Halted"}:
                return states
            time.sleep(0.02)
        raise Wrong("qubesd does not come to rest: %s %s" % (status, states))


def run_or_nothing(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True).stdout


# --- volumes, as they stand in their folders ---


def newest(folder):
    """(newest committed file, what the guest sees), by their numbers"""
    names = os.listdir(folder)
    dropped = {n[:-5] for n in names if n.endswith(".drop")}
    committed = [int(n.split(".")[0]) for n in names if re.fullmatch(r"[0-9]+\.(qcow2|img)", n) and n.split(".")[0] not in dropped]
    work = [int(n.split(".")[0]) for n in names if re.fullmatch(r"[0-9]+\.work", n)]
    if not committed:
        raise Wrong("%s has no committed revision: %s" % (folder, names))
    top = max(committed)
    kind = "qcow2" if "%d.qcow2" % top in names else "img"
    file = "%s/%d.%s" % (folder, top, kind)
    going = [n for n in work if n > top]
    return kind, file, "%s/%d.work" % (folder, max(going)) if going else file


def values_of(chunks):
    # the same byte all through; -1 = not so
    return tuple(-1 if not c or c.count(c[:1]) != LENGTH else c[0] for c in chunks)


def read_values(kind, file):
    if kind == "img":
        with open(file, "rb") as f:
            return values_of([os.pread(f.fileno(), LENGTH, p) for p in PLACES])
    argv = ["qemu-io", "-r", "-U", "-f", "qcow2"]
    for p in PLACES:
        argv += ["-c", "read -v %d %d" % (p, LENGTH)]
    chunks = [bytearray() for _ in PLACES]
    at = 0
    for line in run(*argv, file).splitlines():
        if m := re.match(r"[0-9a-f]+:  ((?:[0-9a-f]{2} ){1,16})", line):
            chunks[at] += bytes.fromhex(m[1])
        elif line.startswith("read "):
            at += 1
    return values_of(chunks)


def folder_values(folder):
    """(what the guest sees, newest committed revision)"""
    kind, committed, now = newest(folder)
    last = read_values(kind, committed)
    return (last if now == committed else read_values(kind, now)), last


def revisions_of(folder):
    """number: values, of all that stand there and may be gone back to"""
    names = os.listdir(folder)
    return {int(n.split(".")[0]): (n.rsplit(".", 1)[1], folder + "/" + n) for n in names if re.fullmatch(r"[0-9]+\.(qcow2|img)", n)
            and n.split(".")[0] + ".drop" not in names}


class Worker(threading.Thread):
    """Does one thing after the other to its own qubes, and notes what may be true while it does."""

    def __init__(self, system, name, pools, seed):
        super().__init__(daemon=True)
        self.system, self.i, self.prefix, self.pools = system, system.instance, name, pools
        self.random = random.Random(seed)
        self.qubes, self.states = system.qubes[name], {}
        self.wrong, self.done = None, []

    # -- a step: what may be true until it is answered, and what is true then

    def step(self, words, do, pending, after):
        with self.system.lock:
            if self.system.over:
                raise Stop
            pending()
            self.done.append(words)
        try:
            answer = do()
        except (Refused, OSError, subprocess.CalledProcessError) as e:
            # only a crash may have been the cause
            if not self.system.struck.wait(5):
                raise Wrong("%s: %s %s" % (words, e, getattr(e, "stderr", "")))
            raise Stop
        with self.system.lock:
            if self.system.late:
                raise Stop
            after()
            self.done.append("done")
        return answer

    def volume_step(self, words, do, q, changes):
        """changes: volume name -> [pairs that may be, the last of them what is true once it is answered]"""
        def pending():
            for v, may in changes.items():
                q.volumes[v].may |= set(may)

        def after():
            for v, may in changes.items():
                q.volumes[v].may = {may[-1]}
        return self.step("%s of %s" % (words, q.name), do, pending, after)

    def simple(self, words, do):
        return self.step(words, do, lambda: None, lambda: None)

    def get(self, method, dest):
        return self.simple(method, lambda: self.i.call(method, dest))

    def wait_for(self, q, state):
        end = time.monotonic() + 60
        while (now := self.i.states().get(q.name)) != state:
            if time.monotonic() > end:
                raise Refused("%s is %s, not %s" % (q.name, now, state))
            time.sleep(0.005)

    # -- what is done

    def start_it(self, q):
        self.simple("start of " + q.name, lambda: self.i.call("admin.vm.Start", q.name))

    def write(self, q, v):
        place, value = self.random.randrange(len(PLACES)), self.random.randrange(1, 251)
        now, last = q.volumes[v].is_now

        def with_value(x):
            return (now[:place] + (x,) + now[place + 1:], last)

        def do():
            kind, _, file = newest(q.dirs[v])
            if not file.endswith(".work"):
                raise Refused("%s:%s runs without a file to write" % (q.name, v))
            if kind == "img":
                with open(file, "r+b", buffering=0) as f:
                    os.pwrite(f.fileno(), bytes([value]) * LENGTH, PLACES[place])
                    os.fdatasync(f.fileno())
                return
            self.system.helper(["qemu-io", "-f", "qcow2", "-c", "write -P %d %d %d" % (value, PLACES[place], LENGTH), "-c", "flush", file])
        self.volume_step("write %d at %d of %s" % (value, place, v), do, q, {v: [with_value(-1), with_value(value)]})

    def end(self, q):
        if self.random.random() < 0.6:
            now = {v: q.volumes[v].is_now for v in q.volumes}

            def do():
                self.i.call("admin.vm.Shutdown", q.name)
                self.wait_for(q, "Halted")
            self.volume_step("shutdown", do, q, {v: [(n, n)] for v, (n, _) in now.items()})
        else:
            def do():
                self.i.call("admin.vm.Kill", q.name)
                self.wait_for(q, "Halted")
            self.simple("kill of " + q.name, do)

    def life(self, q):
        self.start_it(q)
        for _ in range(self.random.randrange(4)):
            self.write(q, self.random.choice(list(q.volumes)))
        self.end(q)

    def revert(self, q):
        v = self.random.choice(list(q.volumes))
        listed = self.get("admin.vm.volume.ListSnapshots+" + v, q.name).split()
        if not listed:
            return
        wanted = self.random.choice(listed)
        there = revisions_of(q.dirs[v])
        number = int(wanted.split("-")[0])
        if number not in there:
            raise Wrong("%s:%s has a revision %s without a file" % (q.name, v, wanted))
        values = read_values(*there[number])
        self.volume_step("revert of %s to %s," % (v, wanted), lambda: self.i.call("admin.vm.volume.Revert+" + v, q.name, wanted.encode()),
                         q, {v: [(values, values)]})

    def import_it(self, q):
        v = self.random.choice(list(q.volumes))
        values = tuple(self.random.randrange(1, 251) for _ in PLACES)
        with tempfile.TemporaryFile(dir=self.i.disk.dir) as f:
            for p, x in zip(PLACES, values):
                os.pwrite(f.fileno(), bytes([x]) * LENGTH, p)
            f.truncate(IMAGE)
            self.volume_step("import to %s" % v, lambda: self.i.call("bulkhead.vm.volume.ImportFile+" + v, q.name, b"", f.fileno()),
                             q, {v: [(values, values)]})

    def make(self, klass, name, pool):
        q = Qube(name, klass, pool)
        template = "+%st" % self.prefix if klass == "AppVM" else ""

        def pending():
            q.may_be_absent = True
            self.qubes[name] = q

        def after():
            q.may_be_absent = False
        own = "".join(" pool:%s=%s" % (v, pool) for v in VOLUMES[klass])
        self.step("%s %s in %s" % (klass, name, pool), lambda: self.i.call("admin.vm.CreateInPool.%s%s" % (klass, template), "dom0",
                  ("name=%s label=red%s" % (name, own)).encode()), pending, after)
        q.dirs = self.simple("look at " + name, lambda: self.system.dirs(q))
        return q

    def clone(self, q):
        free = [n for n in ("%sc%d" % (self.prefix, k) for k in range(3)) if n not in self.qubes]
        if not free:
            return
        copy = self.make(q.klass if q.klass != "TemplateVM" else "StandaloneVM", free[0], self.random.choice(self.pools))
        for v in copy.volumes:
            token = self.get("admin.vm.volume.CloneFrom+" + v, q.name)
            _, last = q.volumes[v].is_now
            self.volume_step("clone of %s:%s to" % (q.name, v), lambda: self.i.call("admin.vm.volume.CloneTo+" + v, copy.name, token.encode()),
                             copy, {v: [(last, last)]})

    def remove(self, q):
        if q.name[len(self.prefix)] != "c":
            return

        def pending():
            q.may_be_absent = True

        def after():
            del self.qubes[q.name]
        self.step("removal of " + q.name, lambda: self.i.call("admin.vm.Remove", q.name), pending, after)

    def feature(self, q):
        value = str(self.random.randrange(1 << 30))

        def pending():
            q.features["crash"] = {q.features.get("crash"), value} if not isinstance(q.features.get("crash"), set) else q.features["crash"] | {value}

        def after():
            q.features["crash"] = {value}
        self.step("feature of " + q.name, lambda: self.i.call("admin.vm.feature.Set+crash", q.name, value.encode()), pending, after)

    def begin(self):
        """the qubes that stay"""
        self.make("TemplateVM", self.prefix + "t", self.pools[0])
        self.make("AppVM", self.prefix + "a", self.pools[-1])
        self.make("StandaloneVM", self.prefix + "s", self.pools[-1])
        for q in self.qubes.values():
            self.i.call("admin.vm.property.Set+memory", q.name, b"32")

    def run(self):
        try:
            for name, state in self.states.items():
                # it went on running beside a qubesd that was killed
                if name in self.qubes and state == "Running":
                    self.write(self.qubes[name], self.random.choice(list(self.qubes[name].volumes)))
                    self.end(self.qubes[name])
            while True:
                act = self.random.choice((self.life, self.life, self.life, self.revert, self.import_it, self.clone, self.clone, self.remove, self.feature))
                act(self.random.choice(list(self.qubes.values())))
        except Stop:
            pass
        except Exception as e:  # told by who waits for us
            self.wrong = e


class System:
    def __init__(self, mode, kind, seed):
        self.mode, self.random = mode, random.Random(seed)
        self.disk = Disk(kind)
        self.instance = Instance(self.disk)
        self.lock = threading.Lock()
        self.over = self.late = False
        self.struck = threading.Event()
        self.qubes = {"x": {}, "y": {}}
        self.pools = ["default"]
        self.helpers = set()
        self.counted = {}

    def helper(self, argv):
        p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.helpers.add(p)
        r = p.wait()
        self.helpers.discard(p)
        if r != 0:
            raise subprocess.CalledProcessError(r, argv)

    def dirs(self, q):
        found = {}
        for v in q.volumes:
            info = dict(l.split("=", 1) for l in self.instance.call("admin.vm.volume.Info+" + v, q.name).splitlines())
            pool = self.instance.home + "/state/pools/default" if info["pool"] == "default" else self.disk.at + "/shared"
            found[v] = "%s/%s" % (pool, info["vid"])
        return found

    def begin(self):
        home = self.instance.home
        self.instance.start()
        kernel = home + "/state/kernels/.1"
        os.makedirs(kernel)
        for f in ("vmlinuz", "initramfs", "modules.img"):
            open("%s/%s" % (kernel, f), "w").close()
        os.rename(kernel, home + "/state/kernels/1")
        if self.disk.kind in ("btrfs", "xfs"):
            self.instance.call("admin.pool.Add+reflink", "dom0", ("name=shared\ndir_path=%s/shared\n" % self.disk.at).encode())
            self.pools.append("shared")
        for name in self.qubes:
            Worker(self, name, self.pools, 0).begin()

    # -- the crash

    def strike(self):
        """what is cut off; in the words of a report"""
        what = "the power" if self.mode == "cut" else self.random.choice(("qubesd", "qubesd", "a job", "all"))
        if what == "a job":
            end = time.monotonic() + 2
            while time.monotonic() < end:
                jobs = self.instance.children()
                if jobs:
                    try:
                        os.kill(self.random.choice(jobs), signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                    break
            with self.lock:
                self.over = True
            self.struck.set()
            return what
        with self.lock:
            self.over = self.late = True
        if what == "the power":
            self.disk.clone()
        self.instance.kill()
        self.struck.set()
        if what != "qubesd":
            for p in list(self.helpers):
                p.kill()
        return what

    def recover(self, what):
        if what == "a job":
            return
        if what == "the power":
            self.disk.become_clone()
        if what != "qubesd":
            self.instance.forget_machines()
        self.instance.start()

    # -- what must be true afterwards

    def judge(self):
        states = self.instance.settle()
        check = subprocess.run(["bulkhead", "check", "--json"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if check.returncode != 0 or json.loads(check.stdout):
            raise Wrong("bulkhead check: %d\n%s" % (check.returncode, check.stdout))
        known = {"dom0"}
        for qubes in self.qubes.values():
            for q in list(qubes.values()):
                if q.name in states:
                    known.add(q.name)
                    self.judge_qube(q)
                elif q.may_be_absent:
                    del qubes[q.name]
                else:
                    raise Wrong("%s is gone" % q.name)
        if set(states) != known:
            raise Wrong("there are %s instead of %s" % (sorted(states), sorted(known)))
        return states

    def judge_qube(self, q):
        q.may_be_absent = False
        q.dirs = q.dirs or self.dirs(q)
        for v, volume in q.volumes.items():
            pair = folder_values(q.dirs[v])
            now, last = pair
            # a place that was being written may hold anything
            fits = [m for m in volume.may if last == m[1] and all(w in (-1, g) for w, g in zip(m[0], now))]
            if not fits:
                raise Wrong("%s:%s holds %s, instead of one of %s (%s: %s)" % (q.name, v, pair, volume.may, q.dirs[v], sorted(os.listdir(q.dirs[v]))))
            volume.may = {pair}
        if q.features.get("crash"):
            try:
                value = self.instance.call("admin.vm.feature.Get+crash", q.name)
            except Refused:
                value = None
            if value not in q.features["crash"]:
                raise Wrong("the feature of %s is %s, not of %s" % (q.name, value, q.features["crash"]))
            q.features["crash"] = {value}

    def round(self, n, states):
        self.over = self.late = False
        self.struck.clear()
        workers = [Worker(self, name, self.pools, "%d %s" % (n, name)) for name in self.qubes]
        for w in workers:
            w.states = states
            w.start()
        time.sleep(self.random.random() ** 2 * 0.8)
        what = self.strike()
        for w in workers:
            w.join(90)
        for w in workers:
            self.count(w)
        said = "; ".join("%s: ... %s" % (w.prefix, ", ".join(w.done[-6:])) for w in workers)
        try:
            for w in workers:
                if w.is_alive():
                    raise Wrong("a worker does not end")
                if w.wrong:
                    raise w.wrong
            self.recover(what)
            return self.judge()
        except Exception as e:
            print("round %d, %s cut off: %s\n%s" % (n, what, e, said))
            raise

    def count(self, worker):
        """how often each kind of step was answered, and cut off"""
        for step, follows in zip(worker.done, worker.done[1:] + [""]):
            if step != "done":
                counts = self.counted.setdefault(step.split()[0], [0, 0])
                counts[follows != "done"] += 1

    def done(self):
        if self.instance.daemon:
            self.instance.kill()
            self.instance.forget_machines()
        self.disk.done()


def main():
    # what others start meanwhile gets no copy of our mounts
    if sys.argv[2] != "none" and "CRASH_INSIDE" not in os.environ:
        os.environ["CRASH_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable] + sys.argv)
    mode, kind, rounds, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    kept = sys.argv[5] if len(sys.argv) > 5 else None
    print("seed %d" % seed)
    system = System(mode, kind, seed)
    failed = True
    try:
        system.begin()
        states = system.judge()
        for n in range(rounds):
            states = system.round(seed + n, states)
            if kept:
                with open(kept, "a+") as f:
                    f.seek(0)
                    count = int(f.read() or 0) + 1
                with open(kept + ".new", "w") as f:
                    f.write("%d\n" % count)
                os.rename(kept + ".new", kept)
        failed = False
    finally:
        if failed:
            subprocess.run(["tail", "-n", "30", system.disk.dir + "/log"])
        if failed and os.environ.get("CRASH_KEEP"):
            print("left as it is: %s" % system.disk.dir)
            system.instance.kill()
        else:
            system.done()
    print(", ".join("%s %d + %d" % (k, *n) for k, n in sorted(system.counted.items())) + " (answered + cut off)")
    print("%d rounds passed" % rounds)


if __name__ == "__main__":
    main()
