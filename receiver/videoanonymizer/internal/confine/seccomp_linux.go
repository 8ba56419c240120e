// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package confine

import (
	"maps"
	"slices"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	deny = seccomp.ActionErrno | seccomp.Action(unix.EPERM)
	// unknown makes a program do without a call: one newer than this list, or one whose arguments a filter cannot see.
	unknown = seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)
)

// denied are the system calls that a child has no use for. With a call that is not listed, a child without privileges
// and files can do no harm.
var denied = slices.Concat(
	// The network, and other ways to talk to processes. Without socket(2), there is nothing to connect or bind.
	[]string{"socket", "socketpair", "socketcall", "shmget", "shmat", "shmctl", "shmdt", "semget", "semctl", "semop",
		"semtimedop", "msgget", "msgsnd", "msgrcv", "msgctl", "ipc", "mq_open", "mq_unlink"},
	// Other processes.
	[]string{"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp",
		"pidfd_getfd", "migrate_pages", "move_pages", "kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"},
	// Names and metadata of files: Landlock does not cover metadata, and truncate only from version 3 on.
	[]string{"truncate", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "link",
		"linkat", "symlink", "symlinkat", "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown",
		"fchown", "lchown", "fchownat", "utime", "utimes", "utimensat", "futimesat", "setxattr", "lsetxattr",
		"fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "inotify_init", "inotify_init1", "fanotify_init",
		"fanotify_mark", "name_to_handle_at", "open_by_handle_at"},
	// Mounts and namespaces.
	[]string{"mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig",
		"fsmount", "fspick", "mount_setattr", "unshare", "setns", "listmount", "statmount"},
	// Calls that few programs need, and that had many bugs in the kernel or affect the whole machine.
	[]string{"bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "kexec_load",
		"kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "swapon", "swapoff", "acct",
		"quotactl", "quotactl_fd", "syslog", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
		"sethostname", "setdomainname", "iopl", "ioperm", "vhangup", "lookup_dcookie", "personality", "modify_ldt"},
)

// missing are calls that programs can do without, and whose arguments a filter cannot see.
var missing = []string{"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"}

func unless(name string, argument uint32, value uint64) seccomp.NameWithConditions {
	return seccomp.NameWithConditions{Name: name, Conditions: seccomp.ArgumentConditions{
		{Argument: argument, Operation: seccomp.NotEqual, Value: value},
	}}
}

// conditional are denied unless they concern the calling process or thread, which 0 stands for. There are two
// exceptions. tgkill may send SIGURG, with which the Go runtime preempts its threads, including this one; others ignore
// that signal. clone must not create a user namespace.
var conditional = []seccomp.NameWithConditions{
	unless("tgkill", 2, uint64(unix.SIGURG)), unless("pidfd_send_signal", 1, 0),
	unless("prlimit64", 0, 0), unless("sched_setaffinity", 0, 0), unless("sched_setscheduler", 0, 0),
	unless("sched_setparam", 0, 0), unless("sched_setattr", 0, 0), unless("setpriority", 1, 0),
	unless("ioprio_set", 1, 0),
	{Name: "clone", Conditions: seccomp.ArgumentConditions{
		{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_NEWUSER},
	}},
}

// leaving returns the ways out of the process group. They end the process, so that it cannot try to guess the number.
func leaving(pass uint64) seccomp.SyscallGroup {
	return seccomp.SyscallGroup{
		Action:             seccomp.ActionKillProcess,
		Names:              []string{"setsid"},
		NamesWithCondtions: []seccomp.NameWithConditions{unless("setpgid", 1, pass)},
	}
}

// starting returns the ways to start a process, rather than a thread. They end the process, too.
func starting(pass uint64) seccomp.SyscallGroup {
	process := seccomp.Condition{Argument: 0, Operation: seccomp.BitsNotSet, Value: unix.CLONE_THREAD}
	return seccomp.SyscallGroup{
		Action: seccomp.ActionKillProcess,
		Names:  []string{"fork", "vfork"},
		NamesWithCondtions: []seccomp.NameWithConditions{
			{Name: "clone", Conditions: seccomp.ArgumentConditions{
				process, {Argument: 0, Operation: seccomp.LessThan, Value: pass},
			}},
			{Name: "clone", Conditions: seccomp.ArgumentConditions{
				process, {Argument: 0, Operation: seccomp.GreaterThan, Value: pass | 1<<32 - 1},
			}},
		},
	}
}

// filter returns the program of a seccomp filter. A GPU driver or a script may start processes in its process group.
func filter(g Grant, pass uint64) ([]unix.SockFilter, error) {
	machine, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	groups := []seccomp.SyscallGroup{leaving(pass)}
	if !g.script && !g.Device {
		groups = append(groups, starting(pass))
	}
	groups = append(groups,
		seccomp.SyscallGroup{Action: unknown, Names: missing},
		seccomp.SyscallGroup{Action: deny, Names: denied},
		seccomp.SyscallGroup{Action: deny, NamesWithCondtions: conditional},
	)
	for i, group := range groups { // not every architecture has all of them
		groups[i].Names = slices.DeleteFunc(slices.Clone(group.Names), func(name string) bool {
			_, has := machine.SyscallNames[name]
			return !has
		})
	}
	policy := seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: groups}
	program, err := policy.Assemble()
	if err != nil {
		return nil, err
	}
	newest := slices.Max(slices.Collect(maps.Values(machine.SyscallNames)))
	raw, err := bpf.Assemble(append([]bpf.Instruction{
		// The policy would allow calls of another architecture, and calls newer than the policy.
		bpf.LoadAbsolute{Off: 4, Size: 4}, // struct seccomp_data: arch
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(machine.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(seccomp.ActionKillProcess)},
		bpf.LoadAbsolute{Off: 0, Size: 4}, // nr
		bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: uint32(newest), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(unknown)},
	}, program...))
	if err != nil {
		return nil, err
	}
	compiled := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		compiled[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return compiled, nil
}

// load confines this thread. It uses prctl(2), which works even if a filter denies seccomp(2), as systemd's
// @system-service does.
func load(filter []unix.SockFilter) error {
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}
