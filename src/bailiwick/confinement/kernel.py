"""Linux's own words, by ctypes: `prctl`, `unshare`, capabilities. Nothing but the standard library, for it runs before `site`."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_DUMPABLE = 1, 24, 22, 38, 4
CAP_LAST = 40
_CAP_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, *values: int) -> None:
    """Raises OSError."""
    given = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if _libc.prctl(ctypes.c_int(option), *given) != 0:
        raise _failure("prctl")


def prctl_pointer(option: int, value: int, pointer: ctypes.c_void_p) -> None:
    """`prctl` with an address as its third argument. Raises OSError."""
    if _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), pointer, ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        raise _failure("prctl")


def syscall(number: int, *values: object) -> int:
    """A system call that the C library has no function for. Raises OSError."""
    found = int(_libc.syscall(ctypes.c_long(number), *values))
    if found < 0:
        raise _failure(f"system call {number}")
    return found


def unshare(flags: int) -> None:
    """New namespaces for this process, or for its children where it is that of pids. Raises OSError."""
    if _libc.unshare(ctypes.c_int(flags)) != 0:
        raise _failure("unshare")


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Capabilities(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def drop_bounding_set() -> None:
    """No program started from here can have a capability again, not even as root. Raises OSError."""
    for capability in range(CAP_LAST + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            if capability == 0:  # others are unknown to older kernels
                raise


def drop_capabilities() -> None:
    """Keep none of the capabilities of this process. Raises OSError."""
    header, none = _Header(_CAP_VERSION_3, 0), (_Capabilities * 2)()
    if _libc.capset(ctypes.byref(header), none) != 0:
        raise _failure("capset")


def _failure(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
