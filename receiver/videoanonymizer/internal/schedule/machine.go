// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// machine is where the kernel reports its state: /proc and /sys, except in tests.
type machine struct{ proc, sys string }

// onBattery reports whether there is a battery, and no connected power supply.
func (m machine) onBattery() bool {
	supplies, _ := filepath.Glob(filepath.Join(m.sys, "class", "power_supply", "*"))
	battery := false
	for _, supply := range supplies {
		read := func(name string) string {
			text, _ := os.ReadFile(filepath.Join(supply, name))
			return strings.TrimSpace(string(text))
		}
		switch read("type") {
		case "Battery":
			if read("scope") != "Device" { // of a mouse, say
				battery = true
			}
		case "Mains", "USB", "Wireless":
			if read("online") == "1" {
				return false
			}
		}
	}
	return battery
}

// cpu is the processor time used since boot, in ticks of the kernel's clock.
type cpu struct {
	// total is the time of all processors, busy the part of it that was used, and own the part that this process and its
	// children used.
	total, busy, own uint64
}

// cpu reads the processor times. Running descendants other than direct children do not count as own, nor do children
// that end during the reading.
func (m machine) cpu() (c cpu, err error) {
	text, err := os.ReadFile(filepath.Join(m.proc, "stat"))
	if err != nil {
		return c, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return c, errors.New("/proc/stat has no processor time")
	}
	const idle, iowait = 3, 4           // positions
	for i, field := range fields[1:9] { // from user, which already includes guests, to steal
		ticks, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return c, err
		}
		c.total += ticks
		if i != idle && i != iowait {
			c.busy += ticks
		}
	}
	self, err := m.process("self")
	if err != nil {
		return c, err
	}
	c.own = self.ticks + self.children
	entries, err := os.ReadDir(m.proc)
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		if p, err := m.process(entry.Name()); err == nil && p.parent == self.id { // others may have ended
			c.own += p.ticks + p.children
		}
	}
	return c, err
}

// process is what /proc/PID/stat says about a process.
type process struct {
	id, parent int
	// ticks is its processor time, children that of its children that have ended.
	ticks, children uint64
}

func (m machine) process(name string) (p process, err error) {
	text, err := os.ReadFile(filepath.Join(m.proc, name, "stat"))
	if err != nil {
		return p, err
	}
	// The name of the program, in parentheses, may contain anything.
	end := bytes.LastIndexByte(text, ')')
	id, _, _ := strings.Cut(string(text), " ")
	fields := strings.Fields(string(text[end+1:]))
	if end < 0 || len(fields) < 15 {
		return p, errors.New("/proc/" + name + "/stat is cut off")
	}
	var errs [6]error
	p.id, errs[0] = strconv.Atoi(id)
	p.parent, errs[1] = strconv.Atoi(fields[1])
	var times [4]uint64 // user, system, and the same of ended children
	for i := range times {
		times[i], errs[2+i] = strconv.ParseUint(fields[11+i], 10, 64)
	}
	p.ticks, p.children = times[0]+times[1], times[2]+times[3]
	return p, errors.Join(errs[:]...)
}

// others returns the share (0 to 1) of all processors that other programs used between two readings.
func others(before, after cpu) float64 {
	if after.total <= before.total {
		return 0
	}
	used := float64(after.busy) - float64(before.busy) - max(0, float64(after.own)-float64(before.own))
	return min(1, max(0, used/float64(after.total-before.total)))
}
