// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package confine starts child processes with next to no rights: they can open the files that they are given and their
// own programs and libraries, but no other files, no sockets, and no other processes.
//
// Landlock (landlock(7)), seccomp filters (seccomp(2)) and no_new_privs apply to a thread, and its children inherit
// them. So a dedicated thread gives up its rights, starts the child, and ends with it. The Go runtime never starts a
// thread from one to which a goroutine is locked (runtime.LockOSThread), so no other thread inherits them.
package confine

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/thread"
)

// The modes select what happens if this system cannot confine a child.
const (
	Auto    = "auto"    // the child starts, confined as far as possible
	Require = "require" // the child does not start
	Off     = "off"     // children are never confined
)

// Modes returns all modes.
func Modes() []string { return []string{Auto, Require, Off} }

// Confinement is how far this system can confine a child. The zero value does not confine it.
type Confinement struct {
	landlock int // ABI version, 0 without Landlock
	seccomp  bool
}

// Find tests what this kernel, and the confinement of this process itself, allow.
var Find = sync.OnceValue(func() Confinement {
	var c Confinement
	// The first use of a process handle starts a process as a test (pidfdWorks in package os), which a confined thread
	// must not do.
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Release()
	}
	for _, try := range []Confinement{{landlock: landlockVersion()}, {seccomp: true}} {
		if try.landlock == 0 && !try.seccomp {
			continue
		}
		if err := try.onThread(Grant{}, 0, func() error { return nil }, closed); err != nil {
			continue
		}
		c.landlock, c.seccomp = max(c.landlock, try.landlock), c.seccomp || try.seccomp
	}
	return c
})

// closed is a closed channel, so that nothing waits for it.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// String lists what is in effect, such as "files (Landlock 7), system calls (seccomp)".
func (c Confinement) String() string {
	var holds []string
	if c.landlock > 0 {
		holds = append(holds, fmt.Sprintf("files (Landlock %d)", c.landlock))
	}
	if c.seccomp {
		holds = append(holds, "sockets, processes and other system calls (seccomp)")
	}
	return strings.Join(holds, ", ")
}

// Missing returns what this system lacks, and what a child could therefore do, or nil if it lacks nothing.
func (c Confinement) Missing() error {
	var errs []error
	if c.landlock == 0 {
		errs = append(errs, errors.New("this system has no Landlock (Linux 5.13, with landlock among the security "+
			"modules in /sys/kernel/security/lsm, and allowed by the service's or container's system call filter): "+
			"they can open every file that the collector can"))
	}
	if !c.seccomp {
		errs = append(errs, errors.New("this system has no seccomp filters: they can use the network and signal the "+
			"collector"))
	}
	return errors.Join(errs...)
}

// Grant is what a child may do.
type Grant struct {
	// Read and Write are open files that the child may open again, through /proc/self/fd.
	Read, Write []*os.File
	// Device is for a child that uses a GPU.
	Device bool
	// script is for a program that starts other programs.
	script bool
}

// Start starts a command in a new process group, which it cannot leave, and has the kernel kill it when this process
// ends. The thread that started it waits for gone, which must be closed when the child has exited.
func (c Confinement) Start(cmd *exec.Cmd, g Grant, gone <-chan struct{}) error {
	g.script = isScript(cmd.Path)
	var pass uint64
	if c.seccomp {
		var err error
		if pass, err = newPass(); err != nil {
			return err
		}
	}
	cmd.SysProcAttr = &unix.SysProcAttr{
		Setpgid: true, Pgid: int(pass), Cloneflags: uintptr(pass), Pdeathsig: unix.SIGKILL,
	}
	return c.onThread(g, pass, cmd.Start, gone, programPaths(cmd.Path, g)...)
}

// newPass returns a random number in the upper half of a word: bits 34 to 62, because 32 and 33 are flags of clone3(2).
// The kernel uses only the lower half of the process group in setpgid(2) and of the flags in clone(2), but the filter
// sees the whole word. So the filter lets the thread that starts the child through, but not the child, which does not
// know the number.
func newPass() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b[:]) & passMask, nil
}

const passMask = 1<<63 - 1<<34

// onThread gives up the rights of a new thread and calls start on it. If that succeeds, the thread ends when gone is
// closed, because the kernel sends the parent-death signal when the thread that started the child ends.
func (c Confinement) onThread(
	g Grant, pass uint64, start func() error, gone <-chan struct{}, programs ...string,
) error {
	restrict, err := c.prepare(g, pass, programs)
	if err != nil {
		return err
	}
	defer restrict.close()
	started := make(chan error)
	thread.Go(func() {
		err := restrict.apply()
		if err == nil {
			err = start()
		}
		started <- err
		if err == nil {
			<-gone
		}
	})
	return <-started
}

// restriction is what a thread gives up.
type restriction struct {
	ruleset int // Landlock file descriptor, -1 for none
	filter  []unix.SockFilter
}

func (c Confinement) prepare(g Grant, pass uint64, programs []string) (r restriction, err error) {
	r.ruleset = -1
	if c.seccomp {
		if r.filter, err = filter(g, pass); err != nil {
			return r, err
		}
	}
	if c.landlock > 0 {
		r.ruleset, err = ruleset(c.landlock, g, programs)
	}
	return r, err
}

func (r restriction) close() {
	if r.ruleset >= 0 {
		_ = unix.Close(r.ruleset)
	}
}

// apply confines this thread.
func (r restriction) apply() error {
	if r.ruleset < 0 && r.filter == nil {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if r.ruleset >= 0 {
		if err := restrictSelf(r.ruleset); err != nil {
			return fmt.Errorf("landlock: %w", err)
		}
	}
	if r.filter != nil {
		if err := load(r.filter); err != nil {
			return fmt.Errorf("seccomp: %w", err)
		}
	}
	return nil
}

// isScript reports whether a program is run by an interpreter, and so may start other programs.
func isScript(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	var start [2]byte
	_, err = f.Read(start[:])
	return err == nil && slices.Equal(start[:], []byte("#!"))
}
