// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// openFile opens a regular file for reading. It follows no symbolic link in any part of the path, and does not block on
// a FIFO.
func openFile(path string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // an old kernel, or a sandbox
		fd, err = unix.Open(path, flags, 0)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: path, Err: durable.ErrNotRegular}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// hashes caches the SHA-256 of whole files until they change.
type hashes struct {
	queue *queue[string] // paths to hash in the background
	done  func()         // called after each file

	mu    sync.Mutex
	known map[string]hashed // by path
}

type hashed struct {
	stamp  durable.Stamp
	sha256 string
}

func newHashes(done func()) *hashes {
	return &hashes{queue: newQueue[string](), done: done, known: map[string]hashed{}}
}

// maxHashes limits the cached hashes.
const maxHashes = 10_000

// of returns the hash of a file, which it computes unless it is cached.
func (h *hashes) of(ctx context.Context, path string) (string, error) {
	if sum, ok := h.lookUp(path); ok {
		return sum, nil
	}
	before, err := durable.StampAt(path)
	if err != nil {
		return "", err
	}
	file, err := report.Identify(ctx, path)
	if err != nil {
		return "", err
	}
	if after, err := durable.StampAt(path); err != nil || after != before {
		return "", fmt.Errorf("%s: it is changing while it is read", path)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.known) >= maxHashes {
		clear(h.known)
	}
	h.known[path] = hashed{before, file.SHA256}
	return file.SHA256, nil
}

// lookUp returns the hash of a file if it is cached.
func (h *hashes) lookUp(path string) (string, bool) {
	st, err := durable.StampAt(path)
	if err != nil {
		return "", false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	known, ok := h.known[path]
	return known.sha256, ok && known.stamp == st
}

// want queues a file to be hashed in the background.
func (h *hashes) want(path string) { h.queue.want(path) }

// loop hashes the queued files, one at a time, until the context ends.
func (h *hashes) loop(ctx context.Context) {
	h.queue.loop(ctx, func(path string) { _, _ = h.of(ctx, path) }, h.done) // a file that cannot be read has no hash
}
