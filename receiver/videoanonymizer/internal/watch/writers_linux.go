// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// writing says whether a program has a file open for writing.
type writing int

const (
	writingUnknown writing = iota
	notWriting
	isWriting
)

// sharedFileSystems are those to which other machines, or programs behind the file system, may write without this
// kernel knowing: NFS, SMB, 9P, Ceph, AFS, VirtualBox's, and FUSE.
var sharedFileSystems = map[int64]bool{
	unix.NFS_SUPER_MAGIC: true, unix.CIFS_SUPER_MAGIC: true, unix.SMB2_SUPER_MAGIC: true, unix.SMB_SUPER_MAGIC: true,
	unix.V9FS_MAGIC: true, unix.CEPH_SUPER_MAGIC: true, unix.AFS_SUPER_MAGIC: true, unix.AFS_FS_MAGIC: true,
	0x786f4256: true, unix.FUSE_SUPER_MAGIC: true,
}

// onSharedFileSystem reports whether a file is on one of the sharedFileSystems, or that cannot be determined.
func onSharedFileSystem(f *os.File) bool {
	var fs unix.Statfs_t
	err := retryEINTR(func() error { return unix.Fstatfs(int(f.Fd()), &fs) })
	return err != nil || sharedFileSystems[int64(uint32(fs.Type))]
}

// leaseSays asks the kernel for a read lease (fcntl(2), F_SETLEASE), which it grants only if no program has the file
// open for writing, and refuses with EAGAIN if one has. Any other refusal says nothing: the file may belong to another
// user (without CAP_LEASE), or the file system may not support leases. If others share the file system, the answer only
// covers this machine, and SMB refuses unless the server has granted it a lock.
func leaseSays(f *os.File) writing {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	switch {
	case onSharedFileSystem(f):
		return writingUnknown
	case err == nil:
		return notWriting
	case errors.Is(err, unix.EAGAIN):
		return isWriting
	}
	return writingUnknown
}

// procShowsWriter looks for a program that has the file open for writing in /proc/*/fd (proc(5)), as far as that is
// readable. Finding nothing proves nothing.
func procShowsWriter(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		// Compare the name first: asking for the state of another program's file may hang if its server is gone.
		target, err := os.Readlink(link)
		if err != nil || filepath.Base(target) != filepath.Base(f.Name()) {
			continue
		}
		if opened, err := os.Stat(link); err == nil && os.SameFile(info, opened) && opensForWriting(link) {
			return true
		}
	}
	return false
}

// opensForWriting reports whether a link /proc/PID/fd/N refers to a file that is open for writing.
func opensForWriting(link string) bool {
	text, err := os.ReadFile(strings.Replace(link, "/fd/", "/fdinfo/", 1))
	if err != nil {
		return false
	}
	for line := range bytes.Lines(text) {
		if octal, ok := bytes.CutPrefix(line, []byte("flags:")); ok {
			flags, err := strconv.ParseUint(string(bytes.TrimSpace(octal)), 8, 64)
			return err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY
		}
	}
	return false
}

// completeness decides whether a file that has been unchanged for stable_for is complete:
//
//   - If the kernel says that no program has it open for writing, it is complete.
//   - If the kernel says that one has, it is not.
//   - If the kernel does not say (leaseSays), but inotify saw it being closed after it was written, or renamed into
//     place, and it has not changed since, it is complete.
//   - If inotify does not say either, it is complete once it has not changed for unknownCalm.
//   - If inotify saw it being written, but not closed, it is complete only once it has not changed for forgottenCalm,
//     and is never removed as long as that lasts.
//   - If the kernel does not say, but /proc shows that a program has it open for writing, it is not complete, whatever
//     inotify says.
type completeness struct {
	stableFor time.Duration
	lease     func(*os.File) writing // leaseSays, except in tests
	seen      *writesSeen
}

// forgottenCalm is how long a file must stay unchanged to be processed although inotify has not seen it being closed:
// truncate(2) never closes it, and virtual machines may report what their host writes, but not that the host closes it.
const forgottenCalm = 15 * time.Minute

// unknownCalm returns how long a file must stay unchanged if it is unknown whether it is open for writing.
func unknownCalm(stableFor time.Duration) time.Duration {
	return max(longCalm(stableFor), 30*time.Second)
}

// held returns why a file that has been unchanged for calm is not complete; empty if it is. remove means that it is to
// be moved or deleted: unlike processing it too early, that cannot be undone.
func (c *completeness) held(f *os.File, st stamp, calm time.Duration, remove bool) heldReason {
	says := c.lease(f)
	if says == isWriting {
		return heldWriter
	}
	if says == notWriting {
		return ""
	}
	needed, held := unknownCalm(c.stableFor), heldUnknown
	switch c.seen.state(f.Name(), st) {
	case notWriting:
		needed = 0
	case isWriting:
		if remove {
			return heldWriter
		}
		needed, held = max(needed, forgottenCalm), heldWriter
	}
	switch {
	case calm < needed:
		return held
	case procShowsWriter(f):
		return heldWriter
	}
	return ""
}

// writesSeen remembers which files inotify saw being written and closed.
type writesSeen struct {
	mu    sync.Mutex
	files map[string]writeSeen // by path
	moved map[uint32]writing   // by cookie: files that lost one name and may get another
}

type writeSeen struct {
	writing writing // never writingUnknown
	stamp   stamp   // when it was closed
}

// maxWritesSeen limits how many files are remembered. Beyond it, all are forgotten, and files wait for the calm.
const maxWritesSeen = 10_000

func newWritesSeen() *writesSeen {
	return &writesSeen{files: map[string]writeSeen{}, moved: map[uint32]writing{}}
}

// state returns what inotify saw of a file whose current stamp is st.
func (s *writesSeen) state(path string, st stamp) writing {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.files[path]
	if seen.writing == notWriting && !seen.stamp.SameFile(st) {
		return writingUnknown
	}
	return seen.writing
}

// handle records an event.
func (s *writesSeen) handle(event inotifyEvent) {
	closed := event.mask&(unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO) != 0
	var st stamp
	if closed {
		st, _, _ = lstat(event.path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case event.mask&unix.IN_Q_OVERFLOW != 0 || len(s.files)+len(s.moved) > maxWritesSeen:
		clear(s.files)
		clear(s.moved)
	case event.mask&unix.IN_MODIFY != 0:
		s.files[event.path] = writeSeen{writing: isWriting}
	case event.mask&unix.IN_MOVED_FROM != 0:
		if s.files[event.path].writing == isWriting {
			s.moved[event.cookie] = isWriting
		}
		delete(s.files, event.path)
	case event.mask&unix.IN_MOVED_TO != 0 && s.moved[event.cookie] == isWriting:
		delete(s.moved, event.cookie)
		s.files[event.path] = writeSeen{writing: isWriting}
	case closed:
		s.files[event.path] = writeSeen{writing: notWriting, stamp: st}
	case event.mask&(unix.IN_CREATE|unix.IN_DELETE) != 0:
		delete(s.files, event.path)
	}
}
