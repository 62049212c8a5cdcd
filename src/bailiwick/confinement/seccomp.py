"""A filter of system calls: no sockets, no other processes, no signals to others, none of the kernel's back doors.

Threads are left, and so is everything that computes. Numbers are those of the kernel's tables for the two machines known;
on others there is no filter, and the report of a confinement says so.
"""

from __future__ import annotations

import ctypes
import os
import struct

from bailiwick.confinement.kernel import PR_SET_SECCOMP, prctl_pointer

_FILTER_MODE = 2
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
_CLONE_THREAD = 0x00010000
_EPERM, _ENOSYS = 1, 38

# Name: (x86_64, aarch64); None where the machine has no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "sendmsg": (46, 211), "bind": (49, 200),
    "listen": (50, 201), "accept4": (288, 242), "sendmmsg": (307, 269),
    "fork": (57, None), "vfork": (58, None),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "setns": (308, 268),
    "unshare": (272, 97), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "mount_setattr": (442, 442), "open_by_handle_at": (304, 265),
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16),
}  # fmt: skip
# Landlock has no say in these: they would reach files of the same owner anywhere. Copying a file asks for them as a
# courtesy, so they say that they did it, and do nothing.
_IGNORED: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
}  # fmt: skip
_CLONE, _CLONE3, _KILL, _TGKILL, _SENDTO, _PRLIMIT = (56, 220), (435, 435), (62, 129), (234, 131), (44, 206), (302, 261)

# Classic BPF, include/uapi/linux/filter.h.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_KILL_PROCESS, _ALLOW, _ERROR = 0x80000000, 0x7FFF0000, 0x00050000


def known() -> bool:
    """Whether there is a filter for this machine."""
    return os.uname().machine in _AUDIT


def program(machine: str, own_pid: int) -> bytes:
    """The filter for a process that is `own_pid` to itself."""
    column = list(_AUDIT).index(machine)
    code = [
        _step(_LOAD, _ARCHITECTURE),
        _step(_EQUAL, _AUDIT[machine], 1, 0),
        _step(_RETURN, _KILL_PROCESS),
        _step(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        code += [_step(_AT_LEAST, _X32, 0, 1), _step(_RETURN, _ERROR | _ENOSYS)]
    for numbers, answer in ((_DENIED, _ERROR | _EPERM), (_IGNORED, _ERROR)):
        for both in numbers.values():
            number = both[column]
            if number is not None:
                code += [_step(_EQUAL, number, 0, 1), _step(_RETURN, answer)]
    code += [
        _step(_EQUAL, _CLONE3[column], 0, 1),
        _step(_RETURN, _ERROR | _ENOSYS),
    ]  # the C library falls back to clone
    code += _unless(_CLONE[column], [_step(_LOAD, _FIRST_ARGUMENT), _step(_ANY_BIT, _CLONE_THREAD, 1, 0)])
    for number in (_KILL[column], _TGKILL[column]):
        code += _unless(number, [_step(_LOAD, _FIRST_ARGUMENT), _step(_EQUAL, own_pid, 1, 0)])
    code += _unless(_PRLIMIT[column], [_step(_LOAD, _FIRST_ARGUMENT), _step(_EQUAL, 0, 1, 0)])
    address = _FIRST_ARGUMENT + 4 * 8
    no_address = [_step(_LOAD, address), _step(_EQUAL, 0, 0, 2), _step(_LOAD, address + 4), _step(_EQUAL, 0, 1, 0)]
    code += _unless(_SENDTO[column], no_address)
    code.append(_step(_RETURN, _ALLOW))
    return b"".join(code)


def install() -> None:
    """Put the filter in force; `no_new_privs` must be set. Raises OSError, KeyError for an unknown machine."""
    code = program(os.uname().machine, os.getpid())
    held = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    prctl_pointer(PR_SET_SECCOMP, _FILTER_MODE, ctypes.cast(ctypes.c_char_p(described), ctypes.c_void_p))


def _step(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, when_true, when_false, value)


def _unless(number: int, test: list[bytes]) -> list[bytes]:
    """Deny call `number` unless `test` jumps over the denial; then look at the number again."""
    return [
        _step(_EQUAL, number, 0, len(test) + 2),
        *test,
        _step(_RETURN, _ERROR | _EPERM),
        _step(_LOAD, _NUMBER),
    ]
