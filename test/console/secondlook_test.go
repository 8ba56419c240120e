// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// blind makes the receiver find no one, even when it searches a video without people again.
const blind = `yaml:{receivers: {videoanonymizer: {recall: thorough,
	detector: {score_threshold: 1, candidate_threshold: 0, faces: "", survey: {enabled: false}}}}}`

// TestSecondLookFindsOpenHead leaves a head unmasked on purpose: the second look at the output finds it, and the video
// cannot be approved without a note.
func TestSecondLookFindsOpenHead(t *testing.T) {
	s := newSite(t, blind)
	s.start()
	require.NoError(t, footage.Cut(s.clip("talk.mp4"), s.path("talk.mp4"), 2))
	s.drop(s.path("talk.mp4"), "incoming", "talk.mp4")
	s.await("talk.mp4", "to_review")
	moments := s.awaitLook("talk.mp4")
	require.NotEmpty(t, moments)
	assert.Equal(t, "uncovered", moments[0].Reason, "the open head comes first: %+v", moments)
	// The face of talk.mp4 fills the middle of its 400 x 300 pixels.
	box := moments[0].Box
	require.Len(t, box, 4)
	x, y := (box[0]+box[2])/2, (box[1]+box[3])/2
	assert.True(t, 100 < x && x < 300 && 50 < y && y < 250, "%v is the face", box)
	assert.True(t, slices.Contains(s.video("talk.mp4").Warnings, "uncovered"))

	approve := func(body string) int {
		path := "api/v1/" + s.revision("talk.mp4") + "decision"
		status, _, _ := s.send(request{method: http.MethodPost, path: path, body: body}.as(s.token))
		return status
	}
	assert.Equal(t, http.StatusUnprocessableEntity, approve(`{"decision": "approved"}`))
	assert.Equal(t, http.StatusOK, approve(`{"decision": "approved", "note": "an actor, who agreed"}`))
}
