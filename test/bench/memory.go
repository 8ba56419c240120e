// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strconv"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/process"
)

// watchMemory samples the memory of a process and its descendants ten times a second until peak is called, which
// returns the maximum.
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

// treeMemory is the resident memory, in bytes, of a process and its descendants; 0 if the process has ended.
func treeMemory(pid int) int64 {
	var resident int64
	if fields := process.Fields(pid, "statm"); len(fields) > 1 {
		pages, _ := strconv.ParseInt(fields[1], 10, 64)
		resident = pages * int64(os.Getpagesize())
	}
	for _, child := range process.Children(pid) {
		resident += treeMemory(child)
	}
	return resident
}
