// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package videoanonymizer

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/config"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/share"
)

// lab is a folder that several receivers share. Each has an encoder thread for itself, and pauses that suit a test.
type lab struct {
	root, in, out string
	address       string // of the embedded server, in the first one
	machines      []*running
}

func newLab(t *testing.T) *lab {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	l := &lab{root: root, in: filepath.Join(root, "in"), out: filepath.Join(root, "out")}
	require.NoError(t, os.Mkdir(l.in, 0o755))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l.address = listener.Addr().String()
	require.NoError(t, listener.Close())
	return l
}

// config is that of the next machine.
func (l *lab) config(t *testing.T) *Config {
	t.Helper()
	cfg := newUnitsConfig(t, 1)
	cfg.Watch.Include = []string{filepath.Join(l.in, "*")}
	cfg.Output.Directory = l.out
	cfg.UnitLength = config.Default().UnitLength
	shared := share.DefaultConfig()
	shared.Name, shared.Root, shared.UnitLength, shared.Lease = "lab", l.root, 10*time.Second, 2*time.Second
	if len(l.machines) == 0 {
		shared.Embedded = &share.Embedded{Node: "a", Directory: filepath.Join(t.TempDir(), "nats"), Listen: l.address}
	} else {
		shared.Servers = []string{"nats://" + l.address}
	}
	cfg.Share = &shared
	return cfg
}

// add starts one more machine.
func (l *lab) add(t *testing.T, change ...func(*Config)) *running {
	t.Helper()
	cfg := l.config(t)
	for _, c := range change {
		c(cfg)
	}
	r := start(t, cfg)
	r.in = l.in
	l.machines = append(l.machines, r)
	return r
}

// put gives a file its name in the watched folder.
func (l *lab) put(t *testing.T, source string) {
	t.Helper()
	require.NoError(t, os.Link(source, filepath.Join(l.in, filepath.Base(source))))
}

// await waits until so many files that are not hidden are in the output folder.
func (l *lab) await(t *testing.T, files int) {
	t.Helper()
	require.Eventually(t, func() bool {
		entries, _ := os.ReadDir(l.out)
		n := 0
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				n++
			}
		}
		return n == files
	}, 10*time.Minute, 20*time.Millisecond)
}

// stop ends all machines, the one with the server last.
func (l *lab) stop(t *testing.T) {
	t.Helper()
	for _, r := range slices.Backward(l.machines) {
		require.NoError(t, r.Shutdown(t.Context()))
	}
}

// assertTidy makes sure that nothing of a video is left over.
func (l *lab) assertTidy(t *testing.T) {
	t.Helper()
	works := filepath.Join(l.root, ".anonymizing-share", "lab", "work")
	assert.Eventually(t, func() bool {
		left, err := os.ReadDir(works)
		return err == nil && len(left) == 0
	}, time.Minute, 20*time.Millisecond, "nothing is left in %s", works)
}

// TestSharedIsTheWholeVideo: a video that is done by one, two or three machines is the one that a machine makes alone.
func TestSharedIsTheWholeVideo(t *testing.T) {
	video := source(t, "a.mp4",
		"-f lavfi -i testsrc2=size=192x144:rate=5:duration=60 -c:v libx264 -preset ultrafast -g 25 ")
	began := time.Now()
	alone := newUnitsConfig(t, 1)
	alone.UnitLength = 10 * time.Second
	want, _ := inUnits(t, alone, video)
	for _, machines := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(machines), func(t *testing.T) {
			l := newLab(t)
			for range machines {
				l.add(t)
			}
			l.put(t, video)
			l.await(t, 4)
			l.assertTidy(t)
			l.stop(t)
			assertSameVideo(t, want, filepath.Join(l.out, "a_anonymized.mp4"), time.Since(began))
			finished, units := 0, map[int64]int{}
			for _, r := range l.machines {
				finished += len(r.spans("anonymize_video"))
				for number := range r.attempts() {
					units[number]++
				}
			}
			assert.Equal(t, 1, finished)
			assert.Len(t, units, 6)
		})
	}
}
