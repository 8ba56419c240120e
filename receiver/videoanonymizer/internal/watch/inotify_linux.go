// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inotify reports what happens in folders, see inotify(7). Unlike portable packages, it reports when a file that was
// open for writing is closed.
type inotify struct {
	file *os.File // reads wait in the runtime's poller, so that close ends them
	fd   int

	mu      sync.Mutex
	closed  bool
	folders map[int32]string // by watch descriptor
}

// inotifyEvents are the kernel's events for the files in a folder.
const inotifyEvents = unix.IN_CREATE | unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
	unix.IN_DELETE

// inotifyEvent is an event of a file. With IN_Q_OVERFLOW, which says that events were lost, it has no path.
type inotifyEvent struct {
	mask, cookie uint32
	path         string
}

func newInotify() (*inotify, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	return &inotify{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, folders: map[int32]string{}}, nil
}

// add watches a folder. A folder that is already watched may have a new name.
func (n *inotify) add(folder string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return os.ErrClosed
	}
	wd, err := unix.InotifyAddWatch(n.fd, folder, inotifyEvents|unix.IN_ONLYDIR)
	if err != nil {
		return &os.PathError{Op: "inotify_add_watch", Path: folder, Err: err}
	}
	n.folders[int32(wd)] = folder
	return nil
}

func (n *inotify) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	_ = n.file.Close()
}

// listen calls handle with each event until n is closed.
func (n *inotify) listen(handle func(inotifyEvent)) error {
	buffer := make([]byte, 64<<10)
	for {
		size, err := n.file.Read(buffer)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		for rest := buffer[:size]; len(rest) >= unix.SizeofInotifyEvent; {
			wd := int32(binary.NativeEndian.Uint32(rest[unsafe.Offsetof(unix.InotifyEvent{}.Wd):]))
			mask := binary.NativeEndian.Uint32(rest[unsafe.Offsetof(unix.InotifyEvent{}.Mask):])
			cookie := binary.NativeEndian.Uint32(rest[unsafe.Offsetof(unix.InotifyEvent{}.Cookie):])
			length := binary.NativeEndian.Uint32(rest[unsafe.Offsetof(unix.InotifyEvent{}.Len):])
			end := unix.SizeofInotifyEvent + int(length)
			name := string(bytes.TrimRight(rest[unix.SizeofInotifyEvent:end], "\x00"))
			rest = rest[end:]
			if path, ok := n.path(wd, mask, name); ok {
				handle(inotifyEvent{mask: mask, cookie: cookie, path: path})
			}
		}
	}
}

// path returns the path of an event's file. ok is false if the event is about the folder itself.
func (n *inotify) path(wd int32, mask uint32, name string) (path string, ok bool) {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		return "", true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if mask&unix.IN_IGNORED != 0 {
		delete(n.folders, wd)
	}
	folder, ok := n.folders[wd]
	return filepath.Join(folder, name), ok && name != ""
}
