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

// TestVerificationIsNotRetried checks that an output that differs from what was written is not retried: it would differ
// again.
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

// TestSegmentsStay checks that what was sealed stays valid after an encoder hung, a disk failed or a program was
// killed, so that the next attempt continues from there.
func TestSegmentsStay(t *testing.T) {
	for cause, stay := range map[error]bool{
		media.ErrStalled: true, media.ErrIO: true, media.ErrInterrupted: true, watch.ErrTaken: true,
		media.ErrResume: false, media.ErrVerification: false, media.ErrDamaged: false, media.ErrTool: false,
	} {
		assert.Equal(t, stay, leavesSegments(fmt.Errorf("a.mp4: %w", cause)), cause)
	}
}
