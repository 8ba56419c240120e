// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package resources limits what this process and its children take from a machine that has other uses, too: the CPUs
// that they run on, and their CPU and I/O priorities.
//
// The kernel keeps these attributes per thread, and new threads and processes inherit them from the thread that starts
// them. So this package sets them on every existing thread, including those of the Go runtime, ONNX Runtime and OpenCV.
// That needs no privileges.
package resources

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/thread"
)

// Limits are limits on resources; the zero value limits nothing.
type Limits struct {
	// CPUs is the number of CPUs to use; 0 means all that the process may use.
	CPUs int
	// Nice is the minimum nice value, 0 to 19; 19 yields to all other processes. A process that was started with a higher
	// value keeps it.
	Nice int
	// IO is the I/O priority; the zero value leaves it unchanged.
	IO IO
}

// IO is an I/O scheduling class and a priority in it, as in ioprio_set(2).
type IO struct {
	Class Class
	// Priority is 0 (highest) to 7 (lowest) with BestEffort.
	Priority int
}

// Class is an I/O scheduling class.
type Class int

// The classes, with the kernel's numbers.
const (
	Unchanged  Class = 0
	BestEffort Class = 2
	Idle       Class = 3
)

// strictest returns the strictest limit of each kind.
func strictest(all []Limits) (s Limits) {
	for _, l := range all {
		if l.CPUs > 0 && (s.CPUs == 0 || l.CPUs < s.CPUs) {
			s.CPUs = l.CPUs
		}
		s.Nice = max(s.Nice, l.Nice)
		if l.IO.Class > s.IO.Class || l.IO.Class == s.IO.Class && l.IO.Priority > s.IO.Priority {
			s.IO = l.IO
		}
	}
	return s
}

// process is the state of this process. If several receivers run in it, the strictest limits apply.
var process struct {
	sync.Mutex
	claims  []*Limits
	initial *attributes // before the first claim
	inForce *Limits     // the limits that apply; nil if they could not be applied
}

// Claim limits this process until release is called, which is mandatory. If Claim fails, it limits nothing, and its
// error names the key to blame. The nice value stays raised after release if the process may not lower it.
func Claim(l Limits) (release func() error, err error) {
	process.Lock()
	defer process.Unlock()
	if process.initial == nil {
		if l == (Limits{}) {
			return func() error { return nil }, nil
		}
		initial, err := current()
		if err != nil {
			return nil, err
		}
		process.initial, process.inForce = &initial, &Limits{}
	}
	claim := &l
	process.claims = append(process.claims, claim)
	if err := settle(); err != nil {
		return nil, errors.Join(err, remove(claim))
	}
	return func() error {
		process.Lock()
		defer process.Unlock()
		return remove(claim)
	}, nil
}

func remove(claim *Limits) error {
	process.claims = slices.DeleteFunc(process.claims, func(c *Limits) bool { return c == claim })
	return settle()
}

// settle applies the strictest of all claims.
func settle() error {
	all := make([]Limits, len(process.claims))
	for i, claim := range process.claims {
		all[i] = *claim
	}
	wanted := strictest(all)
	before := process.inForce
	if before != nil && wanted == *before {
		return nil
	}
	process.inForce = nil
	target := process.initial.bounded(wanted)
	if err := everyThread(target.set); err != nil {
		return err
	}
	process.inForce = &wanted
	if before == nil || wanted.CPUs != before.CPUs {
		followAffinity(target.cpus.Count())
	}
	return nil
}

// followAffinity makes the Go runtime, and everything that asks it for the number of CPUs, use the remaining CPUs. The
// default is their number, or the CPU quota of a container if that is lower.
func followAffinity(cpus int) {
	if chosen, err := strconv.Atoi(os.Getenv("GOMAXPROCS")); err == nil && chosen > 0 {
		runtime.GOMAXPROCS(min(chosen, cpus))
		return
	}
	runtime.SetDefaultGOMAXPROCS()
}

