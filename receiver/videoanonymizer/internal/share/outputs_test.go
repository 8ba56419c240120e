// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sampled is a folder whose versions have digests.
type sampled struct{ folder }

func (s sampled) Scan(ctx context.Context) ([]Found, error) {
	found, err := s.folder.Scan(ctx)
	for i := range found {
		f, err := os.Open(filepath.Join(s.root, found[i].Path))
		if err != nil {
			return nil, err
		}
		if _, found[i].Version.Digest, err = digest(ctx, f); err != nil {
			return nil, err
		}
		_ = f.Close()
	}
	return found, err
}

// TestWhatIsDoneIsNotDoneAgain checks that outputs are not sources, whatever their names, and that a source that is
// done stays done when it is touched, as long as its output exists, and when it is moved.
func TestWhatIsDoneIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addVideo(t, r.root, "v1", 2000)
	addVideo(t, r.root, "v2", 1000)
	opts := r.options("a")
	opts.Source = sampled{folder{r.root}}
	e, _ := r.start(r.config(""), opts)
	r.settled()
	in := func(name string) string { return filepath.Join(r.root, "in", name) }
	output := r.worker.final("in/v1")
	data, err := os.ReadFile(output)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(in("copy"), data, 0o600))
	later := time.Now().Add(time.Hour)
	require.NoError(t, os.Chtimes(in("v1"), later, later))
	require.NoError(t, os.Rename(in("v2"), in("moved")))
	addVideo(t, r.root, "v3", 3000) // once this is done, a scan has seen the others
	r.until("the new one is done", func() bool {
		_, err := os.Lstat(r.worker.final("in/v3"))
		return err == nil
	})
	r.until("the moved one is known", func() bool { return e.Stats().Videos[VideoDone] == 4 })
	assert.NoFileExists(t, r.worker.final("in/copy"))
	assert.NoFileExists(t, r.worker.final("in/moved"))
	assert.EqualValues(t, 6, e.Stats().Published, "three outputs with their companions")

	require.NoError(t, os.Remove(output))
	require.NoError(t, os.Remove(output+".txt"))
	later = later.Add(time.Hour)
	require.NoError(t, os.Chtimes(in("v1"), later, later))
	r.until("it is made again", func() bool {
		_, err := os.Lstat(output)
		return err == nil
	})
}

// TestUnitsBeginAnew checks that a unit that restarts forgets what earlier claims have sealed.
func TestUnitsBeginAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addVideo(t, r.root, "v", 3*segmentBytes)
	first := r.config("")
	leader, _ := r.start(first, r.options("leader"))
	leader.Drain(true)
	stuck := &stopper{inverter: r.worker, after: 2, reached: make(chan struct{})}
	opts := r.options("a")
	opts.Worker = stuck
	_, stop := r.start(second(first), opts)
	<-stuck.reached
	stop()
	anew := &beginner{inverter: r.worker}
	opts = r.options("b")
	opts.Worker = anew
	r.start(second(first), opts)
	r.settled()
	assert.Equal(t, 2, anew.found)
}

// beginner is a worker that restarts its units.
type beginner struct {
	*inverter
	found int
}

func (b *beginner) Do(ctx context.Context, t *UnitTask) (json.RawMessage, error) {
	b.found = len(t.Sealed)
	if err := t.Restart(ctx); err != nil {
		return nil, err
	}
	return b.inverter.Do(ctx, t)
}

// TestRecordsNameNoOtherFiles checks that records cannot name files outside root, whoever wrote them.
func TestRecordsNameNoOtherFiles(t *testing.T) {
	root := t.TempDir()
	outside := filepath.Join(filepath.Dir(root), filepath.Base(root)+"-outside")
	s := &session{Engine: &Engine{tree: newTree(root, "test"), opts: Options{reached: func(string) {}}}}
	require.NoError(t, os.WriteFile(filepath.Join(root, "temp"), nil, 0o600))
	for _, o := range []Output{
		{Name: "../" + filepath.Base(outside), Temp: "temp"}, {Name: "out", Temp: "../" + filepath.Base(root) + "/temp"},
	} {
		require.ErrorIs(t, s.place(t.Context(), &Video{}, o), errOutputLost)
	}
	assert.NoFileExists(t, outside)
	_, err := check(t.Context(), filepath.Join(root, "a"), Segment{Files: []File{{Name: "../temp"}}})
	assert.ErrorIs(t, err, errContent)
}
