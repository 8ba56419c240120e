// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver/drivertest"
)

func TestProcFS(t *testing.T) {
	root := procFS{root: t.TempDir()}
	dir := func(pid string) string {
		path := filepath.Join(root.root, pid)
		require.NoError(t, os.Mkdir(path, 0o700))
		return path
	}
	require.NoError(t, os.Symlink("/opt/app/worker (deleted)", filepath.Join(dir("1"), "exe")))
	require.NoError(t, os.WriteFile(filepath.Join(dir("2"), "comm"), []byte("python3\n"), 0o600))
	cmdline := filepath.Join(root.root, "2", "cmdline")
	require.NoError(t, os.WriteFile(cmdline, []byte("python3\x00a b.py\x00"), 0o600))
	assert.Equal(t, "worker", root.executable(1))
	assert.Equal(t, "python3", root.executable(2))
	assert.Equal(t, "python3 a b.py", root.commandLine(2))
	assert.Empty(t, root.executable(3), "the process is gone")
	assert.Empty(t, root.commandLine(3))
}

// TestProcessesNamedOnlyInHostPIDNamespace checks that in a container with its own PID namespace, a process that uses
// the GPU does not get the name and command line of another process that has the same PID in the container.
func TestProcessesNamedOnlyInHostPIDNamespace(t *testing.T) {
	for name, test := range map[string]struct {
		namespace string // empty if unknown
		named     bool
	}{
		"host":      {"pid:[4026531836]", true},
		"container": {"pid:[4026532281]", false},
		"unknown":   {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for _, pid := range []string{"4000", "self"} {
				require.NoError(t, os.MkdirAll(filepath.Join(root, pid, "ns"), 0o700))
			}
			require.NoError(t, os.WriteFile(filepath.Join(root, "4000", "comm"), []byte("train\n"), 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(root, "4000", "cmdline"), []byte("train\x00--key=1"), 0o600))
			if test.namespace != "" {
				require.NoError(t, os.Symlink(test.namespace, filepath.Join(root, "self", "ns", "pid")))
			}
			h := newHarness(t, loadConfig(t, everything), drivertest.NewGPU(0, testTime))
			h.proc = newProcFS(root)
			for range 2 {
				h.advance(10 * time.Second)
				dp, ok := point(h.mustScrape(t), "nvml.process.memory.usage", "process.pid", "4000")
				require.True(t, ok, "the usage is reported in any case")
				executable, _ := dp.Attributes().Get("process.executable.name")
				_, hasCommandLine := dp.Attributes().Get("process.command_line")
				assert.Equal(t, test.named, executable.Str() == "train")
				assert.Equal(t, test.named, hasCommandLine)
			}
			assert.Equal(t, !test.named, h.logs.FilterMessageSnippet("PID namespace").Len() == 1, "logged once")
		})
	}
}
