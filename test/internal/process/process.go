// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package process tells what Linux knows of other processes.
package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Children lists the processes that a process started; none if it is gone.
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

// Fields gives what stands in a file of /proc/PID, split at white space; nothing if the process is gone.
func Fields(pid int, file string) []string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	return strings.Fields(string(data))
}
