// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// TestMain also acts as a program that runs another one under a system call filter.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "allow-only" {
		fmt.Fprintln(os.Stderr, allowOnly(strings.Fields(os.Args[2]), os.Args[3:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// allowOnly replaces this program with a command that may make only the given system calls; others fail with EPERM.
func allowOnly(calls, command []string) error {
	machine, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	known := slices.DeleteFunc(calls, func(name string) bool { _, ok := machine.SyscallNames[name]; return !ok })
	runtime.LockOSThread()
	if err := seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionErrno,
			Syscalls:      []seccomp.SyscallGroup{{Names: known, Action: seccomp.ActionAllow}},
		},
	}); err != nil {
		return err
	}
	return unix.Exec(command[0], command, os.Environ())
}

// serviceCalls returns the system calls that the unit allows.
func serviceCalls(t *testing.T) []string {
	t.Helper()
	unit := string(read(t, filepath.Join(collector.Root(), "packaging", "otelcol-anonymizer.service")))
	var calls []string
	for _, line := range regexp.MustCompile(`(?m)^SystemCallFilter=(.*)$`).FindAllStringSubmatch(unit, -1) {
		for _, name := range strings.Fields(line[1]) {
			calls = append(calls, expand(t, name)...)
		}
	}
	slices.Sort(calls)
	return slices.Compact(calls)
}

// expand returns the system calls of a systemd group, or of a single name.
func expand(t *testing.T, name string) (calls []string) {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	out, err := exec.Command("systemd-analyze", "syscall-filter", "--no-pager", name).Output()
	require.NoError(t, err, name)
	for _, line := range strings.Split(string(out), "\n")[1:] {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			calls = append(calls, expand(t, line)...)
		}
	}
	return calls
}

// TestConfinedAsService runs the collector under the unit's system call filter, with confinement required, and as an
// unprivileged user if the test runs as root.
func TestConfinedAsService(t *testing.T) {
	s := newSite(t)
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	allow := filepath.Join(s.dir, "allow")
	require.NoError(t, os.Link(self, allow), "the test binary is on the disk of temporary files")
	s.binary = filepath.Join(s.dir, "collector")
	as := ""
	if os.Getuid() == 0 {
		as = "setpriv --reuid=65534 --regid=65534 --clear-groups "
	}
	require.NoError(t, os.WriteFile(s.binary, fmt.Appendf(nil, "#!/bin/sh\nexec %s%s allow-only '%s' %s \"$@\"\n",
		as, allow, strings.Join(serviceCalls(t), " "), filepath.Join(collector.Root(), "bin", "otelcol-anonymizer")),
		0o755))
	s.configs = append(s.configs, "yaml:{receivers: {videoanonymizer: {tools: {confine: require}}}}")
	for _, folder := range []string{"videos/incoming", "videos/anonymized"} {
		require.NoError(t, os.MkdirAll(filepath.Join(s.dir, folder), 0o755))
	}
	if as != "" {
		require.NoError(t, os.Chmod(filepath.Dir(s.dir), 0o755))
		require.NoError(t, filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, 65534, 65534)
		}))
	}
	c := s.start()
	require.NoError(t, os.Chmod(s.drop(s.clip("talk.mp4"), "talk.mp4"), 0o644))
	s.awaitVideos(c, "finished", 1)
	require.NoError(t, c.Stop(20*time.Second))
	assert.Equal(t, reviewed("talk_anonymized.mp4"), s.produced())
}
