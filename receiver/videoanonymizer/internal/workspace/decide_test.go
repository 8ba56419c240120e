// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
)

// TestApprovalFileMode checks that an approval, which names the approver, is readable by those who may read the
// output.
func TestApprovalFileMode(t *testing.T) {
	r := newRig(t)
	id := r.make("walk.mp4", x264)
	r.looked(id)
	path := audit.ApprovalPath(filepath.Join(r.out, "anonymized_walk.mp4"))
	for _, mode := range []os.FileMode{0o600, 0o640} {
		r.stop()
		r.mode = mode
		r.start()
		_, err := r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Approved})
		require.NoError(t, err)
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode())
	}
}

// TestPlantedReviewFiles puts a link in place of an approval and of a review, and checks that neither is followed.
func TestPlantedReviewFiles(t *testing.T) {
	r := newRig(t)
	id := r.make("walk.mp4", x264)
	r.looked(id)
	approve := func() error {
		_, err := r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Approved})
		return err
	}
	require.NoError(t, approve())
	approval := audit.ApprovalPath(filepath.Join(r.out, "anonymized_walk.mp4"))
	reviews, err := filepath.Glob(filepath.Join(r.opts.Directory, "reviews", "*.json"))
	require.NoError(t, err)
	require.Len(t, reviews, 1)
	for _, path := range []string{approval, reviews[0]} {
		elsewhere := filepath.Join(t.TempDir(), "elsewhere")
		require.NoError(t, os.Rename(path, elsewhere))
		require.NoError(t, os.Symlink(elsewhere, path))
	}
	require.ErrorIs(t, approve(), consoleapi.ErrConflict)
	r.restart()
	assert.Equal(t, consoleapi.StateToReview, r.video("walk.mp4").State, "the review is not ours")
}

// TestExpiredReport checks that an approval stays valid if its report has expired, and that removing the report voids
// it.
func TestExpiredReport(t *testing.T) {
	for name, want := range map[string]consoleapi.State{
		audit.ReportExpired: consoleapi.StateApproved, "": consoleapi.StateInReview,
	} {
		t.Run("action "+name, func(t *testing.T) {
			r := newRig(t)
			id := r.make("walk.mp4", x264)
			r.looked(id)
			_, err := r.Decide(t.Context(), ann, id, consoleapi.DecisionInput{Decision: consoleapi.Approved})
			require.NoError(t, err)
			require.NoError(t, os.Remove(report.Path(filepath.Join(r.out, "anonymized_walk.mp4"))))
			if name != "" {
				require.NoError(t, r.Record(audit.Entry{Actor: "retention", Role: "system", Action: name,
					Output: "anonymized_walk.mp4"}))
			}
			assert.Equal(t, want, r.video("walk.mp4").State)
			r.restart()
			assert.Equal(t, want, r.video("walk.mp4").State)
		})
	}
}
