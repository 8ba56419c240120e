// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package share follows the guide for several machines word for word, and injects faults.
package share

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
)

// serviceID is the ID of the service's user and group in the guide.
const serviceID = 990

// step is a block of commands in the guide.
type step struct{ where, commands string }

// The headings of the guide's parts.
const (
	setUp   = "# Three machines, step by step"
	renewal = "### Renew the certificates"
	oneMore = "### One more machine"
)

// part returns the part of docs/share-deployment.md below a heading. The part of setUp ends before Afterwards.
func part(t *testing.T, heading string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(collector.Root(), "docs", "share-deployment.md"))
	require.NoError(t, err)
	_, text, found := strings.Cut(string(page), heading+"\n")
	require.True(t, found, heading)
	end := "\n### "
	if heading == setUp {
		end = "\n## Afterwards\n"
	}
	text, _, found = strings.Cut(text, end)
	require.True(t, found, "the end of %s", heading)
	return text
}

// steps returns the blocks of a part that say where to run them, in order.
func steps(t *testing.T, heading string) (all []step) {
	t.Helper()
	block := regexp.MustCompile("(?ms)^```sh\n# on ([^\n]+)\n(.*?)^```")
	for _, match := range block.FindAllStringSubmatch(part(t, heading), -1) {
		all = append(all, step{match[1], match[2]})
	}
	require.NotEmpty(t, all)
	return all
}

// machines returns the machines that run a step: all for "each machine", otherwise those that it names. The file server
// is not a machine: see newSite.
func (s step) machines(all []*machine) (on []*machine) {
	for _, m := range all {
		if s.where == "each machine" || regexp.MustCompile(`\b`+m.name+`\b`).MatchString(s.where) {
			on = append(on, m)
		}
	}
	return on
}

// TestDeployment follows docs/share-deployment.md on three machines, which then process a video while one of them is
// switched off, and does what the guide says about the time afterwards.
func TestDeployment(t *testing.T) {
	if os.Getenv("SHARE_DEPLOYMENT") == "" {
		t.Skip("make share-deployment-test runs it, as root")
	}
	s := newSite(t, install(t), 10*time.Minute)
	a, b, c := s.add("a", "10.0.0.11"), s.add("b", "10.0.0.12"), s.add("c", "10.0.0.13")
	began := time.Now()
	s.follow(steps(t, setUp), []*machine{a, b, c}, asIs)
	checkKubernetes(t, a)
	checkVideo(t, b, c, began)
	checkDrain(t, a, b)
	s.checkRenewal([]*machine{a, b, c})
	s.checkOneMore([]*machine{a, b, c})
}

func asIs(commands string) string { return commands }

// follow runs edited steps of the guide on machines. Each machine uses its own name and address.
func (s *site) follow(steps []step, machines []*machine, edit func(commands string) string) {
	t, began := s.t, time.Now()
	t.Helper()
	self := regexp.MustCompile(`(?m)^name=a( address=\S+)?`)
	for _, step := range steps {
		on := step.machines(machines)
		if len(on) == 0 {
			continue
		}
		for _, m := range on {
			commands := self.ReplaceAllLiteralString(edit(step.commands), "name="+m.name+" address="+m.address)
			if strings.Contains(commands, "share status") {
				m.await(commands, "all three work", func(out string) bool { return strings.Count(out, " works ") == 3 })
			} else {
				out, err := m.run(commands)
				require.NoError(t, err, "on %s: %s\n%s", m.name, commands, out)
			}
		}
		if strings.Contains(step.commands, "useradd") { // what the package's installation does
			for _, m := range on {
				out, err := m.run("systemd-tmpfiles --create /usr/lib/tmpfiles.d/otelcol-anonymizer.conf")
				require.NoError(t, err, "on %s: %s", m.name, out)
			}
		}
		first, _, _ := strings.Cut(strings.TrimSpace(step.commands), "\n")
		t.Logf("%6.1f s: on %s: %s ...", time.Since(began).Seconds(), step.where, first)
	}
}

// install installs the build as the package does, and returns the directory.
func install(t *testing.T) string {
	t.Helper()
	stage := t.TempDir()
	command := exec.Command("make", "install", "DESTDIR="+stage)
	command.Dir = collector.Root()
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return stage
}

// await runs commands until their output is as expected, and returns it.
func (m *machine) await(commands, what string, ok func(out string) bool) string {
	m.t.Helper()
	for end := time.Now().Add(m.patience); ; time.Sleep(time.Second) {
		out, _ := m.run(commands)
		if ok(out) {
			return out
		}
		require.True(m.t, time.Now().Before(end), "%s; on %s, there is now\n%s", what, m.name, out)
	}
}

const configFlags = " --config /etc/otelcol-anonymizer/config.yaml --config /etc/otelcol-anonymizer/share.yaml"

