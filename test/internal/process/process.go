// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package process reads information about other processes from /proc.
package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Children lists the child processes of a process; none if it has ended.
func Children(pid int) (children []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		for _, child := range Fields(pid, "task/"+filepath.Base(task)+"/children") {
			if child, err := strconv.Atoi(child); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// Fields returns the content of a file in /proc/PID, split at white space; nothing if the process has ended.
func Fields(pid int, file string) []string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	return strings.Fields(string(data))
}
