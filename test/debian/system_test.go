// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package debian

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	root    = "../.."
	cache   = root + "/build/cache/debian"
	service = "otelcol-anonymizer" // name of the user, its group, and the program
	home    = "/var/lib/otelcol-anonymizer"
)

// system is a minimal Debian system in its own folder.
type system struct {
	*testing.T
	root string
}

// newSystem copies a Debian release that debootstrap installs once, in the cache.
func newSystem(t *testing.T, suite string) *system {
	t.Helper()
	base, err := filepath.Abs(filepath.Join(cache, suite))
	require.NoError(t, err)
	if _, err := os.Stat(base); err != nil {
		mirror := strings.Fields(output(t, "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"))
		require.NotEmpty(t, mirror, "this system's sources of packages")
		require.NoError(t, os.MkdirAll(filepath.Dir(base), 0o755))
		require.NoError(t, os.RemoveAll(base+".part"))
		output(t, "debootstrap", "--variant=minbase", suite, base+".part", mirror[0])
		require.NoError(t, os.Rename(base+".part", base))
	}
	s := &system{t, filepath.Join(t.TempDir(), suite)}
	output(t, "cp", "--archive", base, s.root)
	// Debian's installer writes this file; debootstrap does not.
	require.NoError(t, os.WriteFile(s.path("/etc/hosts"), []byte("127.0.0.1 localhost\n"), 0o644))
	output(t, "mount", "-t", "proc", "proc", s.path("/proc"))
	t.Cleanup(func() {
		output(t, "umount", "--lazy", s.path("/proc"))
		// Keep what apt downloaded for the next run.
		debs, err := filepath.Glob(s.path("/var/cache/apt/archives/*.deb"))
		require.NoError(t, err)
		for _, deb := range debs {
			output(t, "cp", "--archive", deb, filepath.Join(base, "var/cache/apt/archives"))
		}
	})
	return s
}

// path returns where a file of the system is on this machine.
func (s *system) path(name string) string { return filepath.Join(s.root, name) }

// as returns a command that runs in the system as root, or as the service in its folder.
func (s *system) as(user string, args ...string) *exec.Cmd {
	if user == service {
		return s.inFolder(home, user, args...)
	}
	return s.command(append([]string{"chroot", s.root}, args...)...)
}

// inFolder returns a command that runs in a folder of the system as a user other than root. Its only network is its own
// loopback, so that its ports do not conflict with this machine's.
func (s *system) inFolder(folder, user string, args ...string) *exec.Cmd {
	s.Helper()
	group := strings.TrimSpace(s.run("root", "id", "--group", user))
	return s.command(append([]string{"unshare", "--net", "sh", "-c", `ip link set lo up && umask 027 && exec "$@"`, "sh",
		"chroot", s.root, "setpriv", "--reuid=" + user, "--regid=" + group, "--init-groups", "--no-new-privs",
		"env", "--chdir=" + folder}, args...)...)
}

func (s *system) command(command ...string) *exec.Cmd {
	c := exec.CommandContext(s.Context(), command[0], command[1:]...)
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	return c
}

// run runs a command that must succeed, and returns its output.
func (s *system) run(user string, args ...string) string {
	s.Helper()
	out, err := s.as(user, args...).CombinedOutput()
	require.NoError(s, err, "%s: %s", args, out)
	return string(out)
}

// apt installs, removes or purges packages.
func (s *system) apt(args ...string) {
	s.Helper()
	options := []string{"apt-get", "--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-unsafe-io",
		"-o", "APT::Keep-Downloaded-Packages=true", "-o", "Dpkg::Use-Pty=0", "-o", "APT::Sandbox::User=root"}
	s.run("root", append(options, args...)...)
}

// install installs a package of this project with its dependencies.
func (s *system) install(deb string) {
	s.Helper()
	name := "/root/" + filepath.Base(deb)
	s.copyIn(deb, name, "root")
	s.apt("install", name)
}

// copyIn copies a file into the system and sets its owner.
func (s *system) copyIn(file, name, owner string) {
	s.Helper()
	content, err := os.ReadFile(file)
	require.NoError(s, err)
	require.NoError(s, os.WriteFile(s.path(name), content, 0o644))
	s.run("root", "chown", owner, name)
}

// start runs the program as the service's unit does.
func (s *system) start() *exec.Cmd {
	s.Helper()
	c := s.as(service, "/usr/bin/otelcol-anonymizer", "--config", config)
	s.startCommand(c)
	return c
}

// startCommand starts a command, and writes its output to the log.
func (s *system) startCommand(c *exec.Cmd) {
	s.Helper()
	log, err := os.Create(s.path("/var/log/collector"))
	require.NoError(s, err)
	c.Stdout, c.Stderr = log, log
	require.NoError(s, c.Start())
	require.NoError(s, log.Close())
	s.Cleanup(func() { _ = c.Process.Kill() })
}

// stop ends a command as systemd does, and returns the log.
func (s *system) stop(c *exec.Cmd) string {
	s.Helper()
	require.NoError(s, c.Process.Signal(syscall.SIGTERM))
	err := c.Wait()
	log := string(s.read("/var/log/collector"))
	require.NoError(s, err, "%s", log)
	return log
}

func (s *system) read(name string) []byte {
	s.Helper()
	content, err := os.ReadFile(s.path(name))
	require.NoError(s, err)
	return content
}

// await waits until a file matches the pattern, and returns it. Videos take long on a busy machine.
func (s *system) await(pattern string) string {
	s.Helper()
	for deadline := time.Now().Add(15 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		found, err := filepath.Glob(s.path(pattern))
		require.NoError(s, err)
		if len(found) > 0 {
			return found[0]
		}
	}
	s.Fatalf("no %s; the log:\n%s", pattern, s.read("/var/log/collector"))
	return ""
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(context.Background(), name, args...)
	command.Dir = root
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, args, out)
	return string(out)
}