// checkVideo has the machines process a video of three units, some by each, while one of them dies and comes back.
func checkVideo(t *testing.T, looking, dying *machine, began time.Time) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "long.mp4")
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=5:d=390", "-g", "50",
		"-pix_fmt", "yuv420p", source).CombinedOutput()
	require.NoError(t, err, "%s", out)
	text, err := os.ReadFile(source)
	require.NoError(t, err)
	incoming := filepath.Join(looking.videos(), "incoming", "long.mp4")
	require.NoError(t, os.WriteFile(incoming, text, 0o600))
	require.NoError(t, os.Chown(incoming, serviceID, serviceID))
	status := "sudo -u otelcol-anonymizer anonymizerctl share status" + configFlags
	table := looking.await(status, "each machine does a unit", func(out string) bool {
		return strings.Count(out, "unit ") >= 2 && regexp.MustCompile(`(?m)^`+dying.name+` .*unit \d`).MatchString(out)
	})
	t.Logf("%6.1f s:\n%s", time.Since(began).Seconds(), table)
	dying.kill()
	looking.await(status, "it is missed", func(out string) bool { return strings.Contains(out, "has been silent for") })
	t.Logf("%6.1f s: %s is missed", time.Since(began).Seconds(), dying.name)
	out2, err := dying.run("sudo systemctl start otelcol-anonymizer")
	require.NoError(t, err, out2)
	table = looking.await(status, "the video is done", func(out string) bool { return strings.Contains(out, "1 done") })
	t.Logf("%6.1f s:\n%s", time.Since(began).Seconds(), table)
	outputs, err := filepath.Glob(filepath.Join(looking.videos(), "anonymized", "long_anonymized*.mp4"))
	require.NoError(t, err)
	require.Len(t, outputs, 1)
	frames, err := exec.Command("ffprobe", "-v", "error", "-count_packets", "-select_streams", "v", "-show_entries",
		"stream=nb_read_packets", "-of", "csv=p=0", outputs[0]).Output()
	require.NoError(t, err)
	assert.Equal(t, "1950", strings.TrimSpace(string(frames)))
}

// checkKubernetes validates the configuration for Kubernetes, which needs the folder /etc/share.
func checkKubernetes(t *testing.T, on *machine) {
	t.Helper()
	path := filepath.Join(collector.Root(), "packaging", "kubernetes", "collector.yaml")
	out, err := on.run(`cd /etc/otelcol-anonymizer/share && mkdir /etc/share
cp ca.pem /etc/share/ca.crt && cp a.pem /etc/share/tls.crt && cp a.key /etc/share/tls.key && cp a.nk /etc/share/nkey
PROVIDER=cpu OTLP_ENDPOINT=localhost:4317 otelcol-anonymizer validate --config ` + path)
	require.NoError(t, err, out)
}

// checkDrain drains a machine as the guide does.
func checkDrain(t *testing.T, on, drained *machine) {
	t.Helper()
	command := "sudo -u otelcol-anonymizer anonymizerctl share "
	out, err := on.run(command + "drain " + drained.name + configFlags)
	require.NoError(t, err, out)
	on.await(command+"status"+configFlags, "it drains", func(out string) bool {
		return regexp.MustCompile(`(?m)^` + drained.name + ` +drains`).MatchString(out)
	})
	out, err = on.run(command + "drain " + drained.name + " --undo" + configFlags)
	require.NoError(t, err, out)
	on.await(command+"status"+configFlags, "all work again", func(out string) bool {
		return strings.Count(out, " works ") == 3
	})
}

// checkRenewal renews the certificates of all machines as the guide does, one machine after another.
func (s *site) checkRenewal(machines []*machine) {
	s.t.Helper()
	for _, signing := range steps(s.t, setUp) {
		if from := strings.Index(signing.commands, "for machine in"); from >= 0 {
			signing.commands = "cd share-keys\n" + signing.commands[from:]
			s.follow([]step{signing}, machines, asIs)
		}
	}
	for _, m := range machines {
		m.reloads(func() { s.follow(steps(s.t, renewal), []*machine{m}, asIs) })
	}
}

// checkOneMore adds a machine without a server as the guide does.
func (s *site) checkOneMore(servers []*machine) {
	t := s.t
	t.Helper()
	d := s.add("d", "10.0.0.14")
	more := steps(t, oneMore)
	require.Len(t, more, 2, "its certificate, its nkey")
	s.follow(more[:1], servers, asIs)

	_, line, found := strings.Cut(part(t, oneMore), "```yaml\n")
	require.True(t, found, "servers instead of embedded")
	line, _, _ = strings.Cut(line, "```")
	embedded := regexp.MustCompile(`(?m)^      embedded:\n(        .*\n){4}`)
	all := steps(t, setUp)
	start := slices.IndexFunc(all, func(s step) bool { return strings.Contains(s.commands, "enable --now") })
	s.follow(all[:start], []*machine{d}, func(commands string) string {
		return embedded.ReplaceAllLiteralString(commands, line)
	})

	public, err := d.run("sudo anonymizerctl share nkey /etc/otelcol-anonymizer/share/d.nk")
	require.NoError(t, err, public)
	for _, m := range servers {
		m.reloads(func() {
			s.follow(more[1:], []*machine{m}, func(commands string) string {
				return strings.Replace(commands, "U...", strings.TrimSpace(public), 1)
			})
		})
	}
	s.follow(all[start:], []*machine{d}, asIs)
	servers[0].await("sudo -u otelcol-anonymizer anonymizerctl share status"+configFlags, "all four work",
		func(out string) bool { return strings.Count(out, " works ") == 4 })
}

// reloads calls do, and waits until the collector has reloaded its configuration.
func (m *machine) reloads(do func()) {
	m.t.Helper()
	const begun = "grep -c 'takes part in the share' ~/log"
	before, err := m.run(begun)
	require.NoError(m.t, err, before)
	do()
	m.await(begun, "it takes part again", func(out string) bool { return out != before })
}