// everyThread calls set for each thread of this process, and repeats until there are no new threads: they inherit the
// attributes of the thread that starts them, which may not have been set yet.
func everyThread(set func(tid int) error) error {
	done := map[int]bool{}
	for {
		threads, err := threads()
		if err != nil {
			return err
		}
		found := false
		for _, tid := range threads {
			if done[tid] {
				continue
			}
			if err := set(tid); err != nil && !errors.Is(err, unix.ESRCH) { // the thread may have ended
				return err
			}
			done[tid], found = true, true
		}
		if !found {
			return nil
		}
	}
}

func threads() (tids []int, err error) {
	entries, err := os.ReadDir("/proc/self/task")
	for _, entry := range entries {
		if tid, err := strconv.Atoi(entry.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids, err
}

// Check reports whether Claim could apply the limits here, by applying them to a thread that then ends.
func Check(l Limits) error {
	if l == (Limits{}) { // the system calls may be denied
		return nil
	}
	tried := make(chan error)
	thread.Go(func() {
		now, err := current()
		if err == nil {
			err = now.bounded(l).set(0)
		}
		tried <- err
	})
	return <-tried
}

// Available returns the number of CPUs that this process may use.
func Available() int {
	now, err := current()
	if err != nil {
		return runtime.NumCPU()
	}
	return now.cpus.Count()
}

// attributes are the scheduling attributes that the kernel keeps for a thread.
type attributes struct {
	cpus unix.CPUSet
	nice int
	io   uintptr // in the format of ioprio_set(2)
}

const (
	ioWhoProcess = 1 // IOPRIO_WHO_PROCESS: a single thread
	ioClassShift = 13
	niceOffset   = 20 // the system call returns 20 minus the nice value, since negative results are errors
)

// current returns the attributes of the calling thread.
func current() (a attributes, err error) {
	if err := unix.SchedGetaffinity(0, &a.cpus); err != nil {
		return a, failed("cpus", "sched_getaffinity", err)
	}
	priority, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return a, failed("nice", "getpriority", err)
	}
	a.nice = niceOffset - priority
	io, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioWhoProcess, 0, 0)
	if errno != 0 {
		return a, failed("io_class", "ioprio_get", errno)
	}
	a.io = io
	return a, nil
}

// bounded returns the attributes with the limits applied.
func (a attributes) bounded(l Limits) attributes {
	// Keep the last CPUs: the kernel and other programs tend to use the first.
	for cpu, left := 0, a.cpus.Count(); l.CPUs > 0 && left > l.CPUs; cpu++ {
		if a.cpus.IsSet(cpu) {
			a.cpus.Clear(cpu)
			left--
		}
	}
	a.nice = max(a.nice, l.Nice)
	if l.IO.Class != Unchanged {
		a.io = uintptr(l.IO.Class)<<ioClassShift | uintptr(l.IO.Priority)
	}
	return a
}

// set applies the attributes to a thread; 0 is the calling one. It changes only those that differ, so that the others
// cannot fail.
func (a attributes) set(tid int) error {
	var errs []error
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(tid, &cpus); err != nil || cpus != a.cpus {
		errs = append(errs, failed("cpus", "sched_setaffinity", unix.SchedSetaffinity(tid, &a.cpus)))
	}
	if priority, err := unix.Getpriority(unix.PRIO_PROCESS, tid); err != nil || niceOffset-priority != a.nice {
		err := unix.Setpriority(unix.PRIO_PROCESS, tid, a.nice)
		if lower := a.nice < niceOffset-priority; !lower || !errors.Is(err, unix.EACCES) { // lowering takes privileges
			errs = append(errs, failed("nice", "setpriority", err))
		}
	}
	io, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioWhoProcess, uintptr(tid), 0)
	if errno != 0 || io != a.io {
		_, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, ioWhoProcess, uintptr(tid), a.io)
		if errno != 0 {
			errs = append(errs, failed("io_class", "ioprio_set", errno))
		}
	}
	return errors.Join(errs...)
}

func failed(key, call string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("resources::%s: %w: allow the system call %s for the service or container, or remove the key",
		key, err, call)
}
