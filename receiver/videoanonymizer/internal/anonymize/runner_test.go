// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package anonymize

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// TestVerificationIsNotRetried: an output that is not what was written would be so again.
func TestVerificationIsNotRetried(t *testing.T) {
	for err, want := range map[error]string{
		media.ErrVerification:   "verification, false",
		media.ErrSeveralStreams: "several_streams, false",
		media.ErrTool:           "ffmpeg, true",
		media.ErrNoHEVC:         "unsupported, true",
	} {
		reason, temporary := classify(fmt.Errorf("%q: %w", "a.mp4", err))
		assert.Equal(t, want, fmt.Sprintf("%s, %t", reason, temporary))
	}
}

// TestSegmentsStay: what was sealed before an encoder hung, a disk failed or a program was killed is as good as it was;
// the next attempt goes on from there.
func TestSegmentsStay(t *testing.T) {
	for cause, stay := range map[error]bool{
		media.ErrStalled: true, media.ErrIO: true, media.ErrInterrupted: true, watch.ErrTaken: true,
		media.ErrResume: false, media.ErrVerification: false, media.ErrDamaged: false, media.ErrTool: false,
	} {
		assert.Equal(t, stay, leavesSegments(fmt.Errorf("a.mp4: %w", cause)), cause)
	}
}
