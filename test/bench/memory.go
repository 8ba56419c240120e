// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// watchMemory looks at the memory of a process and all below it ten times a second, until peak is called, which tells the
// most that was seen.
func watchMemory(pid int) (peak func() int64) {
	stop, result := make(chan struct{}), make(chan int64)
	go func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		var most int64
		for {
			most = max(most, treeMemory(pid))
			select {
			case <-ticker.C:
			case <-stop:
				result <- most
				return
			}
		}
	}()
	return func() int64 {
		close(stop)
		return <-result
	}
}

// treeMemory is the resident memory, in bytes, of a process and all below it. A process that is gone has none.
func treeMemory(pid int) int64 {
	var resident int64
	if fields := procFields(pid, "statm"); len(fields) > 1 {
		pages, _ := strconv.ParseInt(fields[1], 10, 64)
		resident = pages * int64(os.Getpagesize())
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		for _, child := range procFields(pid, "task/"+filepath.Base(task)+"/children") {
			if child, err := strconv.Atoi(child); err == nil {
				resident += treeMemory(child)
			}
		}
	}
	return resident
}

func procFields(pid int, file string) []string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	return strings.Fields(string(data))
}
