// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// restrain applies bounds to a child, and denies what it never needs: core dumps, which would contain images, and many
// open files. The bounds take effect just after the child starts, before it has read anything from the file.
func restrain(pid int, b bounds) {
	limit := func(resource int, most int64) {
		_ = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: uint64(most), Max: uint64(most)}, nil)
	}
	limit(unix.RLIMIT_CORE, 0)
	limit(unix.RLIMIT_NOFILE, 256)
	limit(unix.RLIMIT_FSIZE, b.file)
	if b.memory > 0 && !b.device {
		limit(unix.RLIMIT_AS, b.memory)
	}
	if b.cpu > 0 {
		limit(unix.RLIMIT_CPU, int64((b.cpu+time.Second-1)/time.Second))
	}
}

// enlargePipe enlarges the buffer of a pipe, so that reads and writes are larger and fewer. It ignores errors, which
// only make them slower.
func enlargePipe(f *os.File) {
	c, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
}

// mapMemory allocates n zeroed bytes outside the heap; unmapMemory frees them.
func mapMemory(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
}

func unmapMemory(b []byte) { _ = unix.Munmap(b) }
