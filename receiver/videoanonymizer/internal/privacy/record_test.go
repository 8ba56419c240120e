// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package privacy

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/audit"
)

func TestReadRecords(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"approved", "changed", "open", "zfails"} {
		h.write(h.in+"/"+name+".mp4", name)
	}
	h.journal("zfails")
	out := func(name string) string { return h.places.Outputs + "/" + name + "_anonymized.mp4" }
	h.decide(out("approved"), audit.Approved)
	h.decide(out("changed"), audit.Rejected)
	h.reportOn(h.write(out("changed")+"2", "swapped"), h.in+"/changed.mp4")
	require.NoError(t, os.Rename(out("changed")+"2.report.json", out("changed")+".report.json"))
	require.NoError(t, os.Remove(out("changed")+"2"))

	records, err := ReadRecords(h.places, time.Time{})
	require.NoError(t, err)
	byOutput := map[string]Record{}
	for _, r := range records.Videos {
		byOutput[r.Output] = r
	}
	require.Len(t, byOutput, 4)
	approved := byOutput["approved_anonymized.mp4"]
	assert.Equal(t, "approved.mp4", approved.Source)
	assert.Equal(t, digest(t, h.in+"/approved.mp4"), approved.SourceSHA256)
	assert.Equal(t, digest(t, out("approved")), approved.OutputSHA256)
	assert.Equal(t, Anonymized, approved.Outcome)
	assert.Equal(t, []string{"nanodet-m (detector::model, 0123456789ab)"}, approved.Models)
	assert.Equal(t, "heads, box, solid, screens", approved.Mask)
	assert.Equal(t, "approved", approved.Review)
	assert.Equal(t, "Ann", approved.Reviewer)
	assert.EqualValues(t, 1, approved.Watched)
	assert.Equal(t, Changed, byOutput["changed_anonymized.mp4"].Review)
	assert.Equal(t, NoReview, byOutput["open_anonymized.mp4"].Review)
	failed := byOutput[""]
	assert.Equal(t, "zfails.mp4", failed.Source)
	assert.Equal(t, Failed, failed.Outcome)
	assert.Equal(t, "not_video", failed.Reason)
	assert.Empty(t, records.AuditProblem)

	records, err = ReadRecords(h.places, time.Now().Add(time.Hour))
	require.NoError(t, err)
	assert.Empty(t, records.Videos)

	require.NoError(t, os.Remove(h.in+"/approved.mp4"))
	h.erase("approved.mp4")
	records, err = ReadRecords(h.places, time.Time{})
	require.NoError(t, err)
	assert.Len(t, records.Videos, 3)
	assert.Equal(t, 1, records.Erased)

	h.write(filepath.Join(h.places.State, audit.DirectoryName, audit.FileName), "{}\n")
	records, err = ReadRecords(h.places, time.Time{})
	require.NoError(t, err)
	assert.NotEmpty(t, records.AuditProblem)
	for _, r := range records.Videos {
		assert.Equal(t, NoReview, r.Review)
	}
}
