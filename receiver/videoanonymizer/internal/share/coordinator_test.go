// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFilesThatAreLeftOut checks that a file that cannot be recorded, or cannot be read, does not hold up the others.
func TestFilesThatAreLeftOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addVideo(t, r.root, "a-video", 2000)
	e, _ := r.start(r.config(""), r.options("a"))
	r.settled()
	bad := filepath.Join(r.root, "in", "a\xff")
	require.NoError(t, os.WriteFile(bad, []byte("not UTF-8"), 0o600))
	// A broken link that has the size of an output cannot be compared with it.
	info, err := os.Stat(r.worker.final("in/a-video"))
	require.NoError(t, err)
	link := filepath.Join(r.root, "in", "b")
	require.NoError(t, os.Symlink(strings.Repeat("x", int(info.Size())), link))
	addVideo(t, r.root, "c", 100)
	r.until("the other is done", func() bool { return e.Stats().Videos[VideoDone] >= 2 })
}

// TestOutputsOfEarlierVersions checks that outputs of earlier versions are not sources, either.
func TestOutputsOfEarlierVersions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addVideo(t, r.root, "v", 2000)
	e, _ := r.start(r.config(""), r.options("a"))
	r.settled()
	output := r.worker.final("in/v")
	earlier, err := os.ReadFile(output)
	require.NoError(t, err)
	require.NoError(t, os.Remove(output))
	require.NoError(t, os.Remove(output+".txt"))
	addVideo(t, r.root, "v", 1500)
	r.until("it is done again", r.published)
	require.NoError(t, os.WriteFile(filepath.Join(r.root, "in", "copy"), earlier, 0o600))
	addVideo(t, r.root, "w", 100) // once this is done, a scan has seen the copy
	r.until("the new one is done", func() bool { return e.Stats().Videos[VideoDone] == 2 })
	assert.NoFileExists(t, r.worker.final("in/copy"))
}

// TestCoordinatorOfAnEraThatIsOver checks that a coordinator whose era is over removes nothing: its records know
// nothing about the folders of the next era.
func TestCoordinatorOfAnEraThatIsOver(t *testing.T) {
	t.Parallel()
	s := newFilledSession(t, 1, VideoPlanned)
	elected, err := s.elect(t.Context())
	require.NoError(t, err)
	require.Positive(t, elected)
	d := s.newDuty(elected)
	stray := filepath.Join(s.tree.works(), "stray-1")
	require.NoError(t, os.Mkdir(stray, 0o755))
	require.NoError(t, d.collect(t.Context()))
	assert.NoDirExists(t, stray)

	require.NoError(t, os.Mkdir(stray, 0o755))
	_, err = s.store.put(t.Context(), keyBorn, []byte("true"))
	require.NoError(t, err)
	require.NoError(t, s.store.purge(t.Context(), ">"))
	require.ErrorIs(t, d.collect(t.Context()), errEra)
	require.ErrorIs(t, d.collectFolders(t.Context()), errEra)
	assert.DirExists(t, stray)
}

// TestEmptyRootIsNotCoordinated checks that a machine that starts before its folder is mounted does not coordinate: to
// it, all videos would be gone.
func TestEmptyRootIsNotCoordinated(t *testing.T) {
	t.Parallel()
	s := newFilledSession(t, 1, VideoPlanned)
	require.NoError(t, os.Remove(filepath.Join(s.tree.journal(), "00000001.other"+journalSuffix)))
	elected, err := s.elect(t.Context())
	assert.Zero(t, elected)
	assert.ErrorIs(t, err, errStrange)
}

// TestMirrorHasWhatIsSealed checks that the journal has the sealed segments of a claimed unit.
func TestMirrorHasWhatIsSealed(t *testing.T) {
	t.Parallel()
	s := newFilledSession(t, 1, VideoPlanned)
	key := unitKey(s.view.active()[0].id, 1, 0)
	p, index, _ := planOf(key)
	unit := s.view.units[p][index].entry
	unit.rec.State = UnitClaimed
	s.claim(&unit.rec.holding)
	unit.rec.Sealed = []Segment{{Files: []File{{Name: "u0.1-1.1.seg", Size: 1, SHA256: "x"}}}}
	require.NoError(t, write(t.Context(), s, &unit, &unit.rec.holding))
	m := newMirror(s.tree, term{s.store.era.number, 9}, s.me)
	require.NoError(t, m.begin(s))
	defer m.close()
	all, err := s.tree.load()
	require.NoError(t, err)
	var there Unit
	require.NoError(t, decodeInto(all[key].Value, &there))
	assert.Equal(t, UnitOpen, there.State)
	assert.Nil(t, there.Claim)
	assert.Len(t, there.Sealed, 1)
	assert.WithinDuration(t, time.Now(), unit.rec.Claim.Since, time.Minute, "the claim itself stands")
}

// TestJournalsOfCoordinators checks that coordinators that do not know of each other, such as one that was cut off and
// its successor, leave the latest one's journal in place. If that is gone nevertheless, its coordinator rewrites it.
func TestJournalsOfCoordinators(t *testing.T) {
	t.Parallel()
	s := newFilledSession(t, 3, VideoDone)
	era := s.store.era.number
	journals := func() (names []string) {
		paths, err := s.tree.journals()
		require.NoError(t, err)
		for _, path := range paths {
			names = append(names, filepath.Base(path))
		}
		return names
	}
	var all []*mirror
	for i, at := range []term{{era - 1, 30}, {era, 7}, {era, 12}} {
		m := newMirror(s.tree, at, string(rune('a'+i)))
		require.NoError(t, m.begin(s))
		defer m.close()
		all = append(all, m)
	}
	for _, m := range []*mirror{all[1], all[0], all[1], all[2], all[1]} {
		require.NoError(t, m.removeEarlier(0))
	}
	assert.Equal(t, []string{filepath.Base(all[2].path)}, journals())
	last, err := s.tree.load()
	require.NoError(t, err)
	assert.NotEmpty(t, last)

	require.NoError(t, os.Remove(all[2].path))
	require.NoError(t, all[2].write(s))
	again, err := s.tree.load()
	require.NoError(t, err)
	assert.Equal(t, last, again)
}
