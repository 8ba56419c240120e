// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// TestInstall installs the program into an empty directory, checks the files, and runs it from there.
func TestInstall(t *testing.T) {
	skipIfShort(t)
	root := t.TempDir()
	install := exec.Command("make", "install", "DESTDIR="+root)
	install.Dir = collector.Root()
	out, err := install.CombinedOutput()
	require.NoError(t, err, "%s", out)

	var files []string
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		page := strings.HasPrefix(entry.Name(), "anonymizerctl-") // the manual has a page for each command
		if err == nil && !entry.IsDir() && filepath.Ext(path) != ".onnx" && !page {
			files = append(files, strings.TrimPrefix(path, root))
		}
		return err
	}))
	slices.Sort(files)
	assert.Equal(t, []string{
		"/etc/otelcol-anonymizer/config.yaml",
		"/usr/bin/anonymizerctl", "/usr/bin/otelcol-anonymizer", "/usr/bin/otelcol-anonymizer-compare",
		"/usr/lib/otelcol-anonymizer/libonnxruntime.so.1",
		"/usr/lib/systemd/system/otelcol-anonymizer.service", "/usr/lib/sysusers.d/otelcol-anonymizer.conf",
		"/usr/lib/tmpfiles.d/otelcol-anonymizer.conf",
		"/usr/share/bash-completion/completions/anonymizerctl",
		"/usr/share/bash-completion/completions/otelcol-anonymizer",
		"/usr/share/doc/otelcol-anonymizer/LICENSE", "/usr/share/doc/otelcol-anonymizer/README.md",
		"/usr/share/man/man1/anonymizerctl.1", "/usr/share/man/man1/otelcol-anonymizer.1",
		"/usr/share/otelcol-anonymizer/models/lib",
	}, files)
	assert.FileExists(t, filepath.Join(root, "usr/share/man/man1/anonymizerctl-doctor.1"))

	mine := filepath.Join(root, "etc", "otelcol-anonymizer", "config.yaml")
	require.NoError(t, os.WriteFile(mine, []byte("# mine"), 0o600))
	install = exec.Command("make", "install", "DESTDIR="+root)
	install.Dir = collector.Root()
	require.NoError(t, install.Run())
	assert.Equal(t, "# mine", string(read(t, mine)), "an update leaves the operator's configuration alone")

	s := newSite(t)
	s.binary = filepath.Join(root, "usr", "bin", "otelcol-anonymizer")
	c := s.start() // with the default configuration and the installed models
	s.drop(s.clip("talk.mp4"), "talk.mp4")
	s.awaitVideos(c, "finished", 1)
	require.NoError(t, c.Stop(20*time.Second))
}

func TestServiceUnit(t *testing.T) {
	unit := filepath.Join(collector.Root(), "packaging", "otelcol-anonymizer.service")
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	// verify requires that the program exists, so use one that does.
	dir := t.TempDir()
	text := strings.ReplaceAll(string(read(t, unit)), "/usr/bin/otelcol-anonymizer", "/bin/true")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "otelcol-anonymizer.service"), []byte(text), 0o600))
	out, err := exec.Command("systemd-analyze", "verify", "--man=no",
		filepath.Join(dir, "otelcol-anonymizer.service")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.NotContains(t, string(out), "otelcol-anonymizer.service:", "no warning about the unit")

	// The exposure is 96 for a service without any hardening, and about 10 for one that is denied everything but the
	// network.
	out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=25",
		filepath.Join(dir, "otelcol-anonymizer.service")).CombinedOutput()
	assert.NoError(t, err, "the unit is less hardened than it should be:\n%s", out)
}

// TestStopWithinServiceTimeout stops the collector during a video, as systemd does.
func TestStopWithinServiceTimeout(t *testing.T) {
	unit := read(t, filepath.Join(collector.Root(), "packaging", "otelcol-anonymizer.service"))
	match := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindSubmatch(unit)
	require.NotNil(t, match)
	seconds, err := strconv.Atoi(string(match[1]))
	require.NoError(t, err)

	s, c := startedVideo(t)
	require.NoError(t, c.Stop(time.Duration(seconds)*time.Second/4), "with a margin for a loaded machine")
	assert.Empty(t, s.produced(), "nothing unfinished is left")

	c = s.start()
	s.awaitVideos(c, "finished", 1)
	require.NoError(t, c.Stop(20*time.Second))
}

// TestReload changes the configuration during a video.
func TestReload(t *testing.T) {
	s, c := startedVideo(t)
	require.NoError(t, os.WriteFile(s.configs[len(s.configs)-1],
		[]byte("receivers: {videoanonymizer: {output: {name: '{name}_new'}}}"), 0o600))
	require.NoError(t, c.Reload())
	ctx := t.Context()
	require.NoError(t, c.Await(ctx, "the video under its new name", 100*time.Millisecond, func() (bool, error) {
		_, err := os.Stat(filepath.Join(s.dir, "videos", "anonymized", "long_new.mp4"))
		return err == nil, ctx.Err()
	}))
	require.NoError(t, c.Stop(20*time.Second))
	assert.Equal(t, reviewed("long_new.mp4"), s.produced(), "the video exists once")
}

// startedVideo starts a collector and waits until it has processed part of a video. The site's last configuration is a
// file.
func startedVideo(t *testing.T) (site, *collector.Collector) {
	t.Helper()
	s := newSite(t)
	own := filepath.Join(s.dir, "own.yaml")
	require.NoError(t, os.WriteFile(own, []byte("receivers: {videoanonymizer: {output: {name: '{name}_anonymized'}}}"),
		0o600))
	s.configs = append(s.configs, own)
	long := filepath.Join(t.TempDir(), "long.mp4")
	require.NoError(t, footage.Loop(s.clip("walk.mp4"), long, 1))
	c := s.start()
	s.drop(long, "long.mp4")
	s.await(c, "the middle of the video", func(metrics collector.Metrics) bool {
		return metrics.Sum("anonymizer_frames_total", nil) >= 40
	})
	return s, c
}
