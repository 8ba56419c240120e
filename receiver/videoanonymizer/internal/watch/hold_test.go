// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHold holds files, with and without stopping the jobs in progress, which then continue where they were.
func TestHold(t *testing.T) {
	for name, suspend := range map[string]bool{"finish": false, "suspend": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			path, job := r.begin("walk.mkv")
			var stopped error
			job.OnStop(func(cause error) { stopped = cause })
			waiting := r.drop("waiting.mkv", "b")
			r.settle()
			r.w.Hold("at night", suspend)
			assert.Nil(t, r.try(), "nothing is claimed")
			r.settle()
			assert.Nil(t, r.try(), "nor after a scan")
			for _, o := range r.w.Overview() {
				if o.Path == waiting {
					assert.Equal(t, "at night", o.Held)
				}
			}
			if suspend {
				require.ErrorIs(t, stopped, ErrHeld)
				job.Suspend()
				assert.Nil(t, r.try())
			} else {
				require.NoError(t, stopped)
				r.complete(job)
			}
			r.w.Hold("", suspend)
			r.settle()
			next := r.try()
			require.NotNil(t, next)
			if suspend {
				assert.Equal(t, path, next.Path)
				assert.True(t, next.Resumable())
				assert.Equal(t, 1, next.Attempt)
			} else {
				assert.Equal(t, waiting, next.Path)
			}
		})
	}
}

// TestHoldStopsWhatBegins checks that the job of a file that was claimed just before is stopped as well.
func TestHoldStopsWhatBegins(t *testing.T) {
	r := newRig(t)
	r.drop("walk.mkv", "a")
	r.settle()
	f, _, err := r.w.queue.tryNext()
	require.NoError(t, err)
	require.NotNil(t, f)
	r.w.Hold("at night", true)
	job := r.w.claim(f)
	require.NotNil(t, job)
	var stopped error
	job.OnStop(func(cause error) { stopped = cause })
	assert.ErrorIs(t, stopped, ErrHeld)
}
