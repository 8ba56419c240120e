// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// site is a network of machines.
type site struct {
	t *testing.T
	// folder has the files of the machines, and stage the files that the package installs on each.
	folder, stage string
	hub           string
	// patience is how long to wait for a condition on a busy machine. A test must fail before the timeout of go test,
	// which would leave the machines behind.
	patience time.Duration
}

// machine has its own network, users and file system.
type machine struct {
	*site
	name, address string
	// keeper is the process that keeps the machine's namespaces.
	keeper *exec.Cmd
}

func newSite(t *testing.T, stage string, patience time.Duration) *site {
	t.Helper()
	s := &site{t, t.TempDir(), stage, fmt.Sprintf("deployment-%d", os.Getpid()), patience}
	s.ip("netns", "add", s.hub)
	s.deleteLater(s.hub)
	s.ip("-n", s.hub, "link", "add", "br0", "type", "bridge")
	s.ip("-n", s.hub, "link", "set", "br0", "up")
	// Do what the guide does on the file server, and replace its commands that a machine without systemd and NFS lacks.
	require.NoError(t, os.Mkdir(s.videos(), 0o750))
	require.NoError(t, os.Chown(s.videos(), serviceID, serviceID))
	require.NoError(t, os.Chmod(s.videos(), 0o750|os.ModeSetgid))
	require.NoError(t, os.Mkdir(s.programs(), 0o755))
	for name, text := range standIns {
		require.NoError(t, os.WriteFile(filepath.Join(s.programs(), name), []byte("#!/bin/sh -e\n"+text), 0o755))
	}
	return s
}

func (s *site) videos() string             { return filepath.Join(s.folder, "videos") }
func (s *site) programs() string           { return filepath.Join(s.folder, "programs") }
func (s *site) home(address string) string { return filepath.Join(s.folder, "home", address) }

func (s *site) ip(args ...string) {
	s.t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	require.NoError(s.t, err, "ip %s: %s", strings.Join(args, " "), out)
}

func (s *site) deleteLater(space string) {
	s.t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", space).Run() })
}

// standIns replace programs in the guide, by name.
var standIns = map[string]string{
	"apt": `exit 0`,
	"sudo": `if [ "$1" = -u ]; then user=$2; shift 2; exec runuser -u "$user" -- "$@"; fi
exec "$@"`,
	"scp": `for last; do :; done
while [ $# -gt 1 ]; do cp "$1" "$HOMES/${last%:}/"; shift; done`,
	"mount": `exec /usr/bin/mount --bind "$VIDEOS" "$1"`,
	// Starts what the unit with its drop-in starts, as its user and in its folder.
	"systemctl": `unit=/usr/lib/systemd/system/otelcol-anonymizer.service pid=$HOME/pid
case $1 in
enable|start)
  start=$(cat $unit /etc/systemd/system/otelcol-anonymizer.service.d/*.conf | sed -n 's/^ExecStart=//p' | tail -1)
  cd /var/lib/otelcol-anonymizer
  setsid runuser -u otelcol-anonymizer -- $start >>"$HOME/log" 2>&1 </dev/null &
  echo $! >"$pid" ;;
reload) pkill --signal HUP --parent "$(cat "$pid")" ;;
stop)
  kill "$(cat "$pid")"
  while kill -0 "$(cat "$pid")" 2>/dev/null; do sleep 0.1; done ;;
esac`,
}

// add creates a machine. It sees this machine's /etc and /usr with the package added; changes to them stay in the new
// machine.
func (s *site) add(name, address string) *machine {
	s.t.Helper()
	m := &machine{site: s, name: name, address: address}
	space := s.hub + "-" + name
	s.ip("netns", "add", space)
	s.deleteLater(space)
	s.ip("-n", s.hub, "link", "add", "to-"+name, "type", "veth", "peer", "name", "eth0", "netns", space)
	s.ip("-n", s.hub, "link", "set", "to-"+name, "master", "br0", "up")
	s.ip("-n", space, "addr", "add", address+"/24", "dev", "eth0")
	s.ip("-n", space, "link", "set", "eth0", "up")
	s.ip("-n", space, "link", "set", "lo", "up")
	disk := filepath.Join(s.folder, name)
	for _, folder := range []string{"etc", "etc.work", "usr", "usr.work", "lib"} {
		require.NoError(s.t, os.MkdirAll(filepath.Join(disk, folder), 0o755))
	}
	require.NoError(s.t, os.MkdirAll(s.home(address), 0o755))
	const script = `
for folder in etc usr; do
  mount -t overlay overlay -o "lowerdir=$2/$folder:/$folder,upperdir=$1/$folder,workdir=$1/$folder.work" /$folder
done
mount --bind "$1/lib" /var/lib
mount -t tmpfs none /srv
echo ready
exec sleep infinity`
	m.keeper = exec.Command("ip", "netns", "exec", space, "unshare", "--mount", "sh", "-ec", script, "sh", disk, s.stage)
	m.keeper.Stderr = os.Stderr
	ready, err := m.keeper.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, m.keeper.Start())
	s.t.Cleanup(func() {
		m.kill()
		_ = m.keeper.Process.Kill()
		_ = m.keeper.Wait()
		if s.t.Failed() {
			log, _ := os.ReadFile(filepath.Join(s.home(address), "log"))
			s.t.Logf("the log of %s:\n%s", name, log)
		}
	})
	_, err = ready.Read(make([]byte, 16))
	require.NoError(s.t, err, "the file system of %s", name)
	return m
}

// run runs a script in the shell of the machine, as root in its home folder.
func (m *machine) run(script string) (string, error) {
	command := exec.Command("nsenter", "--target", strconv.Itoa(m.keeper.Process.Pid), "--mount", "--net",
		"--wdns="+m.home(m.address), "bash", "-e", "-o", "pipefail", "-c", script)
	command.Env = append(os.Environ(), "HOME="+m.home(m.address), "HOMES="+filepath.Join(m.folder, "home"),
		"VIDEOS="+m.videos(), "PATH="+m.programs()+":"+os.Getenv("PATH"))
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	return out.String(), err
}

// kill ends the collector like a power failure.
func (m *machine) kill() { m.signal(syscall.SIGKILL) }

// signal sends a signal to the collector with runuser and ffmpeg, if it was ever started.
func (m *machine) signal(sig syscall.Signal) {
	text, err := os.ReadFile(filepath.Join(m.home(m.address), "pid"))
	if err != nil {
		return
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		_ = syscall.Kill(-pid, sig)
	}
}

// state returns the service's state directory, as seen from outside the machine.
func (m *machine) state() string { return filepath.Join(m.folder, m.name, "lib", "otelcol-anonymizer") }
