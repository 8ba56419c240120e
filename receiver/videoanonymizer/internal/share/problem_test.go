// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// TestProblem checks that a machine recognizes by the coordinator's probe that its root is another folder, but only
// once it knows that the probe exists. Until then it takes no work, in case the folder is another one, and reports no
// problem.
func TestProblem(t *testing.T) {
	t.Parallel()
	const accusation = "root is not the folder that c sees: mount the same one on both"
	claimed := func(v *view, worker, machine string) {
		v.apply(keyCoordinator, encode(holding{Claim: &Claim{Worker: worker, Machine: machine}}), v.last+1)
	}
	beats := func(v *view, worker string, m Machine) { v.apply(kindWorker+"."+worker, encode(m), v.last+1) }
	for name, test := range map[string]struct {
		// before sets up the bucket before the session begins, and then adds what comes afterwards.
		before, then func(s *session)
		want         string
		takes        bool
	}{
		"no coordinator": {func(*session) {}, func(*session) {}, "", true},
		"itself": {
			func(*session) {}, func(s *session) { claimed(s.view, s.me, "a") }, "", true,
		},
		"another folder": {
			func(s *session) { beats(s.view, "c-1", Machine{Name: "c"}); claimed(s.view, "c-1", "c") },
			func(s *session) { beats(s.view, "c-1", Machine{Name: "c"}) }, accusation, false,
		},
		"the same folder": {
			func(s *session) { beats(s.view, "c-1", Machine{Name: "c"}); claimed(s.view, "c-1", "c") },
			func(s *session) { require.NoError(t, s.tree.join("c-1")) }, "", true,
		},
		"a run that ended before, or is just late": {
			func(s *session) { beats(s.view, "c-1", Machine{Name: "c"}); claimed(s.view, "c-1", "c") },
			func(*session) {}, "", false,
		},
		"a run that took its leave": {
			func(s *session) { beats(s.view, "c-1", Machine{Name: "c", Left: true}); claimed(s.view, "c-1", "c") },
			func(*session) {}, "", true,
		},
		"an earlier run of this machine": {
			func(s *session) { beats(s.view, "a-0", Machine{Name: "a"}); claimed(s.view, "a-0", "a") },
			func(s *session) { beats(s.view, "a-0", Machine{Name: "a"}) }, "", false,
		},
		"a coordinator that cannot read root itself": {
			func(s *session) { beats(s.view, "c-1", Machine{Name: "c"}); claimed(s.view, "c-1", "c") },
			func(s *session) { beats(s.view, "c-1", Machine{Name: "c", Problem: "root cannot be read"}) }, "", false,
		},
		"a coordinator that ended meanwhile": {
			func(s *session) { beats(s.view, "c-1", Machine{Name: "c"}); claimed(s.view, "c-1", "c") },
			func(s *session) {
				beats(s.view, "c-1", Machine{Name: "c"})
				require.NoError(t, s.tree.join("c-1"))
				_, takes := s.problem()
				assert.True(t, takes)
				s.tree.leave("c-1")
			}, "", true,
		},
		"root is away": {
			func(s *session) { beats(s.view, "c-1", Machine{Name: "c"}); claimed(s.view, "c-1", "c") },
			func(s *session) { require.NoError(t, os.RemoveAll(s.tree.root)) }, "root cannot be read: ", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &session{
				Engine: &Engine{me: "a-1", opts: Options{Machine: "a"}, tree: newTree(t.TempDir(), "test")},
				view:   newView(&store{lease: time.Minute}, "a-1", zap.NewNop()),
			}
			require.NoError(t, s.tree.join(s.me))
			test.before(s)
			s.view.synced, s.view.began = true, s.view.last
			test.then(s)
			text, takes := s.problem()
			if test.want == "" {
				assert.Empty(t, text)
			} else {
				assert.Contains(t, text, test.want)
			}
			assert.Equal(t, test.takes, takes)
		})
	}
}

// TestStartAnew checks that a machine that restarts reports no wrong root, although its earlier run could not record
// that it left.
func TestStartAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.lease = 3 * time.Second // long enough to see it
	cfg := r.config("a")
	e, stop := r.start(cfg, r.options("a"))
	r.until("it works", func() bool { return e.Stats().Coordinator })
	e.node.stop()
	stop()
	e, _ = r.start(cfg, r.options("a"))
	r.until("it works again", func() bool {
		if err := e.Trouble(); err != nil {
			assert.NotContains(t, err.Error(), "root is not the folder")
		}
		return e.Stats().Coordinator
	})
}
