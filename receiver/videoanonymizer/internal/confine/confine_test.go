// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package confine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestMain doubles as the program in place of ffmpeg: it attempts what its arguments name.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "attempt" {
		attempt(os.Args[2], os.Args[3])
	}
	goleak.VerifyTestMain(m)
}

const succeeded, failed = 0, 3

func attempt(name, dir string) {
	try, ok := attempts[name]
	if !ok {
		try = permitted[name]
	}
	if err := try(dir); err != nil {
		fmt.Fprint(os.Stderr, err)
		os.Exit(failed)
	}
	os.Exit(succeeded)
}

func call(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

func open(path string, flags int) error {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func parent() uintptr { return uintptr(os.Getppid()) }

// forked ends the process that a call of clone or fork created, and returns the call's error.
func forked(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	pid, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	switch {
	case errno != 0:
		return errno
	case pid == 0:
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

// attempts are what a file could make a program do after taking it over. dir contains a file, secret.
var attempts = map[string]func(dir string) error{
	"read a system file":    func(string) error { return open("/etc/passwd", os.O_RDONLY) },
	"read another file":     func(dir string) error { return open(filepath.Join(dir, "secret"), os.O_RDONLY) },
	"list a directory":      func(dir string) error { _, err := os.ReadDir(dir); return err },
	"create a file":         func(dir string) error { return open(filepath.Join(dir, "new"), os.O_CREATE|os.O_WRONLY) },
	"write another file":    func(dir string) error { return open(filepath.Join(dir, "secret"), os.O_WRONLY) },
	"truncate another file": func(dir string) error { return unix.Truncate(filepath.Join(dir, "secret"), 0) },
	"rename another file": func(dir string) error {
		return os.Rename(filepath.Join(dir, "secret"), filepath.Join(dir, "b"))
	},
	"remove another file": func(dir string) error { return os.Remove(filepath.Join(dir, "secret")) },
	"link another file": func(dir string) error {
		return os.Link(filepath.Join(dir, "secret"), filepath.Join(dir, "b"))
	},
	"create a symbolic link":   func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "b")) },
	"create a directory":       func(dir string) error { return os.Mkdir(filepath.Join(dir, "b"), 0o700) },
	"create a FIFO":            func(dir string) error { return unix.Mkfifo(filepath.Join(dir, "b"), 0o600) },
	"expose another file":      func(dir string) error { return os.Chmod(filepath.Join(dir, "secret"), 0o666) },
	"watch a directory":        func(string) error { _, err := unix.InotifyInit1(0); return err },
	"read the parent's memory": func(string) error { return open(fmt.Sprintf("/proc/%d/mem", parent()), os.O_RDONLY) },
	"read the parent's environment": func(string) error {
		return open(fmt.Sprintf("/proc/%d/environ", parent()), os.O_RDONLY)
	},
	"read the parent's command line": func(string) error {
		return open(fmt.Sprintf("/proc/%d/cmdline", parent()), os.O_RDONLY)
	},
	"open the parent's files": func(string) error { return open(fmt.Sprintf("/proc/%d/fd/0", parent()), os.O_RDONLY) },
	"connect": func(string) error {
		return call(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0)
	},
	"send datagrams":    func(string) error { return call(unix.SYS_SOCKET, unix.AF_INET6, unix.SOCK_DGRAM, 0) },
	"use a Unix socket": func(string) error { return call(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0) },
	"use netlink":       func(string) error { return call(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0) },
	"open a socket pair": func(string) error {
		_, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		return err
	},
	"use io_uring":         func(string) error { return call(unix.SYS_IO_URING_SETUP, 1) },
	"share memory":         func(string) error { return call(unix.SYS_SHMGET, 1, 4096, unix.IPC_CREAT|0o600) },
	"trace the parent":     func(string) error { return unix.PtraceSeize(int(parent())) },
	"let the parent trace": func(string) error { return call(unix.SYS_PTRACE, unix.PTRACE_TRACEME) },
	"copy from the parent": func(string) error { return call(unix.SYS_PROCESS_VM_READV, parent()) },
	"signal the parent":    func(string) error { return unix.Kill(int(parent()), 0) },
	"signal everybody":     func(string) error { return unix.Kill(-1, 0) },
	"end a parent's thread": func(string) error {
		return call(unix.SYS_TGKILL, parent(), parent(), uintptr(unix.SIGTERM))
	},
	"end a parent's thread, argument in disguise": func(string) error {
		return call(unix.SYS_TGKILL, parent(), parent(), 1<<32|uintptr(unix.SIGTERM))
	},
	"limit the parent": func(string) error { return unix.Prlimit(int(parent()), unix.RLIMIT_CORE, nil, nil) },
	"limit the parent, argument in disguise": func(string) error {
		return call(unix.SYS_PRLIMIT64, 1<<32|parent(), unix.RLIMIT_CORE)
	},
	"slow the parent down": func(string) error { return unix.Setpriority(unix.PRIO_PROCESS, int(parent()), 19) },
	"take the parent's descriptors": func(string) error {
		return call(unix.SYS_PIDFD_GETFD, 0, 0, 0)
	},
	"start another program": func(string) error { return unix.Exec("/bin/sh", []string{"sh", "-c", "exit 0"}, nil) },
	"fork":                  func(string) error { return forked(unix.SYS_CLONE, uintptr(unix.SIGCHLD)) },
	"fork, guessing": func(string) error {
		return forked(unix.SYS_CLONE, 1<<40|unix.CLONE_VFORK|uintptr(unix.SIGCHLD))
	},
	"fork by clone3": func(string) error {
		args := [11]uint64{4: uint64(unix.SIGCHLD)}
		return forked(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
	},
	"leave the session":          func(string) error { return call(unix.SYS_SETSID) },
	"leave the process group":    func(string) error { return call(unix.SYS_SETPGID, 0, 0) },
	"join another process group": func(string) error { return call(unix.SYS_SETPGID, 0, parent()) },
	"become root in a namespace": func(string) error { return call(unix.SYS_UNSHARE, unix.CLONE_NEWUSER) },
	"load a program in the kernel": func(string) error {
		return call(unix.SYS_BPF, 0, 0, 0)
	},
	"use a system call from the future": func(string) error { return call(9999) },
}

// permitted are the operations of a decoder and an encoder.
var permitted = map[string]func(dir string) error{
	"read the source":   func(string) error { return open("/proc/self/fd/3", os.O_RDONLY) },
	"write the output":  func(string) error { return open("/proc/self/fd/4", os.O_RDWR|os.O_CREATE|os.O_TRUNC) },
	"read the output":   func(string) error { return open("/proc/self/fd/4", os.O_RDONLY) },
	"use the null file": func(string) error { return open(os.DevNull, os.O_RDWR) },
	"count the CPUs":    func(string) error { return open("/sys/devices/system/cpu/online", os.O_RDONLY) },
	"start threads": func(string) error {
		done := make(chan struct{})
		for range 8 {
			go func() { runtime.LockOSThread(); time.Sleep(10 * time.Millisecond); done <- struct{}{} }()
		}
		for range 8 {
			<-done
		}
		return nil
	},
}

// found skips the test if this system cannot confine.
func found(t *testing.T) Confinement {
	t.Helper()
	c := Find()
	if err := c.Missing(); err != nil {
		t.Skip(err)
	}
	return c
}

// run starts the program that makes an attempt, and returns how it ended.
func run(t *testing.T, c Confinement, g Grant, program, name string) (stderr string, err error) {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	source, err := os.CreateTemp(t.TempDir(), "source")
	require.NoError(t, err)
	output, err := os.CreateTemp(t.TempDir(), "output")
	require.NoError(t, err)
	defer source.Close()
	defer output.Close()
	g.Read, g.Write = []*os.File{source}, []*os.File{output}
	var text strings.Builder
	cmd := exec.Command(program, "attempt", name, dir)
	cmd.Env = []string{}
	cmd.ExtraFiles = []*os.File{source, output}
	cmd.Stderr = &text
	gone := make(chan struct{})
	require.NoError(t, c.Start(cmd, g, gone))
	err = cmd.Wait()
	close(gone)
	left, readErr := os.ReadFile(secret)
	require.NoError(t, readErr)
	if c != (Confinement{}) {
		require.Equal(t, "secret", string(left))
	}
	return text.String(), err
}

// TestChildCanDoNothingElse also confines as older kernels do: version 1 of Landlock is that of Linux 5.13.
func TestChildCanDoNothingElse(t *testing.T) {
	c := found(t)
	self, err := os.Executable()
	require.NoError(t, err)
	for name := range attempts {
		for _, version := range []int{1, c.landlock} {
			t.Run(fmt.Sprintf("%s, Landlock %d", name, version), func(t *testing.T) {
				c.landlock = version
				text, err := run(t, c, Grant{}, self, name)
				var exit *exec.ExitError
				require.ErrorAs(t, err, &exit, "it succeeded")
				status, _ := exit.Sys().(syscall.WaitStatus)
				denied := status.ExitStatus() == failed || status.Signal() == unix.SIGSYS
				assert.True(t, denied, "%v: %s", err, text)
			})
		}
	}
}

func TestChildCanDoItsWork(t *testing.T) {
	c := found(t)
	self, err := os.Executable()
	require.NoError(t, err)
	for name := range permitted {
		for _, g := range []Grant{{}, {Device: true}} {
			text, err := run(t, c, g, self, name)
			require.NoError(t, err, "%s: %s", name, text)
		}
	}
}

// TestAttemptsAreReal makes the attempts that need no privileges in an unconfined program, and checks that they
// succeed.
func TestAttemptsAreReal(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	for _, name := range []string{"read a system file", "read another file", "list a directory", "create a file",
		"link another file", "create a symbolic link", "create a directory", "create a FIFO", "watch a directory",
		"read the parent's environment", "read the parent's command line", "connect", "send datagrams",
		"use a Unix socket", "use netlink", "open a socket pair", "let the parent trace", "signal the parent",
		"limit the parent", "start another program", "fork", "fork, guessing", "fork by clone3"} {
		t.Run(name, func(t *testing.T) {
			text, err := run(t, Confinement{}, Grant{}, self, name)
			require.NoError(t, err, text)
		})
	}
}

// TestScriptStartsPrograms starts a script, because ffmpeg may be installed as one. It may start programs, but they are
// confined like the script, and cannot leave.
func TestScriptStartsPrograms(t *testing.T) {
	c := found(t)
	script := filepath.Join(t.TempDir(), "ffmpeg")
	write := func(text string) {
		require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n"+text+"\n"), 0o700))
	}
	write(`ls / >/dev/null 2>&1; cat <&3 && echo said >&2 && cat /etc/passwd`)
	text, err := run(t, c, Grant{}, script, "")
	require.Error(t, err)
	assert.Contains(t, text, "said")
	assert.Contains(t, text, "/etc/passwd: Permission denied")
	write(`setsid sleep 60; test $? -gt 128`)
	text, err = run(t, c, Grant{}, script, "")
	require.NoError(t, err, text)
}

// TestRestOfProcessIsFree checks that neither existing threads nor those started in the meantime are confined, and that
// the confined ones end.
func TestRestOfProcessIsFree(t *testing.T) {
	c := found(t)
	self, err := os.Executable()
	require.NoError(t, err)
	for range 20 {
		_, err := run(t, c, Grant{}, self, "start threads")
		require.NoError(t, err)
	}
	free := make(chan error)
	for range 64 {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			time.Sleep(time.Millisecond)
			free <- open("/etc/passwd", os.O_RDONLY)
		}()
	}
	for range 64 {
		require.NoError(t, <-free)
	}
	confined := func() (n int) {
		tasks, err := filepath.Glob("/proc/self/task/*/status")
		require.NoError(t, err)
		for _, task := range tasks {
			status, err := os.ReadFile(task)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
				continue
			}
			require.NoError(t, err)
			_, mode, _ := strings.Cut(string(status), "\nSeccomp:\t")
			if value, _ := strconv.Atoi(mode[:1]); value != 0 {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return confined() == 0 }, 5*time.Second, 10*time.Millisecond)
}

func BenchmarkStart(b *testing.B) {
	for name, c := range map[string]Confinement{"confined": Find(), "free": {}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command("/bin/true")
				gone := make(chan struct{})
				require.NoError(b, c.Start(cmd, Grant{}, gone))
				require.NoError(b, cmd.Wait())
				close(gone)
			}
		})
	}
}
