// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The rights that a rule can grant, by purpose.
const (
	toRead    = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	toExecute = toRead | unix.LANDLOCK_ACCESS_FS_EXECUTE
	toWrite   = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE
	toUse = toWrite | toRead | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// ofFiles are the rights that a rule for a file, rather than a directory, may grant.
	ofFiles = unix.LANDLOCK_ACCESS_FS_EXECUTE | toWrite | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// libraries are the paths of libraries; those that do not exist are left out.
var libraries = []string{"/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64",
	"/usr/local/lib", "/usr/local/lib64", "/etc/ld.so.cache", "/etc/ld.so.preload", "/nix/store", "/gnu/store"}

// commands are the directories of programs that a script may start.
var commands = []string{"/bin", "/usr/bin", "/usr/local/bin"}

// facts are what programs read about the machine, such as the number of CPUs and the amount of memory, and basic
// devices.
var facts = []string{"/sys/devices/system/cpu", "/sys/devices/system/node", "/proc/cpuinfo", "/proc/meminfo",
	"/dev/zero", "/dev/random", "/dev/urandom"}

// The devices of GPUs, and what their drivers read about them.
var (
	devices     = []string{"/dev/dri", "/dev/nvidia*", "/dev/kfd"}
	deviceFacts = []string{"/proc/self", "/proc/driver", "/proc/devices", "/proc/modules", "/proc/sys", "/proc/stat",
		"/proc/version", "/sys", "/etc/drirc", "/usr/share", "/etc/nvidia", "/etc/vdpau_wrapper.cfg"}
)

// programPaths returns the paths that a program needs: itself, its libraries and, for a script, the commands that it
// may start.
func programPaths(path string, g Grant) []string {
	paths := append([]string{path}, libraries...)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		paths = append(paths, filepath.Join(filepath.Dir(real), "..", "lib"))
	}
	paths = append(paths, filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))...)
	if g.script {
		paths = append(append(paths, commands...), filepath.Dir(path))
	}
	return paths
}

// landlockVersion returns the version of Landlock's ABI, 0 if there is none.
func landlockVersion() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

// handled returns the rights that a version of Landlock can take away: those for files, and those for TCP ports.
func handled(version int) (files, ports uint64) {
	files = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1
	if version >= 2 {
		files |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		files |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 {
		ports = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 5 {
		files |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	return files, ports
}

// ruleset returns a new ruleset with everything that a child with these programs may open. The caller closes it.
func ruleset(version int, g Grant, programs []string) (int, error) {
	r := rules{}
	attr := unix.LandlockRulesetAttr{}
	attr.Handled_access_fs, attr.Handled_access_net = handled(version)
	r.handled = attr.Handled_access_fs
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET,
		uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return -1, fmt.Errorf("landlock: %w", errno)
	}
	r.fd = int(fd)
	r.allow(toExecute, programs...)
	r.allow(toRead, facts...)
	r.allow(toWrite, os.DevNull)
	if g.Device {
		r.allow(toRead, deviceFacts...)
		for _, pattern := range devices {
			found, _ := filepath.Glob(pattern)
			r.allow(toUse, found...)
		}
	}
	r.allowOpen(toRead, g.Read)
	r.allowOpen(toWrite, g.Write)
	if r.err != nil {
		_ = unix.Close(r.fd)
		return -1, fmt.Errorf("landlock: %w", r.err)
	}
	return r.fd, nil
}

// rules are added to a ruleset until one fails.
type rules struct {
	fd      int
	handled uint64
	err     error
}

// allow grants rights to files, and to everything in directories. Paths that do not exist are left out.
func (r *rules) allow(rights uint64, paths ...string) {
	for _, path := range paths {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil {
			r.err = errors.Join(r.err, &fs.PathError{Op: "open", Path: path, Err: err})
			continue
		}
		r.add(rights, fd)
		_ = unix.Close(fd)
	}
}

// allowOpen grants rights to open files, even if they have been renamed.
func (r *rules) allowOpen(rights uint64, files []*os.File) {
	for _, f := range files {
		if f != nil {
			r.add(rights, int(f.Fd()))
		}
	}
}

func (r *rules) add(rights uint64, fd int) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		r.err = errors.Join(r.err, err)
		return
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= ofFiles
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights & r.handled, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		r.err = errors.Join(r.err, errno)
	}
}

// restrictSelf confines this thread.
func restrictSelf(ruleset int) error {
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
