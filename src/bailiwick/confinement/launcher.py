"""What stands between the platform and a program that is not trusted: it gives up rights, one kind after another, then
becomes that program.

It runs as `python -I -S`, on the standard library alone. Two processes come of it. The outer one stays, holds the
lifeline to whoever asked, and kills the inner one when that breaks. The inner one confines itself, tries whether what is
protected is out of its reach, and only then starts the program. Lines of JSON on `report` say how it went.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import signal
import sys
from contextlib import suppress
from typing import Any

from bailiwick.confinement import kernel, landlock, seccomp

CANNOT_CONFINE = 97
_SYSTEM_READABLE = (
    "/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache",
    "/etc/localtime", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/sys/devices/system/cpu",
    "/proc/self",  # of the inner process: TensorFlow ends with a fault where it cannot look at itself
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/dev/full")
_LIMITS = {
    "memory_bytes": resource.RLIMIT_AS,
    "cpu_seconds": resource.RLIMIT_CPU,
    "file_bytes": resource.RLIMIT_FSIZE,
    "open_files": resource.RLIMIT_NOFILE,
}
_PROCESSES_WITHOUT_FILTER = 64


def main() -> None:
    """`launcher SPECIFICATION`, as JSON: see `process.start`, which writes it."""
    wanted = json.loads(sys.argv[1])
    in_force: dict[str, Any] = {}
    try:
        _take_namespaces(in_force)
        inner = os.fork()
    except OSError as error:
        _tell(wanted["report"], error=f"{error}")
        sys.exit(CANNOT_CONFINE)
    if inner == 0:
        _become(wanted, in_force)
    for descriptor in (wanted["channel"], 0, 1, 2):
        os.close(descriptor)
    _tell(wanted["report"], pid=inner)
    os.close(wanted["report"])
    sys.exit(_watch(inner, wanted["lifeline"]))


def _take_namespaces(in_force: dict[str, Any]) -> None:
    """A network with nothing in it, and process ids and shared memory of its own, as far as the kernel allows."""
    own = kernel.CLONE_NEWNET | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC
    user, group = os.geteuid(), os.getegid()
    try:
        if user == 0:
            kernel.unshare(own)
        else:
            kernel.unshare(own | kernel.CLONE_NEWUSER)
            for name, text in (
                ("setgroups", "deny"),
                ("uid_map", f"{user} {user} 1"),
                ("gid_map", f"{group} {group} 1"),
            ):
                with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - see landlock.py
                    file.write(text)
    except OSError:
        in_force["namespaces"] = False
    else:
        in_force["namespaces"] = True


def _watch(inner: int, lifeline: int) -> int:
    """Wait for the inner process, killing it when the lifeline breaks; its exit status, or 128 + signal."""
    ended = os.pidfd_open(inner) if hasattr(os, "pidfd_open") else -1
    waiting = select.poll()
    waiting.register(lifeline, select.POLLIN | select.POLLHUP)
    if ended >= 0:
        waiting.register(ended, select.POLLIN)
    while True:
        events = waiting.poll(None if ended >= 0 else 200)
        found, status = os.waitpid(inner, os.WNOHANG)
        if not found and any(descriptor == lifeline for descriptor, _ in events):
            os.kill(inner, signal.SIGKILL)
            found, status = os.waitpid(inner, 0)
        if found:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


def _become(wanted: dict[str, Any], in_force: dict[str, Any]) -> None:
    """Confine this process and start the program in it. Does not return."""
    try:
        os.setsid()
        os.close(wanted["lifeline"])
        os.chdir(wanted["cwd"])
        _limit(wanted["limits"])
        ruleset = _ruleset(wanted, in_force)
        _drop_identity(wanted, in_force)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        if ruleset is not None:
            ruleset.restrict()
        _filter(in_force)
        _prove(wanted, in_force)
        os.set_inheritable(wanted["channel"], True)
        _tell(wanted["report"], in_force=in_force)
        os.set_inheritable(wanted["report"], False)
        os.execve(wanted["command"][0], wanted["command"], wanted["environment"])  # noqa: S606 - what it is for
    except (OSError, ValueError) as error:
        _tell(wanted["report"], error=f"{error}")
    os._exit(CANNOT_CONFINE)


def _limit(limits: dict[str, int]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, value in limits.items():
        resource.setrlimit(_LIMITS[name], (value, value))
    if not seccomp.known():  # counts every process and thread of the user, so only where there is nothing better
        resource.setrlimit(resource.RLIMIT_NPROC, (_PROCESSES_WITHOUT_FILTER, _PROCESSES_WITHOUT_FILTER))


def _ruleset(wanted: dict[str, Any], in_force: dict[str, Any]) -> landlock.Ruleset | None:
    interface = landlock.version()
    in_force["landlock"] = interface
    if not interface:
        return None
    ruleset = landlock.Ruleset(interface)
    ruleset.allow([*_SYSTEM_READABLE, *wanted["readable"]], rights=landlock.READ)
    ruleset.allow(_DEVICES, rights=landlock.DEVICE)
    ruleset.allow(wanted["writable"])
    return ruleset


def _drop_identity(wanted: dict[str, Any], in_force: dict[str, Any]) -> None:
    """From root to a user who owns nothing, if that one can reach the program; and to no capabilities in any case."""
    if os.geteuid() == 0:
        with suppress(PermissionError):  # in a container without the right to; `no_new_privs` keeps them away as well
            kernel.drop_bounding_set()
        user = wanted["user"]
        if user and _reached_by(user, wanted):
            for path in wanted["writable"]:
                os.chown(path, user, user)
            _turn_into(user)
        kernel.drop_capabilities()
    in_force["user"] = os.geteuid()


def _turn_into(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _reached_by(user: int, wanted: dict[str, Any]) -> bool:
    """Tried by a process that has become that user: what permission bits mean is best asked of the kernel."""
    trying = os.fork()
    if trying == 0:
        try:
            _turn_into(user)
            reached = os.access(wanted["command"][0], os.X_OK) and os.access(wanted["cwd"], os.X_OK)
            reached = reached and all(os.access(path, os.R_OK) for path in wanted["readable"] if _is_there(path))
            os._exit(0 if reached else 1)
        finally:
            os._exit(1)
    return os.waitpid(trying, 0)[1] == 0


def _is_there(path: str) -> bool:
    """What cannot be looked at counts as there, so that it counts as out of reach."""
    try:
        os.stat(path)  # noqa: PTH116 - see landlock.py
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _filter(in_force: dict[str, Any]) -> None:
    in_force["system_calls"] = False
    if seccomp.known():
        try:
            seccomp.install()
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.ENOSYS}:  # a kernel built without it
                raise
        else:
            in_force["system_calls"] = True


def _prove(wanted: dict[str, Any], in_force: dict[str, Any]) -> None:
    """Try to read what is protected. Raises ValueError when that works and was not expressly accepted."""
    within = [path for path in wanted["protected"] if _readable(path)]
    in_force["protected"] = not within
    in_force["network"] = in_force["namespaces"] or in_force["system_calls"]
    if within and not wanted["unconfined"]:
        raise ValueError(f"{within[0]} can be read in spite of all")


def _readable(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True


def _tell(report: int, **said: object) -> None:
    os.write(report, json.dumps(said).encode() + b"\n")


if __name__ == "__main__":
    main()
