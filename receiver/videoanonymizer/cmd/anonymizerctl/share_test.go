// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
)

// idler takes part in a share. It divides videos into three units, which it does not finish until go_ is closed, and
// writes empty outputs. It rejects bad.mp4.
type idler struct {
	root string
	go_  chan struct{}
}

func (idler) Plan(_ context.Context, v share.Video) (share.Plan, error) {
	if v.Path == "in/bad.mp4" {
		return share.Plan{}, share.Permanent(fmt.Errorf("it is\nno video"))
	}
	return share.Plan{Units: make([]json.RawMessage, 3)}, nil
}

func (i idler) Do(ctx context.Context, _ *share.UnitTask) (json.RawMessage, error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-i.go_:
		return nil, nil
	}
}

func (i idler) Join(_ context.Context, t *share.JoinTask) ([]share.JoinedFile, error) {
	temp := t.Temp(".mp4")
	return []share.JoinedFile{{Temp: temp, Name: filepath.Join(i.root, "out", filepath.Base(t.Video.Path))}},
		os.WriteFile(temp, nil, 0o600)
}

func (idler) Published(context.Context, share.Video) error { return nil }

func (idler) Failed(context.Context, share.Video) {}

func (i idler) Scan(context.Context) (found []share.Found, err error) {
	for _, name := range []string{"bad.mp4", "walk.mp4"} {
		info, err := os.Stat(filepath.Join(i.root, "in", name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, share.Found{
			Path: "in/" + name, Version: share.Version{Size: info.Size(), ModTime: info.ModTime()},
		})
	}
	return found, nil
}

// startShare starts a machine "a" with the returned configuration, which it also writes to a file. The machine has
// failed to process one video and has another one to process.
func startShare(t *testing.T) (worker idler, cfg share.Config, file string) {
	t.Helper()
	root := t.TempDir()
	for _, folder := range []string{"in", "out"} {
		require.NoError(t, os.Mkdir(filepath.Join(root, folder), 0o755))
	}
	add := func(name string) {
		require.NoError(t, os.WriteFile(filepath.Join(root, "in", name), []byte(name), 0o600))
	}
	add("bad.mp4")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg = share.DefaultConfig()
	cfg.Name, cfg.Root, cfg.Lease = "lab", root, 2*time.Second
	cfg.Embedded = &share.Embedded{Node: "a", Directory: t.TempDir(), Listen: listener.Addr().String()}
	require.NoError(t, listener.Close())
	worker = idler{root, make(chan struct{})}
	startMachine(t, cfg, worker)
	eventually(t, "it has failed", func() bool {
		_, s := shareJSON(t, "nats://"+cfg.Embedded.Listen, "--name", "lab")
		return s.Counts[share.VideoFailed] == 1
	})
	add("walk.mp4")

	models, err := filepath.Abs(modelsDirectory)
	require.NoError(t, err)
	file = filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
receivers:
  videoanonymizer:
    watch: {include: [%[1]s/in/*]}
    output: {directory: %[1]s/out}
    models: {directory: %[2]s}
    share:
      name: lab
      root: %[1]s
      lease: 2s
      embedded: {node: a, directory: %[3]s, listen: "%[4]s"}
service: {pipelines: {logs: {receivers: [videoanonymizer]}}}
`, root, models, cfg.Embedded.Directory, cfg.Embedded.Listen), 0o600))
	return worker, cfg, file
}

func startMachine(t *testing.T, cfg share.Config, worker idler) (stop func()) {
	t.Helper()
	engine, err := share.New(cfg, share.Options{Made: "v1", Worker: worker, Source: worker})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	stop = func() {
		cancel()
		if done != nil {
			assert.NoError(t, <-done)
			done = nil
		}
	}
	t.Cleanup(stop)
	return stop
}

// shareCommand runs a command of anonymizerctl share.
func shareCommand(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(context.Background(), append([]string{"anonymizerctl", "share"}, args...), &out, &errs)
	return status, out.String(), errs.String()
}

// shareJSON returns the status, after validating it against its schema.
func shareJSON(t *testing.T, args ...string) (status int, s shareStatus) {
	t.Helper()
	status, text, says := shareCommand(append([]string{"status", "--json"}, args...)...)
	if status == exitError { // for example before the machine has started
		t.Log(strings.TrimSpace(says))
		return status, s
	}
	schema, err := jsonschema.NewCompiler().Compile("../../share.schema.json")
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	require.NoError(t, err)
	require.NoError(t, schema.Validate(document), text)
	require.NoError(t, json.Unmarshal([]byte(text), &s))
	return status, s
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 2*time.Minute, 50*time.Millisecond, what)
}

func TestShareCommands(t *testing.T) {
	worker, cfg, file := startShare(t)
	url := "nats://" + cfg.Embedded.Listen
	eventually(t, "a unit is in work", func() bool {
		status, s := shareJSON(t, "--config", file)
		return status == 0 && len(s.Machines) == 1 && len(s.Machines[0].Doing) == 1 && s.Machines[0].Doing[0].Unit != nil
	})
	_, s := shareJSON(t, url, "--name", "lab")
	assert.Equal(t, "a", s.Coordinator)
	assert.Equal(t, fromNATS, s.Source)
	a := s.Machines[0]
	assert.True(t, a.Alive)
	assert.Less(t, a.Silent, 2.0)
	assert.Equal(t, "unit", a.Doing[0].Task)
	assert.Equal(t, "in/walk.mp4", a.Doing[0].Video)
	assert.WithinDuration(t, time.Now(), a.Doing[0].Since, time.Minute)
	require.Len(t, s.Videos, 2)
	unit := s.Videos[0].Units[*a.Doing[0].Unit]
	assert.Equal(t, share.UnitClaimed, unit.State)
	assert.Equal(t, "a", unit.Machine)

	status, table, says := shareCommand("status", "--config", file)
	assert.Zero(t, status, says)
	assert.Contains(t, table, "share lab, coordinated by a\n")
	assert.Regexp(t, `\nMACHINE +STATE +STARTED +DOES\na +works +\d+s ago +unit \d of in/walk.mp4 for \d+s\n`, table)
	assert.Regexp(t, `\nin/walk.mp4 +planned +\d+s +0 of 3 units done\n  unit \d +claimed +\d+s +a\s*\n`, table)
	assert.Regexp(t, `\nin/bad.mp4 +failed +\d+s +it is; no video\n`, table)
	assert.Contains(t, table, "\nvideos: 1 planned, 1 failed\n")

	status, said, says := shareCommand("drain", "a", "--config", file)
	assert.Zero(t, status, says)
	const drained = "a takes no more work: wait until anonymizerctl share status shows that it does nothing\n"
	assert.Equal(t, drained, said)
	_, table, _ = shareCommand("status", "--config", file)
	assert.Regexp(t, `\na +drains `, table)
	close(worker.go_)
	eventually(t, "it does nothing any more", func() bool {
		_, s := shareJSON(t, "--config", file)
		return len(s.Machines[0].Doing) == 0 && len(s.Videos) == 2
	})
	_, said, _ = shareCommand("drain", "a", url, "--name", "lab")
	assert.Equal(t, drained, said)
	status, said, says = shareCommand("drain", "a", "--undo", "--config", file)
	assert.Zero(t, status, says)
	assert.Equal(t, "a takes work again\n", said)
	status, said, says = shareCommand("drain", "aa", "--undo", "--config", file)
	assert.Equal(t, exitError, status, said)
	assert.Contains(t, says, "there is no machine aa: choose one of a")
	client, err := share.Dial(t.Context(), cfg, zap.NewNop())
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.Drain(t.Context(), "forgotten", true))
	status, said, says = shareCommand("drain", "forgotten", "--undo", "--config", file)
	assert.Zero(t, status, says)
	assert.Equal(t, "forgotten takes work again\n", said)
	status, _, _ = shareCommand("drain", "forgotten", "--undo", "--config", file)
	assert.Equal(t, exitError, status)
	eventually(t, "the video is done", func() bool {
		_, s := shareJSON(t, "--config", file)
		return s.Counts[share.VideoDone] == 1
	})
	assert.FileExists(t, filepath.Join(cfg.Root, "out", "walk.mp4"))
}

// TestShareStatusTellsTheDead checks that the status distinguishes machines that died from machines that stopped,
// immediately, and lists each machine once.
func TestShareStatusTellsTheDead(t *testing.T) {
	_, cfg, file := startShare(t)
	other := cfg
	other.Embedded, other.Servers = nil, []string{"nats://" + cfg.Embedded.Listen}
	stop := startMachine(t, other, idler{cfg.Root, make(chan struct{})})
	eventually(t, "both are there", func() bool {
		status, s := shareJSON(t, "--config", file)
		return status == 0 && len(s.Machines) == 2
	})
	stop()
	status, table, says := shareCommand("status", "--config", file)
	assert.Zero(t, status, says)
	assert.Regexp(t, `\n\S+ +stopped `, table)
	status, s := shareJSON(t, "--config", file)
	assert.Zero(t, status)
	require.Len(t, s.Machines, 2)
	for _, m := range s.Machines {
		assert.Equal(t, m.Name == "a", m.Alive)
		assert.Equal(t, m.Name != "a", m.Left)
	}

	found := shareStatus{Source: fromNATS, Status: share.Status{Machines: []share.MachineStatus{
		{Name: "a", Alive: true}, {Name: "b", Silent: 61.2}, {Name: "c", Alive: true, Problem: "root cannot be read"},
		{Name: "d", Left: true, Silent: 100},
	}}}
	assert.Equal(t, []string{"b has been silent for 1m1s", "c takes no work: root cannot be read"},
		found.problems())
	found.Machines = found.Machines[3:]
	assert.Equal(t, []string{"no machine takes part"}, found.problems())
}

// TestShareStatusOfStrangeNames checks that names from other machines cannot control the terminal.
func TestShareStatusOfStrangeNames(t *testing.T) {
	var table bytes.Buffer
	require.NoError(t, printShare(&table, shareStatus{Source: fromNATS, Status: share.Status{
		Machines: []share.MachineStatus{{Name: "a", Doing: []share.Task{{Task: "join", Video: "in/\x1b[2J\ta"}}}},
		Videos:   []share.VideoStatus{{Path: "in/\x1b[2J\ta", State: share.VideoFailed, Error: "one\ntwo\x07"}},
	}}))
	assert.Equal(t, 2, strings.Count(table.String(), "in/?[2J?a"), table.String())
	assert.Contains(t, table.String(), "one; two?\n")
}

// TestShareStatusOfTheMirror checks that the mirror shows videos and units without a server.
func TestShareStatusOfTheMirror(t *testing.T) {
	_, cfg, _ := startShare(t)
	eventually(t, "the mirror has both videos", func() bool {
		status, s := shareJSON(t, cfg.Root)
		return status == 0 && s.Counts[share.VideoFailed] == 1 && s.Counts[share.VideoPlanned] == 1 &&
			len(s.Videos[0].Units) == 3
	})
	_, s := shareJSON(t, cfg.Root, "--name", "lab")
	assert.Equal(t, fromMirror, s.Source)
	assert.WithinDuration(t, time.Now(), *s.Written, time.Minute)
	assert.Empty(t, s.Machines)
	status, table, says := shareCommand("status", cfg.Root)
	assert.Zero(t, status, says)
	assert.Regexp(t, `^share lab, from its mirror, last written \d+s ago; it does not show who does what\n`, table)
	assert.Contains(t, table, "videos: 1 planned, 1 failed\n")
}

func TestShareCommandsRefuse(t *testing.T) {
	_, cfg, file := startShare(t)
	url := "nats://" + cfg.Embedded.Listen
	alone := filepath.Join(t.TempDir(), "alone.yaml")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	before, after, _ := strings.Cut(string(text), "    share:")
	_, after, _ = strings.Cut(after, "service:")
	require.NoError(t, os.WriteFile(alone, []byte(before+"service:"+after), 0o600))
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"no place":    {[]string{"status"}, "with --config or the URL"},
		"no share":    {[]string{"status", "--config", alone}, "has no share"},
		"both":        {[]string{"status", "--config", file, "--name", "lab"}, "not both"},
		"no name":     {[]string{"status", url}, `name: "": write`},
		"other share": {[]string{"status", url, "--name", "other", "--timeout", "1s"}, "share other"},
		"no TLS":      {[]string{"status", "nats://10.0.0.1:4222", "--name", "lab"}, "write tls://"},
		"half of TLS": {[]string{"status", url, "--name", "lab", "--ca-file", "x"}, "tls::cert_file: "},
		"nobody": {[]string{"status", "nats://127.0.0.1:1", "--name", "lab", "--timeout", "1s"},
			"ask NATS at nats://127.0.0.1:1 about the share lab: "},
		"no root": {[]string{"status", t.TempDir()}, "not the root of a share"},
		"no scheme": {[]string{"status", "10.0.0.12:4222"},
			"10.0.0.12:4222 is not a folder: write tls://10.0.0.12:4222"},
		"folder and file": {[]string{"status", cfg.Root, "--config", file}, "use only --name, or no flags"},
		"folder and nkey": {[]string{"status", cfg.Root, "--nkey-file", file}, "use only --name, or no flags"},
		"receiver of what": {[]string{"status", url, "--name", "lab", "--receiver", "videoanonymizer/b"},
			"--receiver chooses from --config"},
		"no such machine": {[]string{"drain", "z", url, "--name", "lab"}, "there is no machine z: choose one of a"},
		"no machine":      {[]string{"drain"}, "accepts between 1 and 2"},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, says := shareCommand(test.args...)
			assert.Equal(t, exitError, status)
			assert.Contains(t, says, test.says)
		})
	}
}

func TestShareNKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.nk")
	status, public, says := shareCommand("nkey", file)
	assert.Zero(t, status, says)
	assert.Regexp(t, `^U[A-Z2-7]{55}\n$`, public)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	seed, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(seed), "SU"))
	_, again, _ := shareCommand("nkey", file)
	assert.Equal(t, public, again, "a key that is there stays")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	status, _, says = shareCommand("nkey", file)
	assert.Equal(t, exitError, status)
	assert.Contains(t, says, "it is empty")
}
