// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/process"
)

// cpu is CPU time, outside and inside the kernel.
type cpu struct{ User, System time.Duration }

func (c cpu) total() time.Duration { return c.User + c.System }

func (c cpu) minus(other cpu) cpu { return cpu{c.User - other.User, c.System - other.System} }

// times returns a share of c, 0 to 1.
func (c cpu) times(share float64) cpu {
	return cpu{time.Duration(float64(c.User) * share), time.Duration(float64(c.System) * share)}
}

// child is a child process as it was last seen.
type child struct {
	args   []string
	source string // target of its descriptor 3: the file that ffmpeg reads
	used   cpu
}

// tree samples a process and its child processes ten times a second. The CPU time of a child is exact, apart from the
// clock's ticks of 10 ms: when it has ended, the kernel adds its time to what its parent reports for its children.
type tree struct {
	root int

	mu      sync.Mutex
	running map[int]*child
	gone    []*child // ended, but their CPU time is not known yet
	unseen  bool     // the last sample showed CPU time of children while none was gone
	ended   []child
	buried  cpu // CPU time of the children in ended
	waited  cpu // CPU time of all children that the root has waited for
	own     cpu // CPU time of the root
	peak    int64
	stop    chan struct{}
	done    chan struct{}
}

const tick = 10 * time.Millisecond // of /proc/PID/stat: USER_HZ is 100 on every Linux

func watchTree(root int) *tree {
	t := &tree{root: root, running: map[int]*child{}, stop: make(chan struct{}), done: make(chan struct{})}
	t.sample()
	go func() {
		defer close(t.done)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				t.sample()
			case <-t.stop:
				return
			}
		}
	}()
	return t
}

// end takes the last sample, and returns the children, including those still running.
func (t *tree) end() []child {
	close(t.stop)
	<-t.done
	t.sample()
	for _, c := range t.running {
		t.ended = append(t.ended, *c)
	}
	if rest := t.waited.minus(t.buried); rest.total() > 0 {
		t.ended = append(t.ended, child{used: rest})
	}
	return t.ended
}

func (t *tree) sample() {
	t.mu.Lock()
	defer t.mu.Unlock()
	running, resident := map[int]bool{}, residentOf(t.root)
	for _, pid := range process.Children(t.root) {
		running[pid] = true
		if !sharesMemory(pid, t.root) {
			resident += treeMemory(pid)
		}
		if t.running[pid] == nil {
			t.running[pid] = &child{}
		}
		t.running[pid].look(pid)
	}
	own, waited, ok := cpuOf(t.root)
	if !ok {
		return
	}
	for pid, c := range t.running {
		if !running[pid] {
			t.gone = append(t.gone, c)
			delete(t.running, pid)
		}
	}
	t.own, t.waited, t.peak = own, waited, max(t.peak, resident)
	t.bury()
}

// bury distributes the CPU time of the children that have ended, in proportion to what each had used when it was last
// seen. Time of children that were too short-lived to be sampled is attributed one sample later, because it may belong
// to a child that was still listed.
func (t *tree) bury() {
	used := t.waited.minus(t.buried)
	var seen time.Duration
	for _, c := range t.gone {
		seen += c.used.total()
	}
	switch {
	case used.total() < seen: // the root has not waited for all yet
		return
	case len(t.gone) == 0 && used.total() > 0:
		if t.unseen = !t.unseen; t.unseen {
			return
		}
		t.gone = []*child{{used: used}}
		seen = used.total()
	}
	t.unseen = false
	for _, c := range t.gone {
		share := 1 / float64(len(t.gone))
		if seen > 0 {
			share = float64(c.used.total()) / float64(seen)
		}
		c.used = used.times(share)
		t.ended = append(t.ended, *c)
	}
	t.gone, t.buried = nil, t.waited
}

// look updates what is known about a running child. Right after the fork, its arguments are still its parent's.
func (c *child) look(pid int) {
	if used, _, ok := cpuOf(pid); ok {
		c.used = used
	}
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && len(line) > 0 {
		c.args = strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	}
	if source, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/3", pid)); err == nil {
		c.source = source
	}
}

// cpuOf returns the CPU time of a process, and of its child processes that have ended.
func cpuOf(pid int) (own, children cpu, ok bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return own, children, false
	}
	// The name of the program, in parentheses, may contain spaces.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 15 {
		return own, children, false
	}
	ticks := func(field int) time.Duration { // numbered as in proc(5), from 1
		n, _ := strconv.ParseInt(fields[field-3], 10, 64)
		return time.Duration(n) * tick
	}
	return cpu{ticks(14), ticks(15)}, cpu{ticks(16), ticks(17)}, true
}

// sharesMemory reports whether a child still shares its parent's memory, as it does until it runs another program.
func sharesMemory(pid, parent int) bool {
	size, own := process.Fields(parent, "statm"), process.Fields(pid, "statm")
	return len(size) > 0 && len(own) > 0 && size[0] == own[0]
}

// treeMemory returns the resident memory, in bytes, of a process and its descendants; 0 if the process has ended.
func treeMemory(pid int) int64 {
	resident := residentOf(pid)
	for _, child := range process.Children(pid) {
		resident += treeMemory(child)
	}
	return resident
}

func residentOf(pid int) int64 {
	fields := process.Fields(pid, "statm")
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
